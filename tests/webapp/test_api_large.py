"""A large answer is written piece by piece, and is whole before it begins."""

from __future__ import annotations

import http.client
import json
import random
import threading

import msgspec
import pytest
from msgspec import Struct, structs

from neurocore.documents import make
from neurocore.documents.inspect import inspect
from neurocore.documents.streamed import Streamed
from neurocore.persistence.records import LogLine
from webapp import streaming
from webapp.server import Front

API = "/api/v1"

LARGE = {
    "rows": [{"iban": f"DE{number:018}", "name": "Müller \u2028 \"x\"", "amount": number} for number in range(40_000)],
    "text": "ä" * 700_000,
    "deep": {"a": {"b": {"c": ["x" * 1000] * 300}}},
    "small": 1,
}  # fmt: skip


class Pair(Struct):
    first: object
    second: object


def joined(value):
    return b"".join(streaming.pieces(value))


@pytest.mark.parametrize("path", ["", "/inspection", "/inspection?full=true", "/steps", "/steps/0", "/steps?limit=1"])
def test_an_answer_over_a_megabyte_is_written_in_small_pieces(site, path, monkeypatch):
    run_id = site.run("asking", **LARGE)
    written = []
    encoded = streaming.encoded
    monkeypatch.setattr(streaming, "encoded", lambda value: written.append(encoded(value)) or written[-1])
    answer = site.client.get(f"{API}/runs/{run_id}{path}")
    assert answer.status_code == 200
    large = len(answer.data) > streaming.WHOLE
    assert large == (not path.startswith("/steps")), "the inputs are large here, and what its steps did is not"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert max(map(len, written)) < 8 * streaming.PIECE, "no piece is anywhere near the whole"
    assert msgspec.json.decode(answer.data)


def test_a_large_answer_says_the_same_as_the_command_line(site):
    run_id = site.run("asking", **LARGE)
    run = site.store.load_run(run_id)
    printed = make.outcome(run, site.store, site.config, "neurocore")
    answer = site.client.get(f"{API}/runs/{run_id}")
    assert answer.json == msgspec.to_builtins(printed)
    assert answer.data == msgspec.json.encode(printed), "to the byte"
    schema_of = site.app.extensions["neurocore"].schema_of
    printed = inspect(run, site.store, site.config, schema_of, "neurocore", full=True)
    assert site.client.get(f"{API}/runs/{run_id}/inspection?full=true").data == msgspec.json.encode(printed)


def test_who_has_a_large_version_already_gets_no_body_and_head_no_text(site):
    run_id = site.run("asking", **LARGE)
    first = site.client.get(f"{API}/runs/{run_id}")
    again = site.client.get(f"{API}/runs/{run_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    again.close()  # as a server does; only here does nobody read to the end
    head = site.client.head(f"{API}/runs/{run_id}")
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", first.headers["ETag"])
    head.close()


def test_a_large_answer_arrives_whole_through_the_server(site):
    run_id = site.run("asking", **LARGE)
    front = Front(site.app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=front.run, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    try:
        connection.request("GET", f"{API}/runs/{run_id}")
        answer = connection.getresponse()
        text = answer.read()
        assert int(answer.getheader("Content-Length")) == len(text) > streaming.WHOLE
        assert json.loads(text)["data"]["rows"] == LARGE["rows"]
    finally:
        connection.close()
        front._workers.shutdown()
        front.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/approvals", "load_gate"), ("/runs/{run}/gates", "load_gate"), ("/runs/{run}/steps", "load_step"),
        ("/runs/{run}/logs", "load_step"), ("/runs/{run}/inspection", "load_gate"),
    ],
)  # fmt: skip
def test_an_answer_whose_end_cannot_be_made_does_not_begin(site, path, read, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 1000)
    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    run_id = site.run("payout", batch="x" * 2000)
    run = site.store.load_run(run_id)
    (gate,), (step, *_) = run.gates, site.store.load_steps(run_id)
    lines = [LogLine(at=step.started_at, level="INFO", message="x" * 20_000)]
    gates = [structs.replace(gate, visit=visit, message="x" * 20_000) for visit in range(1, 21)]
    site.store.save_run(structs.replace(run, gates=gates))
    for index in range(20):
        site.store.save_step(structs.replace(step, step_index=index, visit=index + 1, error="x" * 20_000, logs=lines))
    count, written = [], []
    load, encoded = getattr(site.store, read), streaming.encoded
    monkeypatch.setattr(streaming, "encoded", lambda value: written.append(encoded(value)) or written[-1])
    monkeypatch.setattr(site.store, read, lambda *given: count.append(given) or load(*given))
    assert site.client.get(f"{API}{path.format(run=run_id)}").status_code == 200
    assert len(count) >= 20
    assert max(map(len, written)) < 8 * streaming.PIECE, "one is read, written and let go before the next"

    def gone(*given):
        count.append(given)
        if len(count) == 20:
            raise OSError("the disk is gone")
        return load(*given)

    count.clear()
    monkeypatch.setattr(site.store, read, gone)
    answer = site.client.get(f"{API}{path.format(run=run_id)}")
    assert (len(count), answer.status_code) == (20, 500)
    assert answer.json["status"] == 500, "a whole problem, not the beginning of a list"


def test_a_kept_answer_is_the_same_however_large(site, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 100)
    headers = {"Idempotency-Key": "large"}
    first, again = (
        site.client.post(f"{API}/blueprints/payout/runs", json={"by": "ann"}, headers=headers) for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.data == again.data
    assert again.headers["Idempotency-Replayed"] == "true"


def test_pieces_are_the_json_of_the_whole_whatever_it_holds(monkeypatch):
    chance = random.Random(5)

    def value(depth):
        kind = chance.randrange(9 if depth < 5 else 5)
        if kind < 5:
            return (None, True, chance.randrange(-(10**9), 10**20), 1.5, 'x\n"\\é€😀'[: chance.randrange(9)] * 9)[kind]
        if kind == 8:
            return Pair(value(depth + 1), value(depth + 1))
        items = [value(depth + 1) for _ in range(chance.randrange(8))]
        return {f'k{n}"é': one for n, one in enumerate(items)} if kind == 5 else items if kind == 6 else tuple(items)

    for size in (8, 40, 200):
        monkeypatch.setattr(streaming, "PIECE", size)
        for _ in range(300):
            made = value(0)
            assert joined(made) == msgspec.json.encode(made)


def test_what_comes_later_is_written_as_if_it_were_there(monkeypatch):
    for size in (8, 10_000):
        monkeypatch.setattr(streaming, "PIECE", size)
        for items in ([], [1], ["a" * 30, {}], [[], {"x": [1, 2]}]):
            pairs = {f"k{number}": one for number, one in enumerate(items)}
            assert joined(Streamed(lambda items=items: iter(items))) == msgspec.json.encode(items)
            assert joined(Streamed(pairs.items, mapping=True)) == msgspec.json.encode(pairs)
            assert joined(Pair(Streamed(lambda items=items: items), 2)) == msgspec.json.encode(Pair(items, 2))


def test_half_surrogates_and_huge_numbers_are_written_in_pieces_too(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 20)
    made = {"half": "x" * 100 + "\ud800" + "y" * 100, "\udc00": [10**5000, 1]}
    assert json.loads(joined(made)) == {**made, "\udc00": [hex(10**5000), 1]}

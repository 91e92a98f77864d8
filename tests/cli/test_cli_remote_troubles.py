"""Servers that are gone, lie, or are not NeuroCore: one sentence, the right code, and nothing done twice."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from neurocore.remote import client

from .conftest import Project, make_project
from .servers import Asked, Said, config_of, lying, passed_on, serving

TOKEN = "nrc_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
RUNS: dict[str, Any] = {"runs": [], "older": None, "newer": None, "since": None, "until": None, "timezone": "UTC"}
RUN: dict[str, Any] = {
    "run_id": "r1", "title": "t", "blueprint": "b", "blueprint_version": "1", "status": "completed", "state": "idle",
    "held": None, "created_at": "2026-01-01T00:00:00+00:00", "updated_at": "2026-01-01T00:00:00+00:00",
    "finished_at": None, "duration_ms": None, "nodes_done": 1, "nodes_total": 1, "running_nodes": [],
    "current_nodes": [], "owed": None, "cancel_requested": None, "suspended_at_node": None, "suspension_reason": None,
    "error": None, "failure": None, "started_by": "ann", "replay_of": None, "tags": [],
}  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No pause takes time; returns how long each would have been."""
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    return paused


def call(root: Path, url: str, *args: str, **env: str) -> Result:
    return Project(root).call(*args, "--server", url, env={**config_of(root), "NEUROCORE_TOKEN": TOKEN, **env})


def listed(root: Path, answer: Callable[[Asked], Said] | Said, *args: str) -> tuple[Result, list[Asked]]:
    """A list of runs from a server that answers so."""
    with lying(answer if callable(answer) else lambda _: answer) as (url, asked):
        return call(root, url, *(args or ("runs", "list"))), asked


def problem(status: int, kind: str = "", **more: Any) -> Said:
    facts = {"type": f"/api/v1/problems#{kind}" if kind else "about:blank", "status": status, **more}
    headers = (("Retry-After", more.pop("after")),) if "after" in more else ()
    return Said(status, json.dumps(facts).encode(), "application/problem+json", headers)


TROUBLES = [
    (Said(200, b"<html>hello", "text/html"), 1, "answered with text/html (200) and not as NeuroCore does"),
    (Said(502, b"<html>bad gateway", "text/html"), 1, "answered with text/html (502)"),
    (Said(200, b"", ""), 1, "answered with nothing (200)"),
    (Said(200, b"{not json"), 1, "JSON that cannot be read"),
    (Said(200, b"[" * 100_000), 1, "JSON that cannot be read"),
    (Said(200, b"9" * 200_000), 1, "JSON that cannot be read"),
    (Said(200, b'{"runs": 1}'), 1, "is the server of another version?"),
    (Said(200, json.dumps({**RUNS, "runs": [{**RUN, "status": "dreaming"}]}).encode()), 1, "does not understand"),
    (Said(500, b'{"detail": "Boom."}', "application/problem+json"), 1, "failed with 500: Boom."),
    (Said(503, b'{"type": "/x#store", "detail": "Disk full."}', "application/problem+json"), 1, "Disk full."),
    (Said(404, b'{"detail": "There is nothing at /api/v1/runs."}', "application/problem+json"), 3, "There is nothing"),
    (Said(422, b'{"type": "x#new-kind", "detail": "No."}', "application/problem+json"), 2, "No."),
    (Said(429, b"{}", "application/problem+json", (("Retry-After", "120"),)), 1, "try again in 120 seconds"),
    (Said(429, b"slow down", "text/plain", (("Retry-After", "soon"),)), 1, "try again later"),
    (Said(204, b"", ""), 1, "answered with nothing (204)"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "code", "sentence"), TROUBLES)
def test_what_does_not_answer_as_neurocore_does_is_one_sentence(tmp_path, quick, said, code, sentence):
    done, _ = listed(tmp_path, said)
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_said_and_not_followed(tmp_path, status):
    with lying(lambda _: Said(200, json.dumps(RUNS).encode())) as (other, asked):
        done, _ = listed(tmp_path, Said(status, b"", "text/html", (("Location", f"{other}/in?next=secret"),)))
    assert done.exit_code == 1
    assert f"redirects to {other}/in, which is not followed" in done.stderr
    assert asked == []


def test_a_server_that_is_not_there_cannot_be_reached(tmp_path, quick):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        done = call(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}", "runs", "list")
    assert done.exit_code == 1
    assert "cannot be reached (" in done.stderr
    assert len(quick) == len(client.PAUSES)


def test_tls_that_is_none_is_said_and_not_tried_again(tmp_path, quick):
    with lying(lambda _: Said(200)) as (url, _):
        done = call(tmp_path, url.replace("http:", "https:"), "runs", "list")
    assert (done.exit_code, quick) == (1, [])
    assert "has no certificate that this machine trusts" in done.stderr


def test_an_answer_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "MOST", 1000)
    done, _ = listed(tmp_path, Said(200, b" " * 5000 + json.dumps(RUNS).encode()))
    assert (done.exit_code, "is larger than" in done.stderr) == (1, True)


def test_reading_is_tried_again_after_what_passes(tmp_path, quick):
    answers = [
        Said(None),
        problem(503, detail="Later.", after="3"),
        Said(502, b"", "text/html"),
        Said(200, json.dumps(RUNS).encode()),
    ]
    done, asked = listed(tmp_path, lambda _: answers.pop(0))
    assert (done.exit_code, len(asked)) == (0, 4), done.output
    assert quick == [client.PAUSES[0], 3.0, client.PAUSES[2]]


def test_fields_of_a_newer_server_are_ignored(tmp_path):
    newer = {**RUNS, "runs": [{**RUN, "mood": "fine"}], "weather": "sun"}
    done, _ = listed(tmp_path, Said(200, json.dumps(newer).encode()), "runs", "list", "--json")
    assert json.loads(done.stdout) == {**RUNS, "runs": [RUN]}


EVIL = "one\x1b[2J\x9b31m\u202e\ntwo\r\x07"


def test_what_a_server_says_controls_no_terminal(tmp_path, quick):
    shown = [
        listed(tmp_path, Said(200, json.dumps({**RUNS, "runs": [{**RUN, "title": EVIL, "blueprint": EVIL}]}).encode())),
        listed(tmp_path, problem(409, detail=EVIL)),
        listed(tmp_path, problem(403, "forbidden", detail=EVIL, who_can=[EVIL])),
        listed(tmp_path, problem(409, "ambiguous", detail="Several.", candidates=[EVIL]), "runs", "logs", "r"),
        listed(tmp_path, Said(200, b"", "text/\x1b[2J")),
        listed(tmp_path, Said(302, b"", "", (("Location", "https://x/\x1b[2J"),))),
        listed(tmp_path, Said(200, json.dumps({EVIL: EVIL, "runs": EVIL}).encode())),
        listed(tmp_path, Said(200, json.dumps({**RUNS, "runs": [{**RUN, "status": EVIL}]}).encode())),
        listed(
            tmp_path,
            Said(200, json.dumps({**RUNS, "timezone": EVIL, "since": EVIL}).encode()),
            "runs",
            "list",
            "--since",
            "1d",
        ),
    ]
    for done, _ in shown:
        assert not {"\x1b", "\x9b", "\u202e", "\r", "\x07"} & set(done.output), done.output
        assert "Traceback" not in done.output


def test_a_server_that_repeats_the_token_does_not_get_it_printed(tmp_path, quick):
    for said in (
        problem(409, detail=f"Bearer {TOKEN} no"), problem(403, "forbidden", detail="x", who_can=[TOKEN]),
        Said(200, b"", f"text/{TOKEN}"), Said(302, b"", "", (("Location", f"https://x/{TOKEN}"),)),
        problem(422, "invalid", detail=TOKEN, errors=[{"field": TOKEN, "detail": TOKEN}]),
        problem(409, "ambiguous", detail="x", candidates=[TOKEN]),
    ):  # fmt: skip
        done, _ = listed(tmp_path, said)
        assert done.exit_code
        assert TOKEN not in done.output


# ---------------------------------------------------------------- once


def test_a_post_whose_answer_is_lost_acts_once(tmp_path):
    """A proxy passes each POST on, and drops the first answer."""
    project = make_project(tmp_path / "work")
    lost: set[str] = set()

    with serving(project.root) as real:

        def drop(one: Asked) -> Said:
            said = passed_on(real, one)
            if one.method == "POST" and one.path not in lost:
                lost.add(one.path)
                return Said(None)
            return said

        with lying(drop) as (url, asked):
            started = call(tmp_path, url, "run", "gated", "-q", "--json")
            assert started.exit_code == 0, started.output
            run_id = json.loads(started.stdout)["run_id"]
            decided = call(tmp_path, url, "runs", "approve", run_id, "-q", "--json")
            assert json.loads(decided.stdout)["decision"]["effect"] == "took_effect"
            again = call(tmp_path, url, "runs", "replay", run_id, "-q")
            assert again.exit_code == 0
    posts = [one for one in asked if one.method == "POST"]
    assert len(posts) == 2 * len(lost) == 6
    keys = [one.headers["Idempotency-Key"] for one in posts]
    assert keys[::2] == keys[1::2]
    assert len(set(keys)) == 3
    assert len(project.json("runs", "list")["runs"]) == 2
    assert len(project.json("runs", "inspect", run_id)["gates"][0]["answers"]) == 1


def test_a_post_that_is_never_answered_says_that_it_may_be_done(tmp_path, quick):
    me = {"mode": "open", "username": None, "roles": [], "scopes": None}
    answer = {"GET": Said(200, json.dumps(me).encode()), "POST": Said(None)}
    done, asked = listed(tmp_path, lambda one: answer[one.method], "run", "plain")
    assert done.exit_code == 1
    assert "so it may have done this or not" in done.stderr
    assert len({one.headers["Idempotency-Key"] for one in asked if one.method == "POST"}) == 1


@pytest.mark.parametrize("kind", ["invalid", "refused", "key-used"])
def test_a_refused_post_is_not_repeated(tmp_path, quick, kind):
    me = {"mode": "local", "username": "ann", "roles": [], "scopes": ["start"]}
    answer = {"GET": Said(200, json.dumps(me).encode()), "POST": problem(409, kind, detail="No.")}
    done, asked = listed(tmp_path, lambda one: answer[one.method], "run", "plain")
    assert done.exit_code in (2, 4)
    assert [one.method for one in asked] == ["GET", "POST"]
    assert "by" not in json.loads(asked[1].body)


def test_a_file_in_place_of_a_blueprints_name_is_refused(tmp_path):
    done, asked = listed(tmp_path, Said(200), "run", "../other/blueprint")
    assert (done.exit_code, asked) == (2, [])


def test_watching_goes_on_where_no_request_may_wait(tmp_path, quick):
    project = make_project(tmp_path / "work")
    project.ok("run", "gated", "--run-id", "r1", "-q")

    def answers(one: Asked) -> Said:
        if "wait=" in one.path:
            assert "change=true" in one.path
            project.ok("runs", "cancel", "r1")
            return problem(503, detail="Too many wait.", after="2")
        return passed_on(real, one)

    with serving(project.root) as real, lying(answers) as (url, asked):
        done = call(tmp_path, url, "runs", "watch", "r1", "--follow")
    assert (done.exit_code, "cancelled" in done.stdout) == (1, True), done.output
    assert len([one for one in asked if "wait=" in one.path]) == 1


def test_a_zone_that_is_not_known_here_gives_the_times_of_this_machine(tmp_path, quick):
    page = {**RUNS, "timezone": "UTC+02:00", "since": "2026-01-01T12:00:00+00:00"}
    done, asked = listed(tmp_path, Said(200, json.dumps(page).encode()), "runs", "list", "--since", "today")
    assert (done.exit_code, done.stderr.startswith("Started from 202")) == (0, True), done.output
    assert "since=today" in asked[0].path, "the server reads it"


@pytest.mark.parametrize("verb", [("run", "plain"), ("runs", "cancel", "r1"), ("runs", "list")])
def test_an_empty_server_does_not_mean_this_machine(tmp_path, verb):
    project = make_project(tmp_path / "work")
    done = project.call(*verb, "--server", "", env=config_of(tmp_path))
    assert done.exit_code == 2
    assert "it is empty" in done.stderr
    assert not (project.root / "data").exists()

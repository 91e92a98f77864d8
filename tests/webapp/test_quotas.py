"""One person who takes all that they can get keeps nobody else from deciding."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from msgspec import structs

from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from neurocore.auth import Auth, LimitSettings
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.testing.contract import run
from tests.webapp.test_signin import PASSWORD, ROOT, Team, quick_hashes, team
from tests.webapp.test_unseen import bearer
from webapp.api import waiting

__all__ = ["quick_hashes", "team"]


@pytest.fixture
def small(team):
    """A site in which one person may hold two places and have three runs that wait to begin."""
    here = team.app.extensions["neurocore"]
    limits = LimitSettings(waits=2, starts=3)
    here.config = structs.replace(here.config, auth=structs.replace(here.config.auth, limits=limits))
    team.dispatcher.hold = True
    return team


def starter(team, name, *more):
    person = people.add_person(name, store=team.store, actor=ROOT, grants=[Grant(Role.OPERATOR)], password=PASSWORD)
    return bearer(team, person, ["start", "view", "replay", *more])


def start(team, headers, client=None):
    return (client or team.browser()).post("/api/v1/blueprints/payout/runs", json={}, headers=headers)


def test_who_has_started_much_waits_until_it_begins_and_others_do_not(small):
    ann, bob = starter(small, "ann"), starter(small, "bob")
    assert [start(small, ann).status_code for _ in range(5)] == [201] * 3 + [429] * 2
    refusal = start(small, ann)
    assert int(refusal.headers["Retry-After"]) > 0
    assert refusal.content_type == "application/problem+json"
    assert "auth.limits.starts" in refusal.json["detail"]
    assert start(small, bob).status_code == 201
    waiting_run = small.store.list_runs(limit=1000)[-1].run_id
    assert small.browser().post(f"/api/v1/runs/{waiting_run}/replay", json={}, headers=ann).status_code == 429
    small.dispatcher.hold = False
    small.dispatcher.submit(waiting_run)
    assert start(small, ann).status_code == 201, "one of them has begun"


def test_pages_tokens_and_replays_of_a_person_count_together(small):
    ann = starter(small, "ann")
    run_id = small.run()
    small.sign_in("ann")
    assert small.send("/blueprints/payout/runs").status_code == 303
    assert small.send(f"/runs/{run_id}/replay").status_code == 303
    assert start(small, ann).status_code == 201
    page = small.send("/blueprints/payout/runs")
    assert page.status_code == 429
    assert "Too much at once" in page.text
    assert int(page.headers["Retry-After"]) > 0
    assert small.send(f"/runs/{run_id}/replay").status_code == 429
    assert small.store.count_unbegun("ann") == 3


def test_a_request_that_made_its_run_is_answered_again_at_the_limit(small):
    headers = {**starter(small, "ann"), "Idempotency-Key": "k"}
    first = start(small, headers)
    for _ in range(4):
        start(small, {**headers, "Idempotency-Key": f"other {_}"})
    again = start(small, headers)
    assert (again.status_code, again.json["run_id"]) == (201, first.json["run_id"])
    refused = start(small, {**headers, "Idempotency-Key": "later"})
    assert refused.status_code == 429
    small.dispatcher.hold = False
    small.dispatcher.submit(first.json["run_id"])
    assert start(small, {**headers, "Idempotency-Key": "later"}).status_code == 201, "what is refused keeps no key"


def test_many_starts_at_once_pass_the_limit_no_more_than_one_after_the_other(small):
    ann = starter(small, "ann")
    with ThreadPoolExecutor(8) as pool:
        statuses = [one.status_code for one in pool.map(lambda _: start(small, ann), range(40))]
    assert statuses.count(201) == 3
    assert statuses.count(429) == 37


def test_who_waits_for_much_leaves_places_for_others(small):
    run_id = small.run()
    ann, bob = starter(small, "ann"), starter(small, "bob")
    small.dispatcher.hold = False

    def wait(headers, seconds=60):
        return small.browser().get(f"/api/v1/runs/{run_id}?wait={seconds}&until=completed", headers=headers)

    holders = small.app.extensions[waiting.HOLDERS]
    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(wait, ann) for _ in range(2)]
        while sum(holders._held.values()) < 2:
            pass
        refusal = wait(ann)
        assert (refusal.status_code, "auth.limits.waits" in refusal.json["detail"]) == (429, True)
        assert int(refusal.headers["Retry-After"]) > 0
        assert wait(bob, 0.01).status_code == 200
        small.sign_in("anna")
        small.decide(run_id, "approve")
        assert {one.result().json["status"] for one in waits} == {"completed"}
    assert not holders._held, "every place is given back"


def test_where_nobody_signs_in_nobody_is_counted(make_site):
    site = make_site()
    here = site.app.extensions["neurocore"]
    limits = structs.replace(here.config.auth, limits=LimitSettings(waits=1, starts=1))
    here.config = structs.replace(here.config, auth=limits)
    site.dispatcher.hold = True
    for _ in range(3):
        assert site.client.post("/api/v1/blueprints/payout/runs", json={"by": "ann"}).status_code == 201


def test_stores_count_what_somebody_started_and_nobody_drives_yet(tmp_path):
    for store in (SQLiteRunStore(tmp_path / "runs.db"), InMemoryRunStore()):
        store.save_run(run("going", started_by="ann"))
        for name, who in (("one", "ann"), ("two", "ann"), ("other", "bob")):
            store.create_run(run(name, started_by=who, owed="start"))
        assert [store.count_unbegun(who) for who in ("ann", "bob", "nobody")] == [2, 1, 0]
        store.claim("one", owner="me@here:1", expected_epoch=0)
        assert store.count_unbegun("ann") == 1
        store.close()


# -------------------------------------------------------------------- a server of its own


class Caller:
    """A connection of somebody to the server; `everybody` are all of them."""

    everybody: ClassVar[list[Caller]] = []

    def __init__(self, address, headers):
        self.wire = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        self.headers = headers
        self.everybody.append(self)

    def ask(self, method, path, body=None):
        """Send a request; `answer` reads what comes back."""
        more = {"Content-Type": "application/json"} if body is not None else {}
        self.wire.request(
            method, f"/api/v1{path}", None if body is None else json.dumps(body), {**self.headers, **more}
        )
        return self

    def answer(self):
        answer = self.wire.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.system
def test_a_flood_of_one_person_keeps_another_from_deciding_for_no_moment(tmp_path):
    team = Team(tmp_path)
    (team.root / "neurocore.yaml").write_text(
        "project: {name: tested}\nauth: {mode: local, limits: {waits: 3, starts: 20}}\nruntime: {max_workers: 3}\n"
    )
    ann, bob = starter(team, "ann"), bearer(team, people.find_person("anna", team.store), ["answer", "view"])
    run_id = team.run()
    digest = team.gate(run_id).digest
    process = subprocess.Popen(
        [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=team.root, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        while not address.startswith("http"):
            address = process.stdout.readline().strip()

        def flood(number):
            caller = Caller(address, ann)
            return [caller.ask("POST", "/blueprints/nap/runs", {}).answer()[0] for _ in range(150)]

        waits = [Caller(address, ann).ask("GET", f"/runs/{run_id}?wait=60&until=failed") for _ in range(12)]
        with ThreadPoolExecutor(4) as pool:
            floods = [pool.submit(flood, number) for number in range(4)]
            mine = Caller(address, bob).ask("GET", f"/runs/{run_id}?wait=60&until=completed")
            body = {"approved": True, "digest": digest}
            status, told = Caller(address, bob).ask("POST", f"/runs/{run_id}/decision", body).answer()
            assert (status, told["decision"]["effect"]) == (200, "took_effect")
            status, told = mine.answer()
            assert (status, told["status"]) == (200, "completed"), "and the run went on"
            statuses = [one for flood in floods for one in flood.result()]
        assert set(statuses) == {201, 429}
        assert 20 <= statuses.count(201) <= 20 + 2, "two are driven, and twenty wait to begin"
        process.send_signal(signal.SIGTERM)
        answers = [one.answer()[0] for one in waits]
        assert (answers.count(200), answers.count(429)) == (3, 9)
    finally:
        process.kill()
        process.communicate()
        team.store.close()
        while Caller.everybody:
            Caller.everybody.pop().wire.close()
    assert Auth().limits == LimitSettings(waits=4, starts=100)

"""Waiting for a run by one long request: answered when it is there, bounded in time and number."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from neurocore.access.actor import this_user
from neurocore.blueprint.load import load_blueprint
from neurocore.persistence.records import Owed
from neurocore.runtime.executor import create_run
from neurocore.runtime.start import NewRun
from webapp.api import waiting

API = "/api/v1"


@pytest.fixture
def serve(site):
    """A real server over the site's folder; call it with what its environment shall have."""
    (site.root / "neurocore.yaml").write_text("project: {name: tested}\n")
    started = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=site.root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "NO_COLOR": "1", **environment},
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Caller:
    """A connection of its own to the server."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    def ask(self, path):
        """Send the request; the answer is read by `answer`."""
        self.connection.request("GET", API + path)
        return self

    def tell(self, path, body, **headers):
        self.connection.request("POST", API + path, json.dumps(body), {"Content-Type": "application/json", **headers})
        return self

    def answer(self):
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers


@pytest.fixture
def call():
    """Make callers, and hang up at the end."""
    made = []

    def make(address):
        made.append(Caller(address))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()


def test_a_run_that_is_there_already_is_answered_at_once(site):
    run_id = site.run()
    for _ in range(waiting.MAX_WAITERS):
        site.app.extensions[waiting.PLACES].acquire()
    answer = site.client.get(f"{API}/runs/{run_id}?wait=60&until=suspended,completed,failed")
    assert answer.json["status"] == "suspended", "it takes no place, for it does not wait"


def test_the_answer_comes_when_the_run_is_there(site):
    run_id = site.run()
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(site.app.test_client().get, f"{API}/runs/{run_id}?wait=60&until=completed,failed")
        site.decide(run_id, "approve")
        assert waits.result(timeout=50).json["status"] == "completed"


def test_when_time_is_up_the_run_is_told_as_it_is(site):
    run_id = site.run()
    answer = site.client.get(f"{API}/runs/{run_id}?wait=0.05&until=completed")
    assert (answer.status_code, answer.json["status"]) == (200, "suspended")


def test_a_decided_run_that_has_not_gone_on_yet_is_on_its_way(site):
    run_id = site.run()
    site.dispatcher.hold = True
    site.decide(run_id, "approve")
    run = site.store.load_summary(run_id)
    assert run.owed == Owed.DECISION
    here = site.app.extensions["neurocore"]
    assert not waiting.reached(run, waiting.statuses(""), here), "its gate is decided: nobody is waited for"
    assert waiting.reached(run, waiting.statuses("running"), here)


def test_a_run_that_is_deleted_meanwhile_is_said_so(site):
    run_id = site.run(fail="read")
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(site.app.test_client().get, f"{API}/runs/{run_id}?wait=60&until=completed")
        site.post(f"/runs/{run_id}/deletion", {"by": "dora"})
        assert waits.result(timeout=50).status_code == 410


def test_who_finds_no_place_is_told_when_to_come_again(site):
    run_id = site.run()
    for _ in range(waiting.MAX_WAITERS):
        site.app.extensions[waiting.PLACES].acquire()
    answer = site.client.get(f"{API}/runs/{run_id}?wait=60&until=completed")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == str(waiting.RETRY_AFTER)
    assert answer.content_type == "application/problem+json"
    site.app.extensions[waiting.PLACES].release()
    assert site.client.get(f"{API}/runs/{run_id}?wait=0.05&until=completed").status_code == 200
    assert site.client.get(f"{API}/runs/{run_id}?wait=0.05&until=completed").status_code == 200, "a place is given back"


@pytest.mark.parametrize("query", ["wait=61", "wait=-1", "wait=soon", "wait=1&until=done", "wait=nan"])
def test_what_cannot_be_waited_for_is_refused(site, query):
    run_id = site.run()
    assert site.client.get(f"{API}/runs/{run_id}?{query}").status_code == 422


@pytest.mark.system
def test_a_full_house_of_waiters_leaves_the_server_free_and_is_answered_when_it_stops(site, serve, call):
    run_id = site.run()
    process, address = serve()
    path = f"/runs/{run_id}?wait=60&until=completed"
    waiters = {one.connection.sock: one for one in [call(address).ask(path) for _ in range(waiting.MAX_WAITERS + 1)]}
    (refused, *more), _, _ = select.select(list(waiters), [], [], 50)
    assert not more
    assert waiters.pop(refused).answer()[0] == 503, "one finds no place, so the others wait"
    assert call(address).ask("/runs").answer()[0] == 200
    process.send_signal(signal.SIGTERM)
    for waiter in waiters.values():
        status, run, _ = waiter.answer()
        assert (status, run["status"]) == (200, "suspended")
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 0, talk


@pytest.mark.system
def test_a_start_whose_server_was_killed_before_it_was_recorded_makes_one_run(site, serve, call):
    body, key = {"by": "ann", "data": {"batch": "Wages"}}, {"Idempotency-Key": "wages-of-march"}
    killed, address = serve(NEUROCORE_FAILPOINT="request.before_kept")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        call(address).tell("/blueprints/payout/runs", body, **key).answer()
    assert killed.wait(timeout=30) == -signal.SIGKILL
    _, address = serve()
    first = call(address).tell("/blueprints/payout/runs", body, **key).answer()
    again = call(address).tell("/blueprints/payout/runs", body, **key).answer()
    assert first[0] == again[0] == 201
    assert first[1] == again[1]
    (run,) = site.store.list_runs()
    assert run.run_id == first[1]["run_id"]
    status, found, _ = call(address).ask(f"/runs/{run.run_id}?wait=30&until=suspended").answer()
    assert (status, found["status"]) == (200, "suspended")


@pytest.mark.system
def test_a_script_decides_and_waits_for_the_end(site, serve, call):
    new = NewRun(blueprint=load_blueprint(site.root / "blueprints" / "payout.yaml"), actor=this_user(), run_id="r1")
    run = create_run(new, site.registry, site.config, run_store=site.store)
    _, address = serve()
    _, found, _ = call(address).ask(f"/runs/{run.run_id}?wait=30").answer()
    body = {"approved": True, "by": "bot", "digest": found["waits"][0]["digest"]}
    status, decided, _ = call(address).tell("/runs/r1/decision", body).answer()
    assert (status, decided["decision"]["effect"]) == (200, "took_effect")
    _, ended, headers = call(address).ask("/runs/r1?wait=30").answer()
    assert (ended["status"], ended["data"]["file"]) == ("completed", "out.xml")
    assert headers["ETag"]

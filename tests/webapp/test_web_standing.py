"""Runs that nobody here may drive: every page and the API say so, and nothing acts on them."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from neurocore.persistence import migrate
from tests.locks import nobody_can_look_at


def hidden(site):
    """A decided run of which nobody can tell whether its process lives, and the file that is in the way."""
    run_id = site.run()
    owner, file = nobody_can_look_at(site.store.owners)
    assert site.store.claim(run_id, owner=owner, expected_epoch=site.store.load_summary(run_id).epoch)
    return run_id, file


def test_that_nobody_can_tell_whether_a_process_lives_is_said_on_every_page(site):
    run_id, file = hidden(site)
    page = site.page(f"/runs/{run_id}")
    assert "cannot be told" in page
    assert file.name in page
    assert f"neurocore runs resume {run_id} --take-over" in page
    for address in ("/", "/runs", f"/runs/{run_id}"):
        assert "cannot tell" in site.page(address), address
    assert "neurocore_cannot_tell_runs 1.0" in site.page("/metrics")
    assert site.client.get(f"/api/v1/runs/{run_id}").json["state"] == "cannot_tell"


def test_a_run_is_not_resumed_from_the_web_while_nobody_can_tell_whether_its_process_lives(site):
    run_id, file = hidden(site)
    refused = site.post(f"/runs/{run_id}/resumption", {"by": "ann"})
    assert refused.status_code == 409
    assert "cannot be told" in refused.text
    refused = site.client.post(f"/api/v1/runs/{run_id}/resumption", json={"by": "ann"})
    assert refused.status_code == 409
    assert "--take-over" in refused.json["detail"]
    answered = site.decide(run_id, "approve")
    assert answered.status_code == 303
    assert site.gate(run_id).status == "decided", "an answer is recorded, and the run goes on when that can be told"
    assert site.store.load_summary(run_id).status == "running"
    assert "left alone" in site.page(f"/runs/{run_id}")
    file.unlink()
    site.dispatcher.submit(run_id)
    assert site.store.load_summary(run_id).status == "completed"


def test_a_dashboard_under_a_newer_schema_decides_starts_and_shows_nothing(site):
    run_id = site.run()
    digest = site.gate(run_id).digest
    token = site.token()
    with contextlib.closing(sqlite3.connect(site.store.path)) as newer:
        newer.execute(f"PRAGMA user_version = {migrate.VERSION + 1}")
        before = list(newer.iterdump())
        answers = [
            site.client.post(f"/api/v1/runs/{run_id}/decision", json={"approved": True, "by": "ann", "digest": digest}),
            site.client.post("/api/v1/blueprints/payout/runs", json={"by": "ann", "data": {}}),
            site.client.post(f"/runs/{run_id}/cancellation", data={"csrf_token": token, "by": "ann"}),
        ]
        until = time.monotonic() + 10
        while site.client.get("/runs").status_code == 200 and time.monotonic() < until:
            pass
        answers += [site.client.get(address) for address in ("/runs", f"/api/v1/runs/{run_id}", "/healthz")]
        for answer in answers:
            assert answer.status_code == 503
            assert "install that version" in answer.text
        assert list(newer.iterdump()) == before

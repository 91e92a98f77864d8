"""Runs that nobody here may drive: every page and the API say so, and nothing acts on them."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time

import pytest
from msgspec import structs

from neurocore.persistence import schema
from neurocore.runtime.executor import adopt_runs
from tests.locks import nobody_can_look_at

from .conftest import PARTIAL, refresh_of


def hidden(site):
    """A decided run of which nobody can tell whether its process lives, and the file that is in the way."""
    run_id = site.run()
    owner, file = nobody_can_look_at(site.store.owners)
    assert site.store.claim(run_id, owner=owner, expected_epoch=site.store.load_summary(run_id).epoch)
    return run_id, file


def test_that_nobody_can_tell_whether_a_process_lives_is_said_on_every_page(site):
    run_id, file = hidden(site)
    page = site.page(f"/runs/{run_id}")
    assert "NeuroCore cannot tell" in page
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
    assert "cannot tell" in refused.text
    refused = site.client.post(f"/api/v1/runs/{run_id}/resumption", json={"by": "ann"})
    assert refused.status_code == 409
    assert "--take-over" in refused.json["detail"]
    answered = site.decide(run_id, "approve")
    assert answered.status_code == 303
    assert site.gate(run_id).status == "decided", "an answer is recorded, and the run goes on when that can be told"
    assert site.store.load_summary(run_id).status == "running"
    assert "leaves the run alone" in site.page(f"/runs/{run_id}")
    file.unlink()
    site.dispatcher.submit(run_id)
    assert site.store.load_summary(run_id).status == "completed"


def test_a_dashboard_under_a_newer_schema_decides_starts_and_shows_nothing(site):
    run_id = site.run()
    digest = site.gate(run_id).digest
    token = site.token()
    with contextlib.closing(sqlite3.connect(site.store.path)) as newer:
        newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
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


@pytest.fixture
def still(site):
    """A run at its gate and one that failed, which came with a copy of a history."""
    runs = [site.run(), site.run(fail="read")]
    for run_id in runs:
        run = site.store.load_run(run_id)
        site.store.save_run(structs.replace(run, held="this is a copy of a history (backup of 2026-11-28)"))
    return runs


def test_a_run_that_stands_still_says_so_on_every_page_and_offers_no_decision(site, still):
    waits, failed = still
    for run_id in (waits, failed):
        page = site.page(f"/runs/{run_id}")
        assert '<use href="#i-held"/></svg>held</span>' in page
        assert "This run is held:</b> this is a copy of a history (backup of 2026-11-28)." in page
        assert f"neurocore db adopt {run_id}" in page
        assert "/decision" not in page
        assert re.search(r"Re(sume|try) is not possible: it is held: this is a copy of a history", page)
    assert "Cancel is not possible: it is held" in site.page(f"/runs/{waits}")
    for address in ("/runs", "/"):
        assert ">held</span>" in site.page(address)
    assert waits not in site.page("/approvals")
    assert 'class="badge"' not in site.page("/approvals")
    assert site.client.get("/api/v1/approvals").json["open"] == 0
    metrics = site.page("/metrics")
    assert "neurocore_held_runs 2.0" in metrics
    assert "neurocore_open_gates 0.0" in metrics
    document = site.client.get(f"/api/v1/runs/{waits}?wait=5").json
    assert (document["state"], document["waits"]) == ("held", [])
    assert document["held"] == "this is a copy of a history (backup of 2026-11-28)"


def test_nothing_on_the_web_acts_on_a_run_that_stands_still_but_a_replay(site, still):
    waits, failed = still
    gate = site.gate(waits)
    before = [site.store.load_run(run_id) for run_id in still]
    answers = [
        site.decide(waits, "approve"),
        site.post(f"/runs/{waits}/cancellation", {"by": "ann"}),
        site.post(f"/runs/{failed}/resumption", {"by": "ann"}),
        site.client.post(f"/api/v1/runs/{waits}/decision", json={"approved": True, "by": "ann", "digest": gate.digest}),
        site.client.post(f"/api/v1/runs/{waits}/cancellation", json={"by": "ann"}),
        site.client.post(f"/api/v1/runs/{failed}/resumption", json={"by": "ann"}),
    ]
    for answer in answers:
        assert answer.status_code == 409
        assert "is held" in answer.text
    assert [site.store.load_run(run_id) for run_id in still] == before
    assert site.client.post(f"/api/v1/runs/{waits}/replay", json={"by": "ann"}).status_code == 201


def test_a_page_goes_on_when_somebody_has_adopted_its_run(site, still):
    waits, _ = still
    address = refresh_of(site.page(f"/runs/{waits}"))
    assert site.client.get(address, headers=PARTIAL).status_code == 204
    adopt_runs([waits], run_store=site.store, by="ann")
    fresh = site.client.get(address, headers=PARTIAL)
    assert fresh.status_code == 200
    page = site.page(f"/runs/{waits}")
    assert "This run is held" not in page
    assert f"/runs/{waits}/decision" in page
    assert "adopted by" in page
    assert site.decide(waits, "approve").status_code == 303


def test_a_page_made_in_the_moment_in_which_a_drive_ends_shows_the_end_at_its_next_refresh(site, monkeypatch):
    run_id = site.run()
    site.decide(run_id, "reject", note="no")
    assert site.store.load_summary(run_id).status == "failed"
    told = iter(["running", "running"])  # the record has ended; the thread that wrote it has one more line to go
    monkeypatch.setattr(site.dispatcher, "state", lambda _: next(told, None))
    page = site.page(f"/runs/{run_id}")
    assert "continues" in re.search(r'<section id="status".*?</h1>(.*?)</div>', page, re.DOTALL).group(1)
    refreshed = site.client.get(refresh_of(page), headers=PARTIAL)
    assert refreshed.status_code == 200, "the page asks for what it shows, not for what came after"
    assert "rejected" in refreshed.text

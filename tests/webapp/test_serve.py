"""`neurocore serve` as a real process: it says where it is, sweeps, and stops cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from neurocore.access.actor import this_user
from neurocore.blueprint.load import load_blueprint
from neurocore.drivers.sweep import liveness
from neurocore.persistence.records import RunStatus
from neurocore.runtime.executor import create_run
from neurocore.runtime.start import NewRun


@pytest.fixture
def serve(site):
    """Start it in the project's folder; returns the process and its address."""
    (site.root / "neurocore.yaml").write_text("project: {name: tested}\n")
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "neurocore", "serve", "--port", "0", *arguments],
            cwd=site.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(address, **headers):
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
        return answer.status, answer.read().decode(), dict(answer.headers)


def test_it_says_where_it_is_and_what_waits_and_stops_on_sigterm(site, serve):
    run_id = site.run(batch="Wages")
    process, address = serve()
    status, body, headers = get(f"{address}healthz")
    assert status == 200
    assert json.loads(body)["status"] == "ok"
    assert "Server" not in headers
    assert "Wages" in get(f"{address}runs")[1]
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 0, talk
    assert "1 gate waits for a decision" in talk
    assert f"runs/{run_id}" in talk


@pytest.mark.usefixtures("no_hard_links")
def test_it_starts_where_hard_links_are_refused(site, serve):
    process, address = serve()
    assert address, process.stderr.read()
    assert get(f"{address}healthz")[0] == 200


def test_it_takes_up_what_was_decided_and_never_resumed(site, serve):
    run_id = site.run()
    site.dispatcher.hold = True
    site.decide(run_id, "approve")
    assert site.store.load_summary(run_id).owed
    _, address = serve()
    while 'neurocore_runs{status="completed"} 1.0' not in get(f"{address}metrics")[1]:
        pass  # bounded by the test's time limit
    assert site.store.load_summary(run_id).status is RunStatus.COMPLETED


def test_without_dispatch_it_only_shows_and_records(site, serve):
    run_id = site.run()
    site.dispatcher.hold = True
    site.decide(run_id, "approve")
    _, address = serve("--no-dispatch")
    for _ in range(20):
        get(f"{address}healthz")
    assert "Recorded; the run is pending." in get(f"{address}runs/{run_id}")[1]
    assert site.store.load_summary(run_id).owed


def test_a_note_writes_no_line_of_its_own_into_the_log_and_steers_no_terminal(site, serve):
    (site.root / "neurocore.yaml").write_text('project: {name: "evil\\e[2J\\nforged"}\n')
    runs = [site.run(batch="Wages\x1b[2J\u2028forged") for _ in range(2)]
    process, address = serve()
    for run_id in runs:
        body = {"approved": False, "by": "ann", "digest": site.gate(run_id).digest}
        body["note"] = "no\n2026-01-01 00:00:00,000 INFO    root: forged\x1b[2J\x9b31m\u2028\u202e"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{address}api/v1/runs/{run_id}/decision", json.dumps(body).encode(), headers, method="POST"
        )
        urllib.request.urlopen(request, timeout=20).close()
        while site.store.load_summary(run_id).status is not RunStatus.FAILED:
            pass  # bounded by the test's time limit
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=30)
    assert talk.count(r"root: forged\x1b[2J\x9b31m\u2028\u202e") >= 2, "it is logged"
    assert not [one for one in talk.split("\n") if one.startswith(("forged", "2026-01-01"))], talk
    assert not {"\x1b", "\x9b", "\u2028", "\u202e"} & set(talk), talk


def test_a_port_that_is_taken_is_said_in_one_sentence(serve):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        process, _ = serve("--port", str(held.getsockname()[1]))
        _, talk = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "cannot listen on" in talk
    assert "Traceback" not in talk


def test_listening_beyond_this_machine_is_refused(serve):
    process, _ = serve("--host", "0.0.0.0")
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "--insecure-open" in talk


def test_a_step_that_does_not_end_in_time_does_not_hold_the_server_and_its_run_is_found_again(site, serve):
    new = NewRun(blueprint=load_blueprint(site.root / "blueprints" / "nap.yaml"), actor=this_user(), run_id="nap1")
    run = create_run(new, site.registry, site.config, run_store=site.store)
    process, _ = serve("--grace", "0.1")
    while not site.store.load_summary(run.run_id).current_nodes:
        pass  # bounded by the test's time limit
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the next sweep continues their runs" in talk
    assert liveness(site.store.load_summary(run.run_id), site.config, site.store) == "owed", (
        "a stop by SIGTERM is no death"
    )


def test_the_log_says_once_that_skills_changed_on_disk(site, serve):
    process, address = serve("--no-dispatch")
    (site.root / "skills" / "words.py").write_text("# other code")
    said = []
    while not said or "skills/words.py (changed)" not in said[-1]:
        said.append(process.stderr.readline())
        assert said[-1], said
    assert "WARNING neurocore.skills.ondisk: Skills changed on disk since this server started; restart it" in said[-1]
    assert json.loads(get(f"{address}healthz")[1])["warnings"]
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=30)
    assert "changed on disk" not in rest

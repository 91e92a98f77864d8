"""Processes killed at every named place lose nothing and repeat nothing that was done (promises 1 to 3, 5)."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from neurocore.persistence import StepStatus
from neurocore.runtime.executor import decide_gate
from tests.system.conftest import Site

STEP = ("step.before_run", "step.after_run", "step.before_commit", "step.after_commit")
PLACES = [f"{name}@{n}" for name in STEP for n in (1, 2, 3)]
PLACES += ["run.before_create", "run.after_create", "end.after_commit"]


def finish(site: Site, run_id: str) -> None:
    """Sweep and decide until the run has ended."""
    for _ in range(8):
        run = site.store.load_summary(run_id)
        if run is None:
            site.work("run", run_id, "gated")
        elif run.status.ended:
            return
        elif run.status == "suspended" and run.owed is None:
            decide_gate(run_id, approved=True, by="ann", run_store=site.store)
        else:
            site.work("sweep")
    raise AssertionError(f"the run did not end: {site.run(run_id).status}")


@pytest.mark.system
@pytest.mark.parametrize("place", PLACES)
def test_a_run_killed_anywhere_goes_on_and_ends_as_if_nothing_had_happened(site: Site, place: str) -> None:
    site.work("run", "r", "gated", failpoint=place)
    done = completed(site)
    before = site.effects()
    finish(site, "r")
    run = site.run("r")
    assert run.status == "completed"
    assert run.final_context is not None
    assert run.final_context["data"]["n"] == 4
    assert run.completed_nodes == ["a", "b", "ok", "c", "d"]
    for node in ("a", "b", "c", "d"):
        assert site.effects()[node] >= 1
        if node in done:
            assert site.effects()[node] == before[node], f"{node} was recorded as completed and ran again"
    keys = set((site.root / "effects.txt").read_text().splitlines())
    assert len(keys) == 4, "a step that ran again had another idempotency key"


def completed(site: Site) -> set[str]:
    """Nodes recorded as completed."""
    return {step.node_id for step in site.store.load_steps("r") if step.status is StepStatus.COMPLETED}


@pytest.mark.system
@pytest.mark.parametrize("place", ["claim.after", "step.before_commit", "step.after_commit"])
def test_a_decided_run_whose_resume_is_killed_is_still_driven_on(site: Site, place: str) -> None:
    site.work("run", "r", "gated")
    decide_gate("r", approved=True, by="ann", run_store=site.store)
    assert site.work("sweep", failpoint=place) is None
    finish(site, "r")
    assert site.run("r").status == "completed"
    assert len(site.store.load_gates("r")[0].answers) == 1


@pytest.mark.system
def test_an_answer_whose_process_dies_right_after_is_found_by_the_sweep(site: Site) -> None:
    site.work("run", "r", "gated")
    (site.root / "go").touch()
    assert site.work("decide", "r", "ann", "yes", failpoint="answer.before_commit") is None
    assert site.store.load_gates("r")[0].status == "open"
    assert site.work("decide", "r", "ann", "yes", failpoint="answer.after_commit") is None
    assert site.run("r").owed == "decision"
    answer = site.work("sweep")
    assert answer is not None
    assert answer["owed"] == ["r"]
    assert site.run("r").status == "completed"


@pytest.mark.system
def test_three_deaths_in_one_visit_fail_the_run(site: Site) -> None:
    assert site.work("run", "r", "1", "dies") is None
    assert site.work("sweep") is None
    assert site.work("sweep") is None
    site.work("sweep")
    run = site.run("r")
    assert run.failure is not None
    assert (run.status, run.failure.kind) == ("failed", "lost")
    assert "died 3 times at s0" in run.failure.message


@pytest.mark.system
def test_a_lost_run_may_be_failed_instead(site: Site) -> None:
    (site.root / "neurocore.yaml").write_text("runtime: {on_lost: fail}\n")
    assert site.work("run", "r", "1", "dies") is None
    answer = site.work("sweep")
    assert answer is not None
    assert answer["failed"] == ["r"]
    assert site.run("r").status == "failed"


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_two_hundred_runs_of_thirty_steps_killed_at_random(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(200):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "neurocore.yaml").write_text("project: {name: site}\n")
        site = Site(root)
        name = chance.choice(["step.before_run", "step.after_run", "step.before_commit", "step.after_commit"])
        site.work("run", "r", "30", failpoint=f"{name}@{chance.randint(1, 29)}")
        while not site.run("r").status.ended:
            site.work("sweep", failpoint=f"{name}@{chance.randint(1, 40)}")
        run = site.run("r")
        assert run.final_context is not None
        assert run.final_context["data"]["n"] == 30
        extra = site.effects() - Counter({f"s{i}": 1 for i in range(30)})
        assert all(count <= 2 for count in extra.values())
        site.store.close()

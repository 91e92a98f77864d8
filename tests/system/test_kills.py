"""Processes killed at every named place lose nothing and repeat nothing that was done (promises 1 to 3, 5)."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import pytest

from neurocore.persistence import RunStatus, StepStatus
from neurocore.persistence.admin import check
from neurocore.runtime.executor import decide_gate
from tests.system.conftest import Site
from tests.waiting import until

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
    assert site.work("decide", "r", "ann", "yes", failpoint="answer.before_commit") is None
    assert site.store.load_gates("r")[0].status == "open"
    assert site.work("decide", "r", "ann", "yes", failpoint="answer.after_commit") is None
    assert site.run("r").owed == "decision"
    answer = site.work("sweep")
    assert answer is not None
    assert answer["owed"] == ["r"]
    assert site.run("r").status == "completed"


@pytest.mark.system
@pytest.mark.parametrize("place", [f"together.{name}_commit@{n}" for name in ("before", "after") for n in (1, 3)])
def test_starts_that_share_a_commit_are_there_whole_when_their_process_is_killed(site: Site, place: str) -> None:
    assert site.work("starts", "40", failpoint=place) is None
    returned = set((site.root / "started.txt").read_text().split())
    there = {run.run_id for run in site.store.list_runs(limit=100)}
    assert returned <= there
    assert bool(there) is (place != "together.before_commit@1")
    for run_id in there:
        run = site.run(run_id)
        assert (run.tags, [event.kind for event in run.events], run.owed) == (["seen"], ["started"], "start")
    assert site.store.blueprint_counts() == ({"gated": len(there)} if there else {})
    assert check(site.store).problems == []
    answer = site.work("sweep")
    assert answer is not None
    assert set(answer["owed"]) == there


RETRIED = """
from neurocore import FlowContext, Skill, SkillMeta

class F(Skill):
    skill_meta = SkillMeta(name="f")
    def process(self, context: FlowContext) -> FlowContext:
        with open(self.project_root / "tries.txt", "a") as file:
            file.write(f"{context.attempt}\\n")
        raise TimeoutError("the bank does not answer")
"""


@pytest.mark.system
def test_killed_in_the_pause_between_two_tries_a_step_gets_no_more_of_them(site):
    for name, text in {
        "skills/f.py": RETRIED,
        "blueprints/r.yaml": "name: r\ncomponents: [{name: a, type: f}]\n"
        "flow: {steps: [{component: a, retry: {max: 1, delay: 3}}]}\n",
    }.items():
        (site.root / name).parent.mkdir(exist_ok=True)
        (site.root / name).write_text(text)
    command = [sys.executable, "-m", "neurocore"]
    process = subprocess.Popen([*command, "run", "r", "-q", "--run-id", "z"], cwd=site.root)

    def pauses(epoch: int) -> bool:
        return any(run.epoch == epoch and not run.working_nodes and run.current_nodes for run in site.store.list_runs())

    for epoch in (1, 2):
        until(partial(pauses, epoch))
        process.kill()
        process.wait()
        process = subprocess.Popen([*command, "runs", "sweep", "-q"], cwd=site.root)
    process.wait(timeout=60)
    assert (site.root / "tries.txt").read_text().split() == ["1", "2"]
    run = site.run("z")
    assert (run.status, run.deaths) == (RunStatus.FAILED, 0)


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


def mangled(site: Site, *, seed: int, count: int, durability: str) -> None:
    """Kill so many runs of 30 steps, go on with them, and see that nothing was lost and nothing done twice."""
    (site.root / "neurocore.yaml").write_text(f"persistence: {{durability: {durability}}}\n")
    process = site.start("mangle", str(seed), str(count), "30")
    said, complaint = process.communicate(timeout=3000)
    assert process.returncode == 0, complaint
    told = json.loads(said.splitlines()[-1])
    assert told["problems"] == []
    assert told["deaths"] >= count // 2, "hardly anything was killed"
    assert told["effects"] == count * 30
    assert site.store.status_counts() == {"completed": count}
    assert check(site.store).problems == []


@pytest.mark.system
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_runs_of_thirty_steps_killed_at_any_moment_and_place_come_to_the_same_end(site: Site, durability: str) -> None:
    mangled(site, seed=7, count=12, durability=durability)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_runs_of_thirty_steps_killed_at_random(site: Site, seed: int) -> None:
    mangled(site, seed=seed, count=50, durability="full" if seed % 2 else "normal")

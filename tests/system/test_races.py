"""Many processes at once: one decision, one driver, no lost row (promises 3 and 4)."""

from __future__ import annotations

import pytest

from tests.system.conftest import Site

PEOPLE = 16


@pytest.mark.system
def test_many_processes_decide_one_gate_and_one_answer_takes_effect(site: Site) -> None:
    site.work("run", "r", "gated")
    processes = [
        site.start("decide", "r", f"p{i}", "yes" if i % 2 else "no") for i in range(PEOPLE)
    ]  # fmt: skip
    while len(list(site.root.glob("ready-*"))) < PEOPLE:
        assert all(process.poll() is None for process in processes), "a worker ended before it was told to go"
    (site.root / "go").touch()
    answers = [site.ended(process) for process in processes]
    took = [one for one in answers if one is not None and one.get("effect") == "took_effect"]
    refused = [one for one in answers if one is not None and one.get("error") == "AlreadyDecided"]
    assert (len(took), len(refused)) == (1, PEOPLE - 1), answers
    (gate,) = site.store.load_gates("r")
    (answer,) = gate.answers
    assert all(f"by {answer.by} at" in one["message"] for one in refused)
    site.work("sweep")
    assert site.effects()["c"] == (1 if answer.approved else 0)


@pytest.mark.system
def test_two_processes_resume_one_run_and_one_is_told_who_drives(site: Site) -> None:
    assert site.work("run", "r", "40", failpoint="step.after_run@2") is None
    processes = [site.start("resume", "r") for _ in range(4)]
    answers = [site.ended(process) for process in processes]
    drove = [one for one in answers if one is not None and one.get("status") == "completed"]
    others = [one for one in answers if one is not None and one.get("error") in ("RunBusyError", "NotResumable")]
    assert len(drove) == 1, answers
    assert len(others) == 3, answers
    assert all(count == 1 for node, count in site.effects().items() if node != "s1")


@pytest.mark.system
def test_processes_that_write_into_one_database_lose_no_row(site: Site) -> None:
    processes = [site.start("many", "50") for _ in range(4)]
    assert [site.ended(process) for process in processes] == [{}] * 4
    assert site.store.status_counts() == {"completed": 200}
    assert sum(site.effects().values()) == 400

"""Many processes at once: one decision, one driver, no lost row (promises 3 and 4)."""

from __future__ import annotations

import pytest

from neurocore.persistence.admin import check
from tests.system.conftest import Site

PEOPLE = 50


@pytest.mark.system
def test_many_processes_decide_one_gate_and_one_answer_takes_effect(site: Site) -> None:
    site.work("run", "r", "gated")
    told = site.work("crowd", "r", str(PEOPLE))
    assert told is not None
    assert told["statuses"] == [0] * PEOPLE
    said = told["said"]
    (gate,) = site.store.load_gates("r")
    (answer,) = gate.answers
    word = "yes" if answer.approved else "no"
    (took,) = [one for one in said if one.get("effect") == "took_effect"]
    assert (took["by"], took["answer"]) == (answer.by, word)
    repeated = [one for one in said if one.get("effect") == "repeated"]
    assert all((one["by"], one["answer"]) == (answer.by, word) for one in repeated), "it was not the same answer"
    refused = [one for one in said if one.get("error") == "AlreadyDecided"]
    assert len(refused) + len(repeated) == PEOPLE - 1, said
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


def crowded(site: Site, *, processes: int, runs: int) -> None:
    """So many processes drive so many runs each, into one database."""
    started = [site.start("many", str(runs)) for _ in range(processes)]
    assert [site.ended(process, patience=3000) for process in started] == [{}] * processes
    assert site.store.status_counts() == {"completed": processes * runs}
    assert sum(site.effects().values()) == processes * runs * 2
    assert check(site.store).problems == []


@pytest.mark.system
def test_processes_that_write_into_one_database_lose_no_row(site: Site) -> None:
    crowded(site, processes=8, runs=25)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_eight_processes_of_five_hundred_runs_each_lose_no_row(site: Site) -> None:
    crowded(site, processes=8, runs=500)

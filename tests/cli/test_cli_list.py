"""`runs list`: filters and pages."""

from __future__ import annotations

import pytest


@pytest.fixture
def history(project):
    """Four runs: two wait, one is completed, one failed."""
    for run_id, blueprint, args, code in (
        ("w-1", "gated", ("--data", "batch=may", "--tag", "monthly", "--by", "ada"), 0),
        ("w-2", "gated", ("--data", "batch=june", "--by", "bob"), 0),
        ("done", "plain", ("--by", "ada"), 0),
        ("failed", "plain", ("--data", "mode=fail"), 1),
    ):
        project.ok("run", blueprint, "--run-id", run_id, *args, code=code)
    return project


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ((), ["failed", "done", "w-2", "w-1"]),
        (("--status", "suspended"), ["w-2", "w-1"]),
        (("-s", "failed,completed"), ["failed", "done"]),
        (("--status", "failed", "--status", "completed"), ["failed", "done"]),
        (("--blueprint", "plain"), ["failed", "done"]),
        (("--blueprint", "plain", "--status", "failed"), ["failed"]),
        (("--limit", "2"), ["failed", "done"]),
        (("--waiting",), ["w-2", "w-1"]),
        (("--tag", "monthly"), ["w-1"]),
        (("--by", "ada"), ["done", "w-1"]),
        (("--search", "payments of j"), ["w-2"]),
        (("--search", "w-"), ["w-2", "w-1"]),
        (("--since", "1h"), ["failed", "done", "w-2", "w-1"]),
        (("--until", "1h"), []),
        (("--since", "2001-01-01", "--until", "2001-02-01T12:00"), []),
        (("--since", "today"), ["failed", "done", "w-2", "w-1"]),
    ],
)
def test_filters(history, args, ids):
    document = history.json("runs", "list", *args)

    assert [run["run_id"] for run in document["runs"]] == ids


def test_pages_lead_through_the_whole_history(history):
    seen, cursor = [], None
    for _ in range(5):
        page = history.json("runs", "list", "--limit", "1", *(("--before", cursor) if cursor else ()))
        seen += [run["run_id"] for run in page["runs"]]
        cursor = page["older"]
        if cursor is None:
            break

    assert seen == ["failed", "done", "w-2", "w-1"]


def test_the_table_names_status_title_and_progress(history):
    head, *rows = history.ok("runs", "list").splitlines()

    assert head.split() == ["RUN", "STATUS", "BLUEPRINT", "ABOUT", "STARTED", "WORKED", "STEPS", "BY"]
    assert len(rows) == 4
    assert rows[-1].startswith("w-1     suspended  gated      Payments of may")


def test_the_table_fits_80_columns_whatever_runs_are_called(project):
    project.ok("run", "gated", "--run-id", "payments-of-the-month-" + "0" * 42, "--data", "batch=" + "x" * 100)

    told = project.ok("runs", "list")

    assert [one for one in told.splitlines() if len(one) > 80] == []
    assert "payments-of-the" in told


def test_an_empty_list_is_empty_on_stdout_and_says_why_on_stderr(project):
    nothing = project.call("runs", "list")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "neurocore run" in nothing.stderr

    project.run("plain")
    filtered = project.call("runs", "list", "--status", "failed")
    assert filtered.stdout == ""
    assert filtered.stderr == "No run matches.\n"


def test_an_id_of_ours_is_shortened_and_the_short_form_finds_it(project):
    run_id = project.run("plain")

    shown = project.ok("runs", "list").splitlines()[1].split()[0]

    assert shown == run_id[:8]
    assert project.json("runs", "inspect", shown)["run"]["run_id"] == run_id


@pytest.mark.parametrize("more", [(), ("--json",), ("--tag", "a"), ("--search", "a"), ("--status", "failed,completed")])
def test_a_cursor_that_is_none_is_refused_in_one_sentence(history, more):
    result = history.call("runs", "list", "--before", "'; drop table runs", *more)

    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr == (
        'Error: before takes a cursor that another page of this list returned, not "\'; drop table runs".\n'
    )

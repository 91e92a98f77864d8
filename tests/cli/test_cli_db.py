"""`neurocore db`: check, measure, copy, prune and move the history."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest

from .conftest import Project


@pytest.fixture
def history(project):
    """A completed run, a failed one, one that waits, and one that was rejected."""
    project.ok("run", "plain", "--run-id", "done")
    project.ok("run", "plain", "--run-id", "failed", "--data", "mode=fail", code=1)
    project.ok("run", "gated", "--run-id", "waiting")
    project.ok("run", "gated", "--run-id", "rejected")
    project.ok("runs", "approve", "rejected", "--reject", "--note", "no", "--by", "ada")
    return project


def database(project):
    return sqlite3.connect(project.root / "data" / "runs.db", isolation_level=None)


def ids(project):
    return {run["run_id"] for run in project.json("runs", "list")["runs"]}


def test_a_sound_history_is_said_to_be_sound(history):
    assert history.json("db", "check") == {
        "ok": True, "store": history.json("db", "check")["store"], "problems": [], "mended": [],
    }  # fmt: skip
    assert "runs.db" in history.json("db", "check")["store"]
    assert history.ok("db", "check") == "No problems found.\n"


def test_an_answer_that_was_changed_afterwards_is_found_and_ends_1(history):
    connection = database(history)
    connection.execute("UPDATE answers SET by = 'eve'")
    connection.close()

    document = history.json("db", "check", code=1)

    assert "eve" in document["problems"][0]
    assert "rejected" in document["problems"][0]


@pytest.mark.parametrize("option", ["--repair", "--mend"])
def test_counts_that_are_wrong_are_rebuilt_by_repair_and_by_its_former_name(history, option):
    connection = database(history)
    connection.execute("UPDATE counts SET n = n + 7")
    connection.close()
    assert "--repair rebuilds them" in history.ok("db", "check", code=1)
    assert "Repaired: The counts" in history.ok("db", "check", option)
    assert history.json("db", "check")["ok"]
    shown = history.ok("db", "check", "--help")
    assert "--repair" in shown
    assert "--mend" not in shown


def test_stats_say_how_large_it_is(history):
    document = history.json("db", "stats")
    told = history.ok("db", "stats")

    assert document["runs"] == 4
    assert document["by_status"] == {"completed": 1, "failed": 2, "suspended": 1}
    assert document["by_blueprint"] == {"plain": 2, "gated": 2}
    assert document["open_gates"] == 1
    assert document["bytes"] > 0
    assert "1 completed" in told
    assert "1 open gate" in told


def test_stats_of_many_blueprints_fit_80_columns_and_say_how_many_are_left_out(project):
    plain = (project.root / "blueprints" / "plain.yaml").read_text()
    names = [f"monthly-report-{number}" for number in range(12)]
    for name in names:
        (project.root / "blueprints" / f"{name}.yaml").write_text(plain.replace("name: plain", f"name: {name}", 1))
        project.ok("run", name)

    told = project.ok("db", "stats")

    assert [one for one in told.splitlines() if len(one) > 80] == []
    assert sum(name in told.replace(",", " ").split() for name in names) == 10
    assert "and 2 more" in " ".join(told.split())


def test_a_backup_is_a_history_of_its_own_and_overwrites_nothing(history, tmp_path):
    copy = tmp_path / "copy" / "data"
    copy.mkdir(parents=True)

    history.ok("db", "backup", str(copy / "runs.db"))

    assert ids(Project(copy.parent)) == ids(history)
    refused = history.call("db", "backup", str(copy / "runs.db"))
    assert refused.exit_code == 2
    assert "exists" in refused.stderr


def test_prune_deletes_ended_runs_only_and_says_so_first(history):
    would = history.json("db", "prune", "--keep", "0s", "--dry-run")
    assert (would["runs"], would["dry_run"]) == (3, True)
    assert len(ids(history)) == 4

    assert "Deleted 3 ended runs" in history.ok("db", "prune", "--keep", "0s", "--by", "ada")

    assert ids(history) == {"waiting"}
    gone = history.call("runs", "inspect", "done")
    assert gone.exit_code == 3
    assert "deleted by ada" in gone.stderr
    assert history.json("db", "check")["ok"] is True


def test_prune_keeps_the_newest_and_the_young(history):
    assert history.json("db", "prune", "--keep-last", "3", "--dry-run")["runs"] == 1
    assert history.json("db", "prune", "--keep", "1h", "--dry-run")["runs"] == 0
    assert history.json("db", "prune", "--keep", "0s", "--keep-last", "4", "--dry-run")["runs"] == 0


@pytest.mark.parametrize(
    "args", [(), ("--keep", "soon"), ("--keep", "-1d"), ("--keep-last", "-1"), ("--keep", "999999999w")]
)
def test_prune_without_a_bound_deletes_nothing(history, args):
    assert history.call("db", "prune", *args).exit_code == 2
    assert len(ids(history)) == 4


def test_an_export_comes_back_exactly(history, tmp_path):
    history.ok("db", "export", "all.jsonl")
    other = Project(tmp_path / "other")
    other.root.mkdir()

    brought = other.json("db", "import", str(history.root / "all.jsonl"))
    again = other.json("db", "import", str(history.root / "all.jsonl"))

    assert (brought["runs"], brought["skipped"]) == (4, 0)
    assert (again["runs"], again["skipped"]) == (0, 4)
    for run_id in ids(history):
        ours, theirs = (one.json("runs", "inspect", run_id) for one in (history, other))
        assert ours["steps"] == theirs["steps"]
        assert [gate["answers"] for gate in ours["gates"]] == [gate["answers"] for gate in theirs["gates"]]
        assert ours["run"]["context"] == theirs["run"]["context"]
    assert other.json("db", "check")["ok"] is True


def test_an_export_goes_to_stdout_and_an_import_comes_from_stdin(history, tmp_path):
    lines = history.ok("db", "export")
    other = Project(tmp_path / "other")
    other.root.mkdir()

    assert all(isinstance(json.loads(one), dict) for one in lines.splitlines())
    assert other.call("db", "import", "-", input=lines).exit_code == 0
    assert ids(other) == ids(history)


def test_an_export_overwrites_nothing_and_a_broken_import_brings_nothing_in(history, tmp_path):
    (history.root / "all.jsonl").write_text("mine")
    assert history.call("db", "export", "all.jsonl").exit_code == 2
    assert (history.root / "all.jsonl").read_text() == "mine"
    assert history.call("db", "export", str(tmp_path / "nowhere" / "x.jsonl")).exit_code == 1

    lines = history.ok("db", "export").splitlines()
    other = Project(tmp_path / "other")
    other.root.mkdir()
    broken = other.call("db", "import", "-", input="\n".join([*lines[:3], "{broken"]))
    assert broken.exit_code == 2
    assert "Line 4" in broken.stderr
    assert ids(other) == set()
    assert other.call("db", "import", "no-such-file").exit_code == 2
    assert other.call("db", "import", str(history.root / "data" / "runs.db")).exit_code == 2


def test_migrate_says_that_nothing_is_to_be_done(history):
    document = history.json("db", "migrate")

    assert document["before"] == document["after"]
    assert "Up to date" in history.ok("db", "migrate")


def test_a_newer_database_is_refused_naming_what_to_install(history):
    connection = database(history)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    for args in (("runs", "list"), ("db", "check"), ("db", "migrate")):
        result = history.call(*args)
        assert result.exit_code == 1
        assert "pip install" in result.stderr


def test_vacuum_gives_back_what_prune_has_left(project):
    (project.root / "large").write_text("0123456789abcdef" * 200_000)
    for _ in range(3):
        project.ok("run", "plain", "--data", "rows=@large")
    pruned = project.call("db", "prune", "--keep", "0s")
    assert re.search(r"`neurocore db vacuum` returns \d+\.\d MiB to the disk", pruned.stderr)
    assert re.search(r"size .* MiB of it unused: see `db vacuum`", project.ok("db", "stats"))
    unused = project.json("db", "stats")["unused"]
    assert unused > 9_000_000
    told = project.ok("db", "vacuum")
    assert re.fullmatch(r"Returned .* MiB to the disk: the history took .* MiB, now .* KiB\.\n", told)
    assert project.json("db", "stats")["unused"] == 0
    document = project.json("db", "vacuum")
    assert document["freed"] == document["before"] - document["after"] < 100_000
    assert document["after"] == project.json("db", "stats")["bytes"] < 1_000_000
    assert document["waits"] is False


def test_vacuum_of_no_history_makes_none(project):
    assert project.json("db", "vacuum") == {"before": 0, "after": 0, "freed": 0, "waits": False}
    assert not (project.root / "data" / "runs.db").exists()

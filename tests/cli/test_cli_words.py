"""What is typed in haste: words of other tools, a run alone to compare, rows that look alike, `-q`."""

from __future__ import annotations

import pytest

from neurocore.cli.text import told_apart, width


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("approve", "x"), "runs approve"),
        (("aprove", "x"), "runs approve"),
        (("show", "x"), "runs inspect"),
        (("resume", "x"), "runs resume"),
        (("retry", "x"), "runs resume"),
        (("list",), "runs list"),
        (("start", "hello"), "run"),
        (("dashboard",), "serve"),
        (("backup", "x"), "db backup"),
        (("validat",), "validate"),
        (("runs", "show", "x"), "runs inspect"),
        (("runs", "retry", "x"), "runs resume"),
        (("runs", "Retry", "x"), "runs resume"),
        (("runs", "reject", "x"), "runs approve --reject"),
        (("runs", "stop", "x"), "runs cancel"),
        (("runs", "inspct", "x"), "runs inspect"),
        (("runs", "compare", "x"), "runs diff"),
    ],
)
def test_an_unknown_command_suggests_the_one_that_is_meant(runner, typed, meant):
    result = runner(*typed)
    assert result.exit_code == 2
    assert f"did you mean `neurocore {meant}`?" in " ".join(result.stderr.split())


@pytest.mark.parametrize("typed", [("runs", "relapse"), ("runs", "redo"), ("deploy",), ("runs", "xyz")])
def test_a_word_that_is_only_a_little_like_a_command_suggests_none(runner, typed):
    said = runner(*typed).stderr
    assert "did you mean" not in said
    assert "there are" in said


def test_one_run_alone_is_compared_with_the_run_before(project):
    for run_id, rows in (("first", 1), ("other", 2), ("second", 3)):
        project.ok(
            "run",
            "asking" if run_id == "other" else "plain",
            "--run-id",
            run_id,
            *(() if run_id == "other" else ("--data", f"rows={rows}")),
        )
    document = project.json("runs", "diff", "second")
    assert (document["before"]["run_id"], document["after"]["run_id"]) == ("first", "second")
    assert document == project.json("runs", "diff", "first", "second")
    result = project.call("runs", "diff", "first")
    assert result.exit_code == 3
    assert "No run of plain started before run first; name two runs" in " ".join(result.stderr.split())


@pytest.mark.parametrize("args", [("run", "plain"), ("run", "gated"), ("run", "plain", "--data", "mode=fail")])
def test_quiet_still_says_which_run_it_is(project, args):
    assert "  run mine\n" in project.call(*args, "-q", "--run-id", "mine").stdout


def test_quiet_verbs_say_which_run_it_is_too(project):
    project.ok("run", "gated", "--run-id", "waits")
    project.ok("run", "plain", "--run-id", "failed", "--data", "mode=fail", code=1)
    for args in (
        ("watch", "waits", "-q"), ("approve", "waits", "-q", "--no-resume"), ("resume", "waits", "-q"),
    ):  # fmt: skip
        assert "  run waits\n" in project.ok("runs", *args), args
    assert "  run failed\n" in project.ok("runs", "resume", "failed", "-q", code=1)
    (line,) = [one for one in project.ok("runs", "replay", "waits", "-q").splitlines() if one.startswith("  run ")]
    assert project.json("runs", "inspect", line.split()[-1])["run"]["replay_of"] == "waits"


def test_rows_that_look_alike_are_told_apart_at_80_columns(project):
    for number in (290, 291, 292, 293):
        project.ok(
            "run",
            "gated",
            "--data",
            f"batch=of the daily file in/day-{number}.csv",
            "--run-id",
            f"nightly-run-of-2026-11-{number}",
        )
    rows = project.ok("runs", "list").splitlines()[1:]
    assert len(set(rows)) == 4
    for number in (290, 291, 292, 293):
        (row,) = [one for one in rows if f"{number}.csv" in one]
        assert f"{number}  " in row, "the id's end is there too"
        assert "Paym" in row
    assert all(len(row) <= 80 for row in rows)


def test_what_differs_is_what_is_kept_of_texts_that_must_be_cut():
    texts = [f"Daily file in/day-{number}.csv of the bank" for number in (290, 291, 31)]
    apart = told_apart(texts, 20)
    assert apart[:2] == ["Daily …290.csv of t…", "Daily …291.csv of t…"]
    assert apart[2] == "Daily file in/day-3…"
    assert all(width(one) <= 20 for one in apart)
    assert told_apart(["the same"] * 2, 5) == ["the…"] * 2
    assert told_apart(["short", "texts"], 20) == ["short", "texts"]
    long = [f"{'x' * 50}{one}" for one in "abc"]
    assert [one[-1] for one in told_apart(long, 12)] == ["a", "b", "c"]
    assert len(set(told_apart(["見積書の承認をお願いします一", "見積書の承認をお願いします二"], 16))) == 2

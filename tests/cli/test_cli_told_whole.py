"""What must be told whole before somebody decides, and what is shortened in a pipe."""

from __future__ import annotations

import json

import pytest

from tests.waiting import until


def test_a_text_that_differs_late_is_shown_where_it_differs(project):
    first = project.run("plain", "--data", f"rows={'x' * 300}a{'y' * 300}")
    second = project.run("plain", "--data", f"rows={'x' * 300}b{'y' * 300}")

    told = project.ok("runs", "diff", first, second)

    assert "xxay" in told
    assert "xxby" in told


LONG = "a_long_name_that_goes_on_" * 5


@pytest.fixture
def long_names(project):
    """A project whose names, values, tags and people are all too long for a line."""
    (project.root / "blueprints" / "long.yaml").write_text(
        f"""
name: {LONG}
title: "About {{{{ {LONG}in }}}}"
inputs: {{ {LONG}in: {{type: string, default: {"日本" * 60}}}, mode: {{required: false}} }}
components:
  - {{name: {LONG}count, type: count, config: {{key: {LONG}key}}}}
  - {{name: {LONG}act, type: act}}
flow:
  steps:
    - {{component: {LONG}count}}
    - approval: {{name: {LONG}gate, message: "{"Look at it well. " * 30}"}}
    - approval: {{name: {LONG}other, message: "{"M" * 400}"}}
    - {{component: {LONG}act}}
"""
    )
    return project


def test_what_is_told_of_runs_in_a_pipe_fits_80_columns_but_for_what_is_to_be_copied(long_names):
    told = []

    def tell(*args):
        told.extend((args, one) for one in long_names.ok(*args).splitlines())

    first, second = "r-" + "1" * 60, "s-" + "2" * 60
    by = ("--by", "somebody with a name " * 9)
    tell("run", "long", "--run-id", first, "--tag", "t" * 120, "--tag", "u" * 50, *by)
    tell("runs", "approve", first, *by)
    tell("runs", "approve", first, "--note", "n" * 300, *by)
    tell("run", "long", "--run-id", second, "--data", "mode=log", "--data", f"{LONG}in={'v' * 300}")
    tell("runs", "inspect", second)
    tell("runs", "approve", second, *by)
    tell("runs", "approve", second, *by)
    for args in (
        ("runs", "list"), ("runs", "list", "--tag", "t" * 120), ("runs", "inspect", first), ("db", "check"),
        ("runs", "diff", first, second), ("runs", "watch", second), ("runs", "replay", first), ("db", "stats"),
        ("runs", "inspect", second, "--full"), ("runs", "delete", first, "--yes", *by),
    ):  # fmt: skip
        tell(*args)
        blueprint = [place for place, (_, one) in enumerate(told) if one == "Blueprint"]
        if args[-1] == "--full" or args[1] == "diff":
            del told[blueprint[-1] :]  # its text is as it was written

    from neurocore.cli.text import width

    wide = [(args, one) for args, one in told if width(one) > 80 and not one.startswith("  neurocore ")]
    assert wide == []
    assert any(one.strip() == f"neurocore runs approve {first}" for _, one in told), "a command was broken"


MANY = """
name: many
components:
  - {name: act, type: act}
inputs:
  text: {type: string, default: none}
  rows: {type: list, default: []}
flow:
  steps:
    - approval: {name: review, message: "Release all of it? {{ text }}", show: [text, rows]}
    - component: act
"""
WORDS = [f"word{number:04d}" for number in range(400)]


def many(project, name, words):
    """A run of `many` whose gate shows so many words, as text and as records."""
    (project.root / "blueprints" / "many.yaml").write_text(MANY)
    data = {"text": "\n".join(words), "rows": [{"name": word, "why": f"because {word}"} for word in words]}
    for key, value in data.items():
        (project.root / f"{name}.{key}").write_text(value if key == "text" else json.dumps(value))
    return project.json("run", "many", "--data", f"text=@{name}.text", "--data", f"rows=@{name}.rows")["run_id"]


@pytest.mark.parametrize("args", [(), ("--full",)])
def test_what_a_gate_shows_is_told_whole_before_one_decides(project, args):
    run_id = many(project, "first", WORDS)
    told = project.ok("runs", "inspect", run_id, *args).partition("Where it is")[2]
    assert not [word for word in WORDS if told.count(word) < 3], "in the message, the text and the rows"
    assert "more line" not in told
    assert "more row" not in told


def test_a_run_that_stops_at_its_gate_tells_all_that_it_shows(project):
    many(project, "first", WORDS[:50])
    told = project.ok("run", "many", "--data", "text=@first.text", "--data", "rows=@first.rows")
    assert not [word for word in WORDS[:50] if told.count(word) < 3]


def test_every_difference_from_what_was_approved_last_is_told_with_both_sides(project):
    first = many(project, "first", [f"old{word}" for word in WORDS[:60]])
    project.ok("runs", "approve", first)
    told = project.ok("runs", "inspect", many(project, "second", WORDS[:60]))
    changed = told.partition("Changed since the last approval")[2]
    assert not [word for word in WORDS[:60] if f"because old{word}" not in changed]
    assert not [word for word in WORDS[:60] if f"because {word}" not in changed]
    assert "more difference" not in told


def test_a_gate_that_shows_too_much_for_a_terminal_says_so_and_where_it_is(project):
    run_id = many(project, "first", [word * 60 for word in WORDS])
    told = project.ok("runs", "inspect", run_id)
    assert "`runs inspect --full` shows all of them." in " ".join(told.split())
    assert WORDS[-1] * 60 in "".join(project.ok("runs", "inspect", run_id, "--full").split())


def test_what_a_failed_program_said_stands_below_its_step_and_in_the_document(project):
    code = "echo so far; i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; echo no money >&2; exit 7"
    text = f"name: f\ncomponents: [{{name: pays, type: command, config: {{argv: [sh, -c, {json.dumps(code)}]}}}}]\n"
    (project.root / "blueprints" / "f.yaml").write_text(f"{text}flow: {{steps: [{{component: pays}}]}}\n")
    project.ok("run", "f", "--run-id", "broke", code=1)
    told = project.ok("runs", "inspect", "broke")
    assert "(15 lines before; `runs logs` shows all)" in told
    assert "stdout  line 19" in told
    assert "line 11" not in told
    (step,) = json.loads(project.ok("runs", "inspect", "broke", "--json"))["steps"]
    assert [line["message"] for line in step["logs"]][:2] == ["The program ended with exit code 7.", "no money"]


def test_a_rejected_gate_and_skipped_nodes_are_told_as_what_they_are(project):
    (project.root / "blueprints" / "goes.yaml").write_text(
        "name: goes\ncomponents: [{name: a, type: count}, {name: b, type: count}]\n"
        "flow: {steps: [{component: a}, {approval: {name: review, require: false}}, "
        "{component: b, condition: 'context.data.rows == 99'}]}\n"
    )
    for blueprint, run_id in (("goes", "went"), ("gated", "ended")):
        project.ok("run", blueprint, "--run-id", run_id)
        project.ok("runs", "approve", run_id, "--reject", "--note", "no")
        told = project.ok("runs", "inspect", run_id)
        (row,) = [one for one in told.splitlines() if " review " in one and "rejected by" in one]
        assert "✗" in row, "a rejected gate has no tick"
    assert "2 of 3 nodes completed, 1 skipped" in project.ok("runs", "inspect", "went")
    assert [one["decision"] for one in project.json("runs", "inspect", "went")["steps"]] == [None, "rejected", None]
    assert "2/3" in project.ok("runs", "list")
    assert "✗ rejected → " in project.ok("runs", "diff", "went", "ended")


def test_what_a_cancelled_program_said_stands_below_its_step_and_in_the_document(project):
    code = "echo so far; touch begun; exec sleep 600"
    text = f"name: c\ncomponents: [{{name: pays, type: command, config: {{argv: [sh, -c, {json.dumps(code)}]}}}}]\n"
    (project.root / "blueprints" / "c.yaml").write_text(f"{text}flow: {{steps: [{{component: pays}}]}}\n")
    driving = project.spawn("run", "c", "--run-id", "stopped")
    until((project.root / "begun").exists)
    said = project.call("runs", "cancel", "stopped", "--by", "ann").stderr
    assert "stopped at once; other Python code ends its step first" in " ".join(said.split())
    out, shown = driving.communicate(timeout=60)
    assert driving.returncode == 1
    assert "cancelled" in out
    assert "pays cancelled in" in shown
    assert "failed" not in out + shown
    told = project.ok("runs", "inspect", "stopped")
    assert "⊘ pays  stopped when the run was cancelled, after" in told
    assert "stdout  so far" in told
    (step,) = project.json("runs", "inspect", "stopped")["steps"]
    assert (step["status"], step["error"]) == ("cancelled", None)
    assert "so far" in [line["message"] for line in step["logs"]]

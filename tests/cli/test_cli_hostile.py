"""Values that try to steer the reader's terminal, or the store, through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
from msgspec import structs

from neurocore.persistence import SQLiteRunStore

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj\u2066\rx"
#: What of it may stand in a name.
EVIL_NAME = "\u200fada"


def harmless(*outputs: str) -> None:
    for output in outputs:
        bad = [
            hex(ord(c)) for c in output if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066"
        ]
        assert not bad, f"{bad} in {output!r}"


def test_a_title_and_tags_cannot_steer_the_terminal(project):
    run_id = project.run("gated", "--data", f"batch={EVIL}", "--by", "ada")
    with contextlib.closing(SQLiteRunStore(project.root / "data" / "runs.db")) as store:  # as another program left it
        store.save_run(structs.replace(store.load_run(run_id), tags=[EVIL]))

    for args in (
        ("runs", "list"), ("runs", "list", "--json"), ("runs", "list", "--waiting"), ("runs", "inspect", run_id),
        ("runs", "inspect", run_id, "--full"), ("runs", "inspect", run_id, "--json", "--full"),
        ("runs", "approve", run_id, "--note", EVIL, "--json"), ("runs", "inspect", run_id, "--full"),
        ("runs", "replay", run_id), ("runs", "delete", run_id, "--yes", "--by", EVIL),
        ("runs", "delete", run_id, "--yes", "--by", EVIL_NAME),
    ):  # fmt: skip
        result = project.call(*args)
        assert result.exit_code == (2 if EVIL in args[-1:] else 0), (args, result.output)
        harmless(result.stdout, result.stderr)


def test_what_a_store_or_a_skill_brings_steers_no_terminal_and_breaks_no_line(project):
    """As another program, a skill with log levels of its own, or a damaged file may have left it."""
    from neurocore.persistence.records import LogLine

    run_id = project.run("gated", "--by", "ada")
    evil = f"x\nError: forged{EVIL}"
    with contextlib.closing(SQLiteRunStore(project.root / "data" / "runs.db")) as store:
        whole, steps = store.load_run(run_id), store.load_steps(run_id)
        at = steps[0].started_at
        named = f"abc{evil}"
        logs = [LogLine(at=at, level=evil, message=evil)]
        store.save_run(structs.replace(whole, run_id=named, owner=f"x{'0' * 32}@{evil}:1", suspended_at_node=evil))
        for step in steps:
            store.save_step(structs.replace(step, run_id=named, logs=logs, error=evil, reason=evil, node_id=evil))
    for args in (
        ("runs", "inspect", "abc"), ("runs", "inspect", "abc", "--full"), ("runs", "logs", "abc"), ("runs", "list"),
        ("runs", "list", "--waiting"), ("runs", "cancel", "abc", "--by", "ada"), ("runs", "sweep"),
        ("runs", "replay", "abc"), ("runs", "delete", "abc", "--yes"), ("runs", "inspect", "a"),
    ):  # fmt: skip
        result = project.call(*args)
        assert "Traceback" not in result.output
        harmless(result.stdout, result.stderr)
        told = [one for one in result.output.split("\n") if one.startswith("Error: forged")]
        assert not told, (args, result.output)


def test_what_skills_raise_over_several_lines_is_one_complaint(project):
    result = project.call("run", "plain", "--data", "mode=evil")
    assert result.exit_code == 1
    assert result.stderr.count("\nError:") + result.stderr.startswith("Error:") == 1, result.stderr


def test_json_keeps_the_hostile_value_as_it_is(project):
    run_id = project.run("gated", "--data", f"batch={EVIL}")

    assert project.json("runs", "inspect", run_id)["run"]["initial_data"]["batch"] == EVIL


@pytest.mark.parametrize(
    "args",
    [
        ("run", EVIL), ("runs", EVIL), (EVIL,), ("runs", "list", f"--{EVIL}"), ("runs", "list", "--status", EVIL),
        ("run", "plain", "--tag", EVIL),
        ("runs", "list", "--since", EVIL), ("runs", "list", "--before", EVIL), ("run", "plain", "--data", EVIL),
        ("run", "plain", "--data", f"{EVIL}=1"), ("run", "plain", "--data", f"mode=@{EVIL}"), ("runs", "inspect", EVIL),
        ("skill", "info", EVIL), ("skill", "new", EVIL), ("config", "show", EVIL), ("validate", EVIL),
        ("init", "neurocore.yaml"),
    ],
)  # fmt: skip
def test_a_refusal_repeats_nothing_dangerous(project, args):
    result = project.call(*args)

    assert result.exit_code in (2, 3, 0), result.output
    assert "Traceback" not in result.output
    harmless(result.stdout, result.stderr)


@pytest.mark.parametrize(
    "prefix", ["%", "_", "'", "../", "' OR 1=1 --", "*", "%s", "\x00", "\ud800", "x" * 100_000, " "]
)
def test_a_hostile_run_id_names_no_run(project, prefix):
    project.run("plain")

    result = project.call("runs", "inspect", prefix)

    assert result.exit_code in (2, 3), result.output
    assert len(result.stderr) < 1000


@pytest.mark.parametrize(
    "pair", ["rows=!!python/object/apply:os.system ['true']", "rows=&a [*a]", "rows=[" * 60, "rows=" + "[" * 5000]
)
def test_hostile_data_is_refused_or_taken_as_text_and_quickly(project, pair):
    result = project.call("run", "plain", "--data", pair)

    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.output


def test_a_skill_that_raises_escapes_is_told_without_them(project):
    (project.root / "skills" / "evil.py").write_text(
        "import logging\nfrom neurocore import Skill, SkillMeta\n"
        "class Evil(Skill):\n    skill_meta = SkillMeta(name='evil', description='\\x1b[2J')\n"
        "    def process(self, context):\n        logging.getLogger('x').error('\\x1b[2J')\n"
        "        raise ValueError('\\x1b[2J\\u202e')\n"
    )
    (project.root / "blueprints" / "evil.yaml").write_text(
        'name: evil\ndescription: "\\e[2J\\u202e"\ncomponents: [{name: step, type: evil,'
        ' config: {"\\e[2J": "\\u202e"}}]\n'
        "flow: {steps: [{component: step}]}\n"
    )
    result = project.call("run", "evil")
    run_id = project.json("runs", "list")["runs"][0]["run_id"]

    assert result.exit_code == 1
    harmless(result.stdout, result.stderr)
    for args in (("runs", "inspect", run_id, "--full"), ("runs", "logs", run_id), ("skill", "list"),
                 ("skill", "info", "evil"),
                 ("runs", "list"), ("doctor",), ("validate",)):  # fmt: skip
        shown = project.call(*args)
        harmless(shown.stdout, shown.stderr)


def test_a_huge_number_comes_out_whole_in_json_and_told_to_people(project):
    (project.root / "skills" / "big.py").write_text(
        "from neurocore import Skill, SkillMeta\n"
        "class Big(Skill):\n    skill_meta = SkillMeta(name='big')\n"
        "    def process(self, context):\n        context.set('number', 10**5000)\n"
        "        context.set('text', 'x' * 5_000_000)\n"
        "        context.set('odd', '\\ud800'); context.set('nan', float('nan')); return context\n"
    )
    (project.root / "blueprints" / "big.yaml").write_text(
        "name: big\ncomponents: [{name: big, type: big}]\nflow: {steps: [{component: big}]}\n"
    )
    told = project.ok("run", "big")
    run_id = project.json("runs", "list")["runs"][0]["run_id"]
    document = project.ok("runs", "inspect", run_id, "--json")

    assert "about 5,001 digits" in told
    assert len(told) < 10_000
    assert "1" + "0" * 5000 in document
    assert '"nan"' in document.lower()


def test_an_encoding_without_our_signs_is_no_reason_to_fail(project):
    project.run("gated", "--data", "batch=Übung 日本")

    for args in (("runs", "list"), ("runs", "list", "--json"), ("skill", "list"), ("doctor",)):
        done = subprocess.run(
            [sys.executable, "-m", "neurocore", *args], cwd=project.root, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        done.stdout.decode("ascii")
        if "--json" in args:
            assert json.loads(done.stdout)["runs"][0]["title"] == "Payments of Übung 日本"

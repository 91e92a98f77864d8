"""A project in a folder, and two ways to call the command line on it: in this process, and as people do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from neurocore.cli.app import cli
from neurocore.gates import occurrence
from neurocore.gates.opening import policy_of

#: A graph of outcomes to choose from: `mode` makes the step after the gate fail, print or wait.
BLUEPRINTS = {
    "gated.yaml": """
name: gated
title: "Payments of {{ batch }}"
inputs:
  batch: {type: string, default: may}
  mode: {type: string, default: fine}
components:
  - {name: load, type: count, config: {key: rows}}
  - {name: book, type: act}
flow:
  steps:
    - component: load
    - approval: {name: review, message: "Release {{ batch }}?", show: [rows, batch], note: on_reject}
    - component: book
""",
    "plain.yaml": """
name: plain
inputs:
  mode: {type: string, default: fine}
  rows: {type: any, default: null}
components:
  - {name: act, type: act}
flow:
  steps: [{component: act}]
""",
    "asking.yaml": """
name: asking
components:
  - {name: ask, type: ask}
flow:
  steps: [{component: ask}]
""",
}

SKILLS = """
import logging
import sys
import time
from pathlib import Path

from neurocore import FlowContext, Skill, SkillMeta


class Count(Skill):
    skill_meta = SkillMeta(
        name="count", version="1.2.0", description="Counts.", provides=["rows"],
        config_schema={"properties": {"key": {"type": "string"}, "pin": {"type": "string", "secret": True}}},
    )

    def process(self, context: FlowContext) -> FlowContext:
        context.set(self.config.get("key", "rows"), 3)
        return context


class Act(Skill):
    skill_meta = SkillMeta(name="act", description="Does what mode says.")

    def process(self, context: FlowContext) -> FlowContext:
        mode = context.get("mode")
        if mode == "fail":
            raise ValueError("the bank said no")
        if mode == "fail-once" and not Path("tried").exists():
            Path("tried").write_text("x")
            raise ValueError("not yet")
        if mode == "evil":
            raise ValueError("one\\nError: two\\n\\x1b[2Jthree\\u2028four")
        if mode == "print":
            print("printed by the skill")
        if mode == "log":
            logging.getLogger("act").warning("logged by the skill")
        if mode == "wait":
            Path("waiting").write_text("x")
            while not Path("go").exists():
                time.sleep(0.01)
        context.set("booked", True)
        return context


class Ask(Skill):
    skill_meta = SkillMeta(name="ask", description="Asks for a number.")

    def process(self, context: FlowContext) -> FlowContext:
        if context.resume_data is None:
            context.suspend(reason="Which number?")
            return context
        context.set("answer", context.resume_data["number"])
        return context
"""


class Project:
    """A project in a folder, and calls of the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def call(self, *args: str, input: str | None = None, env: dict[str, str] | None = None) -> Result:
        """Call in this process."""
        with contextlib.chdir(self.root):
            return CliRunner(env=env).invoke(cli, args, input=input)

    def ok(self, *args: str, code: int = 0) -> str:
        """Call, insist on the exit code, and return stdout."""
        result = self.call(*args)
        assert result.exit_code == code, (
            f"{args} ended {result.exit_code}, not {code}:\n{result.output}\n{result.exception!r}"
        )
        return result.stdout

    def json(self, *args: str, code: int = 0) -> Any:
        """The `--json` document of a call."""
        return json.loads(self.ok(*args, "--json", code=code))

    def run(self, blueprint: str = "gated", *args: str, code: int = 0) -> str:
        """Run a blueprint and return the run's id."""
        run_id: str = self.json("run", blueprint, *args, code=code)["run_id"]
        return run_id

    def spawn(self, *args: str, **popen: Any) -> subprocess.Popen[str]:
        """Start the command line as a process of its own."""
        settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
        return subprocess.Popen(command(*args), cwd=self.root, env=environment(), **settings)

    def script(self, *args: str, code: int | None = None, **run: Any) -> subprocess.CompletedProcess[str]:
        """Call it as a process of its own, to its end."""
        done = subprocess.run(
            command(*args),
            cwd=self.root,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **run,
        )
        if code is not None:
            assert done.returncode == code, f"{args} ended {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}"
        return done


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "neurocore", *args]


def environment(**more: str) -> dict[str, str]:
    """This environment without what would change how the output looks."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "TERM")}
    return {**kept, "PYTHONIOENCODING": "utf-8", **more}


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS", "NEUROCORE_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "work")


def make_project(root: Path) -> Project:
    """A project with the blueprints and skills above."""
    (root / "skills").mkdir(parents=True)
    (root / "blueprints").mkdir()
    (root / "neurocore.yaml").write_text("project: {name: work}\n")
    (root / "skills" / "acts.py").write_text(SKILLS)
    for name, text in BLUEPRINTS.items():
        (root / "blueprints" / name).write_text(text)
    return Project(root)


@pytest.fixture
def runner() -> Callable[..., Result]:
    """The command line in this process, in no project."""
    return lambda *args, **kwargs: CliRunner().invoke(cli, list(args), **kwargs)


def wait_for(path: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Until the skill says it has come so far."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, f"it ended with {process.returncode} before it came so far"
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.01)


def ruled(project: Project, run_id: str, *, answers: Sequence[str] = (), **rules: Any) -> str:
    """Start a run whose gate has these rules, let these people approve it, and return its id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occurrence, "policy_of", lambda node, show: structs.replace(policy_of(node, show), **rules))
        project.ok("run", "gated", "--run-id", run_id, "-q")
    for name in answers:
        project.ok("runs", "approve", run_id, "--by", name, "-q")
    return run_id

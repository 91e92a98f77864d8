"""The command line starts fast and loads only what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from neurocore.cli import lazy
from neurocore.cli.app import cli
from neurocore.cli.reference import commands

from .conftest import environment


def loaded_by(project, *args: str) -> set[str]:
    """The modules that a call imports."""
    code = (
        "import sys\nfrom neurocore.cli import main\n"
        f"try:\n    main({list(args)!r})\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_listing_runs_imports_neither_rich_nor_the_runtime_nor_the_dashboard(project):
    project.run("gated")

    loaded = loaded_by(project, "runs", "list")

    heavy = {"rich", "jinja2", "httpx", "flask", "webapp", "asyncio", "neurocore.runtime", "neurocore.blueprint.model",
             "neurocore.skills.base", "importlib.metadata", "jsonschema", "importlib.resources",
             "tempfile", "difflib", "zipfile", "click.shell_completion"}  # fmt: skip
    assert not heavy & loaded


@pytest.mark.parametrize("args", [("--help",), ("runs", "--help"), ("--version",)])
def test_help_imports_no_command_and_no_plugin(project, args):
    loaded = loaded_by(project, *args)

    assert not {"webapp", "flask", "neurocore.persistence", "neurocore.cli.doctor", "neurocore.cli.runs.list"} & loaded


def test_every_listed_command_is_there_and_says_the_same_of_itself():
    for name, command in commands():
        *groups, last = name.split()[1:]
        group: click.Command = cli
        for one in groups:
            assert isinstance(group, click.Group)
            found = group.get_command(click.Context(group), one)
            assert found is not None
            group = found
        table = getattr(group, "table", {})
        if last in table:
            assert command.name == last, f"{name} is the command {command.name}"
            assert command.help, f"{name} has no help"


class Point:
    """An entry point of a package that is not there."""

    dist = None

    def __init__(self, name: str, value: object) -> None:
        self.name, self.value, self.module, self.loads = name, "some_package:thing", "some_package", 0
        self._thing = value

    def load(self) -> object:
        self.loads += 1
        if isinstance(self._thing, Exception):
            raise self._thing
        return self._thing


@click.command()
@click.argument("word")
def shout(word: str) -> int:
    """Say a word loudly."""
    click.echo(word.upper())
    return 0


@pytest.mark.parametrize("name", ["neurocore", *(name for name, _ in commands())])
def test_help_fits_80_columns_and_leaves_nothing_out(project, name):
    usage, *told = project.ok(*name.split()[1:], "--help").splitlines()

    assert [one for one in (usage, *told) if len(one) > 80] == []
    assert [one for one in told if one.endswith("...")] == []


def test_a_package_adds_a_command_that_help_lists_without_loading_it(project, monkeypatch):
    point = Point("shout", shout)
    monkeypatch.setattr(lazy, "_entry_points", lambda: [point])

    assert "shout" in project.ok("--help")
    assert point.loads == 0
    assert project.ok("shout", "hello") == "HELLO\n"


@pytest.mark.parametrize(
    "broken",
    [ModuleNotFoundError("No module named 'flask'", name="flask"), RuntimeError("half installed"), "no command"],
)
def test_a_command_that_cannot_be_loaded_is_one_sentence_and_harms_no_other(project, monkeypatch, broken):
    monkeypatch.setattr(lazy, "_entry_points", lambda: [Point("serve", broken)])

    result = project.call("serve")

    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "serve" in result.stderr or "dashboard" in result.stderr
    project.ok("--help")
    project.ok("runs", "list")


def test_a_package_cannot_take_the_place_of_a_command_of_ours(project, monkeypatch):
    point = Point("runs", shout)
    monkeypatch.setattr(lazy, "_entry_points", lambda: [point])

    project.ok("runs", "list")

    assert point.loads == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(project, shell):
    assert "neurocore" in project.ok("completion", shell)


def test_completion_offers_commands_runs_and_blueprints(project):
    project.ok("run", "plain", "--run-id", "monthly-1")

    def completed(words: str) -> str:
        env = {
            "_NEUROCORE_COMPLETE": "bash_complete",
            "COMP_WORDS": f"neurocore {words}",
            "COMP_CWORD": str(len(words.split())),
        }
        done = subprocess.run(
            [sys.executable, "-m", "neurocore"], cwd=project.root, env=environment(**env), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        return done.stdout

    assert "runs" in completed("ru")
    assert "inspect" in completed("runs ins")
    assert "monthly-1" in completed("runs inspect mon")
    assert "gated" in completed("run ga")
    assert "--waiting" in completed("runs list --wa")


@pytest.mark.parametrize(
    ("words", "completed"),
    [("run pl", "plain"), ("validate ga", "gated"), ("runs inspect do", "done"), ("skill info cou", "count")],
)
def test_bash_completes_what_is_typed(project, words, completed):
    project.ok("run", "plain", "--run-id", "done")
    (project.root / "completion.bash").write_text(project.ok("completion", "bash"))
    typed = ["neurocore", *words.split()]
    script = (
        "compopt() { :; }; source completion.bash; "
        f"COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; "
        f'_neurocore_completion {Path(sys.executable).with_name("neurocore")}; echo "${{COMPREPLY[@]}}"'
    )

    done = subprocess.run(
        ["bash", "-c", script], cwd=project.root, env=environment(), capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == [completed], done.stderr

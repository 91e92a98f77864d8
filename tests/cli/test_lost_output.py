"""A command whose output cannot be written does not end as if it could."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from neurocore.cli.app import cli

from .conftest import Project, command, environment, make_project, ruled

#: How to call each command that there is, in an order in which each finds what it needs. `{n}` is another number for
#: each call, and `@gated` another run that waits.
CALLS = {
    "init": ["made{n}"],
    "validate": ["plain"],
    "schema": ["blueprint"],
    "completion": ["bash"],
    "config show": [],
    "doctor": [],
    "skill info": ["count"],
    "skill list": [],
    "skill new": ["fresh{n}"],
    "run": ["plain"],
    "runs list": [],
    "runs inspect": ["one"],
    "runs watch": ["one"],
    "runs logs": ["one"],
    "runs diff": ["one", "two"],
    "runs approve": ["@gated"],
    "runs withdraw": ["@answered", "--by", "ann"],
    "runs comment": ["@gated", "Which invoice?"],
    "runs resume": ["@asking", "-d", "number=4"],
    "runs replay": ["one"],
    "runs cancel": ["@gated"],
    "runs sweep": [],
    "runs delete": ["@plain", "--yes"],
    "db stats": [],
    "db check": [],
    "db adopt": [],
    "db migrate": [],
    "db backup": ["backup{n}.db"],
    "db export": ["export{n}.jsonl"],
    "db import": ["moved.jsonl"],
    "db prune": ["--keep", "90d"],
    "db vacuum": [],
    "db restore": ["../moved.db"],
    "users add": ["u{n}"],
    "users link": ["pat"],
    "users reset": ["pat"],
    "users list": [],
    "users disable": ["pat"],
    "users enable": ["pat"],
    "users grant": ["pat", "viewer"],
    "users revoke": ["pat", "viewer"],
    "users group": ["pat", "+fin"],
    "users identity": ["pat", "--proxy", "Pat"],
    "users sessions": ["pat"],
    "tokens create": ["--user", "pat", "--name", "t", "--scope", "view"],
    "tokens list": [],
    "tokens revoke": ["@token"],
    "serve": ["--port", "0"],
}  # fmt: skip
#: Those that need a server: test_cli_remote.py calls them.
ELSEWHERE = {"login", "logout"}
#: Those that take no --json.
PLAIN = {
    "completion", "schema", "skill new", "serve", "users add", "users link", "users reset", "users disable",
    "users enable", "users grant", "users revoke", "users group", "users identity", "users sessions",
    "tokens create", "tokens revoke",
}  # fmt: skip

#: Calls one command after the other, each in a process of its own that is quicker than a new one.
CALLER = """
import json, os, signal, sys
from pathlib import Path
import neurocore.cli.app, neurocore.documents.make, webapp.cli
calls, kind = json.load(sys.stdin), sys.argv[1]
ended = []
for args in calls:
    child = os.fork()
    if child == 0:
        signal.alarm(50)
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        if kind == "closed":
            os.close(1)
            sys.stdout = sys.__stdout__ = None
        elif kind == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        else:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, 1)
        try:
            neurocore.cli.app.cli.main(args)
        except SystemExit as left:
            code = left.code
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            code = 120  # as Python ends
        os._exit(code or 0)
    ended.append((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), Path("said").read_text()))
json.dump(ended, sys.stdout)
"""

SENTENCE = (
    "Error: The output of this command is lost, because stdout is not writable ({}); redirect it to a file, or to"
)


def commands(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands."""
    if not isinstance(group, click.Group):
        yield " ".join(path)
        return
    for name in group.list_commands(click.Context(group)):
        found = group.get_command(click.Context(group), name)
        assert found is not None
        yield from commands(found, (*path, name))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("lost") / "work")
    for run_id in ("one", "two"):
        project.run("plain", "--run-id", run_id, "--data", "mode=log", "--data", f"rows={run_id}")
    project.ok("db", "export", "moved.jsonl")
    project.ok("db", "backup", "moved.db")
    make_project(project.root / "other")
    project.ok("users", "add", "pat")
    return project


def ended(project: Project, kind: str, calls: list[list[str]]) -> list[tuple[int, str]]:
    """How each call ended, and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", CALLER, kind], cwd=project.root, input=json.dumps(calls), capture_output=True, text=True,
        env=environment(), check=True, timeout=150,
    )  # fmt: skip
    found: list[tuple[int, str]] = json.loads(done.stdout)
    return found


def test_the_calls_below_are_of_all_commands_that_there_are():
    assert set(CALLS) | ELSEWHERE == set(commands())


@pytest.mark.parametrize("kind", ["closed", "full", "nobody reads"])
def test_no_command_ends_well_when_its_output_is_lost(prepared, kind):
    calls = [["--help"], ["--version"], ["db", "export"]]
    for number, (name, args) in enumerate(CALLS.items()):
        # A history is not replaced while a process may drive runs of it, as this one may of the project's.
        before = ["-C", "other", *name.split()] if name == "db restore" else name.split()
        for more in [[]] if name in PLAIN else [[], ["--json"]]:
            own = f"{kind[0]}{number}{len(more)}"
            calls.append([*before, *(_filled(prepared, one, own) for one in args), *more])
    wrong = {
        " ".join(args): (code, said)
        for args, (code, said) in zip(calls, ended(prepared, kind, calls), strict=True)
        if not _is_right(kind, code, said)
    }
    assert wrong == {}


def _filled(project: Project, arg: str, name: str) -> str:
    if arg == "@token":
        project.ok("tokens", "create", "--user", "pat", "--name", name, "--scope", "view")
        found: list[dict[str, str]] = json.loads(project.ok("tokens", "list", "--json"))["tokens"]
        return next(one["id"] for one in found if one["name"] == name)
    if arg == "@answered":
        return ruled(project, f"answered-{name}", answers=("ann",), approvers=("ann", "bea"), required=2)
    if arg.startswith("@"):
        return project.run(arg[1:], "--run-id", f"{arg[1:]}-{name}")
    return arg.replace("{n}", name)


def _is_right(kind: str, code: int, said: str) -> bool:
    if kind == "nobody reads":
        return code == 141 and "Error" not in said
    why = {"closed": "Bad file descriptor", "full": "No space left on device"}[kind]
    return code == 1 and SENTENCE.format(why) in said and said.count("Error:") == 1


@pytest.mark.parametrize(("where", "why"), [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left on device")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_shell_sees_that_an_export_was_not_written(prepared, where, why, unbuffered):
    shell = f"{' '.join(command('db', 'export'))} {where}"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=prepared.root, env=environment(PYTHONUNBUFFERED=unbuffered), check=False, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert SENTENCE.format(why) in done.stderr


@pytest.mark.parametrize("kind", ["closed", "full", "nobody reads"])
def test_a_run_is_driven_to_its_end_and_a_failure_keeps_its_code(prepared, kind):
    fine, failed = f"fine-{kind[0]}", f"failed-{kind[0]}"
    calls = [["run", "plain", "--run-id", fine], ["run", "plain", "--run-id", failed, "-d", "mode=fail"]]
    codes = [code for code, _ in ended(prepared, kind, calls)]
    assert codes == [141 if kind == "nobody reads" else 1, 1]
    assert prepared.json("runs", "inspect", fine)["run"]["status"] == "completed"
    assert prepared.json("runs", "inspect", failed)["run"]["status"] == "failed"


def test_a_command_that_writes_nothing_ends_well_without_a_stdout(prepared):
    shell = f"{' '.join(command('runs', 'logs', 'two', '--level', 'error'))} >&-"
    done = subprocess.run(["bash", "-c", shell], cwd=prepared.root, env=environment(), check=False, timeout=60)
    assert done.returncode == 0


def test_no_file_takes_the_place_of_a_closed_stdout(prepared):
    script = (
        "import os; from neurocore.cli import stdout; "
        "stdout.guard_stdout(); os.write(2, os.readlink('/dev/fd/1').encode())"
    )
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{script}" >&-'], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == "/dev/null"

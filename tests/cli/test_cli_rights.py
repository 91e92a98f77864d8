"""The command line where people sign in: whoever owns the files may do everything, except answer gates."""

from __future__ import annotations

import contextlib

import click
import pytest

from neurocore.access.actor import Face
from neurocore.access.permission import Action
from neurocore.access.table import OFFERED
from neurocore.cli.app import cli
from neurocore.persistence import SQLiteRunStore

#: Every command by what it does. `{waits}` is a run at a gate, `{asks}` one that asks for data, `{ended}` has ended.
COMMANDS = {
    Action.VIEW: [
        "runs list", "runs inspect {waits}", "runs watch {ended}", "runs logs {waits}", "runs diff {waits} {ended}",
        "db backup copy.db", "db check", "db export out.jsonl", "db stats",
    ],
    Action.START: ["run plain"],
    Action.RESUME: ["runs resume {failed}", "runs sweep"],
    Action.REPLAY: ["runs replay {ended}"],
    Action.CANCEL: ["runs cancel {waits}"],
    Action.DELETE: ["runs delete {ended} --yes", "db prune --keep 1d"],
    Action.ADOPT: ["db adopt"],
    Action.ADMINISTER: [
        "users add bob", "users list", "users disable ann", "users enable ann", "users grant ann viewer",
        "users revoke ann viewer", "users group ann +fin", "users link ann", "users reset ann", "users sessions ann",
        "users identity ann --proxy Ann",
        "tokens create --user ann --name t --scope view", "tokens list", "tokens revoke {token}",
    ],
    None: [  # about no run and no account of this history
        "init other", "validate", "schema config", "skill info act", "skill list", "skill new thing", "config show",
        "doctor", "completion bash", "db migrate", "db vacuum",
    ],
}  # fmt: skip
#: What answers a gate, or gives a run data: nobody does that on the command line here.
ANSWERS = [
    "runs approve {waits}", "runs approve {waits} --reject --note no", "runs resume {waits} --data approved=true",
    "runs resume {asks} --data number=1", "runs withdraw {waits}", "runs comment {waits} Why",
]  # fmt: skip
#: What succeeds in its work, and says that something else failed.
FAILS = {"runs resume {failed}"}
#: What needs a server or another file, and has tests of its own.
ELSEWHERE = {"serve", "db import", "db restore", "login", "logout"}


@pytest.fixture
def team(project):
    """A project in which people sign in, with runs in every state, and the values of the commands."""
    file = project.root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}\nauth:\n  mode: local\n")
    project.values = {
        "waits": project.run("gated"), "asks": project.run("asking"), "ended": project.run("plain"),
        "failed": project.run("plain", "--data", "mode=fail", code=1),
    }  # fmt: skip
    project.ok("users", "add", "ann", "--role", "viewer")
    project.ok("tokens", "create", "--user", "ann", "--name", "bot", "--scope", "view")
    with contextlib.closing(SQLiteRunStore(project.root / "data" / "runs.db")) as store:
        project.values["token"] = store.list_tokens()[0].id
    return project


def leaves(command, path=()):
    """Every command of the command line."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*path, name))
    else:
        yield " ".join(path)


def test_the_list_of_commands_is_whole_and_is_that_of_the_table():
    listed = [line for lines in COMMANDS.values() for line in lines] + ANSWERS
    known = {name for name in leaves(cli) if any(f"{line} ".startswith(f"{name} ") for line in listed)}
    assert set(leaves(cli)) == known | ELSEWHERE
    offered = {action for action in COMMANDS if action is not None}
    assert offered == {action for action, faces in OFFERED.items() if Face.CLI in faces}


@pytest.mark.parametrize("line", [line for lines in COMMANDS.values() for line in lines])
def test_the_owner_of_the_files_may_do_it(team, line):
    done = team.call(*line.format(**team.values).split())
    assert done.exit_code == (1 if line in FAILS else 0), f"{line}: {done.output}"


@pytest.mark.parametrize("line", ANSWERS)
def test_and_answers_no_gate(team, line):
    done = team.call(*line.format(**team.values).split())
    assert done.exit_code == 4, f"{line}: {done.output}"
    word = {"withdraw": "withdraw an answer", "comment": "comment on a gate"}.get(line.split()[1], "answer a gate")
    assert f"Only somebody who signed in can {word} here" in done.stderr
    with contextlib.closing(SQLiteRunStore(team.root / "data" / "runs.db")) as store:
        for name in ("waits", "asks"):
            assert [gate.status.value for gate in store.load_gates(team.values[name])] == ["open"]


@pytest.mark.parametrize("word", ["--by", "--actor"])
def test_and_names_nobody_else(team, word):
    for line in ("runs cancel {waits}", "runs delete {ended} --yes", "runs replay {ended}", "runs approve {waits}"):
        assert team.call(*line.format(**team.values).split(), word, "eve").exit_code == 2, line


def test_a_gate_that_opened_where_people_sign_in_is_answered_by_nobody_else_after_the_mode_is_open(team):
    file = team.root / "neurocore.yaml"
    file.write_text(file.read_text().replace("mode: local", "mode: open"))
    done = team.call(*ANSWERS[0].format(**team.values).split())
    assert done.exit_code == 4
    assert "since this gate opened" in done.stderr

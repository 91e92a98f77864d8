"""The `--json` documents fit their schemas."""

from __future__ import annotations

import json
import shutil

import jsonschema
import pytest

from neurocore.cli.schemas import DOCUMENTS, document_schema
from tests.cli.conftest import Project, make_project


def fits(name: str, document: object) -> None:
    """Insist that the document fits its schema and has no field that the schema does not know."""
    schema = document_schema(name)
    for definition in schema["$defs"].values():
        definition["additionalProperties"] = False
    jsonschema.validate(document, schema)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("documents") / "work")
    project.ok("run", "gated", "--run-id", "waiting", "--tag", "t", "--by", "ada")
    project.ok("run", "plain", "--run-id", "done", "--data", "mode=log")
    project.ok("run", "plain", "--run-id", "failed", "--data", "mode=fail", code=1)
    project.ok("run", "asking", "--run-id", "asking")
    project.ok("run", "gated", "--run-id", "rejected")
    project.ok("runs", "approve", "rejected", "--reject", "--note", "no")
    project.ok("db", "backup", "kept.db")
    return project


@pytest.fixture
def history(made_once, tmp_path):
    """A copy of the project with its history, to do with as a test likes."""
    shutil.copytree(made_once.root, tmp_path / "copy")
    project = Project(tmp_path / "copy")
    project.ok("db", "adopt")  # it is a copy, in which what waits would stand still
    return project


CALLS = [
    ("runs", ("runs", "list"), 0),
    ("runs", ("runs", "list", "--limit", "1", "--waiting"), 0),
    ("outcome", ("run", "gated"), 0),
    ("outcome", ("run", "plain"), 0),
    ("outcome", ("run", "plain", "--data", "mode=fail"), 1),
    ("outcome", ("runs", "approve", "waiting", "--note", "fine"), 0),
    ("outcome", ("runs", "resume", "asking", "--data", "number=1"), 0),
    ("outcome", ("runs", "replay", "done"), 0),
    ("outcome", ("runs", "watch", "waiting"), 0),
    ("outcome", ("runs", "cancel", "waiting"), 0),
    ("inspect", ("runs", "inspect", "waiting"), 0),
    ("inspect", ("runs", "inspect", "waiting", "--full"), 0),
    ("inspect", ("runs", "inspect", "done", "--full"), 0),
    ("inspect", ("runs", "inspect", "failed", "--full"), 0),
    ("inspect", ("runs", "inspect", "asking"), 0),
    ("inspect", ("runs", "inspect", "rejected", "--full"), 0),
    ("logs", ("runs", "logs", "done"), 0),
    ("diff", ("runs", "diff", "done", "failed"), 0),
    ("sweep", ("runs", "sweep"), 0),
    ("validate", ("validate",), 0),
    ("skills", ("skill", "list"), 0),
    ("skill", ("skill", "info", "count"), 0),
    ("skill", ("skill", "info", "approval"), 0),
    ("config", ("config", "show"), 0),
    ("doctor", ("doctor",), 0),
    ("check", ("db", "check"), 0),
    ("users", ("users", "list"), 0),
    ("tokens", ("tokens", "list"), 0),
    ("stats", ("db", "stats"), 0),
    ("backup", ("db", "backup", "copy.db"), 0),
    ("restore", ("db", "restore", "kept.db"), 0),
    ("adopt", ("db", "adopt"), 0),
    ("prune", ("db", "prune", "--keep", "1d", "--dry-run"), 0),
    ("vacuum", ("db", "vacuum"), 0),
    ("export", ("db", "export", "runs.jsonl"), 0),
    ("migrate", ("db", "migrate"), 0),
]


@pytest.mark.parametrize(("name", "args", "code"), CALLS, ids=[" ".join(args) for _, args, _ in CALLS])
def test_a_document_fits_its_schema(history, name, args, code):
    fits(name, history.json(*args, code=code))


def test_what_init_delete_and_import_print_fits_too(history, runner, tmp_path):
    fits("init", json.loads(runner("init", str(tmp_path / "new"), "--json").stdout))
    for one in history.json("runs", "delete", "done", "failed", "--yes"):
        fits("deleted", one)
    history.ok("db", "export", "runs.jsonl")
    fits("import", history.json("db", "import", "runs.jsonl"))


def test_every_document_is_checked_here():
    assert {name for name, _, _ in CALLS} | {"init", "deleted", "import"} == set(DOCUMENTS)

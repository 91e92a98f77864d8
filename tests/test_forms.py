"""One name in two Unicode forms, which nobody can tell apart, is one name on every face; what was typed is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from neurocore import forms
from neurocore.cli.app import cli
from neurocore.config import load_config
from neurocore.persistence import SQLiteRunStore
from webapp import create_app

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
JOSE, JOSE_IN_PIECES = "Jos\u00e9", "Jose\u0301"

BLUEPRINT = f"""
name: "{COMPOSED}"
title: "{{{{ größe }}}}"
inputs: {{größe: integer}}
flow: {{steps: [{{approval: {{name: "{COMPOSED}"}}}}]}}
""".replace("größe", "gr\u00f6\u00dfe")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A project, called on the command line."""
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "neurocore.yaml").write_text("project: {name: m}\n")
    (tmp_path / "blueprints" / f"{COMPOSED}.yaml").write_text(BLUEPRINT)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, args)


@pytest.fixture
def store(tmp_path: Path):
    store = SQLiteRunStore(load_config(tmp_path).runs_db_path)
    yield store
    store.close()


def test_names_are_compared_in_one_form():
    assert forms.same(COMPOSED, DECOMPOSED)
    assert not forms.same(COMPOSED, "cafe")
    assert forms.same("\u212b", "\u00c5"), "the sign for ångström is the letter"
    assert forms.spelled([DECOMPOSED, "x"], COMPOSED) == DECOMPOSED
    assert forms.spelled([DECOMPOSED, COMPOSED], COMPOSED) == COMPOSED, "the exact one goes first"
    assert forms.spelled(["cafe"], COMPOSED) is None
    assert forms.folded({DECOMPOSED: 1, COMPOSED: 2, "x": 3}, [COMPOSED]) == {COMPOSED: 3, "x": 3}


def test_a_person_who_says_the_same_again_is_the_same_person(call, store):
    call("run", COMPOSED, "-d", "gr\u00f6\u00dfe=1", "--run-id", "r1")
    assert call("runs", "approve", "r1", "--by", JOSE, "--no-resume").exit_code == 0
    again = call("runs", "approve", "r1", "--by", JOSE_IN_PIECES, "--no-resume")
    assert again.exit_code == 0, again.output
    assert call("runs", "approve", "r1", "--by", "Jose", "--no-resume").exit_code == 4
    (gate,) = store.load_gates("r1")
    assert [one.by for one in gate.answers] == [JOSE], "what was typed is kept, and nothing is added"
    assert gate.answers[0].is_sealed("r1", "")


def test_blueprints_inputs_and_gates_are_found_in_either_form(call, store):
    started = call("run", DECOMPOSED, "-d", "gro\u0308\u00dfe=1", "--run-id", "r1", "--tag", DECOMPOSED, "--by", JOSE)
    assert started.exit_code == 0, started.output
    assert store.load_run("r1").initial_data == {"gr\u00f6\u00dfe": 1}
    for option, name in (("-b", DECOMPOSED), ("--tag", COMPOSED), ("--by", JOSE_IN_PIECES)):
        assert "r1" in call("runs", "list", option, name).output
    assert call("runs", "approve", "r1", "--gate", DECOMPOSED, "--by", JOSE).exit_code == 0
    assert store.load_run("r1").tags == [DECOMPOSED]


def test_pages_and_api_find_a_blueprint_in_either_form(call, tmp_path, store):
    call("run", COMPOSED, "-d", "gr\u00f6\u00dfe=1", "--run-id", "r1", "--by", JOSE)
    run = store.load_run("r1")
    run.run_id, run.blueprint_name = "r2", DECOMPOSED
    store.save_run(run)
    call("runs", "approve", "r1", "--by", JOSE, "--no-resume")
    app = create_app(load_config(tmp_path), store=store)
    client = app.test_client()
    for name in (COMPOSED, DECOMPOSED):
        page = client.get(f"/blueprints/{name}")
        assert page.status_code == 200
        assert 'href="/runs/r1"' in page.text
        assert 'href="/runs/r2"' in page.text
        asked = client.get(f"/api/v1/blueprints/{name}").json
        assert (asked["name"], asked["figures"]["runs"]) == (COMPOSED, 2)
        listed = client.get("/runs", query_string={"blueprint": name}).text
        assert 'href="/runs/r2"' in listed
        assert 'href="/runs/r1"' in listed
    for who in (JOSE, JOSE_IN_PIECES):
        assert len(client.get("/api/v1/approvals", query_string={"by": who}).json["decided"]) == 1
    started = client.post(f"/api/v1/blueprints/{DECOMPOSED}/runs", json={"by": "ann", "data": {"gr\u00f6\u00dfe": 1}})
    assert started.status_code == 201
    blueprints = client.get("/api/v1/blueprints").json["blueprints"]
    assert [one["name"] for one in blueprints] == [COMPOSED], "one line for what looks the same"
    app.extensions["neurocore"].dispatcher.close(10.0)

"""What a visitor may name of the server's environment: what neurocore.yaml lists, and no word about the rest."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from neurocore.codec import SecretRef
from neurocore.config import Secrets
from neurocore.runtime.blueprint import load_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked
from webapp import create_app

BANK = """
name: bank
inputs:
  token: {type: string, secret: true, default: "${BANK_TOKEN}"}
  free: {type: any, required: false}
components: [{name: note, type: say}]
flow: {steps: [{component: note}]}
"""
ENVIRONMENT = {"BANK_TOKEN": "by-default-1", "LISTED": "listed-value-2", "PRIVATE": "private-value-3"}


@pytest.fixture
def bank(site):
    """A server whose environment holds more than visitors may name."""
    (site.root / "blueprints" / "bank.yaml").write_text(BANK)
    site.config = structs.replace(site.config, secrets=Secrets(inputs=["LISTED", "MISSING"]), real_environ=ENVIRONMENT)
    site.dispatcher.config = site.config
    site.app = create_app(site.config, store=site.store, dispatcher=site.dispatcher)
    site.client = site.app.test_client()
    return site


def api(bank, **data):
    return bank.client.post("/api/v1/blueprints/bank/runs", json={"by": "ann", "data": data})


def form(bank, **data):
    return bank.post("/blueprints/bank/runs", {"by": "ann", **{f"input.{key}": value for key, value in data.items()}})


def given(bank):
    return [
        run.initial_data["token"] for run in map(bank.store.load_run, (one.run_id for one in bank.store.list_runs()))
    ]


@pytest.mark.parametrize("start", [api, form])
def test_what_is_listed_and_what_the_blueprint_says_itself_may_be_named(bank, start):
    for data in ({}, {"token": "${BANK_TOKEN}"}, {"token": "${LISTED}"}):
        assert start(bank, **data).status_code in (201, 303)
    assert sorted(one.reference for one in given(bank)) == ["${BANK_TOKEN}", "${BANK_TOKEN}", "${LISTED}"]


@pytest.mark.parametrize("start", [api, form])
def test_any_other_variable_is_refused_in_the_same_words_whether_it_is_there_or_not(bank, start):
    told = []
    for name in ("PRIVATE", "NOWHERE", "PATH"):
        answer = start(bank, token=f"${{{name}}}")
        assert answer.status_code == 422
        text = answer.text.replace(name, "IT")
        assert "IT cannot be named here: neurocore.yaml lists LISTED and MISSING under secrets.inputs." in text
        told.append(re.sub(r'type="hidden"[^>]*>', "", text))
    assert told[0] == told[1] == told[2]
    assert bank.store.list_runs() == []


def test_one_that_is_listed_and_not_there_is_named(bank):
    assert "The environment has no MISSING" in api(bank, token="${MISSING}").text


@pytest.mark.parametrize("key", ["token", "free"])
def test_a_replay_by_a_visitor_names_no_more_than_a_start(bank, key):
    blueprint = load_blueprint(bank.root / "blueprints" / "bank.yaml")
    run = execute_blueprint_tracked(
        blueprint, bank.registry, bank.config, initial_data={key: SecretRef("${PRIVATE}")}, run_store=bank.store
    )
    run_id = run.metadata.run_id
    answer = bank.client.post(f"/api/v1/runs/{run_id}/replay", json={"by": "ann"})
    assert answer.status_code == 422
    assert "PRIVATE cannot be named here" in answer.text
    page = bank.post(f"/runs/{run_id}/replay", {"by": "ann"})
    assert page.status_code == 422
    assert "PRIVATE cannot be named here" in page.text
    assert len(bank.store.list_runs()) == 1

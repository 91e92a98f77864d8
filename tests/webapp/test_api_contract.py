"""The OpenAPI document is valid and current, and a running server answers as it says, whatever it is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.definitions import OPENAPI_31

from webapp.api.openapi import document, text
from webapp.api.operations import OPERATIONS

FILE = Path(__file__).parents[2] / "docs" / "schemas" / "openapi.json"

CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
)


def test_the_document_is_valid_openapi():
    jsonschema_rs.validator_for(OPENAPI_31).validate(document())


def test_the_committed_document_is_what_the_code_says():
    assert FILE.read_text("utf-8") == text(), "`python -m webapp.api > docs/schemas/openapi.json` brings it up to date"


def test_the_served_document_is_the_committed_one_where_it_is_mounted(site):
    assert site.client.get("/api/v1/openapi.json").json == json.loads(FILE.read_text("utf-8"))
    mounted = site.client.get("/api/v1/openapi.json", environ_overrides={"SCRIPT_NAME": "/flows"})
    assert mounted.json["servers"] == [{"url": "/flows/api/v1"}]


def test_every_route_below_api_is_in_the_document(site):
    described = {(path, method.upper()) for path, one in document()["paths"].items() for method in one}
    routes = {rule.endpoint for rule in site.app.url_map.iter_rules() if rule.rule.startswith("/api/")}
    assert routes == {f"api.{one.name}" for one in OPERATIONS}
    assert described == {(one.path, one.method) for one in OPERATIONS}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A running server over a history of every kind, and the names that are in it."""
    from tests.webapp.conftest import Site

    site = Site(tmp_path_factory.mktemp("contract"))
    waiting, failed, asking, two = site.run(), site.run(fail="read"), site.run("asking"), site.run("two")
    done = site.run()
    site.decide(done, "approve", note="fine")
    (site.root / "neurocore.yaml").write_text("project: {name: tested}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=site.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    address = process.stdout.readline().strip()
    names = {
        "run_id": [waiting, failed, asking, two, done],
        "other_id": [failed, done],
        "name": ["payout", "two", "asking"],
        "index": [0, 1],
        "digest": {run_id: site.store.load_gates(run_id)[0].digest for run_id in (waiting, asking, two, done)},
    }
    yield schemathesis.openapi.from_url(f"{address}api/v1/openapi.json"), names
    process.terminate()
    process.communicate(timeout=30)
    site.store.close()


def real(case, names, draw):
    """Mostly put what is really there in the place of what was made up, so that the verbs have something to work on."""
    for name in case.path_parameters or {}:
        if draw(st.integers(0, 3)):
            case.path_parameters[name] = draw(st.sampled_from(names[name]))
    if isinstance(case.body, dict) and draw(st.integers(0, 3)):
        case.body["by"] = "ann"
        if "digest" in case.body:
            case.body["digest"] = names["digest"].get(case.path_parameters["run_id"], case.body["digest"])
    if isinstance(case.query, dict) and "wait" in case.query:
        case.query["wait"] = 0.01


@pytest.mark.system
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])
def test_the_server_answers_as_the_document_says(world, operation, mode):
    schema, names = world
    described = schema[operation.path][operation.method]
    if mode is GenerationMode.NEGATIVE and operation.body is None and operation.query is None:
        return  # there is nothing that could not fit

    @settings(
        max_examples=15, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=described.as_strategy(generation_mode=mode), data=st.data())
    def answered(case, data):
        if mode is GenerationMode.POSITIVE:
            real(case, names, data.draw)
        elif isinstance(case.query, dict) and case.query.get("wait"):
            case.query.pop("until", None)  # nobody waits here
        case.call_and_validate(checks=CHECKS, timeout=20)

    answered()

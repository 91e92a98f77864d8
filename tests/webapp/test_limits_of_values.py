"""Numbers as people write them, documents that are whole or not begun, and limits that are said."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from neurocore import codec
from neurocore.blueprint.load import parse_blueprint
from neurocore.errors import BlueprintError
from neurocore.numerals import written
from neurocore.runtime.executor import execute_blueprint_tracked
from webapp import services, streaming
from webapp.html.helpers import blueprint_url


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12e3"), "12000"), (Decimal("1.2E+4"), "12000"), (Decimal("-1E-7"), "-0.0000001"),
        (Decimal("12.50"), "12.50"), (Decimal("0E+2"), "000"[:1]), (1e16, "10000000000000000"), (1.5e-7, "0.00000015"),
        (12.5, "12.5"), (Decimal("1E+1000000"), "1E+1000000"), (Decimal("1E-1000000"), "1E-1000000"),
        (Decimal("NaN"), "NaN"), (Decimal("-Infinity"), "-Infinity"), (float("inf"), "inf"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_a_number_is_written_without_an_exponent_unless_it_is_very_long(value, text):
    assert written(value) == text


AMOUNT = """
name: pay
title: "{{ amount }} EUR"
inputs: {amount: decimal}
flow:
  steps:
    - approval:
        name: ok
        message: "Release {{ amount }} EUR ({{ amount ~ '!' }}, {{ [amount] | join }})?"
        show: [amount]
"""


def test_who_approves_reads_an_amount_as_it_is_written_on_paper(site):
    (site.root / "blueprints" / "pay.yaml").write_text(AMOUNT)
    run_id = site.run("pay", amount=Decimal("1.2E+4"))
    assert site.store.load_run(run_id).initial_data == {"amount": Decimal("1.2E+4")}, "the value is kept as it is"
    assert site.store.load_summary(run_id).title == "12000 EUR"
    assert site.gate(run_id, "ok").message == "Release 12000 EUR (12000!, 12000)?"
    page = site.page(f"/runs/{run_id}")
    assert "12,000" in page
    assert "E+" not in page
    assert site.client.get(f"/api/v1/runs/{run_id}").json["data"] == {"amount": "12000"}
    assert site.client.get(f"/runs/{run_id}/download/context").json == {"amount": "12000"}


LONG = """
name: long
components: [{name: a, type: long}]
flow: {steps: [{component: a}]}
"""


@pytest.fixture
def long_number(site):
    """A run with a number that Python does not write unasked, as a value, in a list and as a key."""
    from neurocore import Skill, SkillMeta

    class Long(Skill):
        skill_meta = SkillMeta(name="long")

        def process(self, context):
            context.set("n", 1 << 16384)
            context.set("many", [{"deep": 1 << 16384}])
            context.set("keys", {1 << 16384: 1})
            return context

    site.registry.register(Long)
    execute_blueprint_tracked(
        parse_blueprint(LONG), site.registry, site.config, run_store=site.store, run_id="r1", started_by="a"
    )
    return "r1"


@pytest.mark.parametrize("path", [
    "/api/v1/runs/r1", "/api/v1/runs/r1/steps", "/api/v1/runs/r1/inspection", "/runs/r1/download/context",
    "/runs/r1/download/step-0",
])  # fmt: skip
def test_a_very_long_number_can_be_had_by_programs(site, long_number, path):
    answer = site.client.get(path)
    assert answer.status_code == 200
    assert f"{1 << 16384:#x}" in answer.text
    json.loads(answer.text)


def test_pages_of_a_very_long_number_are_there(site, long_number):
    for path in ("/runs/r1?tab=context", "/runs/r1/steps/0", "/runs/r1/print"):
        assert "a number of about 4,932 digits" in site.page(path)


def test_a_download_that_cannot_be_finished_does_not_begin(site, monkeypatch):
    run_id = site.run()
    plain, asked = codec.plain, []

    def break_off(value):
        asked.append(value)
        if len(asked) > 2:
            raise ValueError("a value that nothing can write")
        return plain(value)

    monkeypatch.setattr(codec, "plain", break_off)
    site.app.testing = False
    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = site.client.get(f"/runs/{run_id}/download/context")
    assert answer.status_code == 500
    assert "{" not in answer.text[:1], "no half of a document"


def test_a_download_says_how_long_it_is_and_is_whole_when_it_is_large(site, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 10)
    run_id = site.run(batch="x" * 200_000)
    answer = site.client.get(f"/runs/{run_id}/download/context")
    assert int(answer.headers["Content-Length"]) == len(answer.data) > 200_000
    assert answer.json["batch"] == "x" * 200_000


def test_more_than_a_thousand_blueprints_are_all_there(site):
    for number in range(1001):
        (site.root / "blueprints" / f"m{number:04}.yaml").write_text(
            f"name: m{number:04}\nflow: {{steps: [approval: {{name: ok}}]}}\n"
        )
    for name in ("m0999", "m1000"):
        assert site.client.get(f"/blueprints/{name}").status_code == 200
        started = site.client.post(f"/api/v1/blueprints/{name}/runs", json={"by": "ann", "data": {}})
        assert started.status_code == 201


def test_files_beyond_the_limit_are_said_to_be_left_out(site, monkeypatch):
    monkeypatch.setattr(services, "MOST_BLUEPRINTS", 3)
    said = "only the first 3 of its files are read, 1 are not"
    assert said in site.page("/blueprints")
    assert site.client.get("/api/v1/blueprints").json["files_left_out"] == 1
    for path in ("/blueprints/two", "/api/v1/blueprints/two"):
        answer = site.client.get(path)
        assert answer.status_code == 404
        assert said in answer.text
    answer = site.client.post("/api/v1/blueprints/two/runs", json={"by": "ann", "data": {}})
    assert answer.status_code == 404
    assert said in answer.text


@pytest.mark.parametrize("name", [".", ".."])
def test_no_blueprint_is_called_like_a_folder_of_an_address(site, name):
    with pytest.raises(BlueprintError, match="cannot be called"):
        parse_blueprint(f"name: '{name}'\nflow: {{steps: [approval: {{name: ok}}]}}\n")
    run = site.store.load_run(site.run())
    run.blueprint_name = name  # of a history that is older than this rule
    site.store.save_run(run)
    with site.app.test_request_context():
        assert blueprint_url(name) == f"/runs?blueprint={name}"
    page = site.page("/blueprints")
    assert f'href="/blueprints/{name}"' not in page
    assert f'href="/runs?blueprint={name}"' in page
    assert f'href="/runs/{run.run_id}"' in site.page(f"/runs?blueprint={name}")

"""A person starts a run from the form of its blueprint's page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.people import People
from e2e.site import SECRET, Site

pytestmark = pytest.mark.e2e

ONE_OF_EACH = {
    "text": "two words", "whole": "42", "real": "2.5", "money": "9.99", "day": "2026-03-31",
    "moment": "2026-03-31T12:00:00+02:00", "file": "out/report.txt", "names": "[Ada, Cy]",
    "address": "city: Bonn\nzip: '53111'", "anything": "{a: [1, 2]}",
}  # fmt: skip


def fill(page: Page, **values: str) -> None:
    """Type values into the fields of these inputs."""
    for name, value in values.items():
        page.get_by_label(name, exact=True).fill(value)


def started(page: Page) -> str:
    """Wait for the page of the run that was started; the run's id."""
    page.wait_for_url(re.compile(r"/runs/\w{32}$"))
    return page.url.rsplit("/", 1)[1]


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_an_input_of_every_kind_arrives_as_what_it_is(site: Site, people: People, script: bool) -> None:
    page = people.person(script=script)
    page.goto(f"{site.address}/blueprints/everything")
    expect(page.get_by_label("names", exact=True)).to_have_value("- Ada\n- Bob")
    expect(page.get_by_label("token", exact=True)).to_have_value("${E2E_TOKEN}")
    expect(page.get_by_label("day", exact=True)).to_have_attribute("type", "date")
    fill(page, **ONE_OF_EACH)
    page.get_by_label("agreed", exact=True).select_option("no")
    page.get_by_label("pace", exact=True).select_option("quick")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").click()
    run_id = started(page)
    expect(page.get_by_role("heading", name="Everything for two words")).to_be_visible()
    site.settled(run_id)
    data = site.record(run_id).initial_data
    assert {key: str(value) for key, value in data.items() if key not in ("address", "anything", "token")} == {
        **{key: ONE_OF_EACH[key] for key in ("text", "whole", "real", "money", "day", "file")},
        "moment": "2026-03-31 12:00:00+02:00", "names": "['Ada', 'Cy']", "agreed": "False", "pace": "quick",
    }  # fmt: skip
    assert (data["address"], data["anything"]) == ({"city": "Bonn", "zip": "53111"}, {"a": [1, 2]})
    page.goto(f"{site.url(run_id)}?tab=inputs")
    expect(page.locator("#tab")).to_contain_text("Bonn")
    assert SECRET not in page.content()


def test_wrong_values_come_back_with_a_sentence_beside_each_field(site: Site, people: People) -> None:
    page = people.person(script=False)
    page.goto(f"{site.address}/blueprints/everything")
    wrong = {"whole": "a few", "real": "much", "money": "nine", "moment": "soon", "address": "- a list"}
    fill(page, text="kept", **wrong)
    page.get_by_label("Your name").fill("ann")
    with page.expect_response(lambda response: response.request.method == "POST") as refused:
        page.get_by_role("button", name="Start").click()
    assert refused.value.status == 422
    for name, value in wrong.items():
        field = page.get_by_label(name, exact=True)
        expect(field).to_have_value(value)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator(f"#input-{name}-problem")).to_be_visible()
    expect(page.get_by_label("text", exact=True)).to_have_value("kept")
    expect(page.get_by_label("text", exact=True)).not_to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Your name")).to_have_value("ann")
    fill(page, whole="3", real="", money="1", moment="", address="")
    page.get_by_role("button", name="Start").click()
    site.settled(started(page))


def test_what_is_required_is_held_by_the_browser_and_told_by_the_server(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/blueprints/everything")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_label("text", exact=True)).to_be_focused()
    page.evaluate("document.querySelector('form[method=post]').noValidate = true")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#input-text-problem")).to_contain_text("It is required")
    expect(page.locator("#input-whole-problem")).to_contain_text("It is required")


def test_a_secret_takes_a_reference_only_and_is_not_echoed(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/blueprints/everything")
    fill(page, text="x", whole="1", address="{no yaml", token="hunter2-in-the-clear")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#input-address-problem")).to_be_visible()
    assert "hunter2-in-the-clear" not in page.content()
    fill(page, address="", token="hunter2-in-the-clear")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#input-token-problem")).to_be_visible()
    assert "hunter2-in-the-clear" not in page.content()


def test_a_blueprint_without_inputs_takes_lines_and_pressing_twice_starts_one_run(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/blueprints/free")
    page.get_by_label("Data").fill("colour: blue\ncount: 3")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").dblclick()
    run_id = started(page)
    site.settled(run_id)
    assert site.record(run_id).initial_data == {"colour": "blue", "count": 3}
    page.go_back()
    page.goto(f"{site.address}/runs?blueprint=free&by=ann")
    expect(page.locator("table.runs tbody tr")).to_have_count(1)

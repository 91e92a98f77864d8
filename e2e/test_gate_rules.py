"""Gates with rules, in several browsers: who has answered, who is missing, why not me, time to withdraw, comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e import project
from e2e.parts import panel
from e2e.people import People
from e2e.site import Site
from e2e.test_accessibility import look
from e2e.test_signin import PASSWORD, sign_in
from neurocore.access.actor import this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people as accounts
from neurocore.config import load_config
from neurocore.persistence import build_run_store

pytestmark = pytest.mark.e2e

FINANCE, BOARD, OTHERS = ("ann", "bea", "carl"), ("ingrid",), ("vera",)
#: The rules of the gate in each blueprint.
RULES: dict[str, dict[str, Any]] = {
    "two-of-three": {
        "approvers": ["group:finance"], "required": 2, "self_approval": False, "deadline": "2d",
        "escalate": {"after": "1d", "to": ["ingrid"]},
    },
    "stages": {"stages": [{"approvers": ["group:finance"]}, {"approvers": ["group:board"]}]},
    "slowly": {"undo": "5m"},
    "quickly": {"undo": "1s"},
}  # fmt: skip


def lay_out(root: Path) -> None:
    """The usual project, in which people sign in, with a blueprint for each set of rules."""
    project.write(root)
    file = root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}\nauth: {{mode: local}}\n")
    for name, rules in RULES.items():
        gate = {"name": "review", "message": "Release 48,210.50 EUR?", "show": ["sum", "payees"], **rules}
        blueprint = {
            "name": name, "title": "Supplier payments, week 49",
            "components": [
                {"name": "add", "type": "template", "config": {"template": "48,210.50 EUR", "output": "sum"}},
                {"name": "count", "type": "template", "config": {"template": "198", "output": "payees"}},
                {"name": "pay", "type": "template", "config": {"template": "paid", "output": "result"}},
            ],
            "flow": {"steps": [{"component": "add"}, {"component": "count"}, {"approval": gate}, {"component": "pay"}]},
        }  # fmt: skip
        (root / "blueprints" / f"{name}.yaml").write_text(json.dumps(blueprint))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with three people in finance, one of the board, and one who only looks."""
    site = Site(tmp_path_factory.mktemp("rules") / "project", lay_out)
    store = build_run_store(load_config(site.root))
    assert store is not None
    for name in (*FINANCE, *BOARD, *OTHERS):
        roles = [Role.VIEWER] if name in OTHERS else [Role.APPROVER, Role.OPERATOR]
        groups = ["finance"] if name in FINANCE else ["board"] if name in BOARD else []
        accounts.add_person(
            name, store=store, actor=this_user(), grants=[Grant(one) for one in roles], groups=groups,
            password=PASSWORD,
        )  # fmt: skip
    store.close()
    site.start()
    yield site
    site.end()


def comes(people: People, site: Site, name: str, run_id: str, **options: Any) -> Page:
    """Somebody who is signed in and looks at the run."""
    page = people.person(**options)
    sign_in(page, site, name, f"/runs/{run_id}")
    return page


def stages(page: Page) -> Locator:
    """The stages in the panel."""
    return page.get_by_role("list", name="Who decides").locator(":scope > li")


def press(page: Page, button: str, note: str = "") -> None:
    """Answer at the gate."""
    here = panel(page, "review")
    if note:
        here.get_by_label("Note").fill(note)
    here.get_by_role("button", name=button, exact=True).click()


def test_two_of_three_approve_and_the_second_sees_the_first_without_reloading(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    ann, bea = comes(people, site, "ann", run_id), comes(people, site, "bea", run_id)
    expect(panel(bea, "review")).to_contain_text("Approve → is recorded; then 1 more of group finance is needed")
    bea.get_by_label("Note").fill("half a thought")
    bea.evaluate("window.stays = true")
    press(ann, "Approve", "matches the ledger")
    expect(ann.locator(".notice.ok")).to_contain_text("is recorded; 1 more of group finance is needed")
    expect(stages(bea)).to_contain_text("1 of 2 approved")
    expect(stages(bea)).to_contain_text("ann approved")
    expect(stages(bea)).to_contain_text("matches the ledger")
    expect(bea.get_by_label("Note")).to_have_value("half a thought")
    assert bea.evaluate("window.stays"), "the page was not loaded again"
    expect(ann.get_by_label("Note")).to_have_value("")
    press(bea, "Approve")
    for page in (ann, bea):
        expect(page.get_by_label("Decision at review")).to_contain_text("Approved by bea")
        expect(page.get_by_label("Decision at review")).to_contain_text(re.compile("ann approved .*matches the ledger"))
    expect(ann.get_by_text("Your note was not sent")).to_have_count(0)
    site.settled(run_id)
    assert [one[2:] for one in site.answers(run_id)] == [("ann", "matches the ledger"), ("bea", "half a thought")]


def test_who_started_the_run_sees_why_not_and_may_reject(site: Site, people: People) -> None:
    ann = people.person()
    sign_in(ann, site, "ann", "/blueprints/two-of-three")
    ann.get_by_role("button", name="Start").click()
    here = panel(ann, "review")
    approve = here.get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    expect(approve).to_have_accessible_description(
        "You started this run, and this gate asks for somebody else's approval; bea and carl can."
    )
    expect(here.get_by_role("heading", name="Why not you")).to_be_visible()
    run_id = ann.url.partition("#")[0].rpartition("/")[2]
    press(ann, "Reject", "a typing error")
    expect(ann.get_by_label("Decision at review")).to_contain_text("Rejected by ann")
    assert site.answers(run_id) == [("review", False, "ann", "a typing error")]


def test_who_may_not_answer_at_all_sees_everything_and_no_fields(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    for name, why in (("ingrid", "This gate asks group finance"), ("vera", "You need the role approver")):
        page = comes(people, site, name, run_id)
        here = panel(page, "review")
        expect(here).to_contain_text("48,210.50 EUR")
        expect(here.get_by_label("Note")).to_have_count(0)
        for button in ("Approve", "Reject"):
            expect(here.get_by_role("button", name=button)).to_be_disabled()
            expect(here.get_by_role("button", name=button)).to_have_accessible_description(
                re.compile(rf"{why}.*; ann, bea.* can\.")
            )
    assert site.answers(run_id) == []


def test_stages_answer_one_after_the_other(site: Site, people: People) -> None:
    run_id = site.run("stages")
    ann, ingrid = comes(people, site, "ann", run_id), comes(people, site, "ingrid", run_id)
    expect(stages(ingrid).nth(0)).to_have_attribute("aria-current", "step")
    expect(stages(ingrid).nth(1)).to_contain_text("asked when the stage before is complete")
    expect(panel(ingrid, "review").get_by_role("button", name="Approve")).to_be_disabled()
    press(ann, "Approve")
    expect(stages(ingrid).nth(1)).to_have_attribute("aria-current", "step")
    expect(panel(ann, "review").get_by_role("button", name="Approve")).to_be_disabled()
    expect(panel(ann, "review")).to_contain_text("Stage 2 of this gate asks group board; ingrid can.")
    press(ingrid, "Approve", "agreed")
    for page in (ann, ingrid):
        expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ingrid")
    site.settled(run_id)
    assert site.record(run_id).status == "completed"


def test_one_rejection_decides_at_once(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    ann, bea = comes(people, site, "ann", run_id), comes(people, site, "bea", run_id)
    press(ann, "Approve")
    expect(stages(bea)).to_contain_text("ann approved")
    press(bea, "Reject", "the sum is wrong")
    for page in (ann, bea):
        expect(page.get_by_label("Decision at review")).to_contain_text("Rejected by bea")
    site.settled(run_id)
    assert site.record(run_id).status == "failed"


@pytest.mark.parametrize("script", [True, False])
def test_an_approval_is_withdrawn_by_the_button_and_nothing_has_run(site: Site, people: People, script: bool) -> None:
    run_id = site.run("slowly")
    ann, bea = comes(people, site, "ann", run_id, script=script), comes(people, site, "bea", run_id)
    press(ann, "Approve", "too early")
    expect(panel(ann, "review")).to_contain_text("nothing has started yet")
    expect(panel(bea, "review")).to_contain_text("Only who gave the deciding answer can withdraw it")
    expect(panel(bea, "review").get_by_role("button", name="Withdraw")).to_have_count(0)
    if script:
        expect(ann.get_by_role("timer")).to_have_text(re.compile(r"in [1-5] min"))
    panel(ann, "review").get_by_role("button", name="Withdraw").click()
    expect(ann.locator(".notice.ok")).to_contain_text("Your answer at review is withdrawn")
    expect(panel(bea, "review").get_by_role("button", name="Approve")).to_be_enabled()
    assert site.record(run_id).status == "suspended"


def test_when_nobody_withdraws_the_run_continues_by_itself(site: Site, people: People) -> None:
    run_id = site.run("quickly")
    ann = comes(people, site, "ann", run_id)
    press(ann, "Approve")
    expect(ann.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    expect(ann.get_by_label("Status")).to_have_attribute("data-status", "completed")
    assert site.record(run_id).status == "completed"


def test_a_comment_appears_in_the_other_browser_and_decides_nothing(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    vera, bea = comes(people, site, "vera", run_id), comes(people, site, "bea", run_id)
    bea.get_by_label("Comment").fill("I am writing")
    vera.get_by_label("Comment").fill("Is this <b>the annual</b> invoice?")
    vera.get_by_role("button", name="Send comment").click()
    for page in (vera, bea):
        expect(panel(page, "review").locator(".talk")).to_contain_text("Is this <b>the annual</b> invoice?")
    expect(bea.get_by_label("Comment")).to_have_value("I am writing")
    expect(vera.get_by_label("Comment")).to_have_value("")
    assert site.record(run_id).status == "suspended"
    assert site.answers(run_id) == []


def test_the_deadline_is_shown_and_who_is_asked_later(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    here = panel(comes(people, site, "ann", run_id), "review")
    expect(here.locator(".due")).to_have_text(re.compile(r"due \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+in 2 d"))
    expect(here).to_contain_text("ingrid may answer too")


def test_without_javascript_two_people_approve_and_comment(site: Site, people: People) -> None:
    run_id = site.run("two-of-three")
    ann, bea = (comes(people, site, name, run_id, script=False) for name in ("ann", "bea"))
    ann.get_by_label("Comment").fill("See the ledger")
    ann.get_by_role("button", name="Send comment").click()
    expect(panel(ann, "review").locator(".talk")).to_contain_text("See the ledger")
    press(ann, "Approve")
    expect(stages(ann)).to_contain_text("1 of 2 approved")
    bea.reload()
    expect(stages(bea)).to_contain_text("ann approved")
    press(bea, "Approve")
    expect(bea.get_by_label("Decision at review")).to_contain_text("Approved by bea")


@pytest.mark.parametrize("look_at", [{}, {"phone": True}])
def test_axe_finds_nothing_on_panels_with_rules(site: Site, people: People, look_at: dict[str, Any]) -> None:
    page = people.person(traced=False, **look_at)
    sign_in(page, site, "ann")
    found = []
    for blueprint in ("two-of-three", "stages", "slowly"):
        run_id = site.run(blueprint)
        page.goto(site.url(run_id))
        page.get_by_label("Comment").fill("What do you think?")
        page.get_by_role("button", name="Send comment").click()
        expect(panel(page, "review").locator(".talk")).to_be_visible()
        press(page, "Approve", "checked")
        expect(page.locator(".notice.ok")).to_be_visible()
        found += look(page, site.url(run_id), 200)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{blueprint} is too wide"
    assert found == []

"""What is deep, long or many can still be read: nothing runs off the side, overlaps, or falls into letters."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.gallery import pages
from e2e.parts import node
from e2e.people import People
from e2e.site import Site
from neurocore.config import load_config
from neurocore.persistence import RunRecord, RunStatus, build_run_store

pytestmark = pytest.mark.e2e

#: Figures that are broken into more than two lines.
BROKEN = """() => [...document.querySelectorAll("td.num")].filter((cell) => cell.getBoundingClientRect().height > 60)
  .map((cell) => `broken: ${cell.innerText}`)"""

#: The cells of one row of a list whose texts are written upon each other.
UPON = """() => [...document.querySelectorAll("tr")].flatMap((row) => {
  if (row.parentElement.offsetWidth <= 1) return [];
  const texts = [...row.cells].filter((cell) => cell.checkVisibility()).map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return [cell.innerText, [...range.getClientRects()].filter((box) => box.width > 1)];
  });
  const upon = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return texts.flatMap(([text, boxes], place) => texts.slice(place + 1)
    .filter(([, others]) => boxes.some((box) => others.some((other) => upon(box, other))))
    .map(([other]) => `${text} | ${other}`));
})"""


#: The same for what lays out its rows by itself: the steps of the timeline, the entries of the activity.
UPON_IN_ROWS = """() => [...document.querySelectorAll(".step > summary, .activity > li")].flatMap((row) => {
  const ends = [...row.children].map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return [cell.innerText, range.getBoundingClientRect(), cell.getBoundingClientRect()];
  });
  return ends.slice(1).filter(([, , box], at) => ends[at][1].width && ends[at][1].right > box.left + 1)
    .map(([text]) => text);
})"""

#: What people may set who read better so (WCAG 1.4.12).
SPACED = "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }"


def test_a_deeply_nested_value_keeps_room_for_its_text(site: Site, page: Page) -> None:
    deep: Any = "at the very bottom of it"
    for key in "hgfedcba":
        deep = {key: deep}
    run_id = site.run("free", deep=deep)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{site.url(run_id)}?tab=inputs")
        page.evaluate("() => { for (const one of document.querySelectorAll('details:not(.menu)')) one.open = true; }")
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"at {width} px the page is {wide} px too wide"
        box = page.locator("#tab").get_by_text("at the very bottom of it").bounding_box()
        assert box is not None
        assert box["height"] < 30, f"at {width} px the text is broken into pieces: {box}"


def test_an_approver_is_read_on_one_line(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Oda")
    site.cli("runs", "approve", run_id, "--by", "ann.lindqvist@example.com")
    page.goto(f"{site.address}/approvals?by=ann.lindqvist%40example.com")
    box = page.get_by_role("link", name="ann.lindqvist@example.com").bounding_box()
    assert box is not None
    assert box["height"] < 30, f"the address is broken into pieces: {box}"


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_nothing_in_a_list_is_written_upon_anything_else(site: Site, people: People, width: int) -> None:
    site.waiting_run("Pia")
    page = people.person(traced=False, viewport={"width": width, "height": 800})
    # A run that waits for days says so in the most words.
    days_ahead = "const now = Date.now; Date.now = () => now() + (11 * 24 + 11) * 3600 * 1000;"
    page.context.add_init_script(days_ahead)
    faults = {}
    for path in ("/runs", "/approvals", "/blueprints"):
        page.goto(site.address + path)
        page.wait_for_function("() => document.documentElement.classList.contains('script')")
        if found := page.evaluate(UPON) + (page.evaluate(BROKEN) if width < 500 else []):
            faults[path] = found
    assert not faults


@pytest.mark.parametrize("width", [320, 360, 390])
def test_the_times_of_two_runs_are_not_written_upon_each_other(site: Site, people: People, width: int) -> None:
    page = people.person(phone=True, traced=False, viewport={"width": width, "height": 800})
    page.goto(f"{site.url(site.waiting_run('Rex'))}/compare/{site.run('greeting', name='Rex')}")
    assert page.evaluate(UPON) == []


def test_the_nodes_of_a_long_flow_stay_in_their_column(site: Site, page: Page) -> None:
    steps = "\n".join(f"    - {{component: note, description: step {number}}}" for number in range(1_200))
    components = 'components: [{name: note, type: template, config: {template: "x", output: noted}}]'
    (site.root / "blueprints" / "long.yaml").write_text(f"name: long\n{components}\nflow:\n  steps:\n{steps}\n")
    run_id = site.run("long", by="a.rather.long.name@example.com")
    page.goto(f"{site.address}/runs?blueprint=long")
    page.wait_for_function("() => document.documentElement.classList.contains('script')")
    cell = page.locator(f'tr:has(a[href$="{run_id}"]) td', has_text="1200 / 1200")
    assert cell.evaluate("(cell) => cell.scrollWidth - cell.clientWidth") <= 0


def test_what_says_that_nothing_is_there_stands_on_one_line(site: Site, page: Page) -> None:
    store = build_run_store(load_config(site.root))
    assert store is not None
    with contextlib.closing(store):
        store.save_run(RunRecord(run_id="empty0activity", blueprint_name="old", status=RunStatus.COMPLETED))
    page.goto(site.url("empty0activity"))
    box = page.get_by_text("No activity is recorded.").bounding_box()
    assert box is not None
    assert box["height"] < 36, f"the sentence is squeezed into the column of times: {box}"


def test_an_error_looks_like_one_on_its_step_s_own_page_too(site: Site, page: Page) -> None:
    run_id = site.run("charge")
    site.cli("runs", "approve", run_id, "--by", "ann", check=False)
    page.goto(f"{site.url(run_id)}#step-charge-1-1")
    colours = [page.get_by_role("heading", name="ConnectionError").evaluate("(one) => getComputedStyle(one).color")]
    page.goto(f"{site.url(run_id)}/steps/2")
    colours.append(page.get_by_role("heading", name="ConnectionError").evaluate("(one) => getComputedStyle(one).color"))
    assert colours[0] == colours[1]


def test_with_the_widest_spacing_of_letters_nothing_is_written_upon_anything_else(site: Site, people: People) -> None:
    run_id = site.waiting_run("Una")
    done = site.waiting_run("Uwe")
    site.cli("runs", "approve", done, "--by", "ann")
    page = people.person(traced=False, bypass_csp=True)
    minutes_ahead = "const now = Date.now; Date.now = () => now() + (34 * 60 + 34) * 1000;"
    page.context.add_init_script(minutes_ahead)
    faults = {}
    for path in ("/runs", f"/runs/{run_id}", f"/runs/{done}"):
        page.goto(site.address + path)
        page.add_style_tag(content=SPACED)
        page.wait_for_function("() => document.documentElement.classList.contains('script')")
        if found := page.evaluate(UPON) + page.evaluate(UPON_IN_ROWS):
            faults[path] = found
    assert not faults


def test_a_figure_stands_under_its_head(site: Site, page: Page) -> None:
    site.run("greeting", name="Ada")
    for path in ("/runs", "/approvals", "/blueprints"):
        page.goto(site.address + path)
        page.wait_for_function("() => document.documentElement.classList.contains('script')")
        wide = page.evaluate("""() => [...document.querySelectorAll("th")].filter((head) => {
          const text = document.createRange(), style = getComputedStyle(head);
          text.selectNodeContents(head);
          const room = head.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
          return text.getBoundingClientRect().width > room + 0.5;
        }).map((head) => head.textContent)""")
        assert not wide, f"{path}: wider than their columns: {wide}"


def test_home_on_a_phone_says_when_a_run_failed_and_keeps_its_chart_within_the_card(
    site: Site, phone_page: Page
) -> None:
    pages(site)
    phone_page.goto(site.address)
    expect(phone_page.locator("section[aria-labelledby=h-failed] li time").first).to_be_visible()
    card = phone_page.locator("section[aria-labelledby=h-days]").bounding_box()
    label = phone_page.evaluate("""() => {
      const range = document.createRange();
      range.selectNodeContents([...document.querySelectorAll(".chart .label")].at(-1));
      return range.getBoundingClientRect().right;
    }""")
    assert card is not None
    assert label <= card["x"] + card["width"], "the last day is written beyond the edge"


def test_records_on_a_phone_are_not_squeezed_into_columns_of_single_words(site: Site, phone_page: Page) -> None:
    payments = [
        {"to": f"Example GmbH {n}", "iban": f"DE00 1234 5678 9012 34{n:02}", "amount": 1000.5 * n, "what": f"bill {n}"}
        for n in range(3)
    ]
    run_id = site.run("free", payments=payments)
    phone_page.goto(f"{site.url(run_id)}?tab=inputs")
    box = phone_page.get_by_text("DE00 1234 5678 9012 3401").bounding_box()
    assert box is not None
    assert box["height"] < 45, f"more than two lines: {box}"


def test_paper_says_when_it_was_not_how_long_ago(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Quinn")
    page.goto(site.url(run_id))
    page.emulate_media(media="print")
    told = page.evaluate("""() => [...document.querySelectorAll("main time[data-ago]")].map((time) =>
      [getComputedStyle(time).fontSize, getComputedStyle(time, "::after").content])""")
    assert told
    for size, text in told:
        assert size == "0px"
        assert "UTC" in text
        assert "20" in text


def test_paper_has_nothing_to_press(site: Site, people: People) -> None:
    run_id = site.run("charge")
    site.cli("runs", "approve", run_id, "--by", "ann", check=False)
    page = people.person()
    page.goto(site.url(run_id))
    decision = page.get_by_label("Decision at review")
    expect(decision.get_by_text("Resume", exact=True)).to_be_visible()
    page.emulate_media(media="print")
    expect(decision).to_be_visible()
    expect(page.get_by_text("Resume", exact=True).locator("visible=true")).to_have_count(0)


def test_paper_names_the_zone_of_its_times(site: Site, people: People) -> None:
    run_id = site.run("greeting", name="Ada")
    zone = people.person(timezone_id="Asia/Tokyo")
    zone.goto(f"{site.url(run_id)}/print")
    expect(zone.locator("main")).to_contain_text("Times are in Asia/Tokyo")
    plain = people.person(timezone_id="Asia/Tokyo", script=False)
    plain.goto(f"{site.url(run_id)}/print")
    expect(plain.locator("main")).to_contain_text("Times are in UTC")


def test_why_a_button_cannot_be_pressed_can_be_read_without_a_mouse(site: Site, people: People) -> None:
    run_id = site.waiting_run("Cy")
    site.cli("runs", "approve", run_id, "--reject", "--note", "the wrong person", "--by", "ann", check=False)
    for phone in (False, True):
        page = people.person(phone=phone)
        page.goto(site.url(run_id))
        retry = page.get_by_role("button", name="Resume")
        expect(retry).to_be_disabled()
        expect(retry).to_have_accessible_description(
            "Resume is not possible: it was rejected at gate review and cannot continue."
        )
        expect(page.get_by_text("Resume is not possible: it was rejected")).to_be_in_viewport(ratio=1)


def test_with_colours_that_the_system_forces_the_place_and_the_chart_are_still_marked(site: Site, page: Page) -> None:
    site.run("greeting", name="Ada")
    page.emulate_media(forced_colors="active")
    page.goto(site.address)
    place = page.locator(".top nav [aria-current]")
    assert "underline" in place.evaluate("(link) => getComputedStyle(link).textDecorationLine")
    colours = page.locator(".legend i").evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")
    assert len(set(colours)) == len(colours) > 3
    bars = page.locator(".chart rect").evaluate_all("(all) => all.map((one) => getComputedStyle(one).fill)")
    assert bars
    assert set(bars) <= set(colours)


def test_a_flow_that_is_wider_than_its_place_is_shown_from_where_the_run_stands(site: Site, page: Page) -> None:
    names = [f"step{number:02}" for number in range(14)]
    components = [f"  - {{name: {name}, type: template, config: {{template: x, output: y}}}}" for name in names]
    steps = [f"    - component: {name}" for name in names]
    steps.insert(6, "    - approval: {name: review, show: []}")
    text = "\n".join(["name: long", "components:", *components, "flow:", "  steps:", *steps])
    (site.root / "blueprints" / "long.yaml").write_text(text)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(site.url(site.run("long")))
    page.locator(".picture").scroll_into_view_if_needed()
    expect(node(page, "review")).to_be_in_viewport(ratio=0.9)
    expect(node(page, "step00")).not_to_be_in_viewport()

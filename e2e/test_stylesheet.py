"""The rules of the stylesheet hit what they are meant for, and nothing that happens to be called alike."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from e2e.people import People
from e2e.site import Site
from e2e.test_phone import WIDER

pytestmark = pytest.mark.e2e

#: What a state may be called, as a status, an icon, a kind of bar, of change or of line.
WORDS = (
    *("completed", "failed", "rejected", "skipped", "suspended", "cancelled", "voided", "running", "owed", "open"),
    *("waiting", "lost", "held", "cannot_tell", "decided", "undecided", "queued", "same", "gap", "added", "changed"),
    *("removed", "deleted", "unchanged", "cut", "warning", "info", "value"),
)

#: The names among these words at which a chip (or a line of a diff) is laid out other than without it.
DIFFERENT = """([words, form]) => {
  const place = document.querySelector("main");
  const laid = (word) => {
    const holder = document.createElement("div");
    holder.innerHTML = form.replace("WORD", word);
    place.append(holder);
    const { padding, borderTopWidth, display, textAlign, margin, gridTemplateColumns, height } =
      getComputedStyle(holder.querySelector("[data-looked-at]"));
    holder.remove();
    return [padding, borderTopWidth, display, textAlign, margin, gridTemplateColumns, height].join(" | ");
  };
  return words.filter((word) => laid(word) !== laid("none-of-these"));
}"""


@pytest.mark.parametrize("form", [
    '<span class="chip WORD" data-looked-at>x</span>',
    '<ul class="waiting"><li><span class="chip WORD" data-looked-at>x</span></li></ul>',
    '<pre class="source logs"><span class="level-WORD" data-looked-at>x</span></pre>',
    '<svg class="bar"><rect class="WORD" data-looked-at width="10" height="10"></rect></svg>',
    '<svg class="flow"><g class="node WORD" data-looked-at><rect width="9" height="9"></rect></g></svg>',
])  # fmt: skip
def test_a_state_changes_the_colours_of_what_has_it_and_not_its_shape(site: Site, page: Page, form: str) -> None:
    page.goto(f"{site.address}/runs")
    assert page.evaluate(DIFFERENT, [WORDS, form]) == []


def test_lines_left_out_of_a_difference_look_like_the_lines_around_them(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs")
    form = '<div class="linediff mono"><div class="WORD" data-looked-at>…</div></div>'
    same, gap = (page.evaluate(DIFFERENT, [[word], form]) for word in ("same", "gap"))
    assert (same, gap) == (["same"], ["gap"]), "both have their padding"
    page.evaluate("""() => document.querySelector("main").insertAdjacentHTML("beforeend",
      '<div class="linediff"><div class="same" id="s">x</div><div class="gap" id="g">x</div></div>')""")
    look = """(id) => { const of = getComputedStyle(document.getElementById(id));
      return [of.padding, of.borderTopWidth, of.textAlign]; }"""
    assert page.evaluate(look, "s") == page.evaluate(look, "g")


def test_a_text_for_screen_readers_in_a_table_does_not_widen_the_page(site: Site, people: People) -> None:
    phone = people.person(phone=True)
    phone.goto(f"{site.address}/runs")
    wide = f'<tr><td>{"wide " * 60}</td><td>last<span class="unseen"> for those who listen</span></td></tr>'
    table = f'<div class="card flush scroll"><table class="records">{wide}</table></div>'
    phone.evaluate("(table) => document.querySelector('main').insertAdjacentHTML('beforeend', table)", table)
    assert phone.evaluate(WIDER) == []

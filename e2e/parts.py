"""Where things are on the pages, and what people do there in one go."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page


def row(page: Page, name: str) -> Locator:
    """The rows of a node in the timeline: one, unless it was tried or visited again."""
    return page.locator("details.step").filter(has=page.locator(".name b", has_text=re.compile(f"^{name}$")))


def node(page: Page, name: str) -> Locator:
    """A node in the flow picture."""
    return page.locator("svg.flow .node").filter(has=page.locator(".name", has_text=re.compile(f"^{name}$")))


def panel(page: Page, gate: str) -> Locator:
    """The decision panel of a gate."""
    return page.locator("section.decide").filter(has=page.locator(".over b", has_text=re.compile(f"^{gate}$")))


def fill_in(place: Page | Locator, *, by: str = "ann", note: str = "") -> None:
    """Say who and why in a decision panel."""
    place.get_by_label("Approver").fill(by)
    if note:
        place.get_by_label("Note").fill(note)


def press(place: Page | Locator, button: str, *, by: str = "ann", note: str = "") -> None:
    """Decide: `button` is Approve or Reject."""
    fill_in(place, by=by, note=note)
    place.get_by_role("button", name=button, exact=True).click()

"""What is deep, long or many can still be read: nothing runs off the side, overlaps, or falls into letters."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.site import Site

pytestmark = pytest.mark.e2e


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

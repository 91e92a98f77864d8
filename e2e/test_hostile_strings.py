"""A hundred hostile strings in every field, on every page, in a real browser: they are read as text, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

import pytest
import yaml
from playwright.sync_api import Dialog, Page, Request, expect

from e2e.people import People
from e2e.site import Site
from neurocore.config import load_config
from neurocore.persistence import build_run_store
from tests.hostile import HOSTILE, HUGE, filled

pytestmark = pytest.mark.e2e

PACKED = 12
TABS = ("activity", "context", "inputs", "blueprint")
WIDTHS = (1280, 320)

#: Nothing of these strings may run: whatever would, leaves a trace here.
CANARY = """
window.fired = [];
for (const name of ["alert", "confirm", "prompt", "msgbox"]) window[name] = () => window.fired.push(name);
"""

#: What strangers have put on the page: elements that the product never uses, handlers, addresses of elsewhere.
STRANGERS = """() => [...document.querySelectorAll("*")].flatMap((one) => {
  const found = [];
  if (/^(iframe|object|embed|base|img|video|source|math|marquee|style|template)$/i.test(one.tagName)) {
    found.push(one.tagName);
  }
  for (const { name, value } of one.attributes) {
    const address = /^(href|src|action|formaction|hx-get)$/.test(name);
    if (/^on|^hx-on|^style$/.test(name) || (address && !/^[/#?]/.test(value))) {
      found.push(`${one.tagName} ${name}=${value.slice(0, 80)}`);
    }
  }
  return found;
})"""

OPEN = "() => { for (const one of document.querySelectorAll('details:not(.menu):not(.step)')) one.open = true; }"
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return "";
  const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > width + 1)
    .filter((one) => !one.closest(".scroll, pre"));
  return `${document.documentElement.scrollWidth} px: ${wide.slice(-2).map((one) => one.outerHTML.slice(0, 120))}`;
}"""


def packs() -> Iterator[str]:
    """The strings, a dozen at a time."""
    for start in range(0, len(HOSTILE), PACKED):
        yield " ".join(HOSTILE[start : start + PACKED])


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    """A dashboard that only shows: a run for each string (for the lists), and one for each dozen (for their pages)."""
    site = new_site("--no-dispatch")
    store = build_run_store(load_config(site.root))
    assert store is not None
    for number, word in enumerate(HOSTILE):
        filled(store, word, number)
    for number, pack in enumerate(packs(), 900):
        filled(store, pack, number)
        declare(site, pack, number)
    store.close()
    return site


def declare(site: Site, pack: str, number: int) -> None:
    """A blueprint that has these strings wherever one may write what one likes."""
    words = pack.split(" ")
    inputs = {
        f"field{place}": {"type": "string", "description": word, "default": word, "required": False}
        for place, word in enumerate(words)
    }
    document = {
        "name": f"hostile-{number}", "version": pack, "description": pack, "inputs": inputs,
        "components": [{"name": "one", "type": "template", "config": {"template": "x", "output": "y", pack: pack}}],
        "flow": {"steps": [{"component": "one", "description": pack}, {"component": pack}]},
    }  # fmt: skip
    (site.root / "blueprints" / f"hostile-{number}.yaml").write_bytes(
        yaml.safe_dump(document).encode("utf-8", "surrogatepass")
    )


class Reader:
    """Somebody who opens pages and looks whether anything but text came of them."""

    def __init__(self, people: People, site: Site) -> None:
        self.site = site
        self.elsewhere: list[str] = []
        self.dialogs: list[str] = []
        self.page = people.person(traced=False)
        self.page.add_init_script(CANARY)
        self.page.on("request", self._asked)
        self.page.on("dialog", self._interrupted)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.site.address):
            self.elsewhere.append(request.url)

    def _interrupted(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def read(self, path: str) -> Page:
        """Open a page and check it."""
        answer = self.page.goto(self.site.address + path)
        assert answer is not None
        assert answer.status < 500, path
        self.check(path)
        return self.page

    def check(self, where: str) -> None:
        """Nothing has run, nothing was fetched from elsewhere, nothing sticks out."""
        page = self.page
        page.wait_for_function("() => document.documentElement.classList.contains('script')")
        page.evaluate(OPEN)
        assert page.evaluate("window.fired") == [], where
        assert self.dialogs == [], where
        assert self.elsewhere == [], where
        assert page.evaluate(STRANGERS) == [], where
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(WIDER) == "", f"{where} at {width} px"
        page.set_viewport_size({"width": 1280, "height": 800})


@pytest.fixture
def reader(people: People, site: Site) -> Reader:
    return Reader(people, site)


def test_lists_show_a_hundred_hostile_runs_as_text(reader: Reader) -> None:
    for path in ("/runs?limit=200", "/", "/approvals", "/blueprints"):
        page = reader.read(path)
        expect(page.locator("main h1")).to_be_visible()
    page = reader.read("/runs?limit=200")
    text = page.locator("#rows").inner_text()
    for word in ("<script>alert(1)</script>", "{{ 7*7 }}", "${7*7}", "<%= 7*7 %>", "'; DROP TABLE runs; --"):
        assert word in text


def test_run_pages_with_a_dozen_strings_in_every_field_are_text(reader: Reader) -> None:
    for number, _ in enumerate(packs(), 900):
        reader.read(f"/runs/{number}hostile?tab={TABS[number % 4]}")
        reader.read(f"/runs/{number}hostile/steps/{number % 4}")
        if number % 3 == 0:
            reader.read(f"/runs/{number}hostile/print")
    reader.read("/runs/901hostile/compare/902hostile")


def test_steps_that_are_fetched_into_the_page_are_text(reader: Reader) -> None:
    for number in (900, 903, 906):
        page = reader.read(f"/runs/{number}hostile")
        page.evaluate("() => { for (const one of document.querySelectorAll('details.step')) one.open = true; }")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.body[data-src]')].every((body) => body.querySelector('.step-body'))"
        )
        reader.check(f"opened steps of {number}")


def test_a_line_of_a_megabyte_breaks_no_page(reader: Reader, site: Site) -> None:
    run_id = site.waiting_run(HUGE)
    for path in (f"/runs/{run_id}", f"/runs/{run_id}?tab=context", f"/runs/{run_id}/steps/0", "/runs", "/approvals"):
        reader.read(path)


def test_hostile_blueprints_are_text(reader: Reader) -> None:
    for number, _ in enumerate(packs(), 900):
        reader.read(f"/blueprints/hostile-{number}")


def test_what_people_type_comes_back_as_text(reader: Reader, site: Site) -> None:
    run_id = site.waiting_run("Zoe")
    for pack in packs():
        typed = pack.encode("utf-8", "replace").decode().replace("\x00", "")
        asked = quote_plus(typed[:400])
        page = reader.read(f"/runs?q={asked}&by={asked}&since={asked}")
        page.goto(site.url(run_id))
        page.get_by_label("Approver").fill("ann")
        page.get_by_label("Note").fill(typed)
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#decided, [aria-invalid]").first).to_be_attached()
        reader.check(f"typed {typed!r}")
        if site.record(run_id).status.value != "suspended" or site.record(run_id).owed:
            run_id = site.waiting_run("Zoe")


def test_hostile_addresses_are_text(reader: Reader) -> None:
    for word in HOSTILE[:12]:
        reader.read(f"/runs/{quote_plus(word)}")

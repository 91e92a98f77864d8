"""The first look: readable before any script, at most 60 KB, nothing from elsewhere, and nothing moves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from e2e.gallery import PLACES, pages
from e2e.people import People
from e2e.screenshots import REPOSITORY
from e2e.site import Site
from hatch_build import build_static

pytestmark = pytest.mark.e2e

WEBAPP = REPOSITORY / "webapp"
MOST_BYTES = 60 * 1024

#: A figure that gets wider in its own cell begins further left, which counts as a tiny shift.
IN_ITS_CELL = 0.0005

#: Collects every shift of the layout, those right after a key or a click too.
WATCH = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    window.shifts.push([entry.value, `${entry.sources.map((one) => one.node?.outerHTML?.slice(0, 80))}`]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""

#: After two frames, everything that was put on the page has been laid out, painted and reported.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


def see(page: Page, address: str) -> None:
    """Open a page and let its scripts do what they do at the start."""
    page.goto(address)
    page.wait_for_function("() => document.documentElement.classList.contains('script')")
    page.evaluate(PAINTED)


def shifts(page: Page) -> list[str]:
    """What moved on the page so far, and by how much of the window."""
    page.evaluate(PAINTED)
    return [f"{much:.4f} {what}" for much, what in page.evaluate("window.shifts") if much > IN_ITS_CELL]


def transferred(requests: list[Request]) -> dict[str, int]:
    """What came over the wire for each address: bodies as they were sent (packed), and the headers."""
    found = {}
    for request in requests:
        sizes = request.sizes()
        found[request.url] = sizes["responseBodySize"] + sizes["responseHeadersSize"]
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with its static files as an installed package has them: packed, and named by their content."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(WEBAPP, folder / "webapp", ignore=shutil.ignore_patterns("dist", ".dist-*", "__pycache__"))
    build_static(folder / "webapp" / "static")
    site = Site(folder / "project")
    yield site.start(PYTHONPATH=str(folder))
    site.stop()


def test_the_first_page_takes_at_most_60_kilobytes_and_only_this_host(installed: Site, people: People) -> None:
    for name in ("home", "list", "waiting", "completed", "blueprint with a graph"):
        page = people.person()
        finished: list[Request] = []
        asked: list[str] = []
        page.on("requestfinished", lambda request: finished.append(request))  # noqa: B023, PLW0108
        page.on("request", lambda request: asked.append(request.url))  # noqa: B023
        see(page, installed.address + pages(installed)[name])
        came = transferred(finished)
        assert all(url.startswith(f"{installed.address}/") for url in asked), asked
        assert len(came) >= 4, "the page, its style and its scripts"
        assert sum(came.values()) <= MOST_BYTES, (name, came)
        page.context.close()


def test_the_second_page_takes_nothing_but_itself(installed: Site, people: People) -> None:
    page = people.person()
    see(page, f"{installed.address}/runs")
    see(page, f"{installed.address}/approvals")
    fetched = page.evaluate("performance.getEntriesByType('resource').map((one) => [one.name, one.transferSize])")
    assert len(fetched) >= 3
    assert [name for name, size in fetched if size] == [], "files that are named by their content are kept for a year"


def test_every_page_can_be_read_before_a_script_has_come(site: Site, people: People) -> None:
    page = people.person()
    page.route("**/*.js", lambda route: route.abort())
    people.allow("ERR_FAILED")
    for name in ("home", "list", "waiting", "completed", "failed"):
        page.goto(site.address + pages(site)[name])
        expect(page.locator("main h1")).to_be_visible()
        assert page.locator("main").inner_text().strip()
    page.goto(site.address + pages(site)["waiting"])
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()


def test_nothing_moves_while_a_page_loads(site: Site, people: People) -> None:
    page = people.person(traced=False)
    page.add_init_script(WATCH)
    moved = {}
    for name in (*PLACES, "waiting", "two gates", "completed", "failed", "compare", "blueprint with every input"):
        see(page, site.address + pages(site)[name])
        if found := shifts(page):
            moved[name] = found
    assert moved == {}


def test_nothing_moves_on_a_phone_either(site: Site, people: People) -> None:
    page = people.person(phone=True)
    page.add_init_script(WATCH)
    moved = {}
    for name in ("home", "list", "approvals", "waiting", "completed"):
        see(page, site.address + pages(site)[name])
        if found := shifts(page):
            moved[name] = found
    assert moved == {}


def test_a_step_that_is_added_moves_only_what_stands_below_it(site: Site, people: People) -> None:
    run_id = site.start_run("slow", who="Ike")
    site.begun(run_id, "first")
    page = people.person()
    page.add_init_script(WATCH)
    page.goto(site.url(run_id))
    expect(page.locator("details.step.running")).to_have_count(1)
    before = [page.locator(one).first.bounding_box() for one in ("#status", "#timeline-h", ".flow", "details.step")]
    site.go(run_id, "first")
    expect(page.locator("details.step.completed")).to_have_count(1)
    after = [page.locator(one).first.bounding_box() for one in ("#status", "#timeline-h", ".flow", "details.step")]
    site.go(run_id, "second", "third")
    assert after == before


def test_nothing_moves_when_a_list_shows_another_status(new_site: Callable[..., Site], people: People) -> None:
    site = new_site()
    run_id = site.waiting_run("Jan")
    page = people.person()
    page.add_init_script(WATCH)
    page.goto(f"{site.address}/runs")
    page.evaluate(PAINTED)
    site.cli("runs", "approve", run_id, "--by", "bob")
    expect(page.locator("#rows")).to_contain_text("completed")
    assert shifts(page) == []

"""A real server process over a real project, a real browser, and what is kept when a test fails.

`site` is one server for all tests of a worker: make runs of your own, look at nothing else. A file that counts runs,
or stops the server, overrides it: `@pytest.fixture(scope="module") def site(new_site): return new_site()`.
`page` is a person's page, `people.person(dark=True, phone=True, script=False)` makes more. At the end of each test
their consoles must have been quiet. Of a failed test, `test-results/` has pictures, traces and the server's log.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from e2e.people import People, launch
from e2e.site import Site

RESULTS = Path(__file__).parent.parent / "test-results"

expect.set_options(timeout=15_000)

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let the fixtures know at their end whether the test failed."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="session")
def _sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    started: list[Site] = []

    def new(*options: str) -> Site:
        site = Site(tmp_path_factory.mktemp("site") / "project")
        started.append(site)
        return site.start(*options)

    yield new
    for site in started:
        site.end()


@pytest.fixture(scope="session")
def new_site(_sites: Callable[..., Site]) -> Callable[..., Site]:
    """Makes a site of one's own: a fresh project and a server for it, with these options."""
    return _sites


@pytest.fixture(scope="session")
def site(new_site: Callable[..., Site]) -> Site:
    """The server that the tests of this worker share."""
    return new_site()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for each worker."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def people(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[People]:
    """People with browsers; at the end nothing may stand on their consoles."""
    people = People(browser)
    logged = site.log.stat().st_size
    yield people
    try:
        if request.node.stash.get(_failed, False):
            _keep(people, site, logged, request.node.nodeid)
        else:
            try:
                people.check()
            except AssertionError:
                _keep(people, site, logged, request.node.nodeid)
                raise
    finally:
        people.close()


def _keep(people: People, site: Site, logged: int, test: str) -> None:
    folder = RESULTS / re.sub(r"[^\w.-]+", "-", test.removeprefix("e2e/"))[:150]
    shutil.rmtree(folder, ignore_errors=True)
    people.keep(folder)
    with site.log.open("rb") as log:
        log.seek(logged)
        (folder / "server.log").write_bytes(log.read())


@pytest.fixture
def page(people: People) -> Page:
    """A page of a person with JavaScript, in the light, at a desk."""
    return people.person()


@pytest.fixture
def dark_page(people: People) -> Page:
    """A page in the dark."""
    return people.person(dark=True)


@pytest.fixture
def phone_page(people: People) -> Page:
    """A page on a phone."""
    return people.person(phone=True)


@pytest.fixture
def plain_page(people: People) -> Page:
    """A page without JavaScript."""
    return people.person(script=False)

"""Pages of other sites, open in the same browser as the dashboard: what they send does nothing, and shows nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.people import People
from e2e.site import Site
from e2e.test_signin import PASSWORD, sign_in
from e2e.test_signin import site as team

pytestmark = pytest.mark.e2e

__all__ = ["team"]


class Evil(http.server.BaseHTTPRequestHandler):
    """Answers every request with one page, and with one cookie where there is one."""

    page = ""
    cookie = ""

    def do_GET(self) -> None:
        """Send the page."""
        body = f"<!doctype html><title>evil</title>{self.page}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.cookie:
            self.send_header("Set-Cookie", self.cookie)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Say nothing."""


class Elsewhere:
    """Another web server on this machine: `cross` is its address as another site, `port` as the same host's."""

    def __init__(self) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
        number = self.server.server_address[1]
        self.cross, self.port = f"http://localhost:{number}/", f"http://127.0.0.1:{number}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def shows(self, page: str, cookie: str = "") -> None:
        """Answer with this from now on."""
        Evil.page, Evil.cookie = page, cookie


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """Another server."""
    found = Elsewhere()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def site(team: Site) -> Site:
    """The site in which people sign in."""
    return team


@pytest.fixture
def olaf(site: Site, people: People) -> Page:
    """Somebody signed in who may do much, and whose browser opens other sites."""
    people.allow("403", "400", "CORS", "ERR_FAILED", "ERR_BLOCKED", "frame", "X-Frame-Options", "CSP")
    page = people.person()
    sign_in(page, site, "olaf")
    return page


def places(elsewhere: Elsewhere) -> list[str]:
    return [elsewhere.cross, elsewhere.port]


@pytest.mark.parametrize("place", [0, 1])
def test_a_form_of_another_site_changes_nothing(site: Site, olaf: Page, elsewhere: Elsewhere, place: int) -> None:
    run_id = site.waiting_run()
    for path in (f"/runs/{run_id}/cancellation", f"/runs/{run_id}/replay", "/logout", "/account/tokens"):
        elsewhere.shows(
            f'<form method="post" action="{site.address}{path}"><input name="name" value="evil">'
            '<input name="scope" value="start"><button>win</button></form>'
        )
        olaf.goto(places(elsewhere)[place])
        olaf.get_by_role("button", name="win").click()
        expect(olaf.get_by_role("heading", name="Not allowed")).to_be_visible()
    olaf.goto(f"{site.address}/account")
    expect(olaf.get_by_role("heading", name="Sessions")).to_be_visible()
    expect(olaf.get_by_text("evil")).to_have_count(0)
    assert site.record(run_id).status == "suspended"


@pytest.mark.parametrize("place", [0, 1])
def test_a_script_of_another_site_sends_and_reads_nothing(
    site: Site, olaf: Page, elsewhere: Elsewhere, place: int
) -> None:
    run_id = site.waiting_run()
    elsewhere.shows("<p>evil</p>")
    olaf.goto(places(elsewhere)[place])
    found = olaf.evaluate(
        """async ([address, run]) => {
          const told = {};
          const ask = async (name, url, options) => {
            try {
              const answer = await fetch(address + url, {credentials: "include", ...options});
              told[name] = [answer.type, answer.status, (await answer.text()).length];
            } catch (error) { told[name] = ["error", 0, 0]; }
          };
          const form = new URLSearchParams({by: "eve", note: "x"});
          await ask("post", `/runs/${run}/cancellation`, {method: "POST", mode: "no-cors", body: form});
          await ask("json", `/api/v1/runs/${run}/cancellation`, {method: "POST", body: "{}",
            headers: {"Content-Type": "application/json"}});
          await ask("text", `/api/v1/runs/${run}/cancellation`, {method: "POST", mode: "no-cors", body: "{}"});
          await ask("read", `/api/v1/runs/${run}`, {});
          const began = performance.now();
          await ask("wait", `/api/v1/runs/${run}?wait=60&until=failed`, {mode: "no-cors"});
          told.took = performance.now() - began;
          await ask("compare", `/runs/${run}/compare/${run}`, {mode: "no-cors"});
          const image = new Image();
          await new Promise((done) => { image.onload = image.onerror = done; image.src = address + "/runs"; });
          told.image = image.naturalWidth;
          return told;
        }""",
        [site.address, run_id],
    )
    for name in ("post", "json", "text", "read", "wait", "compare"):
        kind, status, length = found[name]
        assert kind in ("opaque", "error"), name
        assert (status, length) == (0, 0), name
    assert found["took"] < 30_000, "nothing waits for a page of another site"
    assert found["image"] == 0
    assert site.record(run_id).status == "suspended"
    assert not [line for line in _log(site) if "cancelled" in line]


def _log(site: Site) -> list[str]:
    return Path(site.log).read_text().splitlines()


@pytest.mark.parametrize("place", [0, 1])
def test_another_site_signs_nobody_in_as_somebody_else(
    site: Site, olaf: Page, elsewhere: Elsewhere, place: int
) -> None:
    elsewhere.shows(
        f'<form method="post" action="{site.address}/login"><input name="username" value="vera">'
        f'<input name="password" value="{PASSWORD}"><input name="next" value="/account"><button>win</button></form>'
    )
    olaf.goto(places(elsewhere)[place])
    olaf.get_by_role("button", name="win").click()
    expect(olaf.get_by_role("heading", name="Not allowed")).to_be_visible()
    olaf.goto(f"{site.address}/")
    expect(olaf.get_by_role("link", name="Account")).to_have_attribute("title", "Signed in as olaf")


@pytest.mark.parametrize("path", ["/login", "/account", "/approvals", "/static/icon.svg"])
def test_no_page_is_in_a_frame_of_another_site(site: Site, olaf: Page, elsewhere: Elsewhere, path: str) -> None:
    elsewhere.shows(f'<iframe src="{site.address}{path}" width="600" height="400"></iframe>')
    for place in places(elsewhere):
        olaf.goto(place)
        frame = olaf.frames[1]
        frame.wait_for_load_state()
        assert frame.url.startswith(("chrome-error:", "about:blank")), frame.url
        assert not frame.get_by_text("NeuroCore").count()


def test_a_window_of_another_site_reaches_nothing_in_the_dashboard(
    site: Site, olaf: Page, elsewhere: Elsewhere
) -> None:
    elsewhere.shows(f'<a href="{site.address}/runs" target="w">open</a><script>window.mine = null</script>')
    olaf.goto(elsewhere.cross)
    with olaf.context.expect_page() as opened:
        olaf.evaluate("address => { window.mine = window.open(address + '/runs') }", site.address)
    opened.value.wait_for_load_state()
    expect(opened.value.get_by_role("heading", name="Runs")).to_be_visible()
    assert olaf.evaluate("() => window.mine.closed"), "Cross-Origin-Opener-Policy cuts the two apart"
    assert opened.value.evaluate("() => window.opener === null")


def test_a_cookie_of_another_port_with_the_same_name_makes_nobody_somebody_else(
    site: Site, people: People, olaf: Page, elsewhere: Elsewhere
) -> None:
    attacker = people.person()
    sign_in(attacker, site, "vera")
    (planted,) = [one for one in attacker.context.cookies() if one["name"].startswith("neurocore-")]
    elsewhere.shows("<p>evil</p>", f"{planted['name']}={planted['value']}; Path=/runs")
    olaf.goto(elsewhere.port)
    olaf.goto(f"{site.address}/runs")
    expect(olaf.get_by_text("sends two cookies")).to_be_visible()
    expect(olaf.get_by_text("vera")).to_have_count(0)
    olaf.goto(f"{site.address}/runs")
    expect(olaf.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(olaf, site, "olaf", "/runs")
    expect(olaf.get_by_role("link", name="Account")).to_have_attribute("title", "Signed in as olaf")

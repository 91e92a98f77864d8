"""Behind a proxy, below a path or not: every page, form, script and cookie stays where people see the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from e2e.parts import press
from e2e.people import People
from e2e.proxy import Manual, Proxy
from e2e.site import Site

pytestmark = pytest.mark.e2e

PROTO = {"X-Forwarded-Proto": "{scheme}"}
#: `proxy_set_header` as nginx's manual has them; then with what many add to them.
NGINX = Manual("{name}", {**PROTO, "X-Forwarded-Port": "{port}"})
#: What Caddy sends by itself.
CADDY = Manual("{host}", {**PROTO, "X-Forwarded-Host": "{host}"})
#: What Traefik sends by itself.
TRAEFIK = Manual(
    "{host}", {**PROTO, "X-Forwarded-Host": "{host}", "X-Forwarded-Port": "{port}", "X-Forwarded-Server": "t1"}
)


def below(manual: Manual, *, strip: bool, said: bool = False, tls: bool = False, old: bool = False) -> Manual:
    more = {"X-Forwarded-Prefix": "/neuro"} if said else {}
    return Manual(manual.host, {**manual.headers, **more}, "/neuro", strip, tls, old)


#: How the proxy is set up, and whether the dashboard's own settings name the address, the path, or neither.
SETUPS = {
    "nginx": (Manual(NGINX.host, NGINX.headers), "nothing"),
    "nginx that does not pass the host on": (Manual("{backend}", PROTO), "address"),
    "nginx without a port, over TLS, an old browser": (Manual("{name}", PROTO, tls=True, old_browser=True), "address"),
    "nginx below a path that it takes off": (below(NGINX, strip=True, tls=True), "path"),
    "nginx below a path that it leaves": (below(NGINX, strip=False, old=True), "path"),
    "nginx that says the path": (below(NGINX, strip=True, said=True), "nothing"),
    "caddy over TLS": (Manual(CADDY.host, CADDY.headers, tls=True), "nothing"),
    "caddy with handle_path": (below(CADDY, strip=True, old=True), "path"),
    "caddy with handle": (below(CADDY, strip=False, tls=True, old=True), "address"),
    "traefik": (Manual(TRAEFIK.host, TRAEFIK.headers, old_browser=True), "nothing"),
    "traefik with StripPrefix": (below(TRAEFIK, strip=True, said=True, tls=True), "nothing"),
    "traefik with PathPrefix": (below(TRAEFIK, strip=False, tls=True, old=True), "path"),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project whose server each test starts with settings of its own."""
    made = Site(tmp_path_factory.mktemp("proxied") / "project")
    made.log.touch()
    yield made
    made.end()


@pytest.mark.parametrize("setup", SETUPS)
def test_a_person_finds_all_pages_and_decides_behind_a_proxy(
    site: Site, people: People, tmp_path: Path, setup: str
) -> None:
    manual, named = SETUPS[setup]
    with Proxy(manual, site.port, tmp_path) as proxy:
        settings = {"NEUROCORE_WEB__PROXIES": "1", "NEUROCORE_WEB__ALLOWED_HOSTS": "[flows.localhost]"}
        if named == "address":
            settings["NEUROCORE_WEB__PUBLIC_URL"] = proxy.address
        elif named == "path":
            settings["NEUROCORE_WEB__ROOT_PATH"] = manual.prefix
        site.start(**settings)
        try:
            walk(site, people, proxy, manual)
        finally:
            site.stop()


def walk(site: Site, people: People, proxy: Proxy, manual: Manual) -> None:
    run_id = site.waiting_run()
    page = people.person(ignore_https_errors=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{proxy.address}/")
    for name, place in (("Runs", "/runs"), ("Approvals", "/approvals"), ("Blueprints", "/blueprints"), ("Home", "/")):
        page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        expect(page).to_have_url(f"{proxy.address}{place}")
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_url(f"{proxy.address}/runs")
    page.locator("#theme").click()
    page.locator(f'a[href$="/runs/{run_id}"]').first.click()
    expect(page).to_have_url(f"{proxy.address}/runs/{run_id}")
    expect(page.locator("html")).to_have_attribute("data-theme", re.compile("dark|light"))
    assert page.locator("[data-copy]").first.get_attribute("data-copy") in (
        f"{manual.prefix}/runs/{run_id}", f"{proxy.address}/runs/{run_id}",
    )  # fmt: skip
    press(page, "Approve", by="ann@example.com", note="fine")
    expect(page.locator("#status .chip")).to_have_text("completed")
    assert site.answers(run_id) == [("review", True, "ann@example.com", "fine")]
    for what in ("context", "inputs", "blueprint", "activity"):
        page.goto(f"{proxy.address}/runs/{run_id}?tab={what}")
    alternate = page.locator('link[type="application/json"]').get_attribute("href")
    assert alternate is not None
    assert page.evaluate("(link) => fetch(link).then((answer) => answer.json())", alternate)["run_id"] == run_id
    page.goto(f"{proxy.address}/runs/{run_id[:10]}")
    expect(page).to_have_url(f"{proxy.address}/runs/{run_id}")
    outside = [url for url in asked if not url.startswith(f"{proxy.address}/")]
    assert outside == [], "every address stays below the path"
    paths = {cookie["name"]: cookie["path"] for cookie in page.context.cookies()}
    assert len(paths) == 2
    assert set(paths.values()) == {manual.prefix or "/"}
    links = page.eval_on_selector_all("[href], [src], [action]", ALL_LINKS)
    assert [link for link in links if not (urlsplit(link).path + "/").startswith(f"{manual.prefix}/")] == []


ALL_LINKS = """(all) => all
  .map((one) => one.getAttribute("href") ?? one.getAttribute("src") ?? one.getAttribute("action"))
  .filter((link) => link && !link.startsWith("#") && !link.startsWith("data:"))
  .map((link) => new URL(link, document.location.href).href)"""

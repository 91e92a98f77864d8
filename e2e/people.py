"""People at their browsers: contexts of one Chromium, each watched for errors, traced, and kept on failure only."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, Response
from playwright.sync_api import Error as PlaywrightError

DEBIAN = "/usr/bin/chromium"
#: What no test looks at. The pages of the address bar's suggestions alone take a process for every window.
UNUSED = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,HttpsUpgrades,MediaRouter,OptimizationHints,PaintHolding"

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}

#: Tells violations of the page's policy where every error is collected.
TELL = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} refused ${event.blockedURI} ${event.sample}`));"""


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium where it is, else Playwright's own."""
    return playwright.chromium.launch(
        executable_path=DEBIAN if Path(DEBIAN).exists() else None,
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            f"--disable-features={UNUSED}",
        ],
    )


class People:
    """Makes pages, each in a context (cookies, storage) of its own; collects what their consoles complain about."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.problems: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._navigated: set[str] = set()
        self._allowed: list[str] = []

    def person(
        self, *, dark: bool = False, phone: bool = False, script: bool = True, motion: bool = False,
        traced: bool = True, **options: Any,
    ) -> Page:  # fmt: skip
        """A page of somebody new: in the dark, on a phone, without JavaScript, as asked.

        Who only reads many pages one after the other goes untraced, which takes half the time.
        """
        given: dict[str, Any] = {
            "color_scheme": "dark" if dark else "light",
            "reduced_motion": "no-preference" if motion else "reduce",
            "java_script_enabled": script,
            "locale": "en-GB",
            **(PHONE if phone else {"viewport": {"width": 1280, "height": 900}}),
            **options,
        }
        context = self.browser.new_context(**given)
        context.set_default_timeout(20_000)
        if traced:
            context.tracing.start(snapshots=True)
        self._contexts.append(context)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        context.on("request", self._asked)
        context.on("response", self._answered)
        if script:
            context.add_init_script(TELL)
        return context.new_page()

    def allow(self, *patterns: str) -> None:
        """Problems that match one of these are meant to be: `ERR_CONNECTION_REFUSED` where a test stops the server."""
        self._allowed += patterns

    def check(self) -> None:
        """Fail when a page complained: an error on the console, a violated policy, a 5xx."""
        found = [text for text in self.problems if not any(re.search(pattern, text) for pattern in self._allowed)]
        assert not found, "the browser complained:\n" + "\n".join(found)

    def keep(self, folder: Path) -> None:
        """Write a picture of every page, the traces and the complaints."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, context in enumerate(self._contexts, 1):
            for tab, page in enumerate(context.pages, 1):
                with contextlib.suppress(PlaywrightError):
                    page.screenshot(path=folder / f"person-{number}-{tab}.png", full_page=True)
            with contextlib.suppress(PlaywrightError):
                context.tracing.stop(path=folder / f"person-{number}.zip")
        (folder / "problems.txt").write_text("\n".join(self.problems) or "The browser complained about nothing.")

    def close(self) -> None:
        """Everybody goes home."""
        for context in self._contexts:
            with contextlib.suppress(PlaywrightError):
                context.close()

    # ---------------------------------------------------------------- watching

    def _asked(self, request: Request) -> None:
        if request.is_navigation_request():
            self._navigated.add(request.url)

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status} from {response.request.method} {response.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        # Chromium reports a page that is refused (404, 422 …) as a resource that failed; what it says is the test's.
        refused = message.text.startswith("Failed to load resource: the server responded with a status of 4")
        if refused and message.location.get("url") in self._navigated:
            return
        self.problems.append(f"{message.text} ({message.location.get('url', '')})")

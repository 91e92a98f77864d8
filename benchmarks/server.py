"""What a real server does over real HTTP: pages kept open, decisions, the first page, memory."""

from __future__ import annotations

import html
import http.client
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode, urljoin

import psutil

from benchmarks.measure import Row, percentile
from neurocore.blueprint.load import load_blueprint
from neurocore.config import load_config
from neurocore.persistence import RunStatus, RunStore, build_run_store
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.loader import discover_skills

SKILLS = '''
from neurocore import Skill, SkillMeta


class Say(Skill):
    """Sets a value."""

    skill_meta = SkillMeta(name="say", version="1.0")

    def process(self, context):
        context.set(self.name, {"payments": 187, "total": "48210.55"})
        return context
'''
BLUEPRINT = """
name: payments
title: "Payments of {{ batch }}"
inputs: {batch: {type: string, default: March}}
components:
  - {name: read, type: say}
  - {name: write, type: say}
flow:
  steps:
    - component: read
    - approval: {name: review, message: "Release the payments of {{ batch }}?", show: [read]}
    - component: write
"""
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about the server."""
    if not quick:
        from hatch_build import build_static

        build_static(Path(__file__).parents[1] / "webapp" / "static")  # as every installed package has it
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        with project.serving() as server:
            found = [] if quick else [first_page(server)]
            found.append(decisions(project, server, 5 if quick else 60))
            found.append(open_pages(project, server, *((20, 2) if quick else (200, 15))))
            found.append(memory(project, server, 600 if quick else 100_000))
    return found


class Project:
    """A project folder with a history, and runs that wait at their gate."""

    def __init__(self, root: Path) -> None:
        for file, text in {
            "neurocore.yaml": "project: {name: bench}\n",
            "skills/words.py": SKILLS,
            "blueprints/payments.yaml": BLUEPRINT,
        }.items():  # fmt: skip
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(text)
        self.root = root
        self.config = load_config(root)
        store = build_run_store(self.config)
        assert store is not None
        self.store: RunStore = store
        self.registry = discover_skills(self.config)
        self.blueprint = load_blueprint(root / "blueprints" / "payments.yaml")

    def waiting(self) -> str:
        """A run that has come to its gate."""
        context = execute_blueprint_tracked(
            self.blueprint, self.registry, self.config, run_store=self.store, started_by="ann"
        )
        return context.metadata.run_id

    @contextmanager
    def serving(self, *more: str, under: tuple[str, ...] = ()) -> Iterator[Server]:
        """`neurocore serve` as a process, with further options; perhaps as the child of a command that watches it."""
        command = [*under, sys.executable, "-m", "neurocore", "serve", "--port", "0", *more]
        process = subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        pid = process.pid
        try:
            assert process.stdout is not None
            told = next(match for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
            children = psutil.Process(process.pid).children() if under else []
            pid = children[0].pid if children else pid
            server = Server(pid, int(told.group(1)))
            yield server
            server.leave()
        finally:
            os.kill(pid, signal.SIGTERM)
            process.communicate(timeout=30)
            self.store.close()


class Server:
    """A process that answers on a port of this machine."""

    def __init__(self, pid: int, port: int) -> None:
        self.process = psutil.Process(pid)
        self.port = port
        self._browsers: list[Browser] = []

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def browser(self) -> Browser:
        """A connection that stays open, with cookies."""
        self._browsers.append(Browser(self.port))
        return self._browsers[-1]

    def leave(self) -> None:
        """Close every connection."""
        for browser in self._browsers:
            browser.close()


class Browser:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._cookies: dict[str, str] = {}

    def ask(self, path: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> str:
        """The body of the answer; a refusal is an error."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()), **(headers or {})}
        if form is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._connection.request(
            "GET" if form is None else "POST", path, None if form is None else urlencode(form), sent
        )
        answer = self._connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.split(";")[0].partition("=")
            self._cookies[name] = value
        body = answer.read().decode()
        assert answer.status < 400, f"{path}: {answer.status} {body[:500]}"
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


# -------------------------------------------------------------------- decisions


def decisions(project: Project, server: Server, count: int) -> Row:
    """From the moment the form is sent to the moment the step after the gate has started, as it is recorded."""
    waiting = [project.waiting() for _ in range(count + 3)]
    browser = server.browser()
    costs = []
    for run_id in waiting:
        page = browser.ask(f"/runs/{run_id}")
        form = re.search(r'<form method="post" action="[^"]*/decision".*?</form>', page, re.DOTALL)
        assert form is not None
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form.group()))
        fields = {name: html.unescape(value) for name, value in fields.items()}
        sent = time.time()
        browser.ask(f"/runs/{run_id}/decision", form={**fields, "by": "carla", "note": "", "decision": "approve"})
        while (run := project.store.load_summary(run_id)) is None or run.status is not RunStatus.COMPLETED:
            time.sleep(0.002)
        after = next(step for step in project.store.load_steps(run_id) if step.component == "write")
        costs.append((_seconds(after.started_at) - sent) * 1e3)
    measured = percentile(costs[3:], 0.95)  # the first ones load code
    return Row("approve in the browser, until the next step starts (p95)", f"{measured:.0f} ms", aim="< 50 ms")


def _seconds(iso: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(iso).timestamp()


# -------------------------------------------------------------------- pages that stay open


def open_pages(project: Project, server: Server, count: int, seconds: int) -> Row:
    """Pages of runs that wait, each of which asks once a second whether anything has changed."""
    pages = []
    for run_id in [project.waiting() for _ in range(count)]:
        browser = server.browser()
        page = browser.ask(f"/runs/{run_id}")
        asked = re.search(r'<div id="live"[^>]*hx-get="([^"]+)"', page)
        assert asked is not None
        pages.append((browser, f"{html.unescape(asked.group(1))}&tab=activity"))
    asked_for = [0]
    end = time.monotonic() + seconds
    spread = 1 / count

    def watch(mine: list[tuple[Browser, str]], offset: float) -> None:
        due = time.monotonic() + offset
        for browser, path in cycle(mine):
            if due >= end:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            assert browser.ask(path, headers=PARTIAL) == ""
            asked_for[0] += 1
            due += spread * 4

    began, cpu = time.monotonic(), server.cpu()
    threads = [threading.Thread(target=watch, args=(pages[part::4], part * spread)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, used = time.monotonic() - began, server.cpu() - cpu
    name = f"{count} open run pages, {asked_for[0] / elapsed:.0f} questions a second: processor time of the server"
    return Row(name, f"{used / elapsed * 100:.0f} % of a core", aim="< 50 %")


# -------------------------------------------------------------------- the first page


def first_page(server: Server) -> Row:
    """Every byte that a browser without a cache is sent for the first page, headers included."""
    todo, seen, total = ["/"], {"/"}, 0
    while todo:
        path = todo.pop()
        size, text = _fetched(server, path)
        total += size
        if path == "/":
            links = re.findall(r'<(?:script[^>]* src|link rel="(?:stylesheet|icon)" href|img[^>]* src)="([^"]+)"', text)
        else:
            links = re.findall(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']+)|url\(["']?([^"')]+)""", text)
            links = [one or other for one, other in links]
        for link in (urljoin(path, html.unescape(link)) for link in links):
            if link not in seen and not link.startswith("data:"):
                seen.add(link)
                todo.append(link)
    name = f"the first page, with the {len(seen) - 1} files it asks for"
    return Row(name, f"{total / 1000:.1f} KB", aim="≤ 60 KB")


def _fetched(server: Server, path: str) -> tuple[int, str]:
    """How many bytes come over the wire, and the text."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as wire:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Accept-Encoding: gzip", "Connection: close"]
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        data = b"".join(iter(lambda: wire.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head.decode()
    if b"Content-Encoding: gzip" in head:
        import gzip

        body = gzip.decompress(body)
    return len(data), body.decode()


# -------------------------------------------------------------------- memory


def memory(project: Project, server: Server, count: int, *, seconds: float = 1_200) -> Row:
    """All kinds of looks, mixed; whether the server's memory grows over the later half. It ends when its time is up."""
    run_ids = [project.waiting() for _ in range(20)]
    paths = [
        "/", "/runs", "/runs?status=completed", "/runs?q=pay", "/approvals", "/blueprints", "/blueprints/payments",
        "/about", "/healthz", "/api/v1/runs", "/api/v1/runs?status=suspended",
        *(path for run_id in run_ids for path in (
            f"/runs/{run_id}", f"/runs/{run_id}?tab=context", f"/runs/{run_id}/steps/0", f"/api/v1/runs/{run_id}",
            f"/runs/{run_id}?v=x", f"/runs/{run_id[:8]}",
        )),
    ]  # fmt: skip
    browser, end = server.browser(), time.monotonic() + seconds
    points: list[tuple[float, float]] = []
    every = max(1, count // 400)
    for number, path in enumerate(islice(cycle(paths), count)):
        browser.ask(path, headers=PARTIAL if "?v=" in path else None)
        if number % every == 0:
            points.append((number / 1000, server.process.memory_info().rss / 1024))
            if time.monotonic() > end:
                break
    later = points[len(points) // 2 :]
    slope = statistics.linear_regression(*zip(*later, strict=True)).slope
    what = f"memory over {number + 1:,} requests, {later[-1][1] / 1024:.0f} MB at the end"
    return Row(what, f"{slope:+.1f} KB per 1,000", aim="flat")

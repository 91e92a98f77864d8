"""What a server bears over real HTTP: programs that start runs at once, and a disk whose syncs take their time."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.server import Project, Server
from neurocore.blueprint.load import load_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked

BLUEPRINT = """
name: starts
title: "Payments of {{ batch }}"
inputs: {batch: {type: string, default: March}}
components:
  - {name: read, type: say}
  - {name: write, type: say}
flow:
  steps: [{component: read}, {component: write}]
"""
#: How long a sync takes here beyond what it takes by itself, in microseconds.
SLOW_SYNC = 5_000


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about load."""
    return [*_starts(0.5 if quick else 4, 1 if quick else 3), _large_answer(20_000 if quick else 320_000)]


def _starts(seconds: float, rounds: int) -> list[Row]:
    """Runs that are accepted in a second: recorded, synced to the disk, and answered."""
    one, eight, cost = _accepted(seconds, rounds, "--no-dispatch")
    driven = _accepted(seconds, rounds)[1]
    made = [
        Row(f"starts a second, eight clients; {cost:.1f} ms of processor time each", f"{eight:.0f}", aim="≥ 500"),
        Row("the same beside one client", f"{eight / one:.1f}×", aim="≥ 1×"),
        Row("starts a second, eight clients, while the runs are driven", f"{driven:.0f}", aim="≥ 350"),
    ]
    what = "starts a second, eight clients, each sync 5 ms slower; beside one client, who shares no sync"
    if not shutil.which("strace"):
        return [*made, Row(what, "not measured: there is no strace")]
    one, eight, _ = _accepted(seconds, rounds, "--no-dispatch", slow=True)
    return [*made, Row(what, f"{eight:.0f}, {eight / one:.1f}×", aim="≥ 2×")]


def _accepted(seconds: float, rounds: int, *more: str, slow: bool = False) -> tuple[float, float, float]:
    """Starts a second of one client and of eight, and the server's processor time for one of the latter, in ms."""
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        (project.root / "blueprints" / "starts.yaml").write_text(BLUEPRINT)
        found = []
        with project.serving(*more, under=_slow() if slow else ()) as server:
            rate(server, 1, min(1.0, seconds))  # code is loaded
            for _ in range(rounds):
                (one, _), (eight, cost) = rate(server, 1, seconds), rate(server, 8, seconds)
                found.append((one / seconds, eight / seconds, cost))
    ones, eights, costs = (sorted(column)[rounds // 2] for column in zip(*found, strict=True))
    return ones, eights, costs


def _large_answer(count: int) -> Row:
    """How much memory the server takes at most for an answer over so many records, beside the answer's size."""
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name))
        (project.root / "blueprints" / "large.yaml").write_text(
            "name: large\nflow: {steps: [{approval: {name: ok}}]}\n"
        )
        made = load_blueprint(project.root / "blueprints" / "large.yaml")
        records = [{"iban": f"DE{number:018}", "name": "Somebody", "amount": number * 1.5} for number in range(count)]
        run = execute_blueprint_tracked(
            made, project.registry, project.config, run_store=project.store, initial_data={"rows": records}
        )
        with project.serving("--no-dispatch") as server:
            browser = server.browser()
            browser.ask("/api/v1/runs")  # code is loaded
            process = Path(f"/proc/{server.process.pid}")
            (process / "clear_refs").write_text("5")  # the peak begins anew
            before = _peak(process)
            size = len(browser.ask(f"/api/v1/runs/{run.metadata.run_id}"))
            more = _peak(process) - before
    what = f"memory for an answer of {size / 1e6:.0f} MB of the API, at most"
    return Row(what, f"{more / 1e6:.0f} MB, {more / size:.1f}×", aim="≤ 4×")


def _peak(process: Path) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024


def _slow() -> tuple[str, ...]:
    """A command that lets another wait longer for each sync of the disk."""
    calls = "fdatasync,fsync"
    return (
        "strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
        "-e", f"trace={calls}", "-e", f"inject={calls}:delay_exit={SLOW_SYNC}",
    )  # fmt: skip


def rate(server: Server, clients: int, seconds: float) -> tuple[int, float]:
    """How many starts were accepted in that time, and milliseconds of the server's processor time for each."""
    counts = [0] * clients
    began, cpu = time.monotonic(), server.cpu()

    def start(place: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as wire:
            while time.monotonic() < began + seconds:
                _post(wire)
                counts[place] += 1

    threads = [threading.Thread(target=start, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), (server.cpu() - cpu) / max(1, sum(counts)) * 1e3


_BODY = json.dumps({"by": "ann", "data": {"batch": "April"}}).encode()
_ASK = (
    b"POST /api/v1/blueprints/starts/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def _post(wire: socket.socket) -> None:
    """Start a run and read the answer; by hand, as a client's own work must not be what is measured."""
    wire.sendall(_ASK)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += wire.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert b" 201 " in head[:20], answer.decode()
    assert length is not None, answer.decode()
    while len(body) < int(length.group(1)):
        body += wire.recv(65536)

"""Servers for the tests of the remote command line: real ones, and ones that lie."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from .conftest import environment


@contextlib.contextmanager
def serving(root: Path, *args: str) -> Iterator[str]:
    """`neurocore serve` over a project as a process of its own; yields its address. Its log is `root/serve.log`."""
    with (root / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "neurocore", "--debug", "serve", "--port", "0", *args],
            cwd=root, stdout=subprocess.PIPE, stderr=log, text=True,
            env={name: value for name, value in environment().items() if not name.startswith("NEUROCORE_")},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip().rstrip("/")
            assert address, (root / "serve.log").read_text()
            yield address
        finally:
            process.terminate()
            process.communicate(timeout=30)


class Asked(NamedTuple):
    """A request that a lying server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Said(NamedTuple):
    """An answer of a lying server. Without a status, the connection is dropped."""

    status: int | None
    body: bytes = b"{}"
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@contextlib.contextmanager
def lying(answer: Callable[[Asked], Said]) -> Iterator[tuple[str, list[Asked]]]:
    """A server that answers as it is told; yields its address, and what it was asked."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _all(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            one = Asked(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
            asked.append(one)
            said = answer(one)
            if said.status is None:
                self.close_connection = True
                return
            self.send_response(said.status)
            for name, value in (("Content-Type", said.kind), ("Content-Length", str(len(said.body))), *said.headers):
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(said.body)

        do_GET = do_POST = _all  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def passed_on(address: str, one: Asked) -> Said:
    """The answer of the server at this address to the same request."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    headers = {name: value for name, value in one.headers.items() if name not in ("Host", "Connection")}
    connection.request(one.method, one.path, one.body or None, headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    etag = response.headers.get("ETag")
    more = (("ETag", etag),) if etag else ()
    return Said(response.status, body, response.headers.get("Content-Type", ""), more)


def config_of(folder: Path) -> dict[str, str]:
    """The environment of somebody whose configuration is in this folder, and who has no keyring."""
    return {
        "XDG_CONFIG_HOME": str(folder),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "PATH": os.defpath,
    }

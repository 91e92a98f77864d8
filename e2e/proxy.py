"""A small reverse proxy that passes requests on as nginx, Caddy and Traefik do."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

#: Headers that hold for one connection only.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length", "host"}


@dataclass(frozen=True)
class Manual:
    """How a proxy passes requests on. In its headers `{host}`, `{name}`, `{port}` and `{scheme}` are the browser's.

    `strip` takes the path `prefix` off; `old_browser` leaves out what older browsers do not say.
    """

    host: str
    headers: dict[str, str]
    prefix: str = ""
    strip: bool = False
    tls: bool = False
    old_browser: bool = False


class Proxy:
    """Serves on a port of this machine until the `with` block ends."""

    def __init__(self, manual: Manual, backend: int, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(manual, backend))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        if manual.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(_certificate(folder))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.origin = f"{'https' if manual.tls else 'http'}://flows.localhost:{self.port}"
        self.address = f"{self.origin}{manual.prefix}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _certificate(folder: Path) -> Path:
    file = folder / "proxy.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=flows.localhost",
         "-keyout", str(file), "-out", str(folder / "certificate.pem")], check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + (folder / "certificate.pem").read_text())
    return file


def _handler(manual: Manual, backend: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            if manual.prefix and not (self.path + "/").startswith(f"{manual.prefix}/"):
                self._reply(404, [], b"This path is another application's.")
                return
            path = self.path[len(manual.prefix) :] or "/" if manual.strip else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection("127.0.0.1", backend, timeout=60)
            try:
                connection.request(self.command, path, body, self._headers(len(body)))
                answer = connection.getresponse()
                self._reply(answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()

        def _headers(self, length: int) -> dict[str, str]:
            asked = self.headers["Host"]
            name, _, port = asked.partition(":")
            known = {"host": asked, "name": name, "port": port, "scheme": "https" if manual.tls else "http"}
            kept = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
            if manual.old_browser:
                kept = {key: value for key, value in kept.items() if not key.lower().startswith("sec-")}
            said = {key: value.format(**known) for key, value in manual.headers.items()}
            host = manual.host.format(**known, backend=f"127.0.0.1:{backend}")
            sent = {**kept, **said, "Host": host, "X-Forwarded-For": self.client_address[0]}
            return {**sent, **({"Content-Length": str(length)} if length else {})}

        def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for key, value in headers:
                if key.lower() not in HOP_BY_HOP:
                    self.send_header(key, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and status not in (204, 304):
                self.wfile.write(body)

        do_GET = do_POST = do_HEAD = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except (TimeoutError, ConnectionError, ssl.SSLError):
                self.close_connection = True

    return Handler

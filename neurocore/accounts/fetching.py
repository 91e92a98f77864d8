"""Requests to a provider: one deadline for a whole request, a limit on what is read, and no redirect is followed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from neurocore.errors import NeuroCoreError

#: Seconds for a whole request, and the most bytes of an answer. An answer that breaks off is none.
PATIENCE, MOST = 10.0, 1024 * 1024


class Unreachable(NeuroCoreError):
    """The provider does not answer, or not as it must. Somebody who tries later may succeed."""


def fetch(
    method: str, url: str, *, headers: Mapping[bytes | str, bytes | str] | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    """Return the status and the content of the answer. Raises Unreachable."""
    end = time.monotonic() + PATIENCE
    sent: dict[bytes | str, bytes | str] = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **(headers or {}),
    }
    content = bytearray()
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Network(end), max_connections=1) as pool,
            pool.stream(method, url, headers=sent, content=body) as answer,
        ):
            for part in answer.iter_stream():
                content += part
                if len(content) > MOST:
                    raise Unreachable(f"its answer is larger than {MOST:,} bytes")
            return answer.status, bytes(content)
    except httpcore.TimeoutException as error:
        raise Unreachable(f"it does not answer within {PATIENCE:.0f} seconds") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError, ValueError) as error:
        raise Unreachable(str(error)[:200] or type(error).__name__) from error


@lru_cache(maxsize=1)
def _tls() -> SSLContext:
    return httpx.create_ssl_context()


class _Network(httpcore.NetworkBackend):
    """Connects, and lets nothing on the connection last longer than until `end`."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect until the deadline."""
        stream = self._plain.connect_tcp(host, port, _left(self._end), local_address, socket_options)
        return _Stream(stream, self._end)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read until the deadline: a server that sends a byte now and then gains nothing."""
        return self._stream.read(max_bytes, _left(self._end))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write until the deadline."""
        self._stream.write(buffer, _left(self._end))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Begin TLS, until the deadline."""
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(self._end)), self._end)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection says about itself."""
        return self._stream.get_extra_info(info)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left

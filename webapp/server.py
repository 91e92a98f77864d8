"""The server behind `neurocore serve`: waitress, with limits on what one client can occupy, and for how long.

Waitress reads a whole request before a thread gets it, and its loop sends the answer. Therefore a thread is occupied
only by the work on a request, and by a client that reads more than `OUTBUF` slower than we write. This module adds:
idle connections are closed for new ones, connections of clients that read nothing are closed, and running out of
descriptors is logged and survived.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.wasyncore import close_all, dispatcher, loop

from neurocore.descriptors import ADVICE, EXHAUSTED, raise_limit
from webapp.api.waiting import MAX_WAITERS
from webapp.security.limits import MAX_BODY, MAX_HEADERS

_log = logging.getLogger(__name__)

#: The threads that answer pages. A page takes milliseconds, so a few threads are enough.
THREADS = 8

#: How many threads may wait for slow clients; if there are more, the slowest connection is closed.
MAX_HELD = 8

#: How much of an answer may wait for its client without occupying a thread; after the first MiB it waits in a file.
OUTBUF = 64 * 1024 * 1024

#: The maximum number of connections; it is lower if the system allows few descriptors, because the work on requests
#: needs some too. If only `SPARE_DESCRIPTORS` of these are left, idle connections are closed.
MAX_CONNECTIONS = 1000
OTHER_DESCRIPTORS, SPARE_DESCRIPTORS = 150, 70
LEAST_CONNECTIONS = 10

#: Seconds without a request after which a connection is closed.
IDLE = 60

#: How many of the newest connections stay open even if there are too many, so that they can ask.
SPARED = 4

#: A client must read so many bytes (or the rest) in so many seconds.
LEAST_TAKEN, STALLED = 32 * 1024, 30.0

#: Seconds between two checks of clients and idle connections.
LOOK_EVERY = 5

#: Seconds until the next attempt after a connection could not be accepted, and between two log lines about it.
PAUSE, TELL_EVERY = 0.2, 60.0

#: Seconds within which idle workers end.
END_IDLE = 0.5

#: Seconds for sending finished answers when the server stops.
SEND_REST = 1.0

#: Close at once, and discard what was not sent.
_RESET = struct.pack("ii", 1, 0)


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Refuses requests whose end is ambiguous: a proxy in front of us could see the end elsewhere."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read the first line and the headers. Raises ParsingError; the connection is then answered and closed."""
        super().parse_header(header_plus)
        codings = [one.strip(" \t").lower() for one in self._transfer_encoding(header_plus)]
        if codings and (self.version != "1.1" or codings != ["chunked"] or "CONTENT_LENGTH" in self.headers):
            self.headers["CONNECTION"] = "close"
            raise ParsingError("The end of this request is not clear: send either Content-Length or chunked")

    @staticmethod
    def _transfer_encoding(header_plus: bytes) -> list[str]:
        """Return the codings as they were sent; waitress removes the header from HTTP/1.1 requests."""
        found: list[str] = []
        for line in header_plus.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"transfer-encoding":
                found += value.decode("latin-1").split(",")
        return found


class Task(WSGITask):  # type: ignore[misc]
    """Lets the watchdog see what the app says about its request."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        self.channel.environ = environ
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. The loop's thread and one worker use it; the watchdog only reads it."""

    parser_class = Parser
    task_class = Task

    environ: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    #: When the current request was complete; None while there is none.
    asked_at: float | None = None
    #: How many bytes were sent so far.
    sent = 0
    #: Whether bytes are being passed to the socket now.
    sending = False
    taken: tuple[float, int] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Since when it has had no complete request. The client may get its answer before `service` ends.
        self.idle_since = time.monotonic()
        super().__init__(*args, **kwargs)

    @property
    def idle(self) -> bool:
        """Return whether it can be closed without losing a complete request or answer."""
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    @property
    def unfinished(self) -> str:
        """Return what is lost if it is closed now, or ""."""
        if any(buffer.__len__() for buffer in self.outbufs):
            return "its answer was not sent"
        return "its request was not complete" if self.request is not None else ""

    def received(self, data: bytes) -> bool:
        """Accept data that arrived."""
        taken: bool = super().received(data)
        if self.requests and self.asked_at is None:
            self.asked_at = self.idle_since = time.monotonic()
        return taken

    def service(self) -> None:
        """Answer one request; runs on a worker's thread."""
        try:
            super().service()
        finally:
            self.idle_since, self.environ = time.monotonic(), {}
            self.asked_at = self.idle_since if self.requests else None

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send as much as the socket accepts."""
        self.sending = True
        try:
            sent: int = super().send(data, do_close)
        finally:
            self.sending = False
        self.sent += sent or 0
        return sent

    def writable(self) -> bool:
        """Return whether the loop should send; not while a worker sends, which then wakes the loop for the rest.

        In that time the loop could do nothing and would ask again and again, which slows down all workers.
        """
        return bool(super().writable()) and (not self.sending or self.will_close)

    def stalled(self, now: float) -> bool:
        """Return whether its client reads (almost) nothing. Call it regularly."""
        if not self.total_outbufs_len:
            self.taken = None
        elif self.taken is None or self.sent - self.taken[1] >= LEAST_TAKEN:
            self.taken = (now, self.sent)
        return self.taken is not None and now - self.taken[0] > STALLED

    def leave(self) -> None:
        """Let the loop close it, even if data was not sent. Call it on the loop's thread.

        waitress closes a connection when the socket accepts more data, which this one does not. Closing it here would
        be wrong: a new connection could get its number before the loop has handled the events of the old one.
        """
        self.will_close = True
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.socket.shutdown(socket.SHUT_RDWR)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Wait until the client has read enough, so that more can be written; runs on a worker's thread."""
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            with self.server.held_by(self):
                super()._flush_outbufs_below_high_watermark()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Listens at one address."""

    channel_class = Channel

    def __init__(self, *args: Any, most: int, descriptors: int, **kwargs: Any) -> None:
        self.most = most
        self._descriptors = descriptors
        #: When the loop last ran.
        self.beat = time.monotonic()
        self.accept_again_at = 0.0
        self._held: list[tuple[Channel, float, int]] = []
        self._held_lock = threading.Lock()
        #: Connections that the loop should close. The loop needs no lock for it that a worker could hold.
        self._to_leave: deque[Channel] = deque()
        self._tell_at = 0.0
        super().__init__(*args, **kwargs)

    def readable(self) -> bool:
        """Return whether to accept new connections. The loop asks in every iteration."""
        self.beat = time.monotonic()
        while self._to_leave:
            self._to_leave.popleft().leave()
        self._make_room()
        return bool(super().readable()) and self.beat >= self.accept_again_at

    def maintenance(self, now: float) -> None:
        """Close connections that are idle for long, and those whose clients read nothing."""
        before = {channel for channel in self.active_channels.values() if channel.will_close}
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.will_close and channel not in before and (trouble := channel.unfinished):
                _log.warning("A connection of %s is closed after %d s: %s.", channel.addr[0], IDLE, trouble)
            if channel.stalled(self.beat):
                _log.info("The client at %s does not read its answer; its connection is closed.", channel.addr[0])
                channel.leave()

    def accept(self) -> Any:
        """Accept one connection. If there is no descriptor for it, try again a little later."""
        try:
            accepted = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            self.accept_again_at = self.beat + PAUSE
            self._keep_fewer()
            return None
        # The system uses the lowest free number, so a high number shows how many are in use.
        if accepted is not None and accepted[0].fileno() >= self._descriptors - SPARE_DESCRIPTORS:
            self._keep_fewer()
        return accepted

    @contextlib.contextmanager
    def held_by(self, channel: Channel) -> Iterator[None]:
        """Count a thread that waits for a client. If there are too many, close the slowest of these connections."""
        mine = (channel, time.monotonic(), channel.sent)
        with self._held_lock:
            slowest = min(self._held, key=_pace) if len(self._held) >= MAX_HELD else None
            if slowest is not None:
                self._held.remove(slowest)
            self._held.append(mine)
        if slowest is not None:
            self._to_leave.append(slowest[0])
            self.pull_trigger()
        try:
            yield
        finally:
            with self._held_lock, contextlib.suppress(ValueError):  # it was the slowest
                self._held.remove(mine)

    def is_held_by(self, channel: Channel) -> bool:
        """Return whether a thread waits for this client."""
        with self._held_lock:
            return any(one is channel for one, _, _ in self._held)

    def _make_room(self) -> None:
        """Close as many connections as there are too many, those that have been idle longest.

        If all others are at work, who has just come is the only idle one, and would be closed before the request
        arrives. So the newest are spared.
        """
        if len(self.active_channels) > self.most:
            stay = [channel for channel in self.active_channels.values() if not channel.will_close]
            idle = sorted((channel for channel in stay if channel.idle), key=lambda channel: channel.idle_since)
            for channel in idle[: max(0, min(len(stay) - self.most, len(idle) - SPARED))]:
                channel.will_close = True

    def _keep_fewer(self) -> None:
        """Allow fewer connections from now on, so that descriptors remain for the work on requests."""
        self.most = max(LEAST_CONNECTIONS, min(self.most, len(self.active_channels) // 2))
        if self.beat >= self._tell_at:
            self._tell_at = self.beat + TELL_EVERY
            _log.error(
                "Too many open files: nearly all %d descriptors are used. Requests are still answered, but at most %d "
                "connections stay open; to allow more, %s.", self._descriptors, self.most, ADVICE,
            )  # fmt: skip


def _pace(held: tuple[Channel, float, int]) -> tuple[float, float]:
    """Return how fast a client has read since a thread waits for it, then since when: the older wait sorts first."""
    channel, since, sent = held
    return (channel.sent - sent) / max(1.0, time.monotonic() - since), since


class Front:
    """The server as a whole: its addresses, its loop, its workers."""

    def __init__(self, app: Callable[..., Any], *, host: str, port: int, proxied: bool = False) -> None:
        """Listen. Raises OSError or ValueError if that is not possible."""
        descriptors = raise_limit(2 * MAX_CONNECTIONS + OTHER_DESCRIPTORS)
        most = max(LEAST_CONNECTIONS, min(MAX_CONNECTIONS, descriptors - OTHER_DESCRIPTORS))
        adjustments = Adjustments(
            host=host, port=port, threads=THREADS + MAX_WAITERS + MAX_HELD, ident=None, backlog=256,
            connection_limit=most + 100, channel_timeout=IDLE, cleanup_interval=LOOK_EVERY, asyncore_use_poll=True,
            max_request_header_size=MAX_HEADERS, max_request_body_size=4 * MAX_BODY, outbuf_high_watermark=OUTBUF,
            clear_untrusted_proxy_headers=not proxied,
        )  # fmt: skip
        self.channels: dict[int, Any] = {}
        self.servers: list[Server] = []
        self._workers = ThreadedTaskDispatcher()
        try:
            for family, kind, protocol, address in adjustments.listen:
                # A host may have several addresses: if the port is not fixed, all use that of the first.
                place = (address[0], self.port, *address[2:]) if self.servers else address
                self.servers.append(
                    Server(
                        app, self.channels, dispatcher=self._workers, adj=adjustments, most=most,
                        descriptors=descriptors, sockinfo=(family, kind, protocol, place),
                    )
                )  # fmt: skip
        except OSError:
            close_all(self.channels)  # no worker has begun
            raise
        self._workers.set_thread_count(adjustments.threads)

    @property
    def port(self) -> int:
        """Return the port on which it listens."""
        return int(self.servers[0].effective_port)

    def run(self) -> None:
        """Serve until SystemExit or KeyboardInterrupt; then wait a moment for the work of the threads."""
        try:
            loop(timeout=1, use_poll=True, map=self.channels)
        except (SystemExit, KeyboardInterrupt):
            self._workers.shutdown()

    def send_rest(self) -> None:
        """Send answers made after the loop ended: requests that waited for a run get its state."""
        end = time.monotonic() + SEND_REST
        while any(getattr(one, "total_outbufs_len", 0) for one in self.channels.values()) and time.monotonic() < end:
            loop(timeout=0.05, use_poll=True, map=self.channels, count=1)

    def close(self) -> None:
        """End the workers, and close every connection.

        If a worker is late, the pipes that wake the loop stay open: the worker still writes a byte into one of them,
        and that byte must not go into a file that gets the same number later.
        """
        self._workers.shutdown(timeout=END_IDLE)
        for one in list(self.channels.values()):
            if isinstance(one, Server):
                dispatcher.close(one)
            elif isinstance(one, Channel):
                one.handle_close()
        self.channels.clear()
        for server in self.servers if not self._workers.threads else ():
            server.trigger.close()

"""The server behind `neurocore serve`: waitress, and who may hold how much of it, for how long.

Waitress reads requests whole before a thread sees them, and sends by itself. So a thread is held only by the work on a
request, and by a reader of more than `OUTBUF` who reads slower than we write. What is added here: connections that are
idle make room for new ones, readers who take nothing are left, and running out of descriptors is told and outlived.
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

#: What answers pages; in ms each, so that few suffice.
THREADS = 8

#: How many threads may be held by readers; beyond it the slowest of them is left.
MAX_HELD = 8

#: So much of an answer waits for its reader, beyond the first MiB in a file, and holds no thread.
OUTBUF = 64 * 1024 * 1024

#: Connections at once. Where the system allows few descriptors, fewer: the work on requests needs some, too, and when
#: of these only `SPARE_DESCRIPTORS` are left, idle connections are closed.
MAX_CONNECTIONS = 1000
OTHER_DESCRIPTORS, SPARE_DESCRIPTORS = 150, 70
LEAST_CONNECTIONS = 10

#: Seconds without a request after which a connection is closed.
IDLE = 60

#: A reader must take so many bytes (or all that is left) in so many seconds.
LEAST_TAKEN, STALLED = 32 * 1024, 30.0

#: Seconds between two looks at readers and idle connections.
LOOK_EVERY = 5

#: Seconds until the next try after nothing more could be accepted, and between two lines in the log about that.
PAUSE, TELL_EVERY = 0.2, 60.0

#: Seconds in which workers that do nothing end.
END_IDLE = 0.5

#: Seconds in which answers that are made already reach their clients when the server stops.
SEND_REST = 1.0

#: Close at once and forget what was not sent.
_RESET = struct.pack("ii", 1, 0)


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Refuses requests whose end two readers could see in two places: a proxy before us may be the other reader."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read the first line and the headers. Raises ParsingError; the connection is then answered and closed."""
        super().parse_header(header_plus)
        codings = [one.strip(" \t").lower() for one in self._transfer_encoding(header_plus)]
        if codings and (self.version != "1.1" or codings != ["chunked"] or "CONTENT_LENGTH" in self.headers):
            self.headers["CONNECTION"] = "close"
            raise ParsingError("Where this request ends is not clear: send Content-Length, or chunked alone")

    @staticmethod
    def _transfer_encoding(header_plus: bytes) -> list[str]:
        """The codings as they were sent; waitress takes the header out of those of HTTP/1.1."""
        found: list[str] = []
        for line in header_plus.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"transfer-encoding":
                found += value.decode("latin-1").split(",")
        return found


class Task(WSGITask):  # type: ignore[misc]
    """Lets the watchdog see what the app says of its request."""

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        self.channel.environ = environ
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. The loop's thread and one worker use it; the watchdog only looks."""

    parser_class = Parser
    task_class = Task

    environ: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    #: When the request that is worked on was complete; None while there is none.
    asked_at: float | None = None
    #: How much was sent so far, and of that at which time.
    sent = 0
    #: Whether bytes are given to the socket right now.
    sending = False
    taken: tuple[float, int] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Since when it has had no complete request; the client may have its answer before `service` has ended.
        self.idle_since = time.monotonic()
        super().__init__(*args, **kwargs)

    @property
    def idle(self) -> bool:
        """Whether it could be closed without losing a request or an answer that is complete."""
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    @property
    def unfinished(self) -> str:
        """What is lost when it is closed now; "" where nothing is."""
        if any(buffer.__len__() for buffer in self.outbufs):
            return "its answer was not sent"
        return "its request was not complete" if self.request is not None else ""

    def received(self, data: bytes) -> bool:
        """Take what arrived."""
        taken: bool = super().received(data)
        if self.requests and self.asked_at is None:
            self.asked_at = self.idle_since = time.monotonic()
        return taken

    def service(self) -> None:
        """Answer one request, on a worker's thread."""
        try:
            super().service()
        finally:
            self.idle_since, self.environ = time.monotonic(), {}
            self.asked_at = self.idle_since if self.requests else None

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send what the socket takes."""
        self.sending = True
        try:
            sent: int = super().send(data, do_close)
        finally:
            self.sending = False
        self.sent += sent or 0
        return sent

    def writable(self) -> bool:
        """Return whether the loop is to send. Not while a worker does so: it wakes the loop for what is left.

        The loop could do nothing in that time, and would ask again and again, which keeps all workers from working.
        """
        return bool(super().writable()) and (not self.sending or self.will_close)

    def stalled(self, now: float) -> bool:
        """Return whether its reader takes (next to) nothing. Ask again and again."""
        if not self.total_outbufs_len:
            self.taken = None
        elif self.taken is None or self.sent - self.taken[1] >= LEAST_TAKEN:
            self.taken = (now, self.sent)
        return self.taken is not None and now - self.taken[0] > STALLED

    def leave(self) -> None:
        """Let the loop close it, whatever was not sent; call it on the loop's thread.

        waitress closes when the socket takes more, which this one does not. Closing it here would be wrong: its number
        may go to a new connection before the loop has dealt with what it was told about the old one.
        """
        self.will_close = True
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.socket.shutdown(socket.SHUT_RDWR)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Wait, on a worker's thread, until the reader has taken enough for more to be written."""
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            with self.server.held_by(self):
                super()._flush_outbufs_below_high_watermark()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Listens at one address."""

    channel_class = Channel

    def __init__(self, *args: Any, most: int, descriptors: int, **kwargs: Any) -> None:
        self.most = most
        self._descriptors = descriptors
        #: When the loop last came by.
        self.beat = time.monotonic()
        self.accept_again_at = 0.0
        self._held: list[tuple[Channel, float, int]] = []
        self._held_lock = threading.Lock()
        #: For the loop: which readers are to be left. It takes no lock that a worker holds while it asks for this.
        self._to_leave: deque[Channel] = deque()
        self._tell_at = 0.0
        super().__init__(*args, **kwargs)

    def readable(self) -> bool:
        """Whether new connections are wanted. The loop asks every time it comes by."""
        self.beat = time.monotonic()
        while self._to_leave:
            self._to_leave.popleft().leave()
        self._make_room(len(self.active_channels) - self.most)
        return bool(super().readable()) and self.beat >= self.accept_again_at

    def maintenance(self, now: float) -> None:
        """Close what is idle for long, and leave readers who take nothing."""
        before = {channel for channel in self.active_channels.values() if channel.will_close}
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.will_close and channel not in before and (trouble := channel.unfinished):
                _log.warning("A connection of %s is closed after %d s: %s.", channel.addr[0], IDLE, trouble)
            if channel.stalled(self.beat):
                _log.info("A client at %s takes nothing of its answer; its connection is closed.", channel.addr[0])
                channel.leave()

    def accept(self) -> Any:
        """Accept one connection; where there is no descriptor for it, try again a little later."""
        try:
            accepted = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            self.accept_again_at = self.beat + PAUSE
            self._keep_fewer()
            return None
        # The system gives the lowest number that is free, so that a high one says how many are taken.
        if accepted is not None and accepted[0].fileno() >= self._descriptors - SPARE_DESCRIPTORS:
            self._keep_fewer()
        return accepted

    @contextlib.contextmanager
    def held_by(self, channel: Channel) -> Iterator[None]:
        """Count a thread that waits for a reader; one too many, and the slowest of these readers is left."""
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
        """Return whether a thread waits for this reader."""
        with self._held_lock:
            return any(one is channel for one, _, _ in self._held)

    def _make_room(self, count: int) -> None:
        """Close so many connections, those that have been idle longest."""
        if count > 0:
            idle = [channel for channel in self.active_channels.values() if channel.idle]
            for channel in sorted(idle, key=lambda channel: channel.idle_since)[:count]:
                channel.will_close = True

    def _keep_fewer(self) -> None:
        """Keep fewer connections from now on, so that there are descriptors for the work on their requests."""
        self.most = max(LEAST_CONNECTIONS, min(self.most, len(self.active_channels) // 2))
        if self.beat >= self._tell_at:
            self._tell_at = self.beat + TELL_EVERY
            _log.error(
                "Too many open files: of %d descriptors hardly one is left. What is asked is answered, and at most %d "
                "connections are kept open; to have more, %s.", self._descriptors, self.most, ADVICE,
            )  # fmt: skip


def _pace(held: tuple[Channel, float, int]) -> tuple[float, float]:
    """How quickly a reader has taken its answer since a thread waits for it; of two that took nothing the older."""
    channel, since, sent = held
    return (channel.sent - sent) / max(1.0, time.monotonic() - since), since


class Front:
    """The server as a whole: its addresses, its loop, its workers."""

    def __init__(self, app: Callable[..., Any], *, host: str, port: int, proxied: bool = False) -> None:
        """Listen. Raises OSError or ValueError where that cannot be."""
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
                # A host may have several addresses: where the port is free to choose, they get that of the first.
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
        """The port that is listened on."""
        return int(self.servers[0].effective_port)

    def run(self) -> None:
        """Serve until SystemExit or KeyboardInterrupt; what threads work on is then waited for, for a moment."""
        try:
            loop(timeout=1, use_poll=True, map=self.channels)
        except (SystemExit, KeyboardInterrupt):
            self._workers.shutdown()

    def send_rest(self) -> None:
        """Send what was answered when the loop had ended: those who waited for a run are told how it stands."""
        end = time.monotonic() + SEND_REST
        while any(getattr(one, "total_outbufs_len", 0) for one in self.channels.values()) and time.monotonic() < end:
            loop(timeout=0.05, use_poll=True, map=self.channels, count=1)

    def close(self) -> None:
        """End the workers, and close every connection.

        The pipes that wake the loop stay open where a worker is late: it still writes a byte into one of them, and
        that byte must not go into the file which is opened next and gets the pipe's number.
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

"""If the server does not respond, the log gets the stacks of all threads: what they are doing at that moment."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator

from msgspec import Struct

from neurocore import log
from webapp.api.waiting import WAITS_UNTIL
from webapp.server import Channel, Front

_log = logging.getLogger(__name__)

#: A request without an answer after so many seconds is reported.
SLOW = 10.0

#: Seconds between two checks, and between two dumps.
LOOK_EVERY, TELL_EVERY = 1.0, 60.0

#: The number of innermost frames per thread, and of threads with different stacks.
MAX_FRAMES, MAX_STACKS = 30, 40


class Finding(Struct, frozen=True):
    """Something that does not respond. `key` stays the same while it is the same problem."""

    key: object
    sentence: str


class Watchdog:
    """Checks the server once a second, from its own thread. It changes nothing."""

    def __init__(self, front: Front, *, slow: float = SLOW) -> None:
        self._front = front
        self._slow = slow
        self._told: set[object] = set()
        self._quiet_until = 0.0

    def start(self, stop: threading.Event) -> None:
        """Watch until `stop` is set."""
        threading.Thread(target=self._watch, args=(stop,), name="watchdog", daemon=True).start()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_EVERY):
            self.look()

    def look(self) -> None:
        """Log each problem once, with all stacks, at most once a minute."""
        now = time.monotonic()
        found = list(self.findings(now))
        new = [one for one in found if one.key not in self._told]
        self._told = {one.key for one in found if one.key in self._told}
        if not new or now < self._quiet_until:
            return
        self._told |= {one.key for one in new}
        self._quiet_until = now + TELL_EVERY
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        log.with_details(_log, logging.WARNING, f"{new[0].sentence}{more}. The stacks of all threads:", stacks())

    def findings(self, now: float) -> Iterator[Finding]:
        """Yield what does not respond at this moment."""
        for server in self._front.servers:
            if now - server.beat > self._slow:
                yield Finding(server, f"The server's loop has been busy for {now - server.beat:.0f} s")
        for channel in list(self._front.channels.values()):
            asked_at = channel.asked_at if isinstance(channel, Channel) else None
            if asked_at is not None and now - asked_at > self._slow and not self._on_purpose(channel, now):
                yield Finding((id(channel), asked_at), f"{_asked(channel)} has no answer after {now - asked_at:.0f} s")

    def _on_purpose(self, channel: Channel, now: float) -> bool:
        """Return whether it waits for a run as requested, or for its client."""
        until: float = channel.environ.get(WAITS_UNTIL, 0.0)
        return now < until + self._slow or channel.server.is_held_by(channel)


def _asked(channel: Channel) -> str:
    try:
        request = channel.requests[0]
        return f"{request.command} {request.request_uri[:200]} of {channel.addr[0]}"
    except (IndexError, AttributeError):  # it was answered at this moment
        return f"A request of {channel.addr[0]}"


def stacks() -> str:
    """Return the stacks of all threads; threads with the same stack are grouped. They contain code, never values."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    by_stack: dict[str, list[str]] = {}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            text = "".join(traceback.format_stack(frame)[-MAX_FRAMES:])
            by_stack.setdefault(text, []).append(names.get(ident, str(ident)))
    parts = [f"{', '.join(sorted(found))}:\n{text}" for text, found in list(by_stack.items())[:MAX_STACKS]]
    if len(by_stack) > MAX_STACKS:
        parts.append(f"and {len(by_stack) - MAX_STACKS} more")
    return "\n".join(parts).rstrip()

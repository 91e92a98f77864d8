"""The progress of a run on stderr: a live view in a terminal, plain lines elsewhere.

What a skill prints to stdout during this time goes to stderr too, so that stdout contains only the data of the command.
A view never ends a run: if nobody reads stderr any more, it prints nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from neurocore.cli.output import MARKS, is_terminal, say
from neurocore.cli.text import line, since
from neurocore.readable import took

if TYPE_CHECKING:
    from rich.live import Live

    from neurocore.run_events import RunEvent


class View:
    """Receives the events of a run. `run_id` is known after the first event. This class shows nothing (`--quiet`)."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._tried_again: set[tuple[str | None, int | None, int | None]] = set()

    def __call__(self, event: RunEvent) -> None:
        """Handle one event."""
        self.run_id = event.run_id
        attempt = (event.node_id, event.visit, event.attempt)
        if event.kind == "step_retrying":
            self._tried_again.add(attempt)
        elif event.kind == "step_finished" and attempt in self._tried_again:
            return  # the line about the retry already said that it failed
        with contextlib.suppress(OSError, ValueError):  # a closed or broken stderr must not end a run
            self.show(event)

    def show(self, event: RunEvent) -> None:
        """Show one event."""


class Lines(View):
    """Prints a line for each event."""

    def show(self, event: RunEvent) -> None:
        """Print the event."""
        sentence = told(event)
        if sentence is not None:
            say(" ".join(part for part in sentence[1:] if part))


class Terminal(View):
    """Shows finished steps one below the other, and below them the running steps with their time."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=False)
        self.running: dict[tuple[str | None, int | None], tuple[str, str]] = {}
        self.live = Live(console=self.console, get_renderable=self._now, refresh_per_second=8, transient=True)

    def show(self, event: RunEvent) -> None:
        """Print what has ended, and keep what is running in the live part."""
        key = (event.node_id, event.visit)
        if event.kind == "step_started":
            self.running[key] = (_name(event), event.at)
        else:
            self.running.pop(key, None)
        sentence = told(event)
        if sentence is not None and event.kind != "step_started":
            self.console.print(_line(*sentence))

    def _now(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 8) % 10]
        rows = [
            Text(f"  {frame} {name}  {since(at)}", style="cyan", no_wrap=True)
            for name, at in list(self.running.values())[:10]
        ]
        return Group(*rows)


def told(event: RunEvent) -> tuple[str, str, str, str] | None:
    """Return an event as (status for its sign, name, what happened, why), or None if there is nothing to print."""
    name = _name(event)
    error = line(event.error or "")
    if event.kind == "run_started":
        return ("", f"run {line(event.run_id)}", "", "")
    if event.kind == "step_started":
        return ("running", name, "started", "")
    if event.kind == "step_finished":
        status = event.status or "completed"
        if status == "suspended":
            return (status, name, "waits:" if error else "waits", error)
        time_taken = f"in {took(event.duration_ms)}" if event.duration_ms is not None and status != "skipped" else ""
        said = f"{status} {time_taken}".strip()
        return (status, name, f"{said}:" if error else said, error)
    if event.kind == "step_retrying":
        return ("owed", name, f"failed at attempt {event.attempt or 1}, will be retried:", error)
    if event.kind == "gate_opened" and event.status is None:  # for an input, the event of its step says it
        return ("suspended", name, "waits for a decision", "")
    if event.kind == "warning":
        return ("warning", "warning:", error, "")
    return None


@contextlib.contextmanager
def view(*, quiet: bool = False) -> Iterator[View]:
    """Yield the view that fits stderr, for the time of the block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_everything_to_stderr())
        if quiet:
            yield View()
        elif is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
            terminal = Terminal()
            terminal.live.start()
            stack.callback(_stop, terminal.live)
            yield terminal
        else:
            yield Lines()


def _stop(live: Live) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
        live.stop()


@contextlib.contextmanager
def _everything_to_stderr() -> Iterator[None]:
    """Send what is printed to stderr, including the stdout of programs that skills start."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no such descriptors
            real, error = sys.__stdout__, sys.__stderr__
            if real is not None and error is not None:
                real.flush()
                kept = os.dup(real.fileno())
                stack.callback(os.close, kept)
                os.dup2(error.fileno(), real.fileno())
                stack.callback(os.dup2, kept, real.fileno())
        yield


def _name(event: RunEvent) -> str:
    name = line(event.node_id or "")
    return f"{name} (visit {event.visit})" if event.visit and event.visit > 1 else name


def _line(status: str, name: str, what: str, why: str) -> Any:
    from rich.text import Text

    if not status:
        return Text(name, style="dim")
    sign, colour = MARKS.get(status, ("·", ""))
    text = Text("  ")
    text.append(sign, style=colour)
    text.append(f" {name}  ")
    text.append(what, style="red" if status == "failed" else "dim")
    if why:
        text.append(f" {why}")
    return text

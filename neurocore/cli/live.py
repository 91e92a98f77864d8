"""What a run does while it is driven, on stderr: a live view on a terminal, plain lines elsewhere.

Whatever a skill prints to stdout meanwhile goes to stderr too, so that stdout has nothing but the command's data. A
view never ends a run: when nobody reads any more, it falls silent.
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
    """Takes the events of a run. `run_id` is known after the first; this one shows nothing (`--quiet`)."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._tried_again: set[tuple[str | None, int | None, int | None]] = set()

    def __call__(self, event: RunEvent) -> None:
        """One event."""
        self.run_id = event.run_id
        attempt = (event.node_id, event.visit, event.attempt)
        if event.kind == "step_retrying":
            self._tried_again.add(attempt)
        elif event.kind == "step_finished" and attempt in self._tried_again:
            return  # that it failed was told with what happens next
        with contextlib.suppress(OSError, ValueError):  # a closed or broken stderr is no reason to end a run
            self.show(event)

    def show(self, event: RunEvent) -> None:
        """Show one event."""


class Lines(View):
    """A line for each thing that happened."""

    def show(self, event: RunEvent) -> None:
        """Say it."""
        sentence = told(event)
        if sentence is not None:
            say(" ".join(part for part in sentence[1:] if part))


class Terminal(View):
    """Finished steps one below the other, and what is running, with its time, under them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=False)
        self.running: dict[tuple[str | None, int | None], tuple[str, str]] = {}
        self.live = Live(console=self.console, get_renderable=self._now, refresh_per_second=8, transient=True)

    def show(self, event: RunEvent) -> None:
        """Print what is over, and keep what runs in the live part."""
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
    """An event as (status for its sign, name, what happened, why), or None when there is nothing to say."""
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
        return ("owed", name, f"failed at attempt {event.attempt or 1}, is tried again:", error)
    if event.kind == "gate_opened" and event.status is None:  # that of an input is told by its step
        return ("suspended", name, "waits for a decision", "")
    if event.kind == "warning":
        return ("warning", "warning:", error, "")
    return None


@contextlib.contextmanager
def view(*, quiet: bool = False) -> Iterator[View]:
    """The view that fits stderr, while the block runs."""
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
    """What is printed goes to stderr, and so does what a program that a skill starts writes to its stdout."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        with contextlib.suppress(OSError, ValueError, AttributeError):  # where there are no such descriptors
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

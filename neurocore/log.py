"""Logging as `logging:` in neurocore.yaml configures it: level, console or JSON lines, and a file."""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurocore import files
from neurocore.readable import one_line, safe, safe_json

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig


#: Each place in the code may log this many warnings and errors in this many seconds; the others are counted.
BOUND_LINES, BOUND_SECONDS = 20, 60.0

#: The loggers that are limited: ours, and the server's; not those of skills.
_OURS = ("neurocore.", "webapp.", "waitress")

#: Redacts the values of secrets in log lines while runs with secrets are driven (`output_redaction` sets it).
redactors: list[Callable[[str], str]] = []


def redacted(text: str) -> str:
    """Return the text without the secrets of the runs that this process drives now."""
    for redact in redactors:
        text = redact(text)
    return text


#: Receives a level and a message for the log of the step on this thread or task (`runtime.attempt` sets it).
collectors: list[Callable[[str, str], None]] = []


def to_step(level: str, message: str) -> None:
    """Add a line to the log of the current step, and to no other log; outside of a step, do nothing."""
    for collect in collectors:
        collect(level, message)


def with_details(logger: logging.Logger, level: int, message: str, details: str) -> None:
    """Log a sentence with details on several lines, such as a traceback from elsewhere."""
    if logger.isEnabledFor(level):
        caller = sys._getframe(1)
        place = caller.f_code.co_filename, caller.f_lineno
        record = logger.makeRecord(logger.name, level, *place, message, (), None)
        record.stack_info = details
        logger.handle(record)


class _Plain(logging.Formatter):
    """One line per record, its traceback indented below, so that no logged text looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        lines = [one_line(redacted(self.formatMessage(record)))]
        for more in (
            self.formatException(record.exc_info) if record.exc_info else record.exc_text,
            record.stack_info,
        ):
            lines += [f"    {one}" for one in safe(redacted(more)).split("\n")] if more else []
        return "\n".join(lines)


class _Json(logging.Formatter):
    """One JSON object per record, on one line; nothing in it can control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            document["stack"] = record.stack_info
        return safe_json(json.dumps({key: redacted(text) for key, text in document.items()}, ensure_ascii=False))


class _Bounded(logging.Handler):
    """Limits how many problems one place in our own code (or the server's) logs per minute, and counts the rest."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._counts: dict[object, tuple[float, int]] = {}
        super().__init__(*args, **options)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record, or count it."""
        if record.levelno < logging.WARNING or not record.name.startswith(_OURS):
            return bool(super().handle(record))
        place = (record.pathname, record.lineno, record.exc_info[0] if record.exc_info else None)
        began, count = self._counts.get(place, (0.0, 0))
        if record.created - began >= BOUND_SECONDS:
            left_out, began, count = count - BOUND_LINES, record.created, 0
            if left_out > 0:
                super().handle(_left_out(record, left_out))
        self._counts[place] = (began, count + 1)
        return count < BOUND_LINES and bool(super().handle(record))


def _left_out(record: logging.LogRecord, count: int) -> logging.LogRecord:
    message = f"{count:,} lines like the next one were left out."
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, message, (), None)


class _Stderr(_Bounded, logging.StreamHandler):  # type: ignore[type-arg]
    """Looks up `sys.stderr` for each line: it is replaced while runs with secrets are driven."""

    def __init__(self) -> None:
        self._counts = {}
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        """Return the current stream."""
        return sys.stderr


class _File(_Bounded, logging.FileHandler):
    """Writes to the file of this name; if it was renamed or removed, as by logrotate, creates a new one.

    A new file is never readable by others, even if the old one was removed at this moment.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._mode = mode
        self._make(path)
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record to the file that has the name now."""
        self.follow()
        super().emit(record)

    def follow(self) -> None:
        """Open the file of this name, if it is not the open one. The old one is kept if that fails."""
        try:
            named = os.stat(self.baseFilename)  # noqa: PTH116 - half the cost, and asked at each line
            opened = os.fstat(self.stream.fileno()) if self.stream is not None else None
            if opened is not None and (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                return
        except (OSError, ValueError):
            pass
        try:
            self._make(Path(self.baseFilename))
            stream = self._open()
        except OSError:
            return
        old, self.stream = self.stream, stream
        if old is not None:
            old.close()

    def _make(self, path: Path) -> None:
        files.make_folder(path.parent, self._mode)
        files.touch(Path(os.path.realpath(path)), self._mode)

    def _open(self) -> TextIOWrapper:
        file = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE)
        return TextIOWrapper(os.fdopen(file, "ab"), encoding=self.encoding, errors=self.errors)


_ours: list[logging.Handler] = []


def set_up(config: NeuroCoreConfig, *, console: bool = False) -> None:
    """Set the root logger's level and handlers; a second call replaces them. `console` also logs to stderr."""
    root = logging.getLogger()
    for handler in _ours:
        root.removeHandler(handler)
        handler.close()
    _ours.clear()
    root.setLevel(config.logging.level.upper())
    if console:
        _ours.append(_Stderr())
    if config.logging.file:
        _ours.append(_File(config.logs_dir / config.logging.file, config.file_mode))
    plain = _Plain("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for handler in _ours:
        handler.setFormatter(_Json() if config.logging.format == "json" else plain)
        root.addHandler(handler)
    if not _ours:
        _ours.append(logging.NullHandler())
        root.addHandler(_ours[0])


def has_file() -> bool:
    """Return whether this process logs to a file."""
    return any(isinstance(handler, _File) for handler in _ours)


def reopen() -> None:
    """Open the log file again by its name, soon; a signal handler may call this."""
    _thread.start_new_thread(_reopen, ())  # the interrupted thread may hold the lock of the log


def _reopen() -> None:
    for handler in _ours:
        if isinstance(handler, _File):
            with handler.lock or contextlib.nullcontext():
                handler.follow()
    if has_file():
        logging.getLogger(__name__).info("The log file was opened again, as SIGHUP asks.")

"""Logging as `logging:` in neurocore.yaml says: level, console or JSON lines, and a file."""

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


#: Of one place in the code, so many warnings and errors are logged in so many seconds; the others are counted.
BOUND_LINES, BOUND_SECONDS = 20, 60.0

#: Whose lines are counted: ours, and the server's. What skills log is theirs.
_OURS = ("neurocore.", "webapp.", "waitress")

#: Takes the values of secrets out of what is logged while runs that know some are driven (`runtime.guard` sets it).
redactors: list[Callable[[str], str]] = []


def redacted(text: str) -> str:
    """The text without the values of the secrets that runs of this process know just now."""
    for redact in redactors:
        text = redact(text)
    return text


#: Takes a level and a message for the log of the step that runs on this thread or task (`runtime.attempt` sets it).
collectors: list[Callable[[str, str], None]] = []


def to_step(level: str, message: str) -> None:
    """Add a line to the log of the step that runs now, and to no other log; outside of a step nothing happens."""
    for collect in collectors:
        collect(level, message)


def with_details(logger: logging.Logger, level: int, message: str, details: str) -> None:
    """Log a sentence with what belongs to it over several lines, such as a traceback that was made elsewhere."""
    if logger.isEnabledFor(level):
        caller = sys._getframe(1)
        place = caller.f_code.co_filename, caller.f_lineno
        record = logger.makeRecord(logger.name, level, *place, message, (), None)
        record.stack_info = details
        logger.handle(record)


class _Plain(logging.Formatter):
    """One line for each record, its traceback indented below, so that nothing that is logged looks like a record."""

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
    """One JSON object for each record, on one line; nothing in it steers the terminal it is looked at in."""

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
    """Lets one place in our own code (or the server's) log so many troubles a minute; then it says how many more."""

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
    """Looks `sys.stderr` up at each line: it is exchanged while secrets are about."""

    def __init__(self) -> None:
        self._counts = {}
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        """Where lines go now."""
        return sys.stderr


class _File(_Bounded, logging.FileHandler):
    """Writes to the file of this name: where that was renamed or removed, as logrotate does, it makes a new one.

    It never makes a file that others may read, even where somebody has removed it this very moment.
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
        """Open the file of this name, where it is another than the open one. The old one is kept if that fails."""
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
    """Set the root logger's level and handlers; calling it again replaces what it set. `console` logs to stderr too."""
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
    """Whether this process logs to a file."""
    return any(isinstance(handler, _File) for handler in _ours)


def reopen() -> None:
    """Have the log file opened again by its name, soon; a signal handler may call this."""
    _thread.start_new_thread(_reopen, ())  # the thread that was interrupted may hold the lock of the log


def _reopen() -> None:
    for handler in _ours:
        if isinstance(handler, _File):
            with handler.lock or contextlib.nullcontext():
                handler.follow()
    if has_file():
        logging.getLogger(__name__).info("The log file was opened again, as SIGHUP asks.")

"""The stdout of a command. Output that cannot be written is an error, so that the command does not seem to succeed."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast


class OutputLost(Exception):
    """The output of a command cannot be written to stdout; `error` says why."""

    def __init__(self, error: OSError | ValueError) -> None:
        super().__init__(str(error))
        self.error = error


class Stdout:
    """A stream that raises OutputLost if it cannot write. Without a stream (`>&-`) every write raises it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._is_closed = stream is None
        # If stdout is closed, open something: otherwise the next opened file would get the descriptor of stdout.
        self._stream = stream if stream is not None else Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def write(self, text: str) -> int:
        """Write the text. Raises OutputLost."""
        try:
            if self._is_closed and text:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self._stream.write(text)
        except OSError as error:
            raise OutputLost(error) from error

    def flush(self) -> None:
        """Write what is buffered. Raises OutputLost."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise OutputLost(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_stdout() -> TextIO | None:
    """Replace stdout with a `Stdout`, and return the previous stream."""
    before = sys.stdout
    sys.stdout = cast("TextIO", Stdout(before))
    return before


def nobody_reads(stream: TextIO | None) -> None:
    """Write nothing more to this stream, not even at exit."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, cast("TextIO", stream).fileno())
        os.close(devnull)
    except (OSError, ValueError, AttributeError):
        pass

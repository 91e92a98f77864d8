"""The stdout of a command. What cannot be written there is an error, so that no command ends as if it were written."""

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
    """A stream that raises OutputLost. Without a stream (`>&-`) it does so for everything that is written."""

    def __init__(self, stream: TextIO | None) -> None:
        self._is_closed = stream is None
        # Opened for a closed one as well: else the next file that is opened gets the descriptor of stdout.
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
        """Write what is held. Raises OutputLost."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise OutputLost(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_stdout() -> TextIO | None:
    """Put `Stdout` in the place of stdout; returns what was there."""
    before = sys.stdout
    sys.stdout = cast("TextIO", Stdout(before))
    return before


def nobody_reads(stream: TextIO | None) -> None:
    """Write nothing more to this stream, not at exit either."""
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, cast("TextIO", stream).fileno())
        os.close(devnull)
    except (OSError, ValueError, AttributeError):
        pass

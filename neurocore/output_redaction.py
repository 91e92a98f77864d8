"""Redact what skills print and log while runs with secrets are driven: stdout and stderr go through a filter.

The filter is installed when the first secret is resolved and removed when the last drive with one ends.
"""

from __future__ import annotations

import sys
from typing import Any

from neurocore import forks, log
from neurocore.secrets import Redactor

_lock = forks.lock()
_watched: dict[int, Redactor] = {}
_all = Redactor(())
_ever = Redactor(())
_real: list[tuple[Any, Any]] = []  # the original streams; empty while nothing is watched


def watch(redactor: Redactor) -> None:
    """Redact this redactor's values from now on."""
    with _lock:
        _watched[id(redactor)] = redactor
        _all.add(redactor.values)
        _ever.add(redactor.values)
        if not _real:
            _real.append((sys.stdout, sys.stderr))
            sys.stdout, sys.stderr = _all.stream(sys.stdout), _all.stream(sys.stderr)
            log.redactors.append(_all.text)


def unwatch(redactor: Redactor) -> None:
    """End the redaction for this drive; the last one removes the filter."""
    with _lock:
        if _watched.pop(id(redactor), None) is None or _watched or not _real:
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = _real.pop()
        log.redactors.clear()
        _all.clear()


def masked(text: str) -> str:
    """Return the text without any secret of this process's drives, also after their end: for tracebacks."""
    return _ever.text(text)

"""While runs with secrets are driven, what skills print and log is redacted: stdout and stderr stand behind a filter.

The filter is put in place when the first secret is resolved and taken away when the last drive that knows one ends.
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
_real: list[tuple[Any, Any]] = []  # the streams as they were; empty while nothing is watched


def watch(redactor: Redactor) -> None:
    """From now on, print none of this redactor's values."""
    with _lock:
        _watched[id(redactor)] = redactor
        _all.add(redactor.values)
        _ever.add(redactor.values)
        if not _real:
            _real.append((sys.stdout, sys.stderr))
            sys.stdout, sys.stderr = _all.stream(sys.stdout), _all.stream(sys.stderr)
            log.redactors.append(_all.text)


def unwatch(redactor: Redactor) -> None:
    """This drive is over; the last one takes the filter away."""
    with _lock:
        if _watched.pop(id(redactor), None) is None or _watched or not _real:
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = _real.pop()
        log.redactors.clear()
        _all.clear()


def masked(text: str) -> str:
    """The text without any value that a drive of this process has known, also after its end: for tracebacks."""
    return _ever.text(text)

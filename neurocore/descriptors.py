"""File descriptors: every open connection, database and file takes one, and a process has a limited number."""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec

#: What to do when there are too few.
ADVICE = "raise the limit (`ulimit -n`, LimitNOFILE= in a systemd unit) and start again"

#: The errors of the system when no descriptor, or no memory for one, is left.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def raise_limit(wanted: int) -> int:
    """Raise this process's own limit to `wanted`, as far as the system allows; return the resulting limit."""
    if find_spec("resource") is None:  # as on Windows
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            return soft
        return most
    return wanted if soft == resource.RLIM_INFINITY else soft


def none_left() -> bool:
    """Return whether this process can open nothing more now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in EXHAUSTED
    return False

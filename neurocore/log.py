"""Logging as `logging:` in neurocore.yaml says: level, console or JSON lines, and a file."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), **({"error": self.formatException(record.exc_info)} if record.exc_info else {}),
        }  # fmt: skip
        return msgspec.json.encode(document).decode()


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Looks `sys.stderr` up at each line: it is exchanged while secrets are about."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        """Where lines go now."""
        return sys.stderr


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
        path = config.logs_dir / config.logging.file
        path.parent.mkdir(parents=True, exist_ok=True)
        _ours.append(logging.FileHandler(path, encoding="utf-8"))
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for handler in _ours:
        handler.setFormatter(_Json() if config.logging.format == "json" else plain)
        root.addHandler(handler)
    if not _ours:
        _ours.append(logging.NullHandler())
        root.addHandler(_ours[0])

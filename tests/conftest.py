"""What every test starts from: no setting of the machine, no colour, no armed failpoint reaches it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

#: The same examples on every machine and at every time; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither NEUROCORE_… of the shell nor a terminal's wishes change what a test sees, in children as here."""
    for name in list(os.environ):
        if name.startswith("NEUROCORE_"):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _every_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection that is left to the collector is closed at an unknown time, and Python 3.13 reports it."""
    opened: list[tuple[str, sqlite3.Connection]] = []
    connect = sqlite3.connect

    def noted(database: Any, *args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(database, *args, **options)
        opened.append((str(database), connection))
        return connection

    monkeypatch.setattr(sqlite3, "connect", noted)
    yield
    left = []
    for database, connection in opened:
        try:
            _ = connection.total_changes
        except sqlite3.ProgrammingError as error:
            if "closed" in str(error):
                continue
        left.append(database)
        with contextlib.suppress(sqlite3.ProgrammingError):  # of another thread
            connection.close()
    assert left == [], "these connections were left open"


@pytest.fixture
def no_hard_links(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses hard links, here and in the processes that a test starts."""
    folder = tmp_path_factory.mktemp("no-hard-links")
    (folder / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def link(source, target, **more):\n"
        "    raise PermissionError(errno.EPERM, 'Operation not permitted', source, None, target)\n"
        "os.link = link\n"
    )
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{path}" if path else str(folder))

    def refuse(source: object, target: object, **more: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr(os, "link", refuse)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT

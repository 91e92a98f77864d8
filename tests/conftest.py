"""What every test starts from: no setting of the machine, no colour, no armed failpoint reaches it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

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

"""A fresh world for each runtime test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.worlds import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world."""
    made = World(tmp_path)
    yield made
    made.store.close()

"""The page about OWASP ASVS 5.0 has every requirement of levels 1 and 2 once, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

#: How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has; they come first in their section.
SECTIONS = {
    1: [2, 9, 11, 3, 2], 2: [3, 3, 4, 1], 3: [0, 2, 4, 6, 5, 0, 2], 4: [3, 1, 2, 4], 5: [1, 3, 2, 3],
    6: [3, 12, 4, 4, 5, 3, 0, 4], 7: [3, 4, 2, 5, 2, 2], 8: [2, 3, 1, 1], 9: [3, 4], 10: [2, 2, 4, 11, 5, 2, 3],
    11: [2, 3, 3, 4, 1, 1], 12: [3, 2, 4], 13: [1, 5, 2, 5], 14: [2, 4, 3], 15: [3, 3, 7], 16: [1, 5, 4, 3, 3],
    17: [1, 4, 2],
}  # fmt: skip
STATES = {"met", "partly", "not met", "operator", "n/a"}


@pytest.fixture
def rows(root: Path) -> list[tuple[str, str, str]]:
    """Each row of the tables: requirements, state, and where or why."""
    text = (root / "docs" / "asvs.md").read_text("utf-8")
    found = re.findall(r"^\| ([0-9].*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert len(found) > 100
    return found


def test_every_requirement_is_there_once(rows: list[tuple[str, str, str]]) -> None:
    wanted = [
        f"{chapter}.{section}.{number}"
        for chapter, counts in SECTIONS.items()
        for section, count in enumerate(counts, 1)
        for number in range(1, count + 1)
    ]
    assert len(wanted) == 253, "as many as the standard has"
    found = []
    for ids, _, _ in rows:
        for one in ids.split(", "):
            first, _, last = one.partition("–")
            section, _, start = first.rpartition(".")
            assert not last or last.rpartition(".")[0] == section, one
            found += [f"{section}.{n}" for n in range(int(start), int((last or first).rpartition(".")[2]) + 1)]
    assert sorted(found) == sorted(wanted)


def test_every_row_has_a_state_and_a_reason(rows: list[tuple[str, str, str]]) -> None:
    for ids, state, why in rows:
        assert state in STATES, ids
        assert len(why) > 5, ids


@pytest.mark.parametrize("page", ["docs/asvs.md", "SECURITY.md"])
def test_the_files_that_prove_it_exist(root: Path, page: str) -> None:
    text = (root / page).read_text("utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|html|json|txt))`", text))
    assert len(named) > 10
    for name in sorted(named):
        assert any((root / place / name).exists() for place in ("", "tests/webapp")), name

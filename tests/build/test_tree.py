"""`tools/check_tree.py` finds what must not stand in a file, and the promises name tests that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest


def test_the_tree_is_clean(root):
    done = subprocess.run(
        [sys.executable, "tools/check_tree.py"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        '"resolved"' + ': "https' + '://example.test/x.tgz"',
        "pip install --index" + "-url https://example.test/simple x",
        "https://registry.npm" + "js.org/htmx.org",
        "https://files.python" + "hosted.org/packages/",
        "/ho" + "me/ada/neurocore/",
        "/ro" + "ot/neurocore",
    ],
)
def test_a_registry_or_a_machine_in_a_file_is_found(root, tmp_path, line):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "check_tree.py").write_text((root / "tools" / "check_tree.py").read_text("utf-8"), "utf-8")
    (tmp_path / "notes.md").write_text(f"fine\n{line}\n", "utf-8")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = subprocess.run(
        [sys.executable, "tools/check_tree.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("notes.md:2: names a ")


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}


def promises(root: Path) -> dict[int, list[tuple[str, str]]]:
    text = (root / "docs" / "promises.md").read_text("utf-8")
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)[1:]
    return {
        int(number): re.findall(r"`([\w/]+\.py)::(\w+)`", body)
        for number, body in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_promise_names_tests(root):
    found = promises(root)
    assert sorted(found) == list(range(1, 13))
    assert [number for number, tests in found.items() if not tests] == []


def test_every_named_test_exists(root):
    missing = [
        f"{path}::{test}"
        for tests in promises(root).values()
        for path, test in tests
        if not (root / path).is_file() or test not in names_in(root / path)
    ]
    assert missing == []

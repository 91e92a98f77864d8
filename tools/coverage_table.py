"""Print how many branches and lines the last `make test` covered, one line for each package."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = (("branches", "covered_branches", "num_branches"), ("lines", "covered_lines", "num_statements"))


def main() -> None:
    """Print the table."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, file in _measured()["files"].items():
        parts = Path(name).parts
        for row in ("/".join(parts[:-1][:2]), "total"):
            rows[row].update({key: file["summary"][key] for _, *keys in COLUMNS for key in keys})
    print("\nCoverage, without what runs in processes of their own:")
    for row in [*sorted(rows.keys() - {"total"}), "total"]:
        print(f"  {row:24}", *(_share(rows[row], *column) for column in COLUMNS), sep="  ")


def _measured() -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    measured = coverage.Coverage(data_file=ROOT / ".coverage", config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(report))
        found: dict[str, dict[str, dict[str, dict[str, int]]]] = json.loads(report.read_text("utf-8"))
    return found


def _share(counts: Counter[str], word: str, covered: str, number: str) -> str:
    return f"{100 * counts[covered] / max(1, counts[number]):5.1f} % of {counts[number]:6,} {word}"


if __name__ == "__main__":
    main()

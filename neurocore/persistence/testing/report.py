"""What a backend passes, and what it does better than it must."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from neurocore.persistence.base import RunStore
from neurocore.persistence.testing.contract import Contract

#: Further abilities in plain words, each with its methods of the roles.
ABILITIES: dict[str, tuple[str, ...]] = {
    "a step and its run in one transaction": ("commit",),
    "claiming by compare-and-set": ("create_run", "claim"),
    "one decision, however many processes answer": ("answer_gate", "replace_gate"),
    "requests from outside": ("request_cancel", "request_resume", "set_owed", "signals", "adopt_runs"),
    "pages by key": ("page_runs",),
    "look-up of an id by its prefix": ("find_runs",),
    "counts without counting": ("status_counts", "blueprint_counts", "day_counts"),
    "latest failures": ("failed_runs",),
    "lists of gates": ("list_gates", "count_open_gates", "load_gates", "load_gate"),
    "reading a part of a run": ("load_summary", "load_step", "step_summaries", "load_events", "load_context"),
    "finding owed runs": ("active_runs", "count_held_runs"),
    "tombstones of deleted runs": ("bury_run", "load_tombstone"),
    "keeping requests across a restart": ("load_request", "keep_request", "forget_request"),
}


class Report(Struct, frozen=True, kw_only=True):
    """The result: tests by name (`failed` with the traceback), and the backend's own abilities."""

    backend: str
    passed: list[str]
    failed: dict[str, str]
    offers: list[str]
    multi_process: bool

    @property
    def passes(self) -> bool:
        """Return whether the backend keeps the contract."""
        return not self.failed

    def __str__(self) -> str:
        total = len(self.passed) + len(self.failed)
        lines = [f"{self.backend} passes {len(self.passed)} of {total} tests of the contract."]
        lines += [f"  ✗ {name}\n{_indented(trace)}" for name, trace in self.failed.items()]
        lines.append(f"It offers {len(self.offers)} of {len(ABILITIES)} further abilities:")
        lines += [f"  {'✓' if name in self.offers else '–'} {name}" for name in ABILITIES]
        apart = "any number of processes" if self.multi_process else "the threads of one process only"
        lines.append(f"It isolates the writers of {apart}.")
        return "\n".join(lines)


def examine(contract: type[Contract], make_store: Callable[[Path], RunStore]) -> Report:
    """Run `contract` without pytest; `make_store` is called with a new folder for each test."""

    class Taken(contract):  # type: ignore[misc, valid-type]
        def make_store(self) -> RunStore:
            return make_store(self.folder)

    names = sorted(name for name in dir(Taken) if name.startswith("test_"))
    failed = {name: trace for name in names if (trace := _trouble(Taken(), name)) is not None}
    probe = Taken()
    probe.setup_method()
    kind = type(probe.store)
    probe.teardown_method()
    own = kind.abilities()
    return Report(
        backend=kind.__name__,
        passed=[name for name in names if name not in failed],
        failed=failed,
        offers=[name for name, methods in ABILITIES.items() if all(own[method] for method in methods)],
        multi_process=kind.multi_process,
    )


def _trouble(test: Contract, name: str) -> str | None:
    try:
        test.setup_method()
        try:
            getattr(test, name)()
        finally:
            test.teardown_method()
    except Exception:
        return traceback.format_exc()
    return None


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())

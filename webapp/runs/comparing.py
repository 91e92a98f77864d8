"""Two runs side by side: the differences in inputs, definition, steps, their outputs and durations."""

from __future__ import annotations

from functools import cached_property
from itertools import islice

from msgspec import Struct

from neurocore.differences import Work
from neurocore.gates.compare import NodeVisit, paired
from neurocore.persistence.records import RunRecord, StepRecord
from webapp.html import diff
from webapp.runs.run_page import RunPage
from webapp.runs.run_state import Standing, standing
from webapp.runs.steps import LARGEST_COMPARED, decoded
from webapp.services import Services

MOST_STEPS = 500


class Pair(Struct, kw_only=True):
    """One visit of a node in both runs (the last attempt). A run without this visit has None."""

    node_id: str
    visit: int
    first: StepRecord | None
    second: StepRecord | None
    differences: list[diff.Change] = []

    @property
    def same(self) -> bool:
        """Return whether both ended with the same status and the same values."""
        if self.first is None or self.second is None:
            return False
        return self.first.status is self.second.status and not self.differences

    @property
    def ratio(self) -> float | None:
        """Return how many times as long the second worked, or None if a duration is missing."""
        if self.first is None or self.second is None or not self.first.duration_ms or self.second.duration_ms is None:
            return None
        return self.second.duration_ms / self.first.duration_ms


class Comparing:
    """The data of the page that compares two runs. Each part is computed when it is used."""

    def __init__(self, first: RunRecord, second: RunRecord, services: Services) -> None:
        self.runs = (first, second)
        self._services = services
        self._store = services.store
        self._work = Work()  # shared by the whole page

    @property
    def standings(self) -> list[Standing]:
        """Return the states of both runs."""
        return [standing(run, self._services) for run in self.runs]

    @cached_property
    def whole(self) -> list[RunRecord]:
        """Return both runs with their wide columns."""
        return [self._store.load_run(run.run_id) or run for run in self.runs]

    @cached_property
    def inputs(self) -> list[diff.Change]:
        """Return the differences between the inputs."""
        first, second = self.whole
        return diff.changes(first.initial_data, second.initial_data, work=self._work)

    @cached_property
    def definition(self) -> list[tuple[str, str]] | None:
        """Return the lines of the blueprint that differ, or None if the definition is the same."""
        if self.runs[0].blueprint_hash == self.runs[1].blueprint_hash:
            return None
        before, after = (RunPage(run, self._services).source for run in self.whole)
        change = diff.Change("blueprint", f"{before}\n", f"{after}\n")
        return change.lines or [
            (" ", change.note or "The text is the same; the definitions differ in something that it does not show.")
        ]

    @cached_property
    def steps(self) -> list[Pair]:
        """Return the visits of both runs in the order of the first, then those that only the second has."""
        return [self._pair(*visit, *steps) for visit, steps in islice(self._visits.items(), MOST_STEPS)]

    @property
    def left_out(self) -> int:
        """Return how many visits `steps` leaves out."""
        return max(0, len(self._visits) - MOST_STEPS)

    @cached_property
    def _visits(self) -> dict[NodeVisit, tuple[StepRecord | None, StepRecord | None]]:
        return paired(*(self._store.load_steps(run.run_id) for run in self.runs))

    def _pair(self, node: str, visit: int, first: StepRecord | None, second: StepRecord | None) -> Pair:
        differences: list[diff.Change] = []
        if first is not None and second is not None:
            before, after = first.changes.set, second.changes.set
            for key in dict.fromkeys([*before, *after]):
                if before.get(key) != after.get(key) and key not in ("approval", "approvals"):
                    differences += _of_key(key, before.get(key), after.get(key), self._work)
        return Pair(node_id=node, visit=visit, first=first, second=second, differences=differences)


def _of_key(key: str, before: bytes | None, after: bytes | None, work: Work) -> list[diff.Change]:
    if len(before or b"") + len(after or b"") > LARGEST_COMPARED:
        return [diff.Change(key, f"{len(before or b''):,} bytes", f"{len(after or b''):,} bytes")]
    old = {} if before is None else {key: decoded(before)}
    new = {} if after is None else {key: decoded(after)}
    return diff.changes(old, new, work=work)

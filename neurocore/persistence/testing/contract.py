"""What the parts of the contract share: a store for each test, and records for it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from neurocore import codec
from neurocore.persistence import seals
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import (
    Answer,
    Changes,
    Event,
    GateRecord,
    GateStatus,
    RunRecord,
    RunStatus,
    StepRecord,
    Transition,
)

_START = datetime(2026, 1, 1, tzinfo=UTC)


class Contract:
    """A part of the contract. `folder` is new for each test; `durable`: a store reopened there has the same runs."""

    durable: ClassVar[bool] = True
    folder: Path
    store: RunStore

    def make_store(self) -> RunStore:
        """Return the backend, with its data below `self.folder`; the author of the backend implements this."""
        raise NotImplementedError

    def setup_method(self) -> None:
        """Create the store before each test; called by pytest or by `examine`."""
        self.folder = Path(tempfile.mkdtemp(prefix="run-store-"))
        self.store = self.make_store()

    def teardown_method(self) -> None:
        """Close the store after each test."""
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reopened(self) -> RunStore:
        """Return the store as another process would find it; the same one if it lives in memory."""
        if self.durable:
            self.store.close()
            self.store = self.make_store()
        return self.store


def at(minute: float) -> str:
    """Return an ISO time, this many minutes into a fixed day."""
    return (_START + timedelta(minutes=minute)).isoformat(timespec="microseconds")


def run(run_id: str, *, minute: float = 0, **fields: Any) -> RunRecord:
    """Return a run that was created in that minute."""
    given = {
        "blueprint_name": "payouts",
        "blueprint_hash": "a" * 64,
        "blueprint_snapshot": {"name": "payouts", "flow": {"type": "sequential"}},
        "created_at": at(minute),
        "updated_at": at(minute),
        **fields,
    }
    return RunRecord(run_id=run_id, **given)


def step(run_id: str, index: int, *, sets: dict[str, Any] | None = None, **fields: Any) -> StepRecord:
    """Return a completed step that sets these values."""
    changes = Changes(set={key: codec.encode(value) for key, value in (sets or {}).items()})
    given = {
        "component": f"node{index}",
        "node_id": f"node{index}",
        "started_at": at(index),
        "changes": changes,
        "output_keys": list(sets or {}),
        "commit_index": index + 1,
        **fields,
    }
    return StepRecord(run_id=run_id, step_index=index, **given)


def gate(run_id: str, node_id: str = "review", *, visit: int = 1, minute: float = 0, **fields: Any) -> GateRecord:
    """Return an open gate that shows one value."""
    shown = codec.encode({"total": 12.5})
    made = GateRecord(
        run_id=run_id, node_id=node_id, visit=visit, name=node_id, opened_at=at(minute), message="Pay?", shown=shown
    )
    made.digest = seals.gate_digest(made)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def answer(node_id: str = "review", *, visit: int = 1, by: str = "ada", minute: float = 5, **fields: Any) -> Answer:
    """Return an approval."""
    given = {"approved": True, "known_by": "claimed", "at": at(minute), **fields}
    return Answer(node_id=node_id, visit=visit, by=by, **given)


#: Who claims a run in these tests.
OWNER = "me@here:1"


def turn(mine: RunRecord, *, owner: str | None = OWNER, **written: Any) -> Transition:
    """Return what a driver writes whose claim is `owner` at the run's epoch."""
    return Transition(run=mine, owner=owner, **written)


def give(store: RunStore, run_id: str, given: Answer, *, event: Event, digest: str | None = None) -> bool:
    """Answer an occurrence, on its current digest or on another one; return whether that took effect."""
    key = (given.node_id, given.visit)
    shown = next((one.digest for one in store.load_gates(run_id) if (one.node_id, one.visit) == key), "")
    return store.answer_gate(run_id, given, event=event, digest=shown if digest is None else digest) is not None


def event(kind: str = "answered", *, minute: float = 5, who: str = "ada", **data: Any) -> Event:
    """Return an event of the activity."""
    return Event(at=at(minute), kind=kind, who=who, known_by="claimed", data=data)


def waiting(run_id: str, *nodes: str, minute: float = 0, **fields: Any) -> RunRecord:
    """Return a suspended run with open gates."""
    names = nodes or ("review",)
    gates = [gate(run_id, name, minute=minute + place) for place, name in enumerate(names)]
    return run(run_id, minute=minute, status=RunStatus.SUSPENDED, suspended_at_node=names[0], gates=gates, **fields)


def found(store: RunStore, run_id: str) -> RunRecord:
    """Return the run, which must exist."""
    loaded = store.load_run(run_id)
    assert loaded is not None, f"run {run_id} is not there"
    return loaded


def status_of(store: RunStore, run_id: str, node_id: str = "review", visit: int = 1) -> GateStatus:
    """Return the status of the gate occurrence."""
    return next(one.status for one in store.load_gates(run_id) if (one.node_id, one.visit) == (node_id, visit))


@contextlib.contextmanager
def refused(kind: type[BaseException]) -> Iterator[None]:
    """Assert that the block raises `kind`."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")

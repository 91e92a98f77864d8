"""What the views work with: the project's configuration, history, skills and dispatcher, one set for each app."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import current_app, g, has_request_context

from neurocore import forks
from neurocore.blueprint.load import load_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import Dispatcher, NullDispatcher
from neurocore.drivers.sweep import liveness
from neurocore.errors import BlueprintError, NotFoundError
from neurocore.forms import folded, found
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import RunRecord, RunStatus
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry
from webapp.kept_files import KeptFiles

SUFFIXES = (".flow.yaml", ".flow.yml", ".yaml", ".yml")

#: How long the answer of an owner's lock holds, in seconds: a page of running runs asks each owner once.
LIVENESS_HOLDS = 2.0

#: Rows of lists and timelines that are kept, 1 to 3 KB each.
MOST_ROWS = 5_000

#: How many files of the blueprints folder are looked at.
MOST_BLUEPRINTS = 10_000

#: A count that takes longer than this, in seconds, holds twenty times as long.
SLOW = 0.1


_log = logging.getLogger(__name__)

RowParts = tuple[str, str]


class Services:
    """`current_app.extensions["neurocore"]`."""

    def __init__(self, config: NeuroCoreConfig, store: RunStore, dispatcher: Dispatcher) -> None:
        self.config = config
        #: Every run, whoever asks; `store` has those that the sender of a request may see.
        self.all_runs = store
        self.dispatcher = dispatcher
        #: Set when the server stops: whoever waits for a run is answered then.
        self.closing = threading.Event()
        self._lock = forks.lock()
        self._registry: SkillRegistry | None = None
        self._blueprints = KeptFiles(_load)
        #: How many files the last look into the blueprints folder left out.
        self.files_left_out = 0
        #: The rows that were shown last, as HTML with what they tell; by whose they are and where (`kept_row`).
        self.kept_rows: dict[tuple[str, str], tuple[object, RowParts]] = {}
        #: How ended runs went, by run, version and what else is asked for (`webapp.runs.run_page.Course`).
        self.kept_courses: dict[tuple[str, str, bool, str], Any] = {}
        #: Figures of blueprints, by name, with what they were made of (`webapp.blueprints.views`).
        self.kept_figures: dict[str, tuple[object, Any]] = {}
        self._alive: dict[tuple[str, ...], tuple[float, str]] = {}
        self._open_gates = (0.0, 0)

    @property
    def store(self) -> RunStore:
        """The runs that the sender of this request may see; outside of a request, every run."""
        seen = g.get("visible_runs") if has_request_context() else None
        return self.all_runs if seen is None else seen

    def later(self, work: Callable[..., object], *given: object) -> None:
        """Do something small outside of this request; that it fails is logged."""
        threading.Thread(target=_quietly, args=(work, *given), daemon=True).start()

    @property
    def drives(self) -> bool:
        """Whether runs are driven on from here (`--no-dispatch` leaves that to others)."""
        return not isinstance(self.dispatcher, NullDispatcher)

    def kept_row(self, whose: str, base: str, tells: object) -> RowParts | None:
        """The row that was made for this run or step below this address, if it tells the same; else None."""
        kept = self.kept_rows.get((whose, base))
        return kept[1] if kept is not None and kept[0] == tells else None

    def keep_row(self, whose: str, base: str, tells: object, parts: RowParts) -> None:
        """Keep a row in place of the one before it. Ages go on, so a row that told another is never asked for again."""
        if len(self.kept_rows) >= MOST_ROWS:
            self.kept_rows.clear()
        self.kept_rows[whose, base] = (tells, parts)

    # ---------------------------------------------------------------- skills and blueprints

    @property
    def registry(self) -> SkillRegistry:
        """The skills, discovered once: their code is loaded into this process and changes with a restart only."""
        with self._lock:
            if self._registry is None:
                self._registry = discover_skills(self.config, process="server")
            return self._registry

    def stale(self) -> str | None:
        """What of the project changed on disk since this server loaded it, in a sentence; each is logged once."""
        on_disk = self._registry.on_disk if self._registry is not None else None
        if on_disk is None:
            return None
        on_disk.news()
        return on_disk.sentence()

    def schema_of(self, skill: str) -> dict[str, Any] | None:
        """The configuration schema of a skill, for what it marks secret; None where the skill is not there."""
        found = self.registry.get(skill)
        return found.skill_meta.config_schema if found is not None else None

    def blueprint_files(self) -> dict[str, tuple[Path, Blueprint | BlueprintError]]:
        """The blueprints folder by blueprint name (a file that cannot be read counts under its file name)."""
        paths = sorted(_blueprints_below(self.config.blueprints_dir))
        found: dict[str, tuple[Path, Blueprint | BlueprintError]] = {}
        for path in paths[:MOST_BLUEPRINTS]:
            loaded = self._blueprints.get(path)
            name = loaded.name if isinstance(loaded, Blueprint) else stem(path)
            found.setdefault(name, (path, loaded))
        self._blueprints.forget_all_but(paths)
        self.files_left_out = max(0, len(paths) - MOST_BLUEPRINTS)
        return found

    @property
    def left_out(self) -> str:
        """What a sentence about the blueprints folder adds where not all of its files are looked at."""
        further = self.files_left_out
        return f"; of its files the first {MOST_BLUEPRINTS:,} are looked at, and {further:,} are not" if further else ""

    def blueprint_counts(self, files: Iterable[str], *, status: RunStatus | None = None) -> dict[str, int]:
        """How many runs each blueprint has; a name that differs in its Unicode form alone is that of the file."""
        return folded(self.store.blueprint_counts(status=status), files)

    def blueprint(self, name: str) -> tuple[Path, Blueprint]:
        """The blueprint of this name as its file is now. Raises NotFoundError or BlueprintError."""
        path, loaded = found(self.blueprint_files(), name) or (None, None)
        if path is None or loaded is None:
            raise NotFoundError(
                f"The folder {self.config.paths.blueprints} has no blueprint {name[:200]!r}{self.left_out}."
            )
        if isinstance(loaded, BlueprintError):
            raise loaded
        return path, loaded

    # ---------------------------------------------------------------- where a run stands

    def open_gates(self) -> int:
        """How many gates wait for people. Every page that lives asks this, so a store that is slow is asked less."""
        until, count = self._open_gates
        began = time.monotonic()
        if began >= until:
            count = self.store.count_open_gates()
            took = time.monotonic() - began
            self._open_gates = (began + (20 * took if took > SLOW else 0.0), count)
        return count

    def liveness(self, run: RunRecord) -> str:
        """`driven`, `lost`, `owed`, `cannot_tell`, `held` or `idle`; kept for a moment: a page asks each lock once."""
        if run.held is not None:
            return "held"
        if run.status.ended:
            return "idle"
        key = (run.owner or "", run.run_id, run.status.value, run.owed or "")
        held = self._alive.get(key)
        now = time.monotonic()
        if held is not None and held[0] > now and held[1] != "lost":
            return held[1]
        state = liveness(run, self.config, self.store)
        if len(self._alive) > 2000:
            self._alive.clear()
        self._alive[key] = (now + LIVENESS_HOLDS, state)
        return state


def _quietly(work: Callable[..., object], *given: object) -> None:
    try:
        work(*given)
    except Exception:
        _log.exception("What a request left to be done failed.")


def identity(run: RunRecord) -> str:
    """What caches know a run by: some stores give the id of a deleted run again."""
    return f"{run.run_id} {run.created_at}"


def _blueprints_below(folder: Path) -> Iterator[Path]:
    """The files that may be blueprints. Every start asks for them, and `Path.rglob` takes three times as long."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118
            if name.endswith((".yaml", ".yml")) and os.path.isfile(path):  # noqa: PTH113
                yield Path(path)


def _load(path: Path) -> Blueprint | BlueprintError:
    try:
        return load_blueprint(path)
    except BlueprintError as error:
        return error


def services() -> Services:
    """Those of the app that handles this request."""
    found: Services = current_app.extensions["neurocore"]
    return found


def stem(path: Path) -> str:
    """The name of a blueprint's file without its endings."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name

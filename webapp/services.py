"""What the views use: configuration, history, skills and dispatcher of the project; one object for each app."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

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
from neurocore.persistence.visible import VisibleRuns
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry
from webapp.kept_files import KeptFiles

SUFFIXES = (".flow.yaml", ".flow.yml", ".yaml", ".yml")

#: How long the state of an owner's lock is cached, in seconds: a page of running runs asks each owner once.
LIVENESS_HOLDS = 2.0

#: How many rows of lists and timelines are cached, 1 to 3 KB each.
MOST_ROWS = 5_000

#: How many files of the blueprints folder are read.
MOST_BLUEPRINTS = 10_000

#: A count that takes longer than this, in seconds, is cached twenty times as long.
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
        #: Set when the server stops; requests that wait for a run are then answered.
        self.closing = threading.Event()
        self._lock = forks.lock()
        self._registry: SkillRegistry | None = None
        self._blueprints = KeptFiles(_load)
        #: How many files were left out when the blueprints folder was last read.
        self.files_left_out = 0
        #: Cached rows as HTML with the values they depend on, by run or step and base address (`kept_row`).
        self.kept_rows: dict[tuple[str, str], tuple[object, RowParts]] = {}
        #: Cached courses of ended runs, by run, version and options (`webapp.runs.run_page.Course`).
        self.kept_courses: dict[tuple[str, str, bool, str], Any] = {}
        #: Cached figures of blueprints by name, with the values they depend on (`webapp.blueprints.views`).
        self.kept_figures: dict[str, tuple[object, Any]] = {}
        self._alive: dict[tuple[str, ...], tuple[float, str]] = {}
        self._open_gates = (0.0, 0)

    @property
    def store(self) -> RunStore:
        """The runs that the sender of this request may see; outside of a request, every run."""
        seen = _seen()
        return self.all_runs if seen is None else cast("RunStore", seen)

    def later(self, work: Callable[..., object], *given: object) -> None:
        """Do something small outside of this request; that it fails is logged."""
        threading.Thread(target=_quietly, args=(work, *given), daemon=True).start()

    @property
    def drives(self) -> bool:
        """Return whether this process drives runs (not with `--no-dispatch`)."""
        return not isinstance(self.dispatcher, NullDispatcher)

    def kept_row(self, whose: str, base: str, tells: object) -> RowParts | None:
        """Return the cached row of this run or step under this address if it is still valid, else None."""
        kept = self.kept_rows.get((whose, base))
        return kept[1] if kept is not None and kept[0] == tells else None

    def keep_row(self, whose: str, base: str, tells: object, parts: RowParts) -> None:
        """Cache a row in place of the previous one, which is not needed again: its shown age is past."""
        if len(self.kept_rows) >= MOST_ROWS:
            self.kept_rows.clear()
        self.kept_rows[whose, base] = (tells, parts)

    # ---------------------------------------------------------------- skills and blueprints

    @property
    def registry(self) -> SkillRegistry:
        """Return the skills. They are discovered once: their code is loaded, and changes only with a restart."""
        with self._lock:
            if self._registry is None:
                self._registry = discover_skills(self.config, process="server")
            return self._registry

    def stale(self) -> str | None:
        """Return a sentence about what changed on disk since this server loaded it, or None. Log each change once."""
        on_disk = self._registry.on_disk if self._registry is not None else None
        if on_disk is None:
            return None
        on_disk.news()
        return on_disk.sentence()

    def schema_of(self, skill: str) -> dict[str, Any] | None:
        """Return the configuration schema of a skill, which marks secrets, or None if there is no such skill."""
        found = self.registry.get(skill)
        return found.skill_meta.config_schema if found is not None else None

    def blueprint_files(self) -> dict[str, tuple[Path, Blueprint | BlueprintError]]:
        """Return the blueprints in the folder by name (a file that cannot be read has its file name)."""
        paths = sorted(_blueprints_below(self.config.blueprints_dir))
        found: dict[str, tuple[Path, Blueprint | BlueprintError]] = {}
        for path in paths[:MOST_BLUEPRINTS]:
            loaded = self._blueprints.get(path)
            name = loaded.name if isinstance(loaded, Blueprint) else stem(path)
            found.setdefault(name, (path, loaded))
        self._blueprints.forget_all_but(paths)
        self.files_left_out = max(0, len(paths) - MOST_BLUEPRINTS)
        seen = _seen()
        return found if seen is None else {name: one for name, one in found.items() if seen.sees(name)}

    @property
    def left_out(self) -> str:
        """Return what a sentence about the blueprints folder adds if not all of its files are read, else ""."""
        further = self.files_left_out
        return f"; only the first {MOST_BLUEPRINTS:,} of its files are read, {further:,} are not" if further else ""

    def blueprint_counts(self, files: Iterable[str], *, status: RunStatus | None = None) -> dict[str, int]:
        """Return how many runs each blueprint has. Names that differ only in their Unicode form count as the file's."""
        return folded(self.store.blueprint_counts(status=status), files)

    def blueprint(self, name: str) -> tuple[Path, Blueprint]:
        """Return the blueprint of this name from its current file. Raises NotFoundError or BlueprintError."""
        path, loaded = found(self.blueprint_files(), name) or (None, None)
        if path is None or loaded is None:
            raise NotFoundError(
                f"The folder {self.config.paths.blueprints} has no blueprint {name[:200]!r}{self.left_out}."
            )
        if isinstance(loaded, BlueprintError):
            raise loaded
        return path, loaded

    # ---------------------------------------------------------------- the state of runs

    def open_gates(self) -> int:
        """Return how many gates wait for people. Every live page needs it, so a slow store is asked less often."""
        if _seen() is not None:
            return self.store.count_open_gates()
        until, count = self._open_gates
        began = time.monotonic()
        if began >= until:
            count = self.store.count_open_gates()
            took = time.monotonic() - began
            self._open_gates = (began + (20 * took if took > SLOW else 0.0), count)
        return count

    def liveness(self, run: RunRecord) -> str:
        """Return `driven`, `lost`, `owed`, `cannot_tell`, `held` or `idle`.

        The answer is cached briefly, so that a page asks each lock once.
        """
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


def _seen() -> VisibleRuns | None:
    """The runs that the sender of this request may see, where these are not all."""
    found: VisibleRuns | None = g.get("visible_runs") if has_request_context() else None
    return found


def _quietly(work: Callable[..., object], *given: object) -> None:
    try:
        work(*given)
    except Exception:
        _log.exception("What a request left to be done failed.")


def identity(run: RunRecord) -> str:
    """Return the key of a run in caches. The id is not enough: some stores reuse the id of a deleted run."""
    return f"{run.run_id} {run.created_at}"


def _blueprints_below(folder: Path) -> Iterator[Path]:
    """Yield the files that may be blueprints. Every start needs them, and `Path.rglob` takes three times as long."""
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
    """Return the services of the app that handles this request."""
    found: Services = current_app.extensions["neurocore"]
    return found


def stem(path: Path) -> str:
    """Return the name of a blueprint file without its suffix."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name

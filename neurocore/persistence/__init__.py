"""Where runs are stored. `build_run_store` opens the configured store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurocore import modules
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import (
    Answer,
    Changes,
    Event,
    GateRecord,
    GateStatus,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.memory import InMemoryRunStore
    from neurocore.persistence.sqlite import SQLiteRunStore

__all__ = [
    "Answer",
    "Changes",
    "Event",
    "GateRecord",
    "GateStatus",
    "InMemoryRunStore",
    "RunFilter",
    "RunPage",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "SQLiteRunStore",
    "StepRecord",
    "StepStatus",
    "build_run_store",
]

GROUP = "neurocore.run_stores"


def build_run_store(config: NeuroCoreConfig) -> RunStore | None:
    """Return the store that `persistence` configures, or None if persistence is disabled.

    Besides `sqlite` and `memory`, `persistence.backend` can name an entry point of the group `neurocore.run_stores`: a
    callable that takes the configuration. From this call on, stored values may have classes that the project's own code
    defines. Raises ConfigError for an unknown backend, StoreError for one that does not open.
    """
    if not config.persistence.enabled:
        return None
    store = _opened(config)
    store.auth_mode, store.open_groups = config.auth.mode, config.auth.groups
    return store


def _opened(config: NeuroCoreConfig) -> RunStore:
    settings = config.persistence
    modules.serve(config.project_root, config.skills_dir.resolve())
    if settings.backend == "sqlite":
        from neurocore.persistence.sqlite import SQLiteRunStore

        return SQLiteRunStore(
            config.runs_db_path, durability=settings.durability, data_dir=config.data_dir, mode=config.file_mode
        )
    if settings.backend == "memory":
        from neurocore.persistence.memory import InMemoryRunStore

        return InMemoryRunStore()
    return _installed(settings.backend, config)


def _installed(name: str, config: NeuroCoreConfig) -> RunStore:
    from importlib.metadata import entry_points

    from neurocore.errors import ConfigError, NeuroCoreError, StoreError
    from neurocore.secrets import Redactor, find_references

    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted({"sqlite", "memory", *points}))
        raise ConfigError(f"persistence.backend names {name!r}, which is not installed; there are {known}.")
    place = points[name].value
    try:
        store = points[name].load()(config)
    except NeuroCoreError:
        raise
    except Exception as error:  # another package may raise anything, also with the password it was refused with
        secrets = {config.environ.get(one, "") for one in find_references(config.persistence.path)}
        why = Redactor(secrets).text(" ".join(f"{type(error).__name__}: {error}".split())[:500])
        raise StoreError(f"The backend {name!r} ({place}) cannot be opened: {why}") from error
    if not isinstance(store, RunStore):
        raise StoreError(f"The backend {name!r} ({place}) returned a {type(store).__name__}, which is not a RunStore.")
    return store


def __getattr__(name: str) -> Any:
    if name == "SQLiteRunStore":
        from neurocore.persistence.sqlite import SQLiteRunStore

        return SQLiteRunStore
    if name == "InMemoryRunStore":
        from neurocore.persistence.memory import InMemoryRunStore

        return InMemoryRunStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

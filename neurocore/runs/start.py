"""Start a run: drive it here, or record it and let a dispatcher drive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, Resource, require
from neurocore.blueprint.model import Blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.persistence import build_run_store
from neurocore.persistence.base import RunStore
from neurocore.persistence.memory import InMemoryRunStore
from neurocore.persistence.projections import is_there, was_deleted
from neurocore.persistence.records import Owed, RunRecord
from neurocore.run_events import OnEvent
from neurocore.runtime.start import NewRun, drive_new, new_record
from neurocore.skills.registry import SkillRegistry

__all__ = [
    "NewRun",
    "create_run",
    "execute_blueprint",
    "execute_blueprint_tracked",
    "execute_untracked",
    "load_and_run",
    "run_here",
]

#: The owner of a run that is not stored: no other process can ask whether its owner is alive.
KEPT_NOWHERE = "kept-nowhere"


def execute_blueprint(
    blueprint: Blueprint,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    initial_data: Mapping[str, Any] | None = None,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Run a blueprint and store nothing; return the context. Raises ExecutionError when it fails."""
    new = NewRun(blueprint=blueprint, actor=acting(None, None), initial_data=initial_data)
    run = new_record(new, registry, neurocore_config)
    return drive_new(
        run, blueprint, registry, neurocore_config, InMemoryRunStore(), on_event=on_event, owner=KEPT_NOWHERE
    )  # fmt: skip


def execute_untracked(
    new: NewRun,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    on_event: OnEvent | None = None,
) -> None:
    """Run a blueprint in a store that ends with this process. Raises ExecutionError when it fails."""
    _require(new)
    run = new_record(new, registry, config)
    drive_new(run, new.blueprint, registry, config, run_store, on_event=on_event, owner=KEPT_NOWHERE)


def execute_blueprint_tracked(
    blueprint: Blueprint,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    initial_data: Mapping[str, Any] | None = None,
    run_store: RunStore | None = None,
    run_id: str | None = None,
    blueprint_path: Path | str | None = None,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    actor: Actor | None = None,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Run a blueprint as a durable run; return the context, with `metadata.suspended` if it waits.

    Without `run_store` the configured one is used; if persistence is disabled, nothing is stored. Raises BlueprintError
    or InputError before anything is written, RunExists when `run_id` is taken, ExecutionError (GateRejected) after the
    failure was committed.
    """
    store = run_store if run_store is not None else build_run_store(neurocore_config)
    new = NewRun(
        blueprint=blueprint, actor=acting(started_by, actor), initial_data=initial_data, run_id=run_id,
        blueprint_path=blueprint_path, tags=tags,
    )  # fmt: skip
    if store is None:
        _require(new)
        return execute_blueprint(
            blueprint, registry, neurocore_config, initial_data=initial_data, on_event=on_event
        )  # fmt: skip
    return run_here(new, registry, neurocore_config, run_store=store, on_event=on_event)


def run_here(
    new: NewRun,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Record a run and drive it on this thread. Raises the same errors as `execute_blueprint_tracked`."""
    _require(new)
    run = new_record(new, registry, config, clock=run_store.clock, ids=run_store.ids)
    if new.run_id is not None:  # before any event is sent for a run that will not exist
        if run_store.load_summary(new.run_id) is not None:
            raise is_there(new.run_id)
        if run_store.load_tombstone(new.run_id) is not None:
            raise was_deleted(new.run_id)
    return drive_new(run, new.blueprint, registry, config, run_store, on_event=on_event)


def create_run(new: NewRun, registry: SkillRegistry, config: NeuroCoreConfig, *, run_store: RunStore) -> RunRecord:
    """Record a run as owed, without driving it: for faces that must not wait. Submit its id to a dispatcher.

    The caller need not know this process's environment: secret inputs use the blueprint's defaults and the variables in
    the configuration's `secrets.inputs`. Raises the same errors as `execute_blueprint_tracked`.
    """
    _require(new)
    run = new_record(
        structs.replace(new, nameable=config.secrets.inputs), registry, config, clock=run_store.clock, ids=run_store.ids
    )
    run.owed = Owed.START
    run_store.create_run(run)
    return run


def load_and_run(
    blueprint_path: Path | str,
    *,
    project_root: Path | None = None,
    initial_data: Mapping[str, Any] | None = None,
    track: bool = True,
) -> FlowContext:
    """Load the project's configuration, its skills and a blueprint's file, and run it; store the run if `track`."""
    from neurocore.blueprint.load import load_blueprint
    from neurocore.config import load_config
    from neurocore.skills.loader import discover_skills

    config = load_config(project_root)
    registry = discover_skills(config)
    blueprint = load_blueprint(blueprint_path)
    if not track:
        return execute_blueprint(blueprint, registry, config, initial_data=initial_data)
    return execute_blueprint_tracked(
        blueprint, registry, config, initial_data=initial_data, blueprint_path=blueprint_path
    )


def _require(new: NewRun) -> None:
    """Raise Forbidden unless the actor may start this run, and InputError if the actor has no name."""
    acting(None, new.actor)
    resource = Resource(blueprint=new.blueprint.name, run_id=new.replay_of)
    require(new.actor, Action.REPLAY if new.replay_of is not None else Action.START, resource)

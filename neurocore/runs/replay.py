"""Replay a run: start a new run with another run's inputs and definition. Answers are not copied (promise 7)."""

from __future__ import annotations

from collections.abc import Sequence

from neurocore import codec
from neurocore.access.actor import Actor, acting
from neurocore.blueprint.stored import stored_blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import RunRecord
from neurocore.run_events import OnEvent
from neurocore.runs.configured import store_of
from neurocore.runs.find import load_summary
from neurocore.runs.start import create_run, run_here
from neurocore.runtime import definition_upgrade
from neurocore.runtime.start import NewRun
from neurocore.skills.registry import SkillRegistry


def replay_run(
    run_id: str,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    run_store: RunStore | None = None,
    latest: bool = False,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    actor: Actor | None = None,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Start a new run with another run's inputs and definition (`latest`: with its current file), and drive it."""
    store = store_of(run_store, neurocore_config)
    new = _replay_of(run_id, store, acting(started_by, actor), latest=latest, tags=tags)
    return run_here(new, registry, neurocore_config, run_store=store, on_event=on_event)


def create_replay(
    run_id: str,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    new_id: str | None = None,
    latest: bool = False,
    tags: Sequence[str] | None = None,
    started_by: str | None = None,
    actor: Actor | None = None,
) -> RunRecord:
    """Like `replay_run`, but only record the run as owed. Without `tags` the new run has the tags of the old one."""
    new = _replay_of(run_id, run_store, acting(started_by, actor), latest=latest, tags=tags, new_id=new_id)
    return create_run(new, registry, config, run_store=run_store)


def _replay_of(
    run_id: str,
    store: RunStore,
    actor: Actor,
    *,
    latest: bool,
    tags: Sequence[str] | None,
    new_id: str | None = None,
) -> NewRun:
    old = load_summary(run_id, store)
    definition = definition_upgrade.of_file(old) if latest else stored_blueprint(store.load_definition(run_id))
    return NewRun(
        blueprint=definition, actor=actor, run_id=new_id, blueprint_path=old.blueprint_path,
        initial_data={key: codec.restore(data) for key, data in store.load_inputs(run_id).items()},
        tags=old.tags if tags is None else tags, replay_of=old.run_id,
    )  # fmt: skip

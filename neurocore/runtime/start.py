"""Start a run: check the inputs, record the run, and drive it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from neurocore import codec
from neurocore.access.actor import Actor
from neurocore.blueprint.inputs import check_inputs
from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.model import Blueprint, control_problem
from neurocore.blueprint.plans import plan_of, with_gates
from neurocore.blueprint.title import render_title
from neurocore.clock import RANDOM_IDS, SYSTEM_CLOCK, Clock, Ids
from neurocore.codec import SecretRef
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import (
    BlueprintError,
    InputError,
    UsageError,
)
from neurocore.persistence.base import RunStore
from neurocore.persistence.ownership import driving, owner_of_this_process
from neurocore.persistence.records import RunRecord, event_of
from neurocore.run_events import OnEvent
from neurocore.runtime import parents
from neurocore.runtime.driver import RunDriver
from neurocore.runtime.outcomes import outcome
from neurocore.runtime.state import new_state
from neurocore.secrets import Redactor, find_references
from neurocore.skills.registry import SkillRegistry
from neurocore.yamlfile import Problem, read_file

MAX_TAG = 200
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class NewRun(Struct, kw_only=True):
    """A run to start: its blueprint, its inputs, and who starts it.

    `nameable` are the variables that secret inputs may name (`check_inputs`); None means any.
    """

    blueprint: Blueprint
    actor: Actor
    initial_data: Mapping[str, Any] | None = None
    run_id: str | None = None
    blueprint_path: Path | str | None = None
    tags: Sequence[str] = ()
    replay_of: str | None = None
    nameable: Collection[str] | None = None


def new_record(
    new: NewRun, registry: SkillRegistry, config: NeuroCoreConfig, *, clock: Clock = SYSTEM_CLOCK, ids: Ids = RANDOM_IDS
) -> RunRecord:
    """Build the record of a new run; nothing is written. Raises BlueprintError, InputError or UsageError."""
    run_id, blueprint, blueprint_path = new.run_id, new.blueprint, new.blueprint_path
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"A run id has 1 to 64 letters, digits, - and _, not {run_id[:80]!r}.")
    problems = validate_blueprint(blueprint, registry, config, warnings=False)
    if problems:
        problems = _of_file(problems, blueprint, blueprint_path, config)
        sentences = "\n".join(f"  {problem}" for problem in problems)
        raise BlueprintError(f"The blueprint {blueprint.name} cannot run:\n{sentences}", problems)
    blueprint = with_gates(blueprint, registry)
    # Only secret inputs need the environment, and reading it takes longer than all other checks of inputs.
    environ = config.environ if any(spec.secret for spec in blueprint.inputs.values()) else {}
    data = check_inputs(blueprint, dict(new.initial_data or {}), environ, nameable=new.nameable)
    refuse_unless_storable(data, "Input")
    tags = _tags(new.tags)
    _refuse_secrets(data, tags, config)
    now = clock.now()
    snapshot, digest = blueprint.recorded()
    replayed = {"from": new.replay_of} if new.replay_of else {}
    parent = {"parent": given} if (given := parents.parent()) is not None else {}
    started = event_of(new.actor, "replayed" if replayed else "started", {**replayed, **parent}, at=now)
    return RunRecord(
        run_id=run_id or ids.new(),
        blueprint_name=blueprint.name,
        blueprint_version=blueprint.version,
        blueprint_path=str(blueprint_path) if blueprint_path else None,
        blueprint_snapshot=snapshot,
        blueprint_hash=digest,
        flow_type=blueprint.flow.type,
        title=render_title(blueprint, data),
        initial_data=data,
        created_at=now,
        updated_at=now,
        nodes_total=len(blueprint.flow.nodes or blueprint.flow.steps or ()),
        started_by=new.actor.label,
        known_by=new.actor.known_by.value,
        replay_of=new.replay_of,
        tags=tags,
        events=[started],
    )


def _of_file(
    problems: list[Problem], blueprint: Blueprint, path: Path | str | None, config: NeuroCoreConfig
) -> list[Problem]:
    """Return the problems with the name of the file, if the file still has the text that their positions refer to."""
    if path is None or blueprint.source is None or read_file(Path(path))[0] != blueprint.source:
        return problems
    resolved, root = Path(path).resolve(), config.project_root.resolve()
    name = str(resolved.relative_to(root) if resolved.is_relative_to(root) else path)
    return [structs.replace(problem, file=name) for problem in problems]


def _tags(tags: Sequence[str]) -> list[str]:
    """Return the tags, stripped and without duplicates. Raises InputError for an invalid one."""
    fits = not isinstance(tags, str) and all(isinstance(tag, str) and 0 < len(tag.strip()) <= MAX_TAG for tag in tags)
    sentence = f"A tag is text of 1 to {MAX_TAG} characters, and tags are a list of them." if not fits else None
    sentence = sentence or next(filter(None, (control_problem(tag, "A tag") for tag in tags)), None)
    if sentence:
        raise InputError(sentence, {"tags": sentence})
    return list(dict.fromkeys(tag.strip() for tag in tags))


def refuse_unless_storable(data: Mapping[str, Any], what: str) -> None:
    """Raise InputError, with a sentence per key, for values that cannot be recorded."""
    problems = {}
    for key, value in data.items():
        try:
            codec.encode(value, lasting=True)
        except codec.CodecError as error:
            problems[key] = str(error)
    if problems:
        raise InputError("; ".join(f"{what} {key}: {sentence}" for key, sentence in problems.items()), problems)


def _refuse_secrets(data: Mapping[str, Any], tags: Sequence[str], config: NeuroCoreConfig) -> None:
    """Raise InputError if another input or a tag, which are recorded, contains the value of a secret input."""
    names = {name for value in data.values() if isinstance(value, SecretRef) for name in find_references(value)}
    redactor = Redactor(config.environ.get(name, "") for name in names) if names else Redactor()
    if not redactor:
        return
    sentence = "It holds the value of a secret input; pass the secret only by its reference."
    problems = {key: sentence for key, value in data.items() if redactor.found_in(codec.encode({key: value}))}
    if redactor.found_in("\0".join(tags).encode("utf-8", "surrogatepass")):
        problems["tags"] = sentence
    if problems:
        said = " ".join(f"{redactor.text(key)}: {sentence}" for key, sentence in problems.items())
        raise InputError(said, {redactor.text(key): sentence for key, sentence in problems.items()})


def drive_new(
    run: RunRecord,
    blueprint: Blueprint,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    store: RunStore,
    *,
    on_event: OnEvent | None = None,
    owner: str | None = None,
) -> FlowContext:
    """Create the run, claimed by this process from the start, and drive it."""
    run.owner = owner or owner_of_this_process(config, store)
    run.epoch = 1
    with driving(run.run_id):
        context = {key: codec.encode(value) for key, value in run.initial_data.items()}
        state = new_state(run, blueprint, plan_of(blueprint, registry), context=context, now=store.clock.monotonic())
        state.secret_inputs = codec.secrets_in(context.values())
        return outcome(state, RunDriver(state, registry=registry, config=config, store=store, on_event=on_event).run())

"""From what was asked for to a drive: new records, checked before anything is written, and claims of recorded runs."""

from __future__ import annotations

import getpass
import os
import re
import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from neurocore import codec
from neurocore.blueprint.inputs import check_inputs
from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.model import Blueprint, control_problem
from neurocore.blueprint.plan import Plan, compile_plan
from neurocore.blueprint.stored import stored_blueprint, stored_plan
from neurocore.blueprint.title import render_title
from neurocore.codec import SecretRef
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import (
    BlueprintError,
    ExecutionError,
    GateRejected,
    InputError,
    NotResumable,
    RunNotFound,
    UsageError,
)
from neurocore.failpoints import failpoint
from neurocore.people import person
from neurocore.persistence.base import (
    Event,
    Failure,
    FailureKind,
    RunRecord,
    RunStatus,
    RunStore,
    own_event,
    refuse_if_held,
    utcnow_iso,
)
from neurocore.persistence.owners import Life
from neurocore.runtime.claim import busy, driver_of, driving, owner_label, owner_of_this_process, refuse_if_driven
from neurocore.runtime.events import OnEvent
from neurocore.runtime.loop import Drive
from neurocore.runtime.restore import FAILED_STEPS, give_again, go_on_waiting, let_stand, restore
from neurocore.runtime.turn import LOOP_BOUND, OUTPUTS, RUN_TIME
from neurocore.secrets import Redactor, find_references
from neurocore.skills.registry import SkillRegistry
from neurocore.yamlfile import Problem, read_file

#: A visit in which the process died this often is not tried again.
MAX_DEATHS = 3

#: Failures that another try cannot change, by their type: why, and what to do in the blueprint's file.
_FAILS_AGAIN = {
    OUTPUTS: (
        "Every step of run {run} is done, and its outputs are not what its blueprint declares",
        "correct the outputs",
    ),
    LOOP_BOUND: ("A loop of run {run} has made all the rounds that it may", "raise its bound"),
    RUN_TIME: ("Run {run} has used all the time that it may work", "raise settings.timeout_seconds"),
}

MAX_TAG = 200
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def system_user() -> str:
    """The operating system's name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def plan_of(blueprint: Blueprint, registry: SkillRegistry) -> Plan:
    """The plan of a blueprint; where it does not say what its gates are, the registry does."""
    return compile_plan(with_gates(blueprint, registry))


def with_gates(blueprint: Blueprint, registry: SkillRegistry) -> Blueprint:
    """The blueprint with its gates beside `approval`, as the registry knows them, unless it says them already."""
    if blueprint.gates is not None:
        return blueprint
    types = dict.fromkeys(component.type for component in blueprint.components if component.type != "approval")
    known = {name: registry.get(name) for name in types}
    return structs.replace(blueprint, gates=[name for name, skill in known.items() if skill and skill.is_gate])


def recorded_plan(run_id: str, store: RunStore, registry: SkillRegistry) -> tuple[Blueprint, Plan]:
    """The definition that is stored with a run, and its plan. Raises BlueprintError."""
    text = store.load_definition(run_id)
    blueprint = stored_blueprint(text)
    return (blueprint, stored_plan(text)) if blueprint.gates is not None else (blueprint, plan_of(blueprint, registry))


def new_record(
    blueprint: Blueprint,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    initial_data: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    blueprint_path: Path | str | None = None,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    known_by: str = "claimed",
    replay_of: str | None = None,
    nameable: Collection[str] | None = None,
) -> RunRecord:
    """The record of a run that has not begun; nothing is written. Raises BlueprintError, InputError or UsageError.

    `nameable` are the variables that secret inputs may name (`check_inputs`); None means any.
    """
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise UsageError(f"A run id has 1 to 64 letters, digits, - and _, not {run_id[:80]!r}.")
    who = person(started_by) if started_by is not None else system_user()
    problems = validate_blueprint(blueprint, registry, config, warnings=False)
    if problems:
        problems = _of_file(problems, blueprint, blueprint_path, config)
        sentences = "\n".join(f"  {problem}" for problem in problems)
        raise BlueprintError(f"The blueprint {blueprint.name} cannot run:\n{sentences}", problems)
    blueprint = with_gates(blueprint, registry)
    # Only secret inputs ask for the environment, and reading it takes longer than all other checks of them.
    environ = config.environ if any(spec.secret for spec in blueprint.inputs.values()) else {}
    data = check_inputs(blueprint, dict(initial_data or {}), environ, nameable=nameable)
    refuse_unless_storable(data, "Input")
    tags = _tags(tags)
    _refuse_secrets(data, tags, config)
    now = utcnow_iso()
    snapshot, digest = blueprint.recorded()
    started = Event(
        at=now, kind="replayed" if replay_of else "started", who=who, known_by=known_by,
        data={"from": replay_of} if replay_of else {},
    )  # fmt: skip
    return RunRecord(
        run_id=run_id or uuid.uuid4().hex,
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
        started_by=who,
        known_by=known_by,
        replay_of=replay_of,
        tags=tags,
        events=[started],
    )


def _of_file(
    problems: list[Problem], blueprint: Blueprint, path: Path | str | None, config: NeuroCoreConfig
) -> list[Problem]:
    """The findings with the name of the file, where it still says what their lines and columns count in."""
    if path is None or blueprint.source is None or read_file(Path(path))[0] != blueprint.source:
        return problems
    resolved, root = Path(path).resolve(), config.project_root.resolve()
    name = str(resolved.relative_to(root) if resolved.is_relative_to(root) else path)
    return [structs.replace(problem, file=name) for problem in problems]


def _tags(tags: Sequence[str]) -> list[str]:
    """The tags, each once and without blanks around it. Raises InputError for what is none."""
    fits = not isinstance(tags, str) and all(isinstance(tag, str) and 0 < len(tag.strip()) <= MAX_TAG for tag in tags)
    sentence = f"A tag is text of 1 to {MAX_TAG} characters, and tags are a list of them." if not fits else None
    sentence = sentence or next(filter(None, (control_problem(tag, "A tag") for tag in tags)), None)
    if sentence:
        raise InputError(sentence, {"tags": sentence})
    return list(dict.fromkeys(tag.strip() for tag in tags))


def refuse_unless_storable(data: Mapping[str, Any], what: str) -> None:
    """Raise InputError, with a sentence per key, for values that could not be recorded."""
    problems = {}
    for key, value in data.items():
        try:
            codec.encode(value, lasting=True)
        except codec.CodecError as error:
            problems[key] = str(error)
    if problems:
        raise InputError("; ".join(f"{what} {key}: {sentence}" for key, sentence in problems.items()), problems)


def _refuse_secrets(data: Mapping[str, Any], tags: Sequence[str], config: NeuroCoreConfig) -> None:
    """Raise InputError where the value of a secret input stands in another input, or in a tag, which are recorded."""
    names = {name for value in data.values() if isinstance(value, SecretRef) for name in find_references(value)}
    redactor = Redactor(config.environ.get(name, "") for name in names) if names else Redactor()
    if not redactor:
        return
    sentence = "It holds the value of a secret input; give the secret by its reference alone."
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
    """Create the run, claimed by this process from its first moment, and drive it."""
    run.owner = owner or owner_of_this_process(config, store)
    run.epoch = 1
    with driving(run.run_id):
        drive = Drive(
            run, blueprint, plan_of(blueprint, registry), registry=registry, config=config, store=store,
            context={key: codec.encode(value) for key, value in run.initial_data.items()}, on_event=on_event,
        )  # fmt: skip
        drive.secret_inputs = codec.secrets_in(drive.base.values())
        return _outcome(drive, drive.run())


def drive_on(
    run_id: str,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    store: RunStore,
    *,
    event: Event | None = None,
    resume_data: object = None,
    blueprint: Blueprint | None = None,
    take_over: bool = False,
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> FlowContext:
    """Claim a recorded run and drive it on.

    `blueprint` replaces the stored definition (`--latest`): both hashes are recorded, and answers not acted on voided.

    A failed run goes on only where `event` says who wants it, or where that was recorded before (`owed`). Raises
    RunNotFound, NotResumable, RunBusyError (somebody alive drives it, or claimed it first), ExecutionError, ClaimLost.
    """
    owner = owner_of_this_process(config, store)
    run, dead = _resumable(run_id, config, store, take_over=take_over, latest=blueprint is not None)
    was_failed, was_owed = run.status is RunStatus.FAILED, run.owed is not None
    if was_failed and event is None and not was_owed:
        raise NotResumable(f"Run {run_id} has failed, and nobody asked for another try; resume it if it is to go on.")
    recorded, recorded_in = recorded_plan(run_id, store, registry)
    definition = with_gates(blueprint, registry) if blueprint is not None else recorded
    with driving(run_id):
        cancelled_by = None if run.status.ended else run.cancel_requested
        events = [*([event] if event else []), *_claim(run, owner, store, dead=dead)]
        run.cancel_requested = cancelled_by
        redefined = blueprint is not None and definition.hash != run.blueprint_hash
        if redefined:
            events.append(_redefine(run, definition))
        drive = Drive(
            run, definition, plan_of(definition, registry) if redefined else recorded_in, registry=registry,
            config=config, store=store, context={}, on_event=on_event, resume_data=resume_data, stop=stop,
        )  # fmt: skip
        drive.cancelled_by, drive.redefined = cancelled_by, redefined
        unended = restore(drive, recorded_in)
        if resume_data is None and (not was_failed or (was_owed and event is None)):
            give_again(drive, unended)
        if event is None:
            go_on_waiting(drive, unended)
            if not was_failed:
                let_stand(drive)
        if run.deaths >= MAX_DEATHS and drive.rejection is None:
            _give_up(drive)
        events.extend(_version_warnings(drive, registry))
        return _outcome(drive, drive.run(events))


def _resumable(
    run_id: str, config: NeuroCoreConfig, store: RunStore, *, take_over: bool, latest: bool
) -> tuple[RunRecord, bool]:
    """The run, and whether nobody drives it; else it is to be taken over from who does, or may do.

    Raises RunNotFound, RunBusyError, or NotResumable.
    """
    run = store.load_summary(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    if not take_over:
        refuse_if_driven(run, config, store)
    dead = not take_over or driver_of(run, config, store).life is Life.DEAD
    if run.owner is not None and dead:
        run = _as_left(run, store)
    refuse_unless_resumable(run, latest=latest)
    return run, dead


def _claim(run: RunRecord, owner: str, store: RunStore, *, dead: bool) -> list[Event]:
    """Make the run this process's; what is to be told of whom it is taken from. Raises RunBusyError."""
    died = run.status is RunStatus.RUNNING and run.owner is not None and dead and run.owed is None
    at_work = not run.current_nodes or any(not node.is_paused for node in run.current_nodes)
    epoch = store.claim(run.run_id, owner=owner, expected_epoch=run.epoch, expected_owner=run.owner)
    failpoint("claim.after")
    if epoch is None:
        now = store.load_summary(run.run_id)
        raise busy(now if now is not None else run)
    taken = {"from": owner_label(run.owner), "because": "it died" if died else "take-over"}
    run.epoch, run.owner, run.owed, run.status = epoch, owner, None, RunStatus.RUNNING
    run.deaths += died and at_work
    return [own_event("taken_over", taken)] if died or not dead else []


def _redefine(run: RunRecord, blueprint: Blueprint) -> Event:
    """Let the run go on with another definition; what is to be told of that."""
    hashes = {"from": run.blueprint_hash, "to": blueprint.hash}
    run.blueprint_snapshot, run.blueprint_hash = blueprint.snapshot(), blueprint.hash
    run.blueprint_version = blueprint.version
    run.nodes_total = len(blueprint.flow.nodes or blueprint.flow.steps or ())
    return own_event("redefined", hashes)


def resumed(who: str, known_by: str, data: object, *, failed: bool) -> Event:
    """The event of a resume. What it brings for steps that `failed` outlives the process that tries them again."""
    given = {"data": data if not isinstance(data, Mapping) else dict(data)} if data else {}
    to = {"to": FAILED_STEPS} if given and failed else {}
    return Event(at=utcnow_iso(), kind="resumed", who=who, known_by=known_by, data={**given, **to})


def _as_left(run: RunRecord, store: RunStore) -> RunRecord:
    """The run as its dead owner left it, which may have ended it right after the row was read.

    Raises RunBusyError when somebody else claimed it meanwhile.
    """
    now = store.load_summary(run.run_id)
    if now is None:
        raise RunNotFound(f"There is no run {run.run_id}.", run_id=run.run_id)
    if now.epoch != run.epoch or now.owner not in (run.owner, None):
        raise busy(now)
    return now


def _give_up(drive: Drive) -> None:
    names = ", ".join(node.node_id for node in drive.run_record.current_nodes) or "its start"
    drive.failure = Failure(
        kind=FailureKind.LOST,
        node=drive.run_record.current_nodes[0].node_id if drive.run_record.current_nodes else None,
        message=f"The process died {drive.run_record.deaths} times at {names}; look into that step, then resume.",
    )
    drive.died_in = list(drive.run_record.current_nodes)
    drive.run_record.deaths = 0


def _version_warnings(drive: Drive, registry: SkillRegistry) -> list[Event]:
    warnings = []
    for node_id, version in sorted(drive.recorded_versions.items()):
        node = drive.plan.by_id.get(node_id)
        skill_class = registry.get(node.type) if node is not None else None
        if node is not None and skill_class is not None and skill_class.skill_meta.version != version:
            message = f"{node_id} ran with {node.type} {version} before; it is {skill_class.skill_meta.version} now."
            warnings.append(own_event("warning", {"message": message}))
    return warnings


def _outcome(drive: Drive, context: FlowContext) -> FlowContext:
    """The context of a run that completed or waits; the error of one that did not (promise: after its commit)."""
    run = drive.run_record
    if run.status is RunStatus.CANCELLED:
        why = (run.error or "Cancelled.").removeprefix("Cancelled")
        raise ExecutionError(f"Run {run.run_id} was cancelled{why}", run_id=run.run_id, kind="cancelled")
    if run.status is not RunStatus.FAILED or drive.failure is None:
        return context
    failure, answer = drive.failure, drive.rejection
    if failure.kind is FailureKind.REJECTED and answer is not None:
        raise GateRejected(failure.message, run_id=run.run_id, node=answer.node_id, by=answer.by, note=answer.note)
    error = ExecutionError(failure.message, run_id=run.run_id, node=failure.node, kind=failure.kind.value)
    raise error from drive.cause


def refuse_unless_resumable(run: RunRecord, *, latest: bool = False) -> None:
    """Raise NotResumable, with what to do instead, for a run that cannot go on; with `latest`, by the file as it is.

    A run that stands still raises RunHeld.
    """
    refuse_if_held(run.run_id, run.held)
    again = f"`neurocore runs replay {run.run_id}` starts a new run from the same inputs"
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        raise NotResumable(f"Run {run.run_id} is {run.status.value} and cannot be resumed; {again}.")
    if run.replay_only:
        raise NotResumable(f"Run {run.run_id} cannot be resumed: {run.replay_only}; {again}.")
    if run.status is RunStatus.FAILED and run.failure is not None and run.failure.kind is FailureKind.REJECTED:
        raise NotResumable(f"Run {run.run_id} was rejected at gate {run.failure.node} and cannot go on; {again}.")
    if run.status is RunStatus.FAILED and run.failure is not None and run.failure.type in _FAILS_AGAIN and not latest:
        why, what = _FAILS_AGAIN[run.failure.type]
        raise NotResumable(f"{why.format(run=run.run_id)}; {what} in the file and add --latest, or {again}.")

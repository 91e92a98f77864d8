"""Convert records to rows of the SQLite database and back."""

from __future__ import annotations

import hashlib
import operator
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from neurocore import codec, typed
from neurocore.clock import iso
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.persistence.projections import search_key
from neurocore.persistence.queries import by_column, picker, takes
from neurocore.persistence.records import (
    Answer,
    Changes,
    CurrentNode,
    DayCount,
    Ended,
    Event,
    Failure,
    GateRecord,
    GateStatus,
    LogLine,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
    storable,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode
_unpack_changes = msgspec.msgpack.Decoder(tuple[dict[str, bytes], list[str]]).decode
_RUN_STATUS = {status.value: status for status in RunStatus}
_STEP_STATUS = {status.value: status for status in StepStatus}
_NAMES = {status: name for name, status in _STEP_STATUS.items()}
_unpack_initial = msgspec.msgpack.Decoder(dict[str, bytes]).decode


@lru_cache(maxsize=256)  # a step starts when its run was last written
def micros(iso: str) -> int:
    """Return the microseconds since 1970 of an ISO time; a time without a zone counts as UTC."""
    moment = datetime.fromisoformat(iso)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICRO


def words(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values with every text made storable: for the rare row with a lone surrogate."""
    return tuple(storable(value) if type(value) is str else value for value in values)


def json_text(value: Any) -> str:
    """Return the value as JSON text; names may contain what UTF-8 cannot encode, which JSON can escape."""
    try:
        return _encode_json(value).decode()
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(value))


def json_value(text: str) -> Any:
    """Return the value of our JSON text."""
    try:
        return _decode_json(text)
    except msgspec.DecodeError:
        import json

        return json.loads(text)


def _packed(value: Any) -> bytes:
    """Pack encoded values by key. A key that UTF-8 cannot encode takes the slow way through the codec."""
    try:
        return _pack(value)
    except UnicodeEncodeError:
        return codec.encode(value)


def _maybe(function: Any, value: Any) -> Any:
    return None if value is None else function(value)


def definition_of(run: RunRecord) -> tuple[str, str]:
    """Return the text of a run's blueprint and the hash under which it is stored."""
    text = json_text(codec.to_jsonable(run.blueprint_snapshot))
    whole = f"{run.blueprint_name}\0{run.blueprint_version}\0{run.flow_type}\0{text}"
    return hashlib.sha256(whole.encode("utf-8", "backslashreplace")).hexdigest(), text


def run_row(run: RunRecord, blueprint: int) -> dict[str, Any]:
    """Return the columns of a run, by name."""
    return {
        "run_id": run.run_id,
        "blueprint": blueprint,
        "blueprint_name": run.blueprint_name,
        "title": run.title or None,
        "title_key": search_key(run.title) if run.title else None,
        "status": str(run.status),
        "created_at": micros(run.created_at),
        "updated_at": micros(run.updated_at),
        "finished_at": _maybe(micros, run.finished_at),
        "duration_ms": run.duration_ms,
        "suspended_at_node": run.suspended_at_node,
        "suspension_reason": run.suspension_reason,
        "current_nodes": nodes_text(run.current_nodes),
        "nodes_done": run.nodes_done,
        "nodes_total": run.nodes_total,
        "started_by": run.started_by,
        "known_by": run.known_by,
        "replay_of": run.replay_of,
        "tags": json_text(run.tags) if run.tags else None,
        "epoch": run.epoch,
        "owner": run.owner,
        "lease_until": _maybe(micros, run.lease_until),
        "owed": run.owed,
        "deaths": run.deaths,
        "cancel_requested": run.cancel_requested,
        "legacy": run.legacy,
        "replay_only": run.replay_only,
        "held": run.held,
        "error": run.error,
        "failure": failure_text(run.failure),
        "blueprint_hash": run.blueprint_hash or None,
        "blueprint_path": run.blueprint_path,
        "version": run.version,
    }


def inputs_of(run: RunRecord) -> bytes:
    """Return a run's inputs as they are stored: encoded values by key."""
    return _packed({key: codec.encode(value) for key, value in run.initial_data.items()})


@takes(
    "commit_step", "updated_at", "duration_ms", "current_nodes", "nodes_done", "deaths", "run", "run_id", "epoch",
    "owner",
)  # fmt: skip
def progress_row(run: RunRecord, run_pk: int, owner: str | None) -> tuple[Any, ...]:
    """Return the progress of a run that continues."""
    return (
        micros(run.updated_at), run.duration_ms, nodes_text(run.current_nodes), run.nodes_done, run.deaths, run_pk,
        run.run_id, run.epoch, owner,
    )  # fmt: skip


def state_row(run: RunRecord, run_pk: int, owed: str | None, claim: tuple[int, str | None]) -> dict[str, Any]:
    """Return the state of a run that is written under a claim (epoch and owner), by name."""
    return {
        "status": run.status.value,
        "updated_at": micros(run.updated_at),
        "finished_at": _maybe(micros, run.finished_at),
        "duration_ms": run.duration_ms,
        "suspended_at_node": run.suspended_at_node,
        "suspension_reason": run.suspension_reason,
        "current_nodes": nodes_text(run.current_nodes),
        "nodes_done": run.nodes_done,
        "new_owner": run.owner,
        "lease_until": _maybe(micros, run.lease_until),
        "owed": owed,
        "deaths": run.deaths,
        "error": run.error,
        "failure": failure_text(run.failure),
        "run": run_pk,
        "run_id": run.run_id,
        "new_epoch": run.epoch,
        "epoch": claim[0],
        "owner": claim[1],
    }


def nodes_text(nodes: list[CurrentNode]) -> str | None:
    """Return the current nodes as they are stored."""
    return json_text(nodes) if nodes else None


def failure_text(failure: Failure | None) -> str | None:
    """Return the failure of a run as it is stored."""
    return json_text(failure) if failure is not None else None


def _nodes_of(text: str) -> list[CurrentNode]:
    return typed.convert(json_value(text), list[CurrentNode])


def _failure_of(text: str) -> Failure:
    return typed.convert(json_value(text), Failure)


@by_column("narrow")
def run_of(
    run_id: str,
    blueprint_name: str,
    title: str | None,
    status: str,
    created_at: int,
    updated_at: int,
    finished_at: int | None,
    duration_ms: float,
    suspended_at_node: str | None,
    suspension_reason: str | None,
    current_nodes: str | None,
    nodes_done: int,
    nodes_total: int,
    started_by: str | None,
    known_by: str | None,
    replay_of: str | None,
    tags: str | None,
    epoch: int,
    owner: str | None,
    lease_until: int | None,
    owed: str | None,
    deaths: int,
    cancel_requested: str | None,
    version: int,
    legacy: str | None,
    replay_only: str | None,
    held: str | None,
    error: str | None,
    failure: str | None,
    blueprint_hash: str | None,
    blueprint_path: str | None,
    blueprint_version: str,
    flow_type: str,
) -> RunRecord:
    """Return a narrow run from the columns of `narrow`; `widen` adds the rest."""
    return RunRecord(
        run_id=run_id,
        blueprint_name=blueprint_name,
        blueprint_version=blueprint_version,
        blueprint_path=blueprint_path,
        blueprint_hash=blueprint_hash or "",
        flow_type=flow_type,
        title=title or "",
        status=_RUN_STATUS[status],
        error=error,
        failure=None if failure is None else _failure_of(failure),
        suspended_at_node=suspended_at_node,
        suspension_reason=suspension_reason,
        created_at=iso(created_at),
        updated_at=iso(updated_at),
        finished_at=None if finished_at is None else iso(finished_at),
        duration_ms=duration_ms,
        current_nodes=_nodes_of(current_nodes) if current_nodes else [],
        nodes_done=nodes_done,
        nodes_total=nodes_total,
        started_by=started_by,
        known_by=known_by,
        replay_of=replay_of,
        tags=json_value(tags) if tags else [],
        epoch=epoch,
        owner=owner,
        lease_until=None if lease_until is None else iso(lease_until),
        owed=owed,
        deaths=deaths,
        cancel_requested=cancel_requested,
        version=version,
        legacy=legacy,
        replay_only=replay_only,
        held=held,
    )


def widen(run: RunRecord, row: sqlite3.Row) -> RunRecord:
    """Add the definition and the inputs of the run."""
    run.blueprint_snapshot = codec.from_jsonable(json_value(row["definition"]))
    run.initial_data = {key: codec.restore(data) for key, data in initial_of(row["initial_data"]).items()}
    return run


def initial_of(data: bytes) -> dict[str, bytes]:
    """Return a run's inputs, encoded values by key."""
    try:
        return _unpack_initial(data)
    except msgspec.ValidationError:
        values: dict[str, bytes] = codec.decode(data)
        return values


@takes(
    "upsert_step", "run", "step_index", "component", "node_id", "visit", "attempt", "skill_type", "skill_version",
    "status", "reason", "port", "edges_taken", "started_at", "duration_ms", "error", "error_type", "output_keys",
    "commit_index", "config", "changes", "traceback", "context_snapshot",
)  # fmt: skip
def step_row(run: int, step: StepRecord) -> tuple[Any, ...]:
    """Return the columns of a step."""
    changes = step.changes
    return (
        run, step.step_index, step.component, step.node_id if step.node_id != step.component else None, step.visit,
        step.attempt, step.skill_type, step.skill_version, _NAMES[step.status], step.reason, step.port,
        json_text(step.edges_taken) if step.edges_taken is not None else None, micros(step.started_at),
        step.duration_ms, step.error, step.error_type, json_text(step.output_keys) if step.output_keys else None,
        step.commit_index, codec.encode(step.config) if step.config else None,
        _packed((changes.set, changes.deleted)) if changes.set or changes.deleted else None, step.traceback,
        codec.encode(step.context_snapshot) if step.context_snapshot is not None else None,
    )  # fmt: skip


@by_column("narrow_step", first="run_id")
def step_of(
    run_id: str,
    step_index: int,
    component: str,
    node_id: str | None,
    visit: int,
    attempt: int,
    skill_type: str,
    skill_version: str,
    status: str,
    reason: str | None,
    port: str | None,
    edges_taken: str | None,
    started_at: int,
    duration_ms: float,
    error: str | None,
    error_type: str | None,
    output_keys: str | None,
    commit_index: int,
) -> StepRecord:
    """Return a step from the columns of `narrow_step`; `widen_step` adds the wide ones."""
    return StepRecord(
        run_id=run_id,
        step_index=step_index,
        component=component,
        node_id=component if node_id is None else node_id,
        visit=visit,
        attempt=attempt,
        skill_type=skill_type,
        skill_version=skill_version,
        status=_STEP_STATUS[status],
        reason=reason,
        port=port,
        edges_taken=None if edges_taken is None else json_value(edges_taken),
        started_at=iso(started_at),
        duration_ms=duration_ms,
        error=error,
        error_type=error_type,
        output_keys=json_value(output_keys) if output_keys else [],
        commit_index=commit_index,
    )


def widen_step(step: StepRecord, row: sqlite3.Row) -> StepRecord:
    """Add the step's changes, configuration, traceback and snapshot."""
    step.config = codec.restore(row["config"]) if row["config"] is not None else {}
    step.changes = changes_of(row["changes"])
    step.traceback = row["traceback"]
    step.context_snapshot = _maybe(codec.restore, row["context_snapshot"])
    return step


def ended_of(found: Iterable[sqlite3.Row]) -> list[Ended]:
    """Return the steps that ended their visit, in the order of commits; one call for all, since there may be many."""
    ended = [
        Ended(
            index, commit, component if node_id is None else node_id, visit, status == "completed",
            _edges(edges), json_value(keys) if keys else [], version,
        )
        for index, commit, component, node_id, visit, status, edges, keys, version in map(_pick_ended, found)
    ]  # fmt: skip
    ended.sort(key=_by_commit)
    return ended


_pick_ended = picker(
    "narrow_ended", "step_index", "commit_index", "component", "node_id", "visit", "status", "edges_taken",
    "output_keys", "skill_version",
)  # fmt: skip
_by_commit = operator.attrgetter("commit_index")
_edges = msgspec.json.Decoder(tuple[int, ...]).decode


first = operator.itemgetter(0)


def fold_changes(found: Iterable[tuple[int, bytes]]) -> dict[str, bytes]:
    """Fold inputs (at -1) and the changes of steps into the context, in the order of their commits."""
    context: dict[str, bytes] = {}
    for commit_index, data in found:
        if commit_index < 0:
            context.update(initial_of(data))
            continue
        changes = changes_of(data)
        for key in changes.deleted:
            context.pop(key, None)
        context.update(changes.set)
    return context


def changes_of(data: bytes | None) -> Changes:
    """Return what a step did to the context."""
    if data is None:
        return Changes()
    try:
        new, deleted = _unpack_changes(data)
    except msgspec.ValidationError:
        new, deleted = codec.decode(data)
    return Changes(set=new, deleted=tuple(deleted))


def day_of(row: sqlite3.Row) -> DayCount:
    """Return how many runs of a day have a status."""
    return DayCount(day=iso(row["day"] * 86_400_000_000)[:10], status=RunStatus(row["status"]), count=row["n"])


def event_row(run: int, event: Event) -> dict[str, Any]:
    """Return the columns of an event, by name."""
    return {
        "run": run,
        "at": micros(event.at),
        "kind": event.kind,
        "who": event.who,
        "known_by": event.known_by,
        "data": codec.encode(event.data) if event.data else None,
        "person": event.person,
        "face": event.face,
        "token": event.token,
        "hash": bytes.fromhex(event.hash) if event.hash else None,
    }


def event_of(row: sqlite3.Row) -> Event:
    """Return an event of the activity."""
    return Event(
        at=iso(row["at"]), kind=row["kind"], who=row["who"], known_by=row["known_by"],
        data=codec.restore(row["data"]) if row["data"] is not None else {}, person=row["person"], face=row["face"],
        token=row["token"], hash=row["hash"].hex() if row["hash"] is not None else "",
    )  # fmt: skip


def log_of(row: sqlite3.Row | dict[str, Any]) -> LogLine:
    """Return a line of a step's log."""
    return LogLine(at=iso(row["at"]), level=row["level"], message=row["message"])


def open_step_of(run_id: str, row: sqlite3.Row) -> StepRecord:
    """Return a whole step from a row of `open_steps`."""
    step = widen_step(step_of(run_id, row), row)
    step.logs = [log_of(line) for line in json_value(row["logs"])]
    return step


def gate_row(run: int, gate: GateRecord) -> dict[str, Any]:
    """Return the columns of a gate occurrence, by name."""
    return {
        "run": run,
        "node_id": gate.node_id,
        "visit": gate.visit,
        "kind": gate.kind,
        "name": gate.name,
        "step_index": gate.step_index,
        "opened_at": micros(gate.opened_at),
        "message": gate.message,
        "shown": gate.shown,
        "digest": gate.digest,
        "policy": json_text(gate.policy),
        "deadline": _maybe(micros, gate.deadline),
        "status": gate.status.value,
        "closed_at": _maybe(micros, gate.closed_at),
        "void_reason": gate.void_reason,
        "decided_by": None if gate.decision is None else gate.decision.by,
        "auth_mode": gate.auth_mode,
        "due_at": _maybe(micros, gate.due_at),
    }


def gates_of(rows: Iterable[sqlite3.Row]) -> list[GateRecord]:
    """Return gate occurrences with their answers, from one row per answer, or one row without."""
    gates: list[GateRecord] = []
    for row in rows:
        if not gates or (gates[-1].node_id, gates[-1].visit) != (row["node_id"], row["visit"]):
            gates.append(gate_of(row))
        if row["answer_id"] is not None:
            gates[-1].answers.append(answer_of(row))
    return gates


def gate_of(row: sqlite3.Row) -> GateRecord:
    """Return a gate occurrence without its answers."""
    return GateRecord(
        run_id=row["run_id"], node_id=row["node_id"], visit=row["visit"], kind=row["kind"], name=row["name"],
        step_index=row["step_index"], opened_at=iso(row["opened_at"]), message=row["message"], shown=row["shown"],
        digest=row["digest"], policy=typed.convert(json_value(row["policy"]), GatePolicy),
        deadline=_maybe(iso, row["deadline"]), status=GateStatus(row["status"]),
        closed_at=_maybe(iso, row["closed_at"]), void_reason=row["void_reason"], answers=[],
        auth_mode=row["auth_mode"], due_at=_maybe(iso, row["due_at"]),
    )  # fmt: skip


def answer_row(run: int, answer: Answer) -> dict[str, Any]:
    """Return the columns of an answer, by name."""
    return {
        "run": run,
        "node_id": answer.node_id,
        "visit": answer.visit,
        "approved": answer.approved,
        "by": answer.by,
        "known_by": answer.known_by,
        "at": answer.at,
        "note": answer.note,
        "digest": answer.digest,
        "data": codec.encode(answer.data) if answer.data else None,
        "person": answer.person,
        "face": answer.face,
        "token": answer.token,
        "groups": json_text(answer.groups) if answer.groups else None,
        "answer": answer.answer,
        "facts": json_text(answer.facts) if answer.facts else None,
        "prev_hash": answer.prev_hash,
        "hash": answer.hash,
    }


def answer_of(row: sqlite3.Row) -> Answer:
    """Return one person's answer."""
    return Answer(
        node_id=row["answer_node"], visit=row["answer_visit"], approved=_maybe(bool, row["approved"]), by=row["by"],
        known_by=row["known_by"], at=row["at"], note=row["note"], digest=row["answer_digest"],
        data=_maybe(codec.restore, row["data"]) or {}, person=row["answer_person"], face=row["face"],
        token=row["token"], groups=tuple(_maybe(json_value, row["groups"]) or ()), answer=row["answer"],
        facts=_maybe(json_value, row["facts"]) or {}, prev_hash=row["prev_hash"], hash=row["hash"],
    )  # fmt: skip

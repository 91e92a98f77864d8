"""Insert rows in an open transaction: runs with their gates, answers and activity, and steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from neurocore.persistence import rows
from neurocore.persistence.queries import queries
from neurocore.persistence.records import Answer, Event, GateRecord, RunRecord, StepRecord

_Q = queries()
_UPSERT_STEP = _Q["upsert_step"].sql


def insert_run(connection: sqlite3.Connection, run: RunRecord) -> int:
    """Insert a run with its definition, tags, activity, gates and answers; return its row number."""
    run_pk = execute(connection, "insert_run", **rows.run_row(run, blueprint_of(connection, run))).lastrowid or 0
    insert_belongings(connection, run_pk, run)
    return run_pk


def insert_belongings(connection: sqlite3.Connection, run_pk: int, run: RunRecord) -> None:
    """Insert the inputs, tags, activity, gates and answers of a run that is saved whole."""
    execute(connection, "keep_inputs", run=run_pk, initial_data=rows.inputs_of(run))
    created = rows.micros(run.created_at)
    for tag in run.tags:
        execute(connection, "insert_tag", tag=tag, created_at=created, run=run_pk)
    if not run.gates:
        write_rows(connection, run_pk, events=run.events)
        return
    kept = {row["hash"] for row in execute(connection, "answer_hashes", run_id=run.run_id)}
    new = [answer for gate in run.gates for answer in gate.answers if answer.hash not in kept]
    write_rows(connection, run_pk, gates=run.gates, answers=in_chain(new), events=run.events)


def blueprint_of(connection: sqlite3.Connection, run: RunRecord) -> int:
    """Return the row number of the run's definition, which is stored once."""
    digest, text = rows.definition_of(run)
    found = execute(connection, "find_blueprint", hash=digest).fetchone()
    if found is not None:
        return int(found["id"])
    added = execute(
        connection, "insert_blueprint", hash=digest, name=run.blueprint_name, version=run.blueprint_version,
        flow_type=run.flow_type, definition=text,
    )  # fmt: skip
    return int(added.lastrowid or 0)


def write_rows(
    connection: sqlite3.Connection,
    run_pk: int,
    *,
    steps: Sequence[StepRecord] = (),
    gates: Sequence[GateRecord] = (),
    answers: Sequence[Answer] = (),
    events: Sequence[Event] = (),
) -> None:
    """Write the rows of a transition beside the run's own row. Everything that changes a run writes through this."""
    for step in steps:
        write_step(connection, run_pk, step)
    for gate in gates:
        execute(connection, "upsert_gate", **rows.gate_row(run_pk, gate))
    for answer in answers:
        execute(connection, "insert_answer", **rows.answer_row(run_pk, answer))
    if events:
        _write_events(connection, run_pk, events)


def _write_events(connection: sqlite3.Connection, run_pk: int, events: Sequence[Event]) -> None:
    """Add events to the chain of the run. Those that have a hash already, because they were moved, keep it."""
    run_id, last_event, last_answer = execute(connection, "chain_end", run=run_pk).fetchone()
    last = last_event.hex() if last_event is not None else last_answer or ""
    for event in events:
        sealed = event if event.hash else event.sealed(run_id, last)
        execute(connection, "insert_event", **rows.event_row(run_pk, sealed))
        last = sealed.hash


def write_step(connection: sqlite3.Connection, run_pk: int, step: StepRecord) -> None:
    """Insert a step, or replace the one with its index."""
    _execute(connection, _UPSERT_STEP, rows.step_row(run_pk, step))
    for number, line in enumerate(step.logs):
        execute(
            connection, "insert_log", run=run_pk, step_index=step.step_index, line=number, at=rows.micros(line.at),
            level=line.level, message=line.message,
        )  # fmt: skip


def execute(connection: sqlite3.Connection, name: str, /, **values: Any) -> sqlite3.Cursor:
    """Execute a named query with a value for each of its parameters."""
    return _execute(connection, *_Q[name].bind(values))


def _execute(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
    """Execute a statement. Lone surrogates in text, which no database can store, are written as escapes."""
    try:
        return connection.execute(sql, values)
    except UnicodeEncodeError:
        return connection.execute(sql, rows.words(values))


def in_chain(answers: list[Answer]) -> list[Answer]:
    """Return answers in the order of their chain of hashes; those outside the chain come last."""
    after = {answer.prev_hash: answer for answer in answers}
    hashes = {answer.hash for answer in answers}
    ordered: list[Answer] = []
    following = next((answer for answer in answers if answer.prev_hash not in hashes), None)
    while following is not None and following not in ordered:
        ordered.append(following)
        following = after.get(following.hash)
    return ordered + [answer for answer in answers if answer not in ordered]

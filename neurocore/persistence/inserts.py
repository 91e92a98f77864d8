"""Rows into an open transaction: runs with what belongs to them, and steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from neurocore.persistence import rows
from neurocore.persistence.records import Answer, RunRecord, StepRecord

_Q = rows.queries()


def insert_run(connection: sqlite3.Connection, run: RunRecord) -> int:
    """Add a run with its definition, tags, activity, gates and answers; returns its row number."""
    place = execute(connection, "insert_run", rows.run_row(run, blueprint_of(connection, run))).lastrowid or 0
    insert_belongings(connection, place, run)
    return place


def insert_belongings(connection: sqlite3.Connection, place: int, run: RunRecord) -> None:
    """What a run that is saved whole was given, its tags, activity, gates and answers."""
    execute(connection, "keep_inputs", (place, rows.inputs_of(run)))
    created = rows.micros(run.created_at)
    for tag in run.tags:
        execute(connection, "insert_tag", (tag, created, place))
    for event in run.events:
        execute(connection, "insert_event", rows.event_row(place, event))
    if not run.gates:
        return
    kept = {row["hash"] for row in connection.execute(_Q["answer_hashes"], (run.run_id,))}
    for gate in run.gates:
        execute(connection, "upsert_gate", rows.gate_row(place, gate))
    new = [answer for gate in run.gates for answer in gate.answers if answer.hash not in kept]
    for answer in in_chain(new):
        execute(connection, "insert_answer", rows.answer_row(place, answer))


def blueprint_of(connection: sqlite3.Connection, run: RunRecord) -> int:
    """The row number of the run's definition, which is kept once."""
    digest, text = rows.definition_of(run)
    found = connection.execute(_Q["find_blueprint"], (digest,)).fetchone()
    if found is not None:
        return int(found["id"])
    values = (digest, run.blueprint_name, run.blueprint_version, run.flow_type, text)
    return int(execute(connection, "insert_blueprint", values).lastrowid or 0)


def write_step(connection: sqlite3.Connection, place: int, step: StepRecord) -> None:
    """Add a step, or put it in the place of the one with its index."""
    execute(connection, "upsert_step", rows.step_row(place, step))
    for number, line in enumerate(step.logs):
        values = (place, step.step_index, number, rows.micros(line.at), line.level, line.message)
        execute(connection, "insert_log", values)


def execute(connection: sqlite3.Connection, name: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
    """Execute a named query. Words with lone surrogates, which no database holds, are written with escapes."""
    try:
        return connection.execute(_Q[name], parameters)
    except UnicodeEncodeError:
        return connection.execute(_Q[name], rows.words(parameters))


def in_chain(answers: list[Answer]) -> list[Answer]:
    """Answers in the order of their hashes' chain (those that hang in the air last)."""
    after = {answer.prev_hash: answer for answer in answers}
    hashes = {answer.hash for answer in answers}
    ordered: list[Answer] = []
    following = next((answer for answer in answers if answer.prev_hash not in hashes), None)
    while following is not None and following not in ordered:
        ordered.append(following)
        following = after.get(following.hash)
    return ordered + [answer for answer in answers if answer not in ordered]

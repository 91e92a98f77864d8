"""A large history, quickly: rows as the store writes them, which `db check` finds whole."""

from __future__ import annotations

from pathlib import Path

from neurocore import codec
from neurocore.persistence import RunRecord, RunStatus, SQLiteRunStore, StepRecord
from neurocore.persistence.records import Changes

BLUEPRINTS = 20

#: One run and its steps are written by the store; the others are copies of its rows that differ in what lists look at.
_RUNS = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)
INSERT INTO runs (run_id, blueprint, blueprint_name, title, title_key, status, created_at, updated_at, finished_at,
    duration_ms, nodes_done, nodes_total, started_by, known_by, epoch, deaths, version)
SELECT printf('%08x%024x', (i * 2654435761) % 4294967296, i), 1, 'blueprint' || (i % :blueprints),
    'Payments of batch ' || i, 'payments of batch ' || i,
    CASE WHEN i % 1000 = 0 THEN 'cancelled' WHEN i % 10 = 0 THEN 'failed' ELSE 'completed' END,
    1700000000000000 + i * 1000000, 1700000000000000 + i * 1000000, 1700000000000000 + i * 1000000,
    12.5, 3, 3, 'ann', 'claimed', 1, 0, 1
FROM n
"""
_INPUTS = """
INSERT INTO run_inputs (run, initial_data)
SELECT r.run, (SELECT initial_data FROM run_inputs ORDER BY run LIMIT 1) FROM runs AS r
WHERE r.run NOT IN (SELECT run FROM run_inputs)
"""
_STEPS = """
INSERT INTO steps (run, step_index, component, visit, attempt, skill_type, skill_version, status, edges_taken,
    started_at, duration_ms, output_keys, commit_index, changes)
SELECT r.run, s.step_index, s.component, s.visit, s.attempt, s.skill_type, s.skill_version, s.status, s.edges_taken,
    r.created_at, s.duration_ms, s.output_keys, s.commit_index, s.changes
FROM runs AS r CROSS JOIN (SELECT * FROM steps WHERE run = (SELECT min(run) FROM steps)) AS s
WHERE r.run > (SELECT max(run) FROM steps)
"""


def example(number: int) -> RunRecord:
    """A run of three steps, as it starts."""
    return RunRecord(
        run_id=f"{number * 2654435761 % 2**32:08x}{number:024x}", blueprint_name=f"blueprint{number % BLUEPRINTS}",
        title=f"Payments of batch {number}", initial_data={"x": 1}, started_by="ann", status=RunStatus.COMPLETED,
        nodes_done=3, nodes_total=3,
    )  # fmt: skip


def steps_of(run: RunRecord) -> list[StepRecord]:
    """Its three steps, each with a value of 100 bytes."""
    changes = Changes(set={"value": codec.encode("x" * 100)})
    return [
        StepRecord(
            run_id=run.run_id, step_index=index, component=f"step{index}", skill_type="work", skill_version="1.0.0",
            changes=changes, output_keys=["value"], edges_taken=[index], commit_index=index, duration_ms=1.0,
        )
        for index in range(3)
    ]  # fmt: skip


def fill(path: Path, count: int, *, steps: bool = True, blueprints: int = BLUEPRINTS) -> None:
    """Make a history of so many runs, of three steps each."""
    store = SQLiteRunStore(path)
    first = example(0)
    store.save_run(first)
    for step in steps_of(first):
        store.save_step(step)
    with store.database.write() as connection:
        connection.execute(_RUNS, {"first": 1, "end": count, "blueprints": blueprints})
        connection.execute(_INPUTS)
        if steps:
            connection.execute(_STEPS)
    store.close()

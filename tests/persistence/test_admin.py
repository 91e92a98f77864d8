"""Looking after a history: `check`, `stats`, `backup`, `prune`, `export`, `import`."""

from __future__ import annotations

import io
import json
import sqlite3
import threading

import pytest

from neurocore.errors import StoreError, UsageError
from neurocore.persistence import InMemoryRunStore, RunStatus, SQLiteRunStore, schema
from neurocore.persistence.admin import check, prune, schema_version
from neurocore.persistence.projections import unfinished
from neurocore.persistence.records import LogLine
from neurocore.persistence.testing.contract import answer, at, event, give, run, step, waiting
from neurocore.persistence.testing.required import VALUES
from neurocore.persistence.transfer import export_history, import_history
from tests.persistence.json_store import JsonFolderStore


@pytest.fixture
def store(tmp_path):
    made = SQLiteRunStore(tmp_path / "runs.db")
    yield made
    made.close()


def filled(store, count: int = 12):
    for number in range(count):
        status = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.SUSPENDED, RunStatus.CANCELLED)[number % 4]
        make = waiting if status is RunStatus.SUSPENDED else run
        one = make(f"r{number:02}", minute=number, blueprint_name="ab"[number % 2], tags=["x"])
        one.status = status
        one.blueprint_snapshot = {"name": one.blueprint_name, "number": number}
        store.create_run(one)
        lines = [LogLine(at=at(number), level="info", message="said")]
        store.save_step(step(one.run_id, 0, sets={"n": number}, logs=lines))
        store.save_step(step(one.run_id, 1, sets={"m": (number,)}))
        if number % 8 == 2:
            give(store, one.run_id, answer(by="ada", note="fine"), event=event())
    return store


def everything(store) -> list[object]:
    listed = sorted(store.list_runs(limit=1000), key=lambda one: one.run_id)
    return [[store.load_run(one.run_id), store.load_steps(one.run_id)] for one in listed]


# -------------------------------------------------------------------- check


@pytest.mark.parametrize(
    "make", [lambda p: SQLiteRunStore(p / "runs.db"), lambda p: InMemoryRunStore(), JsonFolderStore]
)
def test_a_sound_history_has_no_problems(make, tmp_path):
    store = filled(make(tmp_path))
    assert check(store).problems == []
    assert check(store, repair=True).repaired == []
    store.close()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("DELETE FROM steps WHERE run = 3 AND step_index = 0", "Run r02: its steps have gaps."),
        ("UPDATE answers SET approved = 0", "Run r02: the answer of ada at review was changed after it was recorded."),
        ("UPDATE answers SET note = 'other' WHERE run = 3", "the answer of ada at review was changed"),
        ("UPDATE answers SET prev_hash = 'x'", "Run r02: its chain of answers is broken after 0 of 1."),
        ("UPDATE counts SET n = n + 1 WHERE status = 'failed'", "differ from the runs; --repair"),
        ("DELETE FROM counts", "differ from the runs; --repair"),
        ("DELETE FROM day_counts", "differ from the runs; --repair"),
        ("UPDATE runs SET open_gates = 5 WHERE run = 7", "differ from the runs; --repair"),
        ("DELETE FROM runs WHERE run = 3", "belongs to no row of runs"),
    ],
)
def test_what_does_not_hold_is_said(store, damage, sentence):
    filled(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute(damage)
    connection.close()
    problems = check(store).problems
    assert any(sentence in problem for problem in problems), problems


def test_counts_are_rebuilt_and_nothing_else(store):
    filled(store)
    right = (store.status_counts(), store.blueprint_counts(), store.day_counts(since="2026-01-01"))
    with sqlite3.connect(store.path) as connection:
        connection.executescript("UPDATE counts SET n = n + 7; DELETE FROM day_counts; UPDATE runs SET open_gates = 9")
    connection.close()
    repaired = check(store, repair=True)
    assert (repaired.problems, len(repaired.repaired)) == ([], 1)
    assert (store.status_counts(), store.blueprint_counts(), store.day_counts(since="2026-01-01")) == right
    assert check(store).problems == []


# -------------------------------------------------------------------- stats and backup


def test_stats_say_how_much_there_is(store):
    filled(store)
    found = store.stats()
    assert (found.runs, found.steps, found.open_gates, found.schema_version) == (12, 24, 1, schema.VERSION)
    assert (found.oldest, found.newest) == (at(0), at(11))
    assert found.bytes is not None
    assert found.bytes > 10_000
    memory = filled(InMemoryRunStore())
    assert (memory.stats().runs, memory.stats().steps, memory.stats().oldest) == (12, None, at(0))
    empty = InMemoryRunStore().stats()
    assert (empty.runs, empty.oldest, empty.newest) == (0, None, None)


def test_a_backup_is_whole_while_others_write(store, tmp_path):
    filled(store, 200)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            one = run(f"w{number:04}", minute=number)
            store.create_run(one)
            store.save_step(step(one.run_id, 0))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    size = store.backup(tmp_path / "copy.db")
    stop.set()
    writer.join()
    assert size == (tmp_path / "copy.db").stat().st_size
    copy = SQLiteRunStore(tmp_path / "copy.db")
    assert check(copy).problems == []
    assert {f"r{number:02}" for number in range(100)} <= {one.run_id for one in copy.list_runs(limit=10_000)}
    copy.close()


def test_a_backup_that_took_the_place_of_its_history_is_written_while_others_read(store, tmp_path):
    filled(store)
    store.backup(tmp_path / "copy.db")
    copy, other = SQLiteRunStore(tmp_path / "copy.db"), SQLiteRunStore(tmp_path / "copy.db")
    copy.create_run(run("new"))
    with other.database.snapshot():
        assert len(other.list_runs()) == 13
        copy.save_step(step("new", 0))
        assert other.load_steps("new") == []
    assert len(other.load_steps("new")) == 1
    for one in (copy, other):
        one.close()


def test_a_backup_overwrites_nothing_and_leaves_nothing_half_written(store, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists; choose another name"):
        store.backup(target)
    assert target.read_text() == "mine"
    with pytest.raises(StoreError, match="cannot be written"):
        store.backup(tmp_path / "no" / "such" / "folder.db")
    with pytest.raises(UsageError, match="db export"):
        InMemoryRunStore().backup(tmp_path / "other.db")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


# -------------------------------------------------------------------- prune


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_backup_is_not_written_beside_what_is_left_of_another_file_of_its_name(store, tmp_path, suffix):
    (tmp_path / f"copy.db{suffix}").write_bytes(b"x" * 5000)
    with pytest.raises(UsageError, match=f"copy.db{suffix} exists"):
        store.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_only_old_ended_runs_are_pruned_and_each_leaves_its_tombstone(store):
    filled(store)
    wanted = prune(store, before=at(8), by="ada", dry_run=True)
    assert (wanted.runs, wanted.oldest, wanted.newest) == (6, at(0), at(7))
    assert len(store.list_runs()) == 12
    heard: list[int] = []
    assert prune(store, before=at(8), by="ada", on_batch=heard.append) == wanted
    assert heard == [6]
    assert {one.run_id for one in store.list_runs()} == {"r02", "r06", "r08", "r09", "r10", "r11"}
    stone = store.load_tombstone("r00")
    assert stone is not None
    assert (stone.deleted_by, stone.blueprint_name) == ("ada", "a")
    assert check(store).problems == []
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM blueprints").fetchone()[0] == 6


@pytest.mark.parametrize(
    "make", [lambda p: SQLiteRunStore(p / "runs.db"), lambda p: InMemoryRunStore(), JsonFolderStore]
)
def test_the_newest_are_kept_whatever_their_age(make, tmp_path):
    store = filled(make(tmp_path))
    assert prune(store, before=at(1000), keep_last=5, by="ada").runs == 5
    assert {one.run_id for one in store.list_runs()} == {"r02", "r06", "r07", "r08", "r09", "r10", "r11"}
    assert prune(store, before=at(1000), keep_last=50, by="ada").runs == 0
    store.close()


def test_pruning_goes_in_small_batches_between_which_others_write(store, monkeypatch):
    monkeypatch.setattr("neurocore.persistence.admin.BATCH", 2)
    filled(store)
    other = SQLiteRunStore(store.path)
    heard: list[int] = []

    def on_batch(gone: int) -> None:
        heard.append(gone)
        other.create_run(run(f"new{gone}", minute=5000))

    assert prune(store, before=at(1000), by="ada", on_batch=on_batch).runs == 9
    assert heard == [2, 4, 6, 8, 9]
    assert check(store).problems == []
    other.close()


def test_a_run_that_is_resumed_while_a_prune_goes_on_stays(store, monkeypatch):
    filled(store)
    listed = store.ended_runs

    def then_resumed(**given):
        found = listed(**given)
        store.claim("r01", owner="me@here:1", expected_epoch=0)
        return found

    monkeypatch.setattr(store, "ended_runs", then_resumed)
    assert prune(store, before=at(1000), by="ada").runs == 8
    assert store.load_run("r01") is not None


# -------------------------------------------------------------------- export and import


BACKENDS = [
    lambda p: SQLiteRunStore(p / "other.db"),
    lambda p: InMemoryRunStore(),
    lambda p: JsonFolderStore(p / "json"),
]


@pytest.mark.parametrize("make", BACKENDS)
def test_an_export_brought_in_is_the_same_history(store, tmp_path, make):
    filled(store)
    store.create_run(run("values", initial_data=VALUES))
    store.save_step(step("values", 0, sets=VALUES, config=VALUES))
    prune(store, before=at(2), by="ada")
    text = io.StringIO()
    told = export_history(store, text)
    assert (told.runs, told.steps) == (11, 21)
    other = make(tmp_path)
    moved = import_history(other, text.getvalue().splitlines())
    assert (moved.runs, moved.steps, moved.skipped) == (11, 21, 0)
    for [one, one_steps], [back, back_steps] in zip(everything(store), everything(other), strict=True):
        if not isinstance(other, JsonFolderStore):
            assert back.final_context.keys() == one.final_context.keys()
        one.final_context = back.final_context = None
        one.completed_nodes = back.completed_nodes = []
        if unfinished(one):
            assert back.held.startswith("it was imported on ")
            assert back.events.pop().kind == "held"
            back.held = None
        assert repr(back) == repr(one)
        assert back_steps == one_steps
    if not isinstance(other, JsonFolderStore):
        assert other.load_tombstone("r00") == store.load_tombstone("r00")
    again = import_history(other, text.getvalue().splitlines())
    assert (again.runs, again.skipped) == (0, 11)
    assert check(other).problems == []
    other.close()


def lines(store) -> list[str]:
    text = io.StringIO()
    export_history(store, text)
    return text.getvalue().splitlines()


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda given: [*given[:5], "{broken", *given[5:]], 6),
        (lambda given: [*given[:3], given[3].replace('"step_index"', '"other"'), *given[4:]], 4),
        (lambda given: [given[0], given[2], *given[1:]], 2),
        (lambda given: given[1:], 1),
        (lambda given: [*given[:-1], '{"odd": 1}', given[-1]], 38),
        (lambda given: [*given[:-1], "[]", given[-1]], 38),
        (lambda given: [*given[:-1], "", "null", given[-1]], 38),
        (lambda given: [*given, given[1].replace('"r01"', '"r77"')], 39),
        (lambda given: [*given, given[-1]], 39),
        (lambda given: [*given[:-1], '{"end": 37}'], 38),
        (lambda given: [*given[:-1], '{"end": {"runs": "11", "lines": 37}}'], 38),
        (lambda given: ['{"format": "neurocore-history", "version": 99}', *given[1:]], 1),
        (lambda given: [*given[:-1], given[-1][: len(given[-1]) // 2]], 38),
    ],
)
def test_a_broken_export_is_refused_with_its_line_and_nothing_is_brought_in(tmp_path, make, spoil, place):
    given = lines(filled(InMemoryRunStore()))
    assert len(given) == 38
    store = make(tmp_path)
    with pytest.raises(
        UsageError, match=rf"^Line {place} of the export cannot be read, so nothing was imported"
    ) as told:
        import_history(store, spoil(given))
    assert "\n" not in str(told.value)
    assert store.list_runs() == []
    with pytest.raises(UsageError, match="is empty"):
        import_history(store, [])
    store.close()


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize("history", [InMemoryRunStore, lambda: filled(InMemoryRunStore())])
def test_an_export_that_was_cut_at_the_end_of_any_line_is_refused_whole(tmp_path, make, history):
    given = lines(history())
    store = make(tmp_path)
    for end in range(1, len(given)):
        with pytest.raises(UsageError) as told:
            import_history(store, given[:end])
        assert str(told.value) == (
            f"The export ends too early, after line {end}, so nothing was imported: export it again."
        )
    for start in range(2, len(given) - 1):  # what is gone from its middle is missed as well
        if "step" in json.loads(given[start]):
            with pytest.raises(UsageError, match=r"^The export is incomplete: .*, so nothing was imported: export it"):
                import_history(store, [*given[:start], *given[start + 1 :]])
    assert store.list_runs() == []
    assert import_history(store, given).runs == len(history().list_runs(limit=100))
    store.close()


def changed(given: list[str], place: int, **fields) -> list[str]:
    """The export with other values in one of its lines."""
    ((kind, content),) = json.loads(given[place - 1]).items()
    return [*given[: place - 1], json.dumps({kind: {**content, **fields}}), *given[place:]]


TOMBSTONE = json.dumps(
    {"tombstone": {"run_id": "../x", "blueprint_name": "b", "deleted_at": at(1), "deleted_by": "ada"}}
)


def exported() -> list[str]:
    """An export of two runs that wait at a gate, in lines 2 and 5, each with two steps."""
    source = InMemoryRunStore()
    for run_id in ("r3", "r2"):
        source.save_run(waiting(run_id))
        for index in range(2):
            source.save_step(step(run_id, index))
    return lines(source)


@pytest.mark.parametrize("make", BACKENDS)
@pytest.mark.parametrize(
    ("spoil", "place", "said"),
    [
        (lambda given: changed(given, 4, step_index=0), 4, "step 0 of run r2 appears twice"),
        (lambda given: changed(given, 7, step_index=0), 7, "step 0 of run r3 appears twice"),
        (lambda given: [*given[:-1], *given[1:4]], 8, "run r2 appears twice"),
        (lambda given: changed(given, 3, step_index=-1), 3, "step_index is -1, which no step has"),
        (lambda given: changed(given, 3, visit=-2), 3, "visit is -2, which no step has"),
        (lambda given: changed(given, 3, attempt=-1), 3, "attempt is -1, which no step has"),
        (lambda given: changed(given, 3, commit_index=-1), 3, "commit_index is -1, which no step has"),
        (lambda given: changed(given, 2, nodes_done=-1), 2, "nodes_done is -1, which no run has"),
        (lambda given: changed(given, 2, epoch=-1), 2, "epoch is -1, which no run has"),
        (lambda given: changed(given, 2, run_id="../x"), 2, "'../x' is not a run's id"),
        (lambda given: changed(given, 2, run_id=""), 2, "'' is not a run's id"),
        (lambda given: changed(given, 2, run_id="a\nb"), 2, "'a\\nb' is not a run's id"),
        (lambda given: changed(given, 2, run_id="x" * 201), 2, "is not a run's id"),
        (lambda given: changed(given, 2, replay_of="../x"), 2, "'../x' is not a run's id"),
        (lambda given: [*given[:-1], TOMBSTONE], 8, "'../x' is not a run's id"),
        (lambda given: changed(given, 2, gates=json.loads(given[1])["run"]["gates"] * 2), 2,
         "visit 1 of gate review appears twice"),
        (lambda given: changed(given, 2, gates=json.loads(given[4])["run"]["gates"]), 2,
         "a gate is in another run than its own"),
    ],
)  # fmt: skip
def test_what_would_be_lost_or_named_by_nobody_is_refused_with_its_line(tmp_path, make, spoil, place, said):
    given = exported()
    assert len(given) == 8
    store = make(tmp_path)
    with pytest.raises(UsageError) as told:
        import_history(store, spoil(given))
    assert str(told.value).startswith(f"Line {place} of the export cannot be read, so nothing was imported: ")
    assert said in str(told.value)
    assert store.list_runs() == []
    store.close()


def test_ids_that_older_versions_took_are_brought_in(store):
    source = InMemoryRunStore()
    for run_id in ("2024.05", "a:b", "batch_1", "Z" * 200):
        source.create_run(run(run_id))
    assert import_history(store, lines(source)).runs == 4


def test_nobody_drives_what_was_brought_in(store):
    source = InMemoryRunStore()
    source.create_run(run("r1"))
    source.claim("r1", owner="me@here:1", expected_epoch=0)
    import_history(store, lines(source))
    back = store.load_run("r1")
    assert (back.owner, back.epoch, back.status) == (None, 1, RunStatus.RUNNING)


@pytest.mark.parametrize(("key", "value"), [("created_at", "yesterday"), ("epoch", 2**80)])
def test_a_value_that_no_column_holds_is_refused_naming_the_run_and_nothing_is_brought_in(tmp_path, key, value):
    given = lines(filled(InMemoryRunStore()))
    place = max(number for number, line in enumerate(given) if "run" in json.loads(line))
    document = json.loads(given[place])
    document["run"][key] = value
    given[place] = json.dumps(document)
    store = SQLiteRunStore(tmp_path / "runs.db")
    sentence = f"^Run {document['run']['run_id']} of the export cannot be stored, so nothing was imported"

    with pytest.raises(UsageError, match=sentence):
        import_history(store, given)

    assert store.list_runs() == []
    store.close()


def test_an_export_is_json_line_by_line(store):
    filled(store)
    documents = [json.loads(line) for line in lines(store)]
    assert documents[0] == {"format": "neurocore-history", "version": 1}
    assert [next(iter(one)) for one in documents[1:4]] == ["run", "step", "step"]
    assert documents[-1] == {"end": {"runs": len(store.list_runs(limit=100)), "lines": len(documents) - 1}}


# -------------------------------------------------------------------- the schema's number


def test_the_schema_is_told_without_changing_the_file(tmp_path):
    assert schema_version(tmp_path / "nothing.db") == 0
    assert not (tmp_path / "nothing.db").exists()
    SQLiteRunStore(tmp_path / "runs.db").close()
    assert schema_version(tmp_path / "runs.db") == schema.VERSION
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be looked at by SQLite" * 20)
    with pytest.raises(StoreError, match="cannot be read"):
        schema_version(tmp_path / "text.db")

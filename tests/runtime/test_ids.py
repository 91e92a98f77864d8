"""A text that a person types leads to the run that is meant, and an id means one run for ever."""

from __future__ import annotations

import io

import pytest

from neurocore.errors import RunAmbiguous, RunExists, RunNotFound
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.transfer import export_history, import_history
from neurocore.runtime.executor import delete_run, resolve_run_id
from tests.runtime.worlds import World, chain


def runs(world: World, *ids: str) -> None:
    """Completed runs with these ids."""
    world.skill("work")
    for run_id in ids:
        world.run(chain("a"), run_id=run_id)


def test_a_beginning_that_leads_to_one_run_is_enough(world: World) -> None:
    runs(world, "29969e61aa", "77")
    assert resolve_run_id("29", world.store) == "29969e61aa"
    assert resolve_run_id("77", world.store) == "77"


def test_a_text_that_begins_several_ids_is_ambiguous_even_where_it_is_one(world: World) -> None:
    runs(world, "29969e61aa", "29969e61")
    with pytest.raises(
        RunAmbiguous, match="29969e61, 29969e61aa; give more of the id, or =29969e61 for that one"
    ) as no:
        resolve_run_id("29969e61", world.store)
    assert no.value.candidates == ["29969e61", "29969e61aa"]
    assert resolve_run_id("=29969e61", world.store) == "29969e61"
    assert resolve_run_id("29969e61a", world.store) == "29969e61aa"


@pytest.mark.parametrize("text", ["=2996", "=", "==29969e61", "=29969e61aaa"])
def test_an_exact_id_is_that_id_or_none(world: World, text: str) -> None:
    runs(world, "29969e61aa", "29969e61")
    with pytest.raises(RunNotFound):
        resolve_run_id(text, world.store)


def test_the_id_of_a_deleted_run_is_never_given_again(world: World) -> None:
    runs(world, "r1")
    delete_run("r1", run_store=world.store, by="ann")
    with pytest.raises(RunExists, match="A run with the id r1 was deleted, and its id is not used again"):
        world.run(chain("a"), run_id="r1")
    with pytest.raises(RunNotFound, match="was deleted by ann"):
        resolve_run_id("r1", world.store)
    assert world.calls == ["a"]


@pytest.mark.parametrize("backend", ["sqlite", "memory"])
def test_an_import_does_not_bring_a_deleted_run_back(world: World, backend: str) -> None:
    runs(world, "r1", "r2")
    file = io.StringIO()
    export_history(world.store, file)
    target = SQLiteRunStore(world.config.data_dir / "other.db") if backend == "sqlite" else InMemoryRunStore()
    import_history(target, file.getvalue().splitlines())
    delete_run("r1", run_store=target, by="ann")
    moved = import_history(target, file.getvalue().splitlines())
    assert (moved.runs, moved.skipped) == (0, 2)
    assert target.load_run("r1") is None
    stone = target.load_tombstone("r1")
    assert stone is not None
    assert stone.deleted_by == "ann"
    target.close()

"""Every backend of ours keeps the contract that `neurocore.persistence.testing` gives to anybody."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

from neurocore import persistence
from neurocore.persistence import InMemoryRunStore, RunRecord, RunStatus, RunStore, SQLiteRunStore
from neurocore.persistence.base import REQUIRED
from neurocore.persistence.testing import ABILITIES, RunStoreContract, examine
from neurocore.persistence.testing.contract import event, run, turn
from tests.persistence.json_store import JsonFolderStore


class TestSQLite(RunStoreContract):
    def make_store(self) -> RunStore:
        return SQLiteRunStore(self.folder / "runs.db")


class TestMemory(RunStoreContract):
    durable = False

    def make_store(self) -> RunStore:
        return InMemoryRunStore()


class TestJsonFolder(RunStoreContract):
    def make_store(self) -> RunStore:
        return JsonFolderStore(self.folder)


def test_in_memory_what_is_asked_of_a_run_takes_nothing_back_that_its_driver_commits_meanwhile():
    class Watched(InMemoryRunStore):
        meanwhile: threading.Thread | None = None

        def load_run(self, run_id: str) -> RunRecord | None:
            found = super().load_run(run_id)
            if self.meanwhile is not None:
                driver, self.meanwhile = self.meanwhile, None
                driver.start()
                driver.join(0.2)  # it may have to wait for its turn
            return found

    store = Watched()
    store.create_run(run("r1"))
    epoch = store.claim("r1", owner="me@here:1", expected_epoch=0)
    mine = run("r1", epoch=epoch, status=RunStatus.COMPLETED)
    driver = store.meanwhile = threading.Thread(target=store.commit, args=(turn(mine),))
    store.request_cancel("r1", event=event("cancelled", who="bob"))
    driver.join(20)
    back = store.load_run("r1")
    assert back is not None
    assert (back.status, back.owner, back.cancel_requested) == (RunStatus.COMPLETED, None, "bob")


def test_the_report_says_what_a_backend_passes_and_offers():
    report = examine(RunStoreContract, JsonFolderStore)
    assert report.passes, str(report)
    assert report.offers == []
    assert f"JsonFolderStore passes {len(report.passed)} of {len(report.passed)} tests" in str(report)
    assert "– pages by key" in str(report)

    report = examine(RunStoreContract, lambda folder: SQLiteRunStore(folder / "runs.db"))
    assert report.passes, str(report)
    assert "It offers 13 of 13 further abilities" in str(report)
    assert report.multi_process


def test_the_report_names_what_a_backend_does_wrong():
    class Forgetful(InMemoryRunStore):
        def delete_run(self, run_id: str) -> None:
            """Forget to forget."""

    report = examine(RunStoreContract, lambda folder: Forgetful())
    assert not report.passes
    assert "test_a_deleted_run_is_gone_with_all_that_was_its" in report.failed
    assert "✗ test_a_deleted_run_is_gone_with_all_that_was_its" in str(report)


def test_further_abilities_are_the_methods_of_the_roles_beyond_the_six():
    assert sorted(REQUIRED) == sorted(RunStore.__abstractmethods__)
    assert len(REQUIRED) == 6
    public = {name for name in vars(RunStore) if not name.startswith("_")}
    assert public == {"abilities"}, "a method belongs to a role"
    abilities = RunStore.abilities()
    assert not any(abilities.values())
    assert not set(abilities) & set(REQUIRED)
    assert {method for methods in ABILITIES.values() for method in methods} <= set(abilities)
    names = {name for name in dir(RunStore) if callable(getattr(RunStore, name)) and not name.startswith("_")}
    assert names - {*REQUIRED, "abilities", "close"} == set(abilities)


def test_no_class_of_a_store_has_more_than_300_lines_and_nobody_asks_for_it():
    folder = Path(persistence.__file__).parent
    for file in (*folder.rglob("*.py"), *(folder.parent / "cli").rglob("*.py")):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                assert (node.end_lineno or 0) - node.lineno < 300, f"{file}: {node.name}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                assert not ast.unparse(node.args[1]).endswith(("SQLiteRunStore", "InMemoryRunStore")), file

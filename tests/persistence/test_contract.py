"""Every backend of ours keeps the contract that `neurocore.persistence.testing` gives to anybody."""

from __future__ import annotations

from neurocore.persistence import InMemoryRunStore, RunStore, SQLiteRunStore
from neurocore.persistence.testing import RunStoreContract, examine
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

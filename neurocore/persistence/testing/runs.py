"""Runs beyond the six methods: their end, their parts, and requests that may come twice."""

from __future__ import annotations

from neurocore.errors import RefusedError, RunExists
from neurocore.persistence.records import RunStatus, Tombstone
from neurocore.persistence.testing.contract import Contract, at, found, refused, run, step


class Runs(Contract):
    """`bury_run`, `load_tombstone`, `load_request`, `keep_request`, `forget_request`, `load_events`, `load_context`."""

    def test_a_buried_run_is_gone_and_leaves_its_tombstone_where_the_backend_keeps_one(self) -> None:
        self.store.save_run(run("r1", status=RunStatus.COMPLETED))
        self.store.save_step(step("r1", 0))
        stone = Tombstone(run_id="r1", blueprint_name="payouts", deleted_at=at(9), deleted_by="ada", last_hash="f" * 64)
        self.store.bury_run("r1", stone)
        store = self.reopened()
        assert (store.load_run("r1"), store.load_steps("r1")) == (None, [])
        keeps = store.abilities()["load_tombstone"]
        assert store.load_tombstone("r1") == (stone if keeps else None)
        assert store.load_tombstone("r") is None

    def test_the_id_of_a_buried_run_is_not_given_again_where_the_backend_keeps_tombstones(self) -> None:
        self.store.save_run(run("r1", status=RunStatus.COMPLETED, title="first"))
        stone = Tombstone(run_id="r1", blueprint_name="payouts", deleted_at=at(9), deleted_by="ada")
        self.store.bury_run("r1", stone)
        if not self.store.abilities()["load_tombstone"]:
            self.store.create_run(run("r1", title="second"))
            return
        with refused(RunExists):
            self.store.create_run(run("r1", title="second"))
        assert self.store.load_run("r1") is None
        assert self.store.load_tombstone("r1") == stone

    def test_a_run_that_has_not_ended_is_not_buried(self) -> None:
        self.store.save_run(run("r1"))
        stone = Tombstone(run_id="r1", blueprint_name="payouts", deleted_at=at(9), deleted_by="ada")
        with refused(RefusedError):
            self.store.bury_run("r1", stone)
        store = self.reopened()
        assert found(store, "r1").status is RunStatus.RUNNING
        assert store.load_tombstone("r1") is None

    def test_what_belongs_to_no_run_is_empty(self) -> None:
        assert self.store.load_events("nothing") == []
        assert self.store.load_context("nothing") == {}
        assert self.store.load_gates("nothing") == []

    def test_the_first_answer_to_a_request_is_remembered(self) -> None:
        assert self.store.load_request("k1") is None
        self.store.keep_request("k1", "digest", b'{"run_id": 1}')
        self.store.keep_request("k1", "other", b"later")
        assert self.store.load_request("k1") == ("digest", b'{"run_id": 1}')
        assert self.store.load_request("k2") is None

    def test_a_request_is_forgotten_by_its_own_digest_only(self) -> None:
        self.store.keep_request("k1", "digest", b"begun")
        self.store.forget_request("k1", "other")
        assert self.store.load_request("k1") == ("digest", b"begun")
        self.store.forget_request("k1", "digest")
        assert self.store.load_request("k1") is None
        self.store.keep_request("k1", "other", b"later")
        assert self.store.load_request("k1") == ("other", b"later")

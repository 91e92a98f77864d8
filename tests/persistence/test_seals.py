"""Hashes in a history are checked by the rules of their own version, whatever version is written now."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from msgspec import structs

from neurocore import codec
from neurocore.errors import StoreError
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore, seals
from neurocore.persistence.admin import check
from neurocore.persistence.gate_policy import ChangeRequests, Escalation, GatePolicy, Stage
from neurocore.persistence.records import Answer, Event, GateRecord, RunRecord, RunStatus
from neurocore.persistence.testing.contract import answer, event, found, give, waiting
from neurocore.runs.delete import delete_run, prune_runs

ANSWER = Answer(
    node_id="ok", visit=2, approved=True, by="ann", known_by="claimed", at="2026-01-01T00:05:00.000000+00:00",
    note="fine", digest="d", data={"b": Decimal("1.50"), "a": [1]},
)  # fmt: skip
GATE = GateRecord(
    run_id="r1", node_id="ok", visit=2, message="Pay 12?", shown=codec.encode({"total": 12.5}),
    policy=GatePolicy(note="on_reject", show=("total", "gone")),
)  # fmt: skip
#: What each version has given for these two since it came; a history holds such hashes, so they never change.
SEALS = {
    1: "233d724dd11b02a89bc66989d0c118d1c918db2b3d1de7ad46d1b01e8d737c9f",
    2: "2:ced884925ba2cc710cbbfcc2eabe670457fda63576f92c8a467a890b18bf5542",
    3: "3:a60b5ad01c333491506cab887919d2939d9fbf589ee1ee9eede55348d1be9865",
}
DIGESTS = {
    1: "82281de4d6580d7c31208be068356fee9348aaef0c779e3767859f4aba3569f5",
    2: "2:f24cf35cba863a48eeae32e8c2c301acca10ef72dfd10c66d9d4889f2f588cad",
}
RULED = structs.replace(
    GATE, policy=structs.replace(GATE.policy, stages=(Stage(approvers=("group:finance",), required=2),), undo="10s")
)  # fmt: skip
RULED_DIGEST = "3:09d86952ecd1d165f357e94ebdbc320cbe2587c183c6d3921eb45305d2fd925c"
NEW_RULES = {
    "approvers": ("ann",), "required": 2, "stages": (Stage(required=2),), "self_approval": False,
    "distinct_from": ("first",), "deadline": "4h", "on_deadline": "reject",
    "escalate": Escalation(after="1h", to=("ann",)), "remind": "1h", "form": {"reason": {"type": "string"}},
    "editable": ("total",), "request_changes": ChangeRequests(to="a"), "undo": "10s", "bulk": True,
    "fresh_login": "5min", "signature": "passkey",
}  # fmt: skip
FIELDS = {"node_id": "no", "visit": 3, "approved": False, "by": "bob", "known_by": "typed", "at": "2026",
          "note": "no", "digest": "e", "data": {"b": Decimal("1.5"), "a": [1]}}  # fmt: skip


@pytest.mark.parametrize("version", SEALS)
def test_the_rules_of_a_version_never_change(version):
    assert seals.answer_seal(ANSWER, "r1", "p", version) == SEALS[version]
    assert version not in DIGESTS or seals.gate_digest(GATE, version=version) == DIGESTS[version]


EVENT = Event(
    at="2026-01-01T00:05:00.000000+00:00", kind="answered", who="ann", known_by="session", data={"gate": "ok"},
    person="p1", face="web", token="t1",
)  # fmt: skip


def test_the_seal_of_an_event_never_changes_and_covers_everything_but_a_label():
    sealed = EVENT.sealed("r1", "p")
    assert sealed.hash == "4ba179a5a963668f64c8566c1da0833f6489004706b223a9935364e46da9f572"
    other = {"at": "2026", "kind": "cancelled", "known_by": "token", "data": {}, "person": "p2", "face": "api",
             "token": None}  # fmt: skip
    for name, value in other.items():
        assert structs.replace(EVENT, **{name: value}).sealed("r1", "p").hash != sealed.hash, name
    assert EVENT.sealed("r2", "p").hash != sealed.hash != EVENT.sealed("r1", "").hash
    assert structs.replace(EVENT, who="Ann (left)").sealed("r1", "p").hash == sealed.hash
    typed = structs.replace(EVENT, person=None)
    assert structs.replace(typed, who="bob").sealed("r1", "p").hash != typed.sealed("r1", "p").hash


def test_the_label_of_a_person_may_be_forgotten_and_their_answer_stays_whole():
    sealed = structs.replace(ANSWER, person="p1", groups=("board",)).sealed("r1", "")
    assert structs.replace(sealed, by="somebody").is_sealed("r1", "")
    for name, value in {"person": "p2", "face": "api", "token": "t", "groups": ()}.items():
        assert not structs.replace(sealed, **{name: value}).is_sealed("r1", ""), name


def test_an_event_that_was_changed_is_found(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(waiting("r1", "one"))
    assert give(store, "r1", answer("one"), event=event())
    store.request_cancel("r1", event=event("cancelled"))
    assert [bool(one.hash) for one in store.load_events("r1")] == [True, True]
    assert check(store).problems == []
    with store.database.write() as connection:
        connection.execute("UPDATE events SET who = 'eve' WHERE kind = 'answered'")
    assert check(store).problems == ["Run r1: entry 1 of its activity (answered) was changed after it was recorded."]
    with store.database.write() as connection:
        connection.execute("DELETE FROM events WHERE kind = 'answered'")
    assert check(store).problems == ["Run r1: entry 1 of its activity (cancelled) was changed after it was recorded."]
    store.close()


def test_who_deleted_a_run_is_in_the_chain_of_entries_and_a_change_of_that_is_found(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    for run_id in ("r1", "r2"):
        store.create_run(waiting(run_id, "one"))
        assert give(store, run_id, answer("one"), event=event())
        record = found(store, run_id)
        record.status, record.owed = RunStatus.COMPLETED, None
        store.save_run(record)
    ends = [found(store, "r1").gates[0].answers[0].hash, store.load_events("r1")[-1].hash]
    delete_run("r1", run_store=store, by="ann")
    assert prune_runs(store, before="2100-01-01T00:00:00+00:00", by="bob").runs == 1
    first, second = store.list_entries()
    assert (first.kind, first.actor, first.data) == (
        "run-deleted", "ann", {"run": "r1", "answers": ends[0], "events": ends[1]}
    )  # fmt: skip
    assert (second.actor, second.data["run"]) == ("bob", "r2")
    assert check(store).problems == []
    with store.database.write() as connection:
        connection.execute("UPDATE entries SET actor = 'eve' WHERE number = 1")
    (problem,) = check(store).problems
    assert problem == "Entry 1 about accounts (run-deleted) was changed, or one before it was removed."
    store.close()


def test_what_is_written_has_the_current_version():
    assert (max(SEALS), max(DIGESTS)) == (seals.CURRENT, seals.GATE)
    assert ANSWER.sealed("r1", "p").hash == SEALS[seals.CURRENT]
    assert seals.gate_digest(GATE) == DIGESTS[seals.GATE]


def test_a_gate_with_rules_about_who_answers_has_a_digest_over_all_of_them():
    assert seals.gate_digest(RULED) == seals.gate_digest(RULED, version=seals.RULED) == RULED_DIGEST
    assert seals.version_of(seals.gate_digest(GATE)) == seals.GATE
    rules = ("require", "on_reject", "note", "show")
    assert set(GatePolicy.__struct_fields__) - set(rules) == {
        name for name, value in NEW_RULES.items() if GatePolicy(**{name: value}).is_ruled
    }


def test_the_digest_covers_every_rule_of_a_policy_and_a_default_that_is_written_out_is_none():
    rules = {**NEW_RULES, "require": False, "on_reject": "b", "note": "required", "show": ()}
    assert set(rules) == set(GatePolicy.__struct_fields__)
    digests = {seals.gate_digest(GATE)}
    for name, value in rules.items():
        changed = structs.replace(GATE, policy=structs.replace(GATE.policy, **{name: value}))
        digests.add(seals.gate_digest(changed))
    assert len(digests) == len(rules) + 1
    same = structs.replace(GATE, policy=structs.replace(GATE.policy, required=1, undo="0s"))
    assert seals.gate_digest(same) == seals.gate_digest(GATE)


@pytest.mark.parametrize("backend", ["sqlite", "memory", "document"])
def test_a_policy_comes_back_from_a_store_with_the_same_digest(tmp_path, backend):
    policy = GatePolicy(
        stages=(Stage(approvers=("group:finance",), required=2), Stage()), request_changes=ChangeRequests(to="one"),
        form={"due": {"type": "date", "default": date(2026, 3, 31), "enum": [date(2026, 3, 31)]}},
    )  # fmt: skip
    record = waiting("r1", "one")
    gate = record.gates[0] = structs.replace(record.gates[0], policy=policy)
    gate.digest = seals.gate_digest(gate)
    if backend == "document":
        (again,) = RunRecord.from_dict(json.loads(json.dumps(record.to_dict()))).gates
    else:
        store = SQLiteRunStore(tmp_path / "runs.db") if backend == "sqlite" else InMemoryRunStore()
        store.create_run(record)
        (again,) = store.load_gates("r1")
        store.close()
    assert seals.gate_digest(again) == gate.digest == again.digest
    assert again.policy.stages == policy.stages


@pytest.mark.parametrize("version", SEALS)
def test_an_answer_of_any_version_is_checked_by_its_own_rules(version):
    sealed = structs.replace(ANSWER, prev_hash="", hash=seals.answer_seal(ANSWER, "r1", "", version))
    assert sealed.is_sealed("r1", "")
    assert not sealed.is_sealed("r2", "")
    assert not sealed.is_sealed("r1", "p")
    for name, value in FIELDS.items():
        assert not structs.replace(sealed, **{name: value}).is_sealed("r1", ""), name


def test_a_hash_does_not_hold_under_the_name_of_another_version():
    first, second = (structs.replace(ANSWER, hash=SEALS[version]) for version in (1, 2))
    assert not structs.replace(first, hash=f"2:{first.hash}").is_sealed("r1", "p")
    assert not structs.replace(second, hash=second.hash.removeprefix("2:")).is_sealed("r1", "p")


def test_a_chain_never_goes_back_to_an_older_version():
    older = structs.replace(ANSWER, hash=seals.answer_seal(ANSWER, "r1", SEALS[2], 1))
    assert not older.is_sealed("r1", SEALS[2])
    newer = structs.replace(ANSWER, hash=seals.answer_seal(ANSWER, "r1", SEALS[1], 2))
    assert newer.is_sealed("r1", SEALS[1])


@pytest.mark.parametrize("text", ["4:abc", "1:abc", "0:abc", "02:abc", "٢:abc", "-2:abc", ":abc", "x:abc"])
def test_a_version_that_is_not_known_says_what_to_install(text):
    with pytest.raises(StoreError, match="was written by a newer NeuroCore; install that version"):
        seals.version_of(text)
    with pytest.raises(StoreError, match="newer NeuroCore"):
        ANSWER.sealed("r1", text)


@pytest.mark.parametrize("backend", ["sqlite", "memory"])
def test_a_chain_that_grew_over_two_versions_is_whole_and_one_that_goes_back_is_found(tmp_path, backend):
    def opened():
        return SQLiteRunStore(tmp_path / "runs.db") if backend == "sqlite" else InMemoryRunStore()

    store = opened()
    old = answer("one", note="before")
    record = waiting("r1", "one", "two", "three")
    record.gates[0].answers = [structs.replace(old, hash=seals.answer_seal(old, "r1", "", 1))]
    store.create_run(record)
    assert give(store, "r1", answer("two", note="after"), event=event())
    assert check(store).problems == []

    last = found(store, "r1").gates[1].answers[0]
    back = structs.replace(answer("three"), prev_hash=last.hash)
    record = found(store, "r1")
    record.gates[2].answers = [structs.replace(back, hash=seals.answer_seal(back, "r1", last.hash, 1))]
    store.save_run(record)
    assert check(store).problems == ["Run r1: the answer of ada at three was changed after it was recorded."]
    store.close()


def test_an_answer_of_a_newer_version_is_a_problem_that_check_names():
    store = InMemoryRunStore()
    record = waiting("r1")
    record.gates[0].answers = [structs.replace(answer(), hash="9:abc")]
    store.create_run(record)
    (problem,) = check(store).problems
    assert problem.startswith("Run r1: its chain of answers cannot be checked: The hash 9:abc… was written by a newer")

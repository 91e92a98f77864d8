"""Passkeys and challenges in the store: what is kept, what counts once, and what an entry tells."""

from __future__ import annotations

import threading

import pytest
from msgspec import structs

from neurocore.access.actor import this_user
from neurocore.accounts import people
from neurocore.errors import UsageError
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.people import Entry, Passkey, SessionRecord

NOW, SOON, PAST = (
    "2026-05-01T10:00:00.000000+00:00",
    "2026-05-01T10:05:00.000000+00:00",
    "2026-05-01T10:06:00.000000+00:00",
)
ENTRY = Entry(at=NOW, kind="passkey-added", actor="ann", data={})
COPIED = Entry(at=NOW, kind="passkey-maybe-copied", actor="ann", data={})
REMOVED = Entry(at=NOW, kind="passkey-removed", actor="ann", data={})


@pytest.fixture
def store(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    yield store
    store.close()


@pytest.fixture
def ann(store):
    return people.add_person("ann", store=store, actor=this_user())


@pytest.fixture
def bob(store):
    return people.add_person("bob", store=store, actor=this_user())


def passkey(person, id="AAAA", **more):
    given = {"name": "laptop", "rp_id": "localhost", "public_key": b"\x00\xff", "sign_count": 0, "created_at": NOW}
    return Passkey(id=id, person=person.id, **{**given, **more})


def kinds(store):
    return [one.kind for one in store.list_entries() if one.kind.startswith("passkey")]


def test_a_passkey_comes_back_as_it_was(store, ann, bob):
    assert store.add_passkey(passkey(ann), most=9, entry=ENTRY)
    assert store.find_passkey("AAAA") == passkey(ann)
    assert store.list_passkeys(ann.id) == [passkey(ann)]
    assert store.list_passkeys(bob.id) == []
    assert store.find_passkey("BBBB") is None
    assert kinds(store) == ["passkey-added"]


def test_an_id_belongs_to_one_person_and_nobody_has_too_many(store, ann, bob):
    assert store.add_passkey(passkey(ann), most=2, entry=ENTRY)
    assert not store.add_passkey(passkey(bob), most=2, entry=ENTRY)
    assert store.add_passkey(passkey(ann, "BBBB"), most=2, entry=ENTRY)
    assert not store.add_passkey(passkey(ann, "CCCC"), most=2, entry=ENTRY)
    assert not store.add_passkey(structs.replace(passkey(ann, "DDDD"), person="nobody"), most=2, entry=ENTRY)
    assert kinds(store) == ["passkey-added"] * 2, "what is refused is no entry"


@pytest.mark.parametrize(
    ("was", "now", "good"), [(0, 0, True), (0, 1, True), (5, 6, True), (5, 5, False), (5, 0, False)]
)
def test_a_counter_rises_or_is_always_zero(store, ann, was, now, good):
    store.add_passkey(passkey(ann, sign_count=was), most=9, entry=ENTRY)
    assert store.use_passkey("AAAA", sign_count=now, at=SOON, entry=COPIED) is good
    found = store.find_passkey("AAAA")
    assert (found.sign_count, found.used_at) == ((now, SOON) if good else (was, None))
    assert kinds(store) == (["passkey-added"] if good else ["passkey-added", "passkey-maybe-copied"])


def test_of_two_uses_with_one_counter_one_counts(store, ann):
    store.add_passkey(passkey(ann, sign_count=1), most=9, entry=ENTRY)
    start, used = threading.Barrier(2), []

    def use():
        start.wait()
        used.append(store.use_passkey("AAAA", sign_count=2, at=SOON, entry=COPIED))

    both = [threading.Thread(target=use) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(used) == [False, True]


def test_one_s_own_passkeys_are_removed_once(store, ann, bob):
    store.add_passkey(passkey(ann), most=9, entry=ENTRY)
    assert not store.remove_passkey("AAAA", person=bob.id, entry=REMOVED)
    assert store.remove_passkey("AAAA", person=ann.id, entry=REMOVED)
    assert not store.remove_passkey("AAAA", person=ann.id, entry=REMOVED)
    assert not store.use_passkey("AAAA", sign_count=9, at=SOON, entry=COPIED)
    assert kinds(store) == ["passkey-added", "passkey-removed"], "of one that is gone there is no report"


def test_a_reset_takes_passkeys_and_sessions_of_one_person(store, ann, bob):
    for person, id in ((ann, "AAAA"), (ann, "BBBB"), (bob, "CCCC")):
        store.add_passkey(passkey(person, id), most=9, entry=ENTRY)
        session = SessionRecord(key=id, id=id, person=person.id, signed_in_at=NOW, seen_at=NOW, known_by="passkey")
        assert store.open_session(session, password=None, passkey=id)
    assert store.load_session("AAAA")[0].known_by == "passkey"
    assert store.reset_person(ann.id, entry=Entry(at=NOW, kind="user-reset", actor="root", data={})) == 2
    assert (store.list_passkeys(ann.id), store.list_sessions(ann.id)) == ([], [])
    assert (len(store.list_passkeys(bob.id)), len(store.list_sessions(bob.id))) == (1, 1)
    assert store.list_entries()[-1].kind == "user-reset"


def test_a_session_needs_the_passkey_by_which_it_opens(store, ann, bob):
    store.add_passkey(passkey(bob), most=9, entry=ENTRY)
    session = SessionRecord(key="k", id="s", person=ann.id, signed_in_at=NOW, seen_at=NOW)
    assert not store.open_session(session, password=None, passkey="AAAA")
    assert not store.open_session(session, password=None, passkey="BBBB")
    assert store.open_session(session, password=None)


def add(store, key, person=None, *, kind="sign-in", now=NOW, until=SOON, most=9):
    return store.add_challenge(key, kind=kind, person=person, now=now, expires_at=until, most=most)


def take(store, key, person=None, *, kind="sign-in", now=NOW):
    return store.take_challenge(key, kind=kind, person=person, now=now)


def test_a_challenge_is_taken_once_in_time_for_its_kind_and_person(store, ann, bob):
    assert add(store, "a")
    assert add(store, "b", ann.id)
    assert not take(store, "a", ann.id)
    assert not take(store, "a", kind="enrol")
    assert not take(store, "b")
    assert not take(store, "b", bob.id)
    assert not take(store, "a", now=SOON)
    assert [take(store, "a"), take(store, "a")] == [True, False]
    assert [take(store, "b", ann.id), take(store, "b", ann.id)] == [True, False]


def test_challenges_have_a_cap_for_each_kind_and_person_and_expired_ones_are_swept(store, ann, bob):
    assert [add(store, key, most=2) for key in "abc"] == [True, True, False]
    assert add(store, "d", kind="enrol", most=2)
    assert [add(store, key, ann.id, most=2) for key in "efg"] == [True, True, False]
    assert add(store, "h", bob.id, most=2)
    assert not add(store, "i", "nobody"), "somebody who is not there has none"
    assert not add(store, "a", kind="enrol"), "a key is kept once"
    assert add(store, "j", now=PAST, until=PAST, most=2)
    assert [row["key"] for row in store.database.rows("SELECT key FROM challenges", ())] == ["j"]


def test_a_store_without_accounts_has_no_passkeys():
    store = InMemoryRunStore()
    with pytest.raises(UsageError, match="keeps no accounts"):
        store.find_passkey("AAAA")
    with pytest.raises(UsageError, match="keeps no accounts"):
        add(store, "a")

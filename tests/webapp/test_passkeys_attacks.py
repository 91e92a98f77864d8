"""What somebody tries with an answer that is no passkey's, not for here, not for now, or not theirs."""

from __future__ import annotations

import json
import logging
import threading

import cbor2
import pytest

from neurocore.accounts import passkeys, people
from neurocore.accounts.passkeys import CHALLENGE_HOLDS, NOT_ACCEPTED
from neurocore.accounts.signin import PER_ACCOUNT, PER_ADDRESS
from tests.webapp.authenticator import PRESENT, VERIFIED, Authenticator, decoded, encoded
from tests.webapp.test_passkeys import Ahead, enrol, kinds, use, with_key
from tests.webapp.test_signin import quick_hashes, team

__all__ = ["quick_hashes", "team"]

#: What is wrong with an answer, of enrolment and of signing in alike.
WRONG = {
    "origin": {"origin": "https://evil.example"},
    "another port": {"origin": "http://localhost:9"},
    "passkey of another site": {"rp_id": "evil.example"},
    "nobody verified": {"flags": PRESENT},
    "nobody there": {"flags": VERIFIED},
    "in a frame": {"cross": True},
    "type": {"type": "payment.get"},
    "made up challenge": {"challenge": encoded(b"x" * 32)},
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_a_wrong_answer_signs_nobody_in(team, wrong):
    key = with_key(team)
    answer = use(team, key, **WRONG[wrong])
    assert answer.status_code == 422
    assert (NOT_ACCEPTED in answer.text) or wrong == "made up challenge"
    assert team.client.get("/runs").status_code == 303
    assert use(team, key).status_code == 303, "the next right one does"


@pytest.mark.parametrize("wrong", list(WRONG))
def test_a_wrong_answer_adds_no_passkey(team, wrong):
    team.sign_in("vera")
    answer = enrol(team, Authenticator(), **WRONG[wrong])
    assert answer.status_code == 422
    assert not team.store.list_passkeys(people.find_person("vera", team.store).id)
    assert "passkey-added" not in kinds(team)


@pytest.mark.parametrize("kind", ["ES256", "EdDSA", "RS256"])
def test_a_bad_signature_signs_nobody_in(team, kind):
    key = with_key(team, kind=kind)
    other = Authenticator(kind, id=key.id, user=key.user)
    assert use(team, other).status_code == 422, "signed by another private key"
    assert use(team, key, signature=b"").status_code == 422
    assert use(team, key, signature=b"\x30" * 70).status_code == 422


def test_an_answer_counts_once(team):
    key = with_key(team)
    options = team.send("/login/passkey/options").json
    credential = key.sign(options)
    assert team.send("/login/passkey", {"credential": credential}).status_code == 303
    team.send("/logout")
    again = team.send("/login/passkey", {"credential": credential})
    assert again.status_code == 422
    assert "answered already" in again.text
    assert team.send("/login/passkey", {"credential": key.sign(options)}).status_code == 422


def test_of_two_browsers_that_send_one_answer_one_signs_in(team):
    key = with_key(team)
    credential = key.sign(team.send("/login/passkey/options").json)
    start, statuses = threading.Barrier(2), []
    browsers = [(client, team.token(client)) for client in (team.browser(), team.browser())]

    def send(client, token):
        start.wait()
        form = {"csrf_token": token, "credential": credential}
        statuses.append(client.post("/login/passkey", data=form).status_code)

    both = [threading.Thread(target=send, args=one) for one in browsers]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(statuses) == [303, 422]


def test_an_expired_challenge_is_worth_nothing_and_is_swept(team):
    key = with_key(team)
    options = team.send("/login/passkey/options").json
    team.store.clock = Ahead(CHALLENGE_HOLDS + 1)
    assert team.send("/login/passkey", {"credential": key.sign(options)}).status_code == 422
    assert use(team, key).status_code == 303
    assert waiting(team) == 0


def waiting(team):
    return team.store.database.rows("SELECT count(*) AS n FROM challenges", ())[0]["n"]


def test_a_challenge_is_for_one_person_and_one_purpose(team):
    team.sign_in("vera")
    of_vera = team.send("/account/passkeys/options", {"passkey": "laptop"}).json
    key = Authenticator()
    assert enrol(team, key).status_code == 303
    other = team.browser()
    team.sign_in("anna", client=other)
    form = {"passkey": "laptop", "credential": Authenticator().make(of_vera)}
    assert team.send("/account/passkeys", form, other).status_code == 422
    stranger = team.browser()
    asked = {"rpId": "localhost", "challenge": of_vera["challenge"]}
    assert team.send("/login/passkey", {"credential": key.sign(asked)}, stranger).status_code == 422
    signing_in = team.send("/login/passkey/options", client=stranger).json
    as_new = {**of_vera, "challenge": signing_in["challenge"]}
    form = {"passkey": "laptop", "credential": Authenticator().make(as_new)}
    assert team.send("/account/passkeys", form).status_code == 422
    assert len(team.store.list_passkeys(people.find_person("vera", team.store).id)) == 1


def test_an_unknown_passkey_and_another_s_user_handle_are_told_the_same(team):
    key = with_key(team, "vera")
    anna = people.find_person("anna", team.store)
    unknown = Authenticator(user=anna.id.encode())
    texts = []
    for answer in (
        use(team, unknown),
        use(team, key, user=anna.id.encode()),
        use(team, key, user=b"\xff\xfe"),
        use(team, key, named=False),
    ):
        assert answer.status_code == 422
        texts.append(answer.text)
    assert all(NOT_ACCEPTED in text for text in texts)
    assert team.client.get("/runs").status_code == 303


def test_the_options_tell_nothing_about_anybody(team):
    with_key(team)
    first, second = (team.send("/login/passkey/options", client=team.browser()).json for _ in range(2))
    assert first.pop("challenge") != second.pop("challenge")
    assert first == second
    assert first["allowCredentials"] == []
    assert first["userVerification"] == "required"


@pytest.mark.parametrize("kept", [5, 6, 1000])
def test_a_counter_that_does_not_rise_is_refused_and_reported(team, caplog, kept):
    key = with_key(team, "vera", counter=5)
    assert use(team, key, counter=kept + 1).status_code == 303
    team.send("/logout")
    for counter in (kept + 1, kept, 0):
        answer = use(team, key, counter=counter)
        assert answer.status_code == 422
        assert "somebody may have a copy of it" in answer.text
        assert team.client.get("/runs").status_code == 303
    entries = team.store.list_entries()[-3:]
    vera = people.find_person("vera", team.store)
    assert [one.kind for one in entries] == ["passkey-maybe-copied"] * 3
    assert [one.data["counter"] for one in entries] == [kept + 1, kept, 0]
    assert {(one.data["user"], one.data["before"]) for one in entries} == {(vera.id, kept + 1)}
    assert "may have been copied" in caplog.text
    assert use(team, key, counter=kept + 2).status_code == 303


def test_a_counter_that_nobody_signed_reports_nothing(team):
    key = with_key(team, "vera", counter=5)
    forged = Authenticator(id=key.id, user=key.user)
    answer = use(team, forged, counter=1)
    assert NOT_ACCEPTED in answer.text
    assert "passkey-maybe-copied" not in kinds(team)


def test_a_passkey_that_does_not_count_signs_in_again_and_again(team):
    key = with_key(team)
    for _ in range(3):
        assert use(team, key).status_code == 303
        team.send("/logout")


@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_a_credential_of_a_megabyte_is_refused(team, size):
    key = with_key(team)
    options = team.send("/login/passkey/options").json
    long = {**json.loads(key.sign(options)), "more": "x" * size}
    assert team.send("/login/passkey", {"credential": json.dumps(long)}).status_code == 422
    team.sign_in("vera")
    options = team.send("/account/passkeys/options", {"passkey": "x"}).json
    long = {**json.loads(Authenticator().make(options)), "more": "x" * size}
    answer = team.send("/account/passkeys", {"passkey": "x", "credential": json.dumps(long)})
    assert answer.status_code == 422


HOSTILE = [
    "", "{", "null", "[]", "7", '"x"', "[" * 20_000, '{"response": 1}', '{"response": {"clientDataJSON": 1}}',
    '{"response": {"clientDataJSON": "AA"}, "id": "AA"}', '{"id": "\\ud800"}', "NaN", "9" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_answer_is_refused_in_a_sentence(team, text, caplog):
    assert team.send("/login/passkey", {"credential": text}).status_code == 422
    team.sign_in("vera")
    assert team.send("/account/passkeys", {"passkey": "x", "credential": text}).status_code == 422
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "attested",
    [
        b"", b"\xff", b"\x9f" * 5_000, cbor2.dumps([1]), cbor2.dumps({"fmt": "none"}),
        cbor2.dumps({"fmt": 1, "authData": 1}), cbor2.dumps({"fmt": "none", "authData": b"x" * 36}),
        cbor2.dumps({"fmt": "none", "authData": b"\xff" * 80}),
    ],
)  # fmt: skip
def test_a_broken_attestation_is_refused_in_a_sentence(team, attested, caplog):
    team.sign_in("vera")
    options = team.send("/account/passkeys/options", {"passkey": "x"}).json
    made = json.loads(Authenticator().make(options))
    made["response"]["attestationObject"] = encoded(attested)
    assert team.send("/account/passkeys", {"passkey": "x", "credential": json.dumps(made)}).status_code == 422
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("form", ["tpm", "android-key", "fido-u2f", "apple", "android-safetynet", "something"])
def test_forms_of_attestation_that_nobody_asked_for_are_refused(team, form):
    team.sign_in("vera")
    assert enrol(team, Authenticator(), form=form, statement={"sig": b"x"}).status_code == 422


def test_a_key_of_an_algorithm_that_nobody_asked_for_is_refused(team):
    team.sign_in("vera")
    key = Authenticator()
    public = key._public()
    key._public = lambda: {**public, 3: -36}
    assert enrol(team, key).status_code == 422


def test_each_bit_of_an_answer_that_is_changed_signs_nobody_in(team, monkeypatch):
    monkeypatch.setattr(passkeys, "PER_ACCOUNT", 10**6)
    key = with_key(team)
    for part in ("authenticatorData", "clientDataJSON", "signature"):
        for place in range(0, 37, 6):
            credential = json.loads(key.sign(team.send("/login/passkey/options").json))
            data = bytearray(decoded(credential["response"][part]))
            data[place] ^= 1
            credential["response"][part] = encoded(bytes(data))
            assert team.send("/login/passkey", {"credential": json.dumps(credential)}).status_code == 422, (part, place)


# -------------------------------------------------------------------- limits


def test_refused_passkeys_count_as_failed_attempts_of_the_address_and_the_owner_still_gets_in(team):
    key = with_key(team)
    stranger = team.browser()
    form = {"csrf_token": team.token(stranger), "credential": "{}"}
    for _ in range(PER_ADDRESS):
        assert stranger.post("/login/passkey", data=form).status_code == 422
    assert stranger.post("/login/passkey", data=form).status_code == 429
    assert stranger.post("/login/passkey/options", data=form).status_code == 429
    assert team.sign_in("vera", client=stranger).status_code == 429, "by a password as well"
    assert use(team, key).status_code == 303, "a browser that has signed in before passes"


def test_a_browser_that_has_signed_in_before_has_a_limit_of_its_own(team):
    key = with_key(team)
    form = {"csrf_token": team.token(), "credential": "{}"}
    for _ in range(PER_ACCOUNT - 1):
        assert team.client.post("/login/passkey", data=form).status_code == 422
    assert use(team, key).status_code == 303
    team.send("/logout")
    form["csrf_token"] = team.token()
    statuses = [team.client.post("/login/passkey", data=form).status_code for _ in range(PER_ACCOUNT + 1)]
    assert statuses == [422] * PER_ACCOUNT + [429]


def test_asking_for_options_is_limited_and_a_get_keeps_nothing(team, monkeypatch):
    monkeypatch.setattr(passkeys, "MOST_ASKED", 3)
    stranger = team.browser()
    form = {"csrf_token": team.token(stranger)}
    statuses = [stranger.post("/login/passkey/options", data=form).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    before = waiting(team)
    for _ in range(3):
        stranger.get("/login")
        stranger.get("/login/passkey/options")
    assert waiting(team) == before == 3


def test_challenges_of_strangers_fill_no_more_than_their_place(team, monkeypatch):
    monkeypatch.setattr(passkeys, "WAITING", 2)
    monkeypatch.setattr(passkeys, "WAITING_OF_ONE", 2)
    stranger = team.browser()
    assert [team.send("/login/passkey/options", client=stranger).status_code for _ in range(3)] == [200, 200, 429]
    team.sign_in("vera")
    name = {"passkey": "laptop"}
    assert [team.send("/account/passkeys/options", name).status_code for _ in range(3)] == [200, 200, 429]
    other = team.browser()
    team.sign_in("anna", client=other)
    assert team.send("/account/passkeys/options", name, other).status_code == 200


def test_a_signature_over_another_challenge_is_none_of_this_one(team):
    """What signed approvals need: which passkey of a person signed exactly this."""
    key = with_key(team, "vera")
    vera, anna = (people.find_person(name, team.store) for name in ("vera", "anna"))
    site = passkeys.Site("localhost", "http://localhost")
    statement = b"\x01" * 32
    asked = passkeys.ask("approval", store=team.store, person=vera, challenge=statement)
    text = key.sign({"rpId": "localhost", "challenge": encoded(asked)}, named=False)
    with pytest.raises(passkeys.Over):
        passkeys.answered(text, "approval", store=team.store, person=anna)
    answer = passkeys.answered(text, "approval", store=team.store, person=vera)
    for person, challenge in ((anna, statement), (vera, b"\x02" * 32)):
        with pytest.raises(passkeys.NotValid):
            passkeys.signed_by(answer, person, challenge=challenge, store=team.store, site=site)
    signed = passkeys.signed_by(answer, vera, challenge=statement, store=team.store, site=site)
    assert signed.id == encoded(key.id)
    with pytest.raises(passkeys.Over):
        passkeys.answered(text, "approval", store=team.store, person=vera)

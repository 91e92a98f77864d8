"""Sign-in by a provider (OpenID Connect): lies, and answers of others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from urllib.parse import parse_qs, urlsplit

import pytest

from neurocore.accounts import oidc
from tests.webapp.provider import CLIENT, SECRET, Later, Oidc, Provider, encoded, key, refused, send


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def team(tmp_path, provider):
    site = Oidc(tmp_path, provider)
    yield site
    site.store.close()


PAST, FUTURE = 1_000_000_000, 10_000_000_000


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"iss": 7},
        {"aud": "another"}, {"aud": None}, {"aud": []}, {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"}, {"azp": "another"},
        {"exp": PAST}, {"exp": None}, {"exp": "never"}, {"iat": FUTURE}, {"iat": None}, {"nbf": FUTURE},
        {"nonce": "another"}, {"nonce": None}, {"nonce": ["x"]}, {"nonce": "\udc00"},
        {"sub": None}, {"sub": ""}, {"sub": 248}, {"sub": "x" * 256}, {"sub": "a\nb"}, {"sub": "\udc00"},
        {"at_hash": "another"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_with_a_wrong_claim_signs_nobody_in(team, claims):
    team.provider.claims = claims
    assert refused(team, team.come())


def test_a_token_for_several_clients_names_the_one_that_asked(team):
    team.provider.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert team.come().status_code == 303


def hs256(claims, secret, header=None):
    signed = f"{encoded({'alg': 'HS256', 'kid': 'one', **(header or {})})}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


FORGERIES = {
    "no signature": lambda p, claims: f"{encoded({'alg': 'none'})}.{encoded(claims)}.",
    "None, spelled otherwise": lambda p, claims: f"{encoded({'alg': 'NoNe', 'kid': 'one'})}.{encoded(claims)}.",
    "signature left out": lambda p, claims: p.sign(claims).rpartition(".")[0] + ".",
    "HS256 with the public key": lambda p, claims: hs256(claims, p.keys[0].as_pem(private=False)),
    "HS256 with the client's secret": lambda p, claims: hs256(claims, SECRET.encode()),
    "another key under the same id": lambda p, claims: p.sign(claims, key("strange"), {"kid": "one"}),
    "an unknown key": lambda p, claims: p.sign(claims, key("strange")),
    "a key in the header": lambda p, claims: p.sign(
        claims, key("strange"), {"kid": "one", "jwk": key("strange").as_dict(private=False)}
    ),
    "another algorithm": lambda p, claims: ".".join(
        [encoded({"alg": "RS256", "kid": "one"}), *p.sign(claims, header={"alg": "RS512", "kid": "one"}).split(".")[1:]]
    ),
    "other claims": lambda p, claims: ".".join(
        [(parts := p.sign(claims).split("."))[0], encoded({**claims, "sub": "admin"}), parts[2]]
    ),
    "five parts": lambda p, claims: p.sign(claims) + ".a.b",
    "no token": lambda p, claims: "nothing",
    "an empty one": lambda p, claims: "",
    "not text": lambda p, claims: {"a": "token"},
    "a header that is a list": lambda p, claims: f"{encoded([1])}.{encoded(claims)}.x",
    "a deep header": lambda p, claims: f"{encoded(b'[' * 20_000)}.{encoded(claims)}.x",
    "too long": lambda p, claims: p.sign({**claims, "more": "x" * 100_000}),
    "claims that are a list": lambda p, claims: hs256([1], b"x", {"alg": "RS256"}),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_token_signs_nobody_in(team, how):
    team.provider.forge = lambda claims: FORGERIES[how](team.provider, claims)
    assert refused(team, team.come(), 503 if how == "not text" else 403)


def test_a_shared_key_among_the_provider_s_keys_is_no_key(team):
    shared = {"kty": "oct", "kid": "one", "k": encoded(b"s" * 32)}
    team.provider.answers["/keys"] = lambda request: send(request, 200, b'{"keys": [%s]}' % str(shared).replace(
        "'", '"').encode())  # fmt: skip
    team.provider.forge = lambda claims: hs256(claims, b"s" * 32)
    assert refused(team, team.come())


# -------------------------------------------------------------------- answers of others, and used ones


def test_an_answer_works_once(team):
    back = team.provider.back(team.leave())
    stolen = team.app.test_client()
    for cookie in team.client._cookies.values():
        stolen.set_cookie(cookie.key, cookie.value)
    assert team.client.get(back).status_code == 303
    for client in (team.app.test_client(), stolen):
        answer = client.get(back)
        assert answer.status_code == 400
        assert "Sign in with Acme" in answer.text
        assert not team.is_in(client)
    assert "was used already" in answer.text
    assert team.client.get(back).status_code == 400, "also where it was right"
    assert team.is_in(), "who is signed in stays so"


def test_an_answer_is_for_the_browser_that_began(team):
    back = team.provider.back(team.leave())
    other = team.app.test_client()
    answer = other.get(back)
    assert answer.status_code == 400
    assert "belongs to no sign-in that this browser has begun" in answer.text
    team.leave(client=other)
    assert other.get(back).status_code == 400
    assert team.client.get(back).status_code == 303, "and there it still works"


@pytest.mark.parametrize("state", [None, "", "guessed", "x" * 5000])
def test_an_answer_without_the_right_state_is_refused(team, state):
    back = team.provider.back(team.leave(), state=state)
    assert refused(team, team.client.get(back), 400)
    assert "/token" not in team.provider.asked


def test_an_answer_after_ten_minutes_is_refused(team):
    back = team.provider.back(team.leave())
    team.store.clock = Later(minutes=11)
    answer = team.client.get(back)
    assert refused(team, answer, 400)
    assert "more than 10 minutes" in answer.text


def test_a_second_tab_does_not_end_the_sign_in_of_the_first(team):
    first, second = (team.provider.back(team.leave(target)) for target in ("/runs", "/approvals"))
    assert team.client.get(first).headers["Location"] == "/runs"
    team.send("/logout")
    assert team.client.get(second).status_code == 400, "what the cookie had is gone with the first sign-in"


def test_a_browser_remembers_the_newest_sign_ins_that_it_has_begun(team):
    backs = [team.provider.back(team.leave(f"/runs?q={number}")) for number in range(5)]
    answer = team.client.get(backs[0])
    assert answer.status_code == 400
    assert 'name="next" value="/runs?q=4"' in answer.text, "a new attempt leads where the last one was to lead"
    assert team.client.get(backs[1]).status_code == 400
    assert team.client.get(backs[2]).headers["Location"] == "/runs?q=2"
    other = team.app.test_client()
    for number in range(5):
        team.leave(f"/runs?q={number}{secrets.token_hex(290)}", client=other)
    (cookie,) = other._cookies.values()
    assert len(cookie.value) < 3500, "browsers keep no cookie of more than 4 KB"


@pytest.mark.parametrize("code", [None, "", "guessed"])
def test_a_code_that_the_provider_did_not_give_is_refused(team, code):
    assert refused(team, team.client.get(team.provider.back(team.leave(), code=code)))


def test_the_answer_of_another_issuer_is_refused_before_its_code_is_sent_anywhere(team):
    assert refused(team, team.come(iss="https://evil.example"))
    assert "/token" not in team.provider.asked
    assert team.come(iss=team.provider.issuer).status_code == 303


def test_an_issuer_that_the_provider_promises_must_be_there(team):
    team.provider.discovery = {"authorization_response_iss_parameter_supported": True}
    assert refused(team, team.come())


def test_the_error_of_the_provider_is_shown_as_text(team):
    said = "<script>alert(1)</script>\u202e" + "x" * 1000
    answer = team.come(code=None, error="access_denied", error_description=said)
    assert refused(team, answer)
    assert "Acme did not sign you in (access_denied: &lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text
    assert "x" * 300 not in answer.text


def test_a_wrong_verifier_is_refused_by_a_provider_that_checks(team, monkeypatch):
    place = team.leave()
    made = oidc.secrets_of
    monkeypatch.setattr(oidc, "secrets_of", lambda state, key: made(f"{state}x", key))
    assert refused(team, team.client.get(team.provider.back(place)))
    (sent,) = team.provider.refused
    assert sent["code_verifier"]


def test_each_sign_in_has_a_state_a_nonce_and_a_challenge_of_its_own(team):
    asked = [parse_qs(urlsplit(team.leave()).query) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        values = {one[name][0] for one in asked}
        assert len(values) == 3
        assert all(len(value) >= 43 for value in values)
    with team.client.session_transaction() as cookie:
        kept = repr(dict(cookie))
    assert not any(one["nonce"][0] in kept for one in asked)


# -------------------------------------------------------------------- keys


def test_new_keys_are_fetched_once_when_a_token_names_one(team):
    assert team.come().status_code == 303
    team.provider.keys = [key("two")]
    assert team.come().status_code == 303
    assert team.provider.asked.count("/keys") == 2
    team.provider.forge = lambda claims: team.provider.sign(claims, key("strange"))
    for _ in range(3):
        assert team.come(client=team.app.test_client()).status_code == 403
    assert team.provider.asked.count("/keys") == 2, "not again so soon"
    team.provider.forge = None
    assert team.come().status_code == 303


def test_a_token_that_names_no_key_is_tried_with_each(team):
    team.provider.keys = [key("one"), key("two")]
    team.provider.forge = lambda claims: team.provider.sign(claims, header={})
    assert team.come().status_code == 303
    team.provider.forge = lambda claims: team.provider.sign(claims, key("strange"), {})
    assert team.come(client=team.app.test_client()).status_code == 403


def test_the_log_says_what_is_wrong_and_no_secret(team, caplog):
    team.provider.claims = {"aud": "another"}
    team.come()
    assert "A sign-in by http://127.0.0.1" in caplog.text
    assert "aud" in caplog.text
    team.provider.answers["/token"] = lambda request: send(request, 400, b'{"error": "invalid_client"}')
    team.come()
    assert "it refuses the code (invalid_client)" in caplog.text
    team.provider.answers["/token"] = lambda request: send(
        request, 401, b'{"error": "your secret is %s"}' % SECRET.encode()
    )
    team.come()
    assert SECRET not in caplog.text
    assert base64.b64encode(f"{CLIENT}:".encode()).decode()[:8] not in caplog.text

"""Sign-in by a provider (OpenID Connect) that is down, slow or strange, and settings that cannot work."""

from __future__ import annotations

import threading
import time

import pytest

from neurocore.accounts import fetching, oidc
from neurocore.auth import OidcSettings
from neurocore.config import load_config
from neurocore.errors import ConfigError
from tests.waiting import until
from tests.webapp.provider import SECRET, Oidc, Provider, refused, send


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


DOWN = "Acme cannot be reached at the moment; try again later."


def test_without_the_provider_the_server_works_and_says_so(tmp_path, provider):
    provider.stop()
    site = Oidc(tmp_path, provider)
    try:
        assert site.client.get("/login").status_code == 200
        assert DOWN in site.leave(status=503)
        assert site.client.get("/healthz").status_code == 200
    finally:
        provider.start()
    assert site.come().status_code == 303
    back = provider.back(site.leave(client=(other := site.app.test_client())))
    provider.stop()
    try:
        assert site.is_in(), "who is signed in stays so"
        assert site.client.get("/account").status_code == 200
        answer = other.get(back)
        assert answer.status_code == 503
        assert DOWN in answer.text
        assert not site.is_in(other)
    finally:
        provider.start()
        site.store.close()


def until_closed(request, part):
    """Send a part again and again, until the other side has had enough; returns how much was sent."""
    sent = 0
    try:
        while sent < 1 << 30:
            request.wfile.write(part)
            sent += len(part)
            if len(part) < 10:
                time.sleep(0.02)
    except OSError:
        pass
    return sent


DISCOVERY = "/.well-known/openid-configuration"


@pytest.mark.parametrize("where", ["content", "headers", "nothing"])
def test_a_provider_that_answers_slowly_holds_nobody_longer_than_the_deadline(team, monkeypatch, where):
    monkeypatch.setattr(fetching, "PATIENCE", 0.5)

    def slowly(request):
        if where == "content":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        if where == "headers":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        if where == "nothing":
            request.connection.recv(1)
            return
        until_closed(request, b" ")

    team.provider.answers[DISCOVERY] = slowly
    began = time.monotonic()
    assert DOWN in team.leave(status=503)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("length", [b"Content-Length: 1073741824\r\n", b""])
def test_an_answer_of_a_gigabyte_is_not_read(team, length):
    sent = []

    def large(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        sent.append(until_closed(request, b" " * 65_536))

    team.provider.answers[DISCOVERY] = large
    assert DOWN in team.leave(status=503)
    until(lambda: sent, "the provider notices that nobody reads on")
    assert sent[0] < 64 << 20


def test_a_slow_provider_does_not_hold_every_thread(team, monkeypatch):
    monkeypatch.setattr(fetching, "PATIENCE", 20.0)
    monkeypatch.setattr(oidc, "TURN", 0.05)
    release, arrived = threading.Event(), threading.Semaphore(0)

    def hangs(request):
        arrived.release()
        release.wait(30)
        send(request, 500, b"")

    team.provider.answers[DISCOVERY] = hangs
    clients = [team.app.test_client() for _ in range(oidc.AT_ONCE)]
    waiting = [threading.Thread(target=team.leave, kwargs={"client": one, "status": 503}) for one in clients]
    for one in waiting:
        one.start()
    for _ in waiting:
        assert arrived.acquire(timeout=30)
    assert DOWN in team.leave(status=503), "one more does not wait"
    assert team.client.get("/healthz").status_code == 200
    release.set()
    for one in waiting:
        one.join(30)


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": 'https://evil.example/?a="><script>'},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"end_session_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "http://169.254.169.254/"},
    ],
    ids=str,
)
def test_a_provider_that_says_strange_things_about_itself_is_not_used(team, said):
    team.provider.discovery = said
    assert DOWN in team.leave(status=503)


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"{}"), (404, b""), (200, b"<html>"), (200, b"[" * 100_000), (200, b"\xff"), (204, b"")]
)
@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/keys"])
def test_an_answer_that_cannot_be_read_is_none(team, path, status, body):
    team.provider.answers[path] = lambda request: send(request, status, body)
    if path == DISCOVERY:
        assert DOWN in team.leave(status=503)
    else:
        assert refused(team, team.come(), 503)


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/keys"])
def test_no_redirect_is_followed(team, path):
    elsewhere = [("Location", f"{team.provider.issuer}/elsewhere")]
    team.provider.answers[path] = lambda request: send(request, 307, b"{}", elsewhere)
    if path == DISCOVERY:
        assert DOWN in team.leave(status=503)
    else:
        assert refused(team, team.come(), 503)
    assert "/elsewhere" not in team.provider.asked


# -------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{mode: oidc}", "auth.mode: oidc needs auth.oidc.issuer and auth.oidc.client_id."),
        ("{mode: oidc, oidc: {issuer: 'https://id.example'}}", "auth.mode: oidc needs auth.oidc.client_id."),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'http://id.example'}}", "must be an https:// address"),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'https://'}}", "must be an https:// address"),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'https://a:b@id.example'}}", "must be an https:// address"),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'https://id.example/?a=b'}}", "must be an https:// address"),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'https://id.example:x'}}", "must be an https:// address"),
        ("{mode: oidc, oidc: {client_id: x, issuer: 'https://id.example'}}\nweb: {host: 0.0.0.0}", "web.public_url"),
        ("{oidc: {issuer: '${ISSUER}'}}", "not resolved here, only in skills, llm and auth.oidc.client_secret"),
        ("{oidc: {secret: x}}", "client_secret"),
        ("{groups_max_age: 1y}", "groups_max_age"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(tmp_path, text, why):
    (tmp_path / "neurocore.yaml").write_text(f"auth: {text}\n")
    with pytest.raises(ConfigError, match=r"neurocore\.yaml") as refusal:
        load_config(tmp_path, environ={})
    assert why in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("issuer", ["https://id.example/realms/acme", "http://localhost:8080", "http://127.0.0.1:1"])
def test_settings_that_work(tmp_path, issuer):
    (tmp_path / "neurocore.yaml").write_text(
        "auth: {mode: oidc, oidc: {issuer: '%s', client_id: x, client_secret: '${ACME}'}}\n" % issuer  # noqa: UP031
    )
    settings = load_config(tmp_path, environ={}).auth.oidc
    assert settings == OidcSettings(issuer=issuer, client_id="x", client_secret="${ACME}")
    assert "ACME" not in repr(settings)


def test_the_secret_comes_from_the_environment_and_is_never_shown(tmp_path, provider, monkeypatch):
    with pytest.raises(ConfigError, match=r"The environment has no ACME_SECRET \(auth.oidc.client_secret\)"):
        Oidc(tmp_path, provider, client_secret="${ACME_SECRET}")
    monkeypatch.setenv("ACME_SECRET", SECRET)
    (tmp_path / "other").mkdir()
    site = Oidc(tmp_path / "other", provider, client_secret="${ACME_SECRET}")
    assert site.come().status_code == 303
    assert SECRET not in repr(Oidc.__mro__) + repr(site.config) + repr(site.config.auth)
    site.store.close()


def test_a_public_client_has_no_secret(tmp_path, provider):
    site = Oidc(tmp_path, provider, client_secret="")
    provider.secret = ""
    assert site.come().status_code == 303
    site.store.close()


def test_a_provider_that_wants_the_secret_in_the_form_gets_it_there(team):
    team.provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert team.come().status_code == 303

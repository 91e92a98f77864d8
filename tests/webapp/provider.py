"""A provider (OpenID Connect) for tests: it checks what it is asked, and lies where a test wants it to."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote_plus, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from neurocore.auth import Auth, GrantSettings, OidcSettings, SessionSettings
from neurocore.clock import Clock
from tests.webapp.conftest import Site

CLIENT, SECRET = "neurocore", "the secret of the client"
_MADE: dict[str, RSAKey] = {}


def key(kid):
    """An RSA key of this id, made once: making one takes a moment."""
    if kid not in _MADE:
        _MADE[kid] = RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})
    return _MADE[kid]


def encoded(value):
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Provider:
    """Answers discovery, keys, token and user info. `people` have the claims of each subject."""

    def __init__(self):
        self.people = {"248": {"preferred_username": "ann", "name": "Ann Smith", "groups": ["finance"]}}
        self.keys = [key("one")]
        #: What a test changes: claims of the token, the whole token, what discovery says, whole answers by path.
        self.claims, self.forge, self.discovery, self.answers, self.user_info = {}, None, {}, {}, None
        self.secret = SECRET
        self.asked, self.refused, self._codes = [], [], {}
        self._server = None
        self.start()

    def start(self):
        """Listen, on the same port as before."""
        port = 0 if self._server is None else self.port
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.answer(self, {name: values[0] for name, values in parse_qs(body).items()})

            def log_message(self, *args):
                pass

        Handler.timeout = 20
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---------------------------------------------------------------- what a browser does

    def back(self, place, sub="248", **more):
        """Whom the person signs in as, at the address they were led to; returns the address that leads them back."""
        parts = urlsplit(place)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = hashlib.sha256(f"{len(self._codes)}{sub}".encode()).hexdigest()
        self._codes[code] = (sub, asked)
        answer = {"code": code, "state": asked["state"], **more}
        query = "&".join(f"{name}={quote(value)}" for name, value in answer.items() if value is not None)
        return f"{asked['redirect_uri']}?{query}"

    # ---------------------------------------------------------------- what the server asks

    def answer(self, request, form):
        """Answer a request of the server."""
        path = urlsplit(request.path).path
        self.asked.append(path)
        if path in self.answers:
            self.answers[path](request)
            return
        status, said = getattr(self, f"at_{path.strip('/').replace('/', '_').replace('.', '').replace('-', '_')}")(
            request, form
        )
        send(request, status, json.dumps(said).encode())

    def at_well_known_openid_configuration(self, request, form):
        return 200, {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/leave", **self.discovery,
        }  # fmt: skip

    def at_keys(self, request, form):
        return 200, {"keys": [one.as_dict(private=False) for one in self.keys]}

    def at_userinfo(self, request, form):
        assert request.headers["Authorization"] == "Bearer access"
        return 200, self.user_info

    def at_token(self, request, form):
        if "Authorization" in request.headers:
            name, _, secret = base64.b64decode(request.headers["Authorization"].split()[1]).decode().partition(":")
        else:
            name, secret = form["client_id"], form.get("client_secret", "")
        found = self._codes.pop(form.get("code"), None)
        challenge = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        wrong = (
            (unquote_plus(name), unquote_plus(secret)) != (CLIENT, self.secret)
            or form.get("grant_type") != "authorization_code" or found is None
            or found[1]["redirect_uri"] != form.get("redirect_uri") or found[1]["code_challenge"] != challenge
        )  # fmt: skip
        if wrong:
            self.refused.append(form)
            return 400, {"error": "invalid_grant"}
        sub, asked = found
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": sub, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            **self.people[sub], **self.claims,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "access", "token_type": "Bearer", "id_token": (self.forge or self.sign)(claims)}

    def sign(self, claims, by=None, header=None):
        """A token as it must be."""
        by = by or self.keys[-1]
        head = {"alg": "RS256", "kid": by.kid} if header is None else {"alg": "RS256", **header}
        return jws.serialize_compact(
            head, json.dumps(claims).encode(), by, registry=JWSRegistry(algorithms=[head["alg"]])
        )


def send(request, status, body, headers=()):
    """Answer one request."""
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers:
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


class Later(Clock):
    """The computer's clock, moved on."""

    def __init__(self, **by):
        self._by = timedelta(**by) // timedelta(microseconds=1)

    def micros(self):
        return super().micros() + self._by


class Oidc(Site):
    """A site where this provider signs people in; the group finance approves, and everybody of the group all looks."""

    def __init__(self, root, provider, store=None, web=None, **settings):
        self.provider = provider
        grants = [GrantSettings(role="approver", to=["group:finance"]), GrantSettings(role="viewer", to=["group:all"])]
        given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "name": "Acme", **settings}
        auth = Auth(
            mode="oidc", grants=grants, oidc=OidcSettings(**given), session=SessionSettings(idle="30d", max="30d")
        )
        super().__init__(root, store=store, auth=auth, **(web or {}))

    def leave(self, target="/", client=None, status=200):
        """Begin a sign-in; the address of the provider, or the page that says why not."""
        client = client or self.client
        page = client.post("/login/oidc", data={"csrf_token": self.token(client), "next": target})
        assert page.status_code == status, page.text
        return leads_to(page) if status == 200 else page.text

    def come(self, sub="248", target="/", client=None, **more):
        """Sign in; the last answer of the server."""
        client = client or self.client
        return client.get(self.provider.back(self.leave(target, client), sub, **more))

    def token(self, client=None):
        """The token of the forms in this browser."""
        return re.search(r'name="csrf_token" value="([^"]+)"', (client or self.client).get("/login").text)[1]

    def send(self, path, form=None, client=None):
        """Send a form."""
        return (client or self.client).post(path, data={"csrf_token": self.token(client), **(form or {})})

    def is_in(self, client=None):
        """Whether this browser is signed in."""
        return (client or self.client).get("/account").status_code == 200


def leads_to(page):
    """Where a page leads on."""
    found = re.search(r'<a href="([^"]+)">Continue to', page.text)
    assert found, page.text
    place = html.unescape(found[1])
    assert f'content="0; url={html.unescape(place)}"' in html.unescape(page.text)
    return place


def refused(team, answer, status=403):
    """Nobody is signed in or known, and the page offers to sign in again."""
    assert answer.status_code == status, answer.text
    assert "Sign in with Acme" in answer.text
    assert 'role="alert"' in answer.text
    assert not team.is_in()
    assert team.store.list_people() == []
    return True

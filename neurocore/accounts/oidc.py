"""A provider that signs people in: OpenID Connect, by the authorization code flow with PKCE."""

from __future__ import annotations

import hmac
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct, field

from neurocore import typed
from neurocore.accounts.fetching import Unreachable, fetch
from neurocore.accounts.id_tokens import Claims, Key, UnknownKey, Untrue, check
from neurocore.auth import is_safe_address
from neurocore.config import NeuroCoreConfig
from neurocore.errors import RefusedError
from neurocore.secrets import resolve

_Kind = TypeVar("_Kind")

#: How long what the provider says about itself is used before it is asked again, in seconds.
HOLDS = 3600.0
#: The keys are fetched at most so often because a token names an unknown one, in seconds.
KEYS_AGAIN = 30.0
#: How many requests may wait for the provider at once, and how long another one waits for its turn, in seconds: a slow
#: provider must not hold every thread of the server.
AT_ONCE, TURN = 6, 0.5


class Metadata(Struct, frozen=True):
    """What a provider says about itself (OpenID Connect Discovery 1.0, RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: list[str] = field(default_factory=lambda: ["client_secret_basic"])
    authorization_response_iss_parameter_supported: bool = False


class Answer(Struct, frozen=True):
    """The tokens for a code."""

    id_token: str
    access_token: str = ""


class _Keys(Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Problem(Struct, frozen=True):
    error: str = ""


class Secrets(Struct, frozen=True):
    """What belongs to one sign-in. Only who has the server's key can make it from the state."""

    nonce: str
    verifier: str


def secrets_of(state: str, key: bytes) -> Secrets:
    """Return the nonce and the PKCE verifier of a sign-in. Nothing is kept meanwhile: a restart loses nothing."""

    def made(purpose: str) -> str:
        digest = hmac.new(key, f"oidc-{purpose}:{state}".encode(), sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    return Secrets(made("nonce"), made("verifier"))


class Provider:
    """The provider of the configuration. It is asked when somebody signs in, never before."""

    def __init__(self, config: NeuroCoreConfig) -> None:
        """Raise ConfigError where the environment lacks the client's secret."""
        self.settings = config.auth.oidc
        secret, _ = resolve({"auth.oidc.client_secret": self.settings.client_secret}, config.environ)
        self._secret = str(secret["auth.oidc.client_secret"])
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: list[Key] | None = None
        self._keys_again = -KEYS_AGAIN

    def metadata(self) -> Metadata:
        """Return what the provider says about itself. Raises Unreachable."""
        kept = self._metadata
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        try:
            found = self._discovered()
        except Unreachable:
            if kept is None:
                raise
            found = kept[1]  # it seldom changes: a moment without an answer is no reason to refuse
        self._metadata = (time.monotonic() + HOLDS, found)
        return found

    def authorization_url(self, state: str, secrets: Secrets, redirect_uri: str) -> str:
        """Return where a person goes to sign in. Raises Unreachable."""
        challenge = urlsafe_b64encode(sha256(secrets.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self.settings.client_id, "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(["openid", *self.settings.scopes])), "state": state,
            "nonce": secrets.nonce, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return _with(self.metadata().authorization_endpoint, asked)

    def end_session_url(self, id_token: str | None, back_to: str) -> str | None:
        """Return where a person signs out of the provider; None where it offers no such place. Raises Unreachable."""
        place = self.metadata().end_session_endpoint
        if not place:
            return None
        hint = {"id_token_hint": id_token} if id_token else {}
        asked = {**hint, "client_id": self.settings.client_id, "post_logout_redirect_uri": back_to}
        return _with(place, asked)

    def check_issuer(self, said: str | None) -> None:
        """Refuse the answer of another provider (RFC 9207). Raises Untrue."""
        must = said is not None or self.metadata().authorization_response_iss_parameter_supported
        if must and said != self.settings.issuer:
            raise Untrue(f"the answer comes from the issuer {str(said)[:200]!r}")

    def claims(self, code: str, secrets: Secrets, redirect_uri: str, now: int) -> tuple[Claims, str]:
        """Return who signed in, by the provider's claims, and the ID token. Raises Unreachable or RefusedError."""
        answer = self._exchanged(code, secrets, redirect_uri)
        found = self._checked(answer, secrets, now)
        wanted = {self.settings.username_claim, self.settings.groups_claim}
        if wanted - set(found) and answer.access_token and self.metadata().userinfo_endpoint:
            more = self._userinfo(answer.access_token)
            if more.get("sub") != found["sub"]:
                raise Untrue("the user info is about another subject")
            found = {**more, **found}
        return found, answer.id_token

    # ---------------------------------------------------------------- requests

    def _discovered(self) -> Metadata:
        issuer = self.settings.issuer
        found = self._read("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", Metadata)
        if found.issuer != issuer:
            raise Unreachable(
                f"it calls itself {found.issuer[:200]!r}, and auth.oidc.issuer is {issuer!r}: they must be the same"
            )
        places = [found.authorization_endpoint, found.token_endpoint, found.jwks_uri]
        places += [one for one in (found.userinfo_endpoint, found.end_session_endpoint) if one]
        wrong = [one for one in places if not is_safe_address(one.partition("?")[0])]
        if wrong or any(not one.isascii() or set(one) & set("#\"'<> ") for one in places):
            raise Unreachable("it names addresses that are not safe to use")
        return found

    def _exchanged(self, code: str, secrets: Secrets, redirect_uri: str) -> Answer:
        """Return the tokens for a code."""
        sent = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": secrets.verifier,
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        about, client_id = self.metadata(), self.settings.client_id
        methods = about.token_endpoint_auth_methods_supported
        if not self._secret:
            sent["client_id"] = client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            pair = f"{quote_plus(client_id)}:{quote_plus(self._secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            sent |= {"client_id": client_id, "client_secret": self._secret}
        return self._read("POST", about.token_endpoint, Answer, headers=headers, body=urlencode(sent).encode())

    def _checked(self, answer: Answer, secrets: Secrets, now: int) -> Claims:
        """Return the claims of the ID token; the keys are fetched again where it names an unknown one."""

        def claims(keys: list[Key]) -> Claims:
            return check(
                answer.id_token, keys, issuer=self.settings.issuer, client_id=self.settings.client_id,
                nonce=secrets.nonce, access_token=answer.access_token, now=now,
            )  # fmt: skip

        if self._keys is None:
            self._keys = self._fetched_keys()
        try:
            return claims(self._keys)
        except UnknownKey:
            if time.monotonic() < self._keys_again + KEYS_AGAIN:
                raise
            self._keys_again = time.monotonic()
            self._keys = self._fetched_keys()
            return claims(self._keys)

    def _fetched_keys(self) -> list[Key]:
        return self._read("GET", self.metadata().jwks_uri, _Keys).keys

    def _userinfo(self, access_token: str) -> Claims:
        headers = {"Authorization": f"Bearer {access_token}"}
        found: Claims = self._read("GET", self.metadata().userinfo_endpoint, dict[str, Any], headers=headers)
        return found

    def _read(self, method: str, url: str, kind: type[_Kind], **more: Any) -> _Kind:
        """Return what the provider answers. Raises Unreachable, or RefusedError where it refuses."""
        with self._place():
            status, content = fetch(method, url, **more)
        if status in (400, 401) and method == "POST":
            raise RefusedError(f"it refuses the code ({_error_in(content)})")
        try:
            if status == 200:
                return typed.decode(content, kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreachable("its answer cannot be read") from error
        raise Unreachable(f"it answers {status}")

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=TURN):
            raise Unreachable(f"{AT_ONCE} requests to it wait already")
        try:
            yield
        finally:
            self._places.release()


def _with(place: str, asked: dict[str, str]) -> str:
    return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"


def _error_in(content: bytes) -> str:
    """Return the code of an error, such as invalid_grant. What else stands there may repeat a secret."""
    try:
        code = typed.decode(content, _Problem).error
    except (msgspec.DecodeError, RecursionError):
        code = ""
    return code[:60] if code.replace("_", "").isalnum() and code.isascii() else "without a reason"

"""Requests to a server: with limits, without redirects, and repeated only where that changes nothing."""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from neurocore import __version__, typed
from neurocore.errors import NeuroCoreError, UsageError
from neurocore.readable import safe
from neurocore.remote import errors
from neurocore.remote.address import Address

if TYPE_CHECKING:
    import httpx

#: The most bytes of an answer.
MOST = 256 * 1024 * 1024
#: The most digits of one number in an answer: Python needs long to read more.
MOST_DIGITS = 100_000
#: Seconds for a connection, and for each part of a request and of an answer.
CONNECT, EACH = 10.0, 30.0
#: Seconds before each further attempt.
PAUSES = (0.2, 0.6, 1.5)
#: The longest Retry-After, in seconds, for which a command waits.
PATIENCE = 10
MASK = "•••"

_Document = TypeVar("_Document", bound=Struct)


class Answer(Struct, frozen=True):
    """An answer with success: its status, its plain data (None after 304) and its ETag."""

    status: int
    data: Any
    etag: str | None


class _Again(Exception):
    """The request may be sent again after so many seconds; if no attempt is left, `then` is raised."""

    def __init__(self, then: NeuroCoreError, after: float | None = None) -> None:
        super().__init__(str(then))
        self.then = then
        self.after = after


class Client:
    """Talks to one server. The token is sent to its address alone. Connections are closed by `close`."""

    def __init__(self, address: Address, token: str | None) -> None:
        """Prepare the connection. Raises UsageError if httpx is not installed."""
        self.address = address
        self._token = token
        self._http = _http(address, token)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(
        self, path: str, query: dict[str, Any] | None = None, *, etag: str | None = None, wait: float = 0.0
    ) -> Answer:
        """Read. With `etag`, the data is None if nothing has changed.

        `wait` is how many seconds the server may take longer; such a request is not tried again.
        """
        headers = {"If-None-Match": etag} if etag else {}
        return self._ask("GET", path, wait, params=query or {}, headers=headers)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Change something, once: a repeated request has the same key, by which the server knows it again."""
        try:
            content = json.dumps(body).encode()
        except (TypeError, ValueError) as error:
            raise UsageError(f"The data cannot be sent as JSON: {error}.") from error
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        return self._ask("POST", path, 0.0, content=content, headers=headers)

    def document(self, path: str, kind: type[_Document], query: dict[str, Any] | None = None) -> _Document:
        """Read a document. Raises RemoteError if it is of another kind."""
        return self.convert(self.get(path, query).data, kind)

    def convert(self, data: Any, kind: type[_Document]) -> _Document:
        """Return the data as a document; unknown fields, of a newer server, are ignored. Raises RemoteError."""
        try:
            return typed.convert(data, kind)
        except msgspec.ValidationError as error:
            raise errors.RemoteError(
                f"{self.address.url} answered in a way that NeuroCore {__version__} does not understand "
                f"({self._told(str(error))[:200]}); is the server of another version?"
            ) from error

    # ------------------------------------------------------------ one request

    def _ask(self, method: str, path: str, wait: float, **request: Any) -> Answer:
        for pause in (*(PAUSES if not wait else ()), None):
            try:
                return self._once(method, path, wait, request)
            except _Again as again:
                if pause is None or (again.after or 0.0) > PATIENCE:
                    raise again.then from again.__cause__
                time.sleep(pause if again.after is None else again.after)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, wait: float, request: dict[str, Any]) -> Answer:
        import httpx

        limits = httpx.Timeout(EACH, connect=CONNECT, read=EACH + wait)
        try:
            with self._http.stream(method, f"{self.address.api}{path}", timeout=limits, **request) as response:
                return self._answer(response, _content(response, self.address.url))
        except httpx.TransportError as error:
            self._refuse_unreachable(method, error)
        except httpx.HTTPError as error:
            raise errors.RemoteError(f"{self.address.url} does not speak HTTP ({self._told(str(error))}).") from error

    def _refuse_unreachable(self, method: str, error: httpx.TransportError) -> NoReturn:
        """Raise what says why there is no answer; `_Again` if another attempt may help."""
        import ssl

        import httpx

        url, why = self.address.url, self._told(str(error) or type(error).__name__).rstrip(".")
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise errors.RemoteError(
                f"{url} has no certificate that this machine trusts ({why}); with a CA of your own, set SSL_CERT_FILE."
            ) from error
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            then = f"{url} cannot be reached ({why}); check the address and the network."
        elif method == "GET":
            then = f"{url} did not answer ({why}); try again."
        else:
            then = f"{url} did not answer ({why}), so it may have done this or not; look before you try again."
        raise _Again(errors.RemoteError(then)) from error

    def _answer(self, response: httpx.Response, content: bytes) -> Answer:
        status, url = response.status_code, self.address.url
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if status == 304:
            return Answer(status, None, response.headers.get("ETag"))
        if 300 <= status < 400:
            target = self._told(response.headers.get("Location", "nowhere").partition("?")[0])[:200]
            raise errors.RemoteError(
                f"{url} redirects to {target}, which is not followed, because the token is for {url} alone; name the "
                "right address with --server."
            )
        if kind not in ("application/json", "application/problem+json"):
            failed = errors.RemoteError(
                f"{url} answered with {self._told(kind)[:80] or 'nothing'} ({status}) and not as NeuroCore does; check "
                "the address, and the proxy in front of it."
            )
            raise self._later(response, failed) if status in (429, 502, 503, 504) else failed
        if self._token:  # nobody shows it, not even a server that repeats it
            content = content.replace(self._token.encode(), MASK.encode())
        data = _parsed(content, url)
        if status < 300:
            return Answer(status, data, response.headers.get("ETag"))
        refused = errors.refusal(status, data if isinstance(data, dict) else {}, url)
        is_in_flight = isinstance(data, dict) and str(data.get("type", "")).endswith("#in-flight")
        if status in (429, 502, 503, 504) or is_in_flight:
            raise self._later(response, refused)
        raise refused

    def _later(self, response: httpx.Response, refused: NeuroCoreError) -> _Again:
        """Return when to ask again, and what to say if that is too late."""
        after = response.headers.get("Retry-After", "")
        seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 7 else None
        if response.status_code == 429:
            when = f" in {seconds:.0f} seconds" if seconds is not None else " later"
            refused = errors.RemoteError(f"{self.address.url} has had too many requests; try again{when}.")
        return _Again(refused, seconds)

    def _told(self, text: str) -> str:
        """Return a text of the server without our token and without control characters."""
        return safe(text.replace(self._token, MASK) if self._token else text).replace("\n", " ")


def _http(address: Address, token: str | None) -> httpx.Client:
    try:
        import httpx
    except ImportError as error:
        raise UsageError("A server needs packages that are not installed: pip install 'neurocore-ai[team]'.") from error
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"neurocore/{__version__}"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # A proxy of the environment would read what is not encrypted.
    return httpx.Client(headers=headers, follow_redirects=False, trust_env=address.url.startswith("https:"))


def _content(response: httpx.Response, url: str) -> bytes:
    parts, size = [], 0
    for part in response.iter_raw():
        size += len(part)
        if size > MOST:
            raise errors.RemoteError(f"The answer of {url} is larger than {MOST // 2**20} MiB; see the run's page.")
        parts.append(part)
    return b"".join(parts)


def _parsed(content: bytes, url: str) -> Any:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(MOST_DIGITS)  # a run may contain 10^5000
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise errors.RemoteError(f"{url} answered with JSON that cannot be read; try again.") from error
    finally:
        sys.set_int_max_str_digits(limit)

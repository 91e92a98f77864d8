"""`Idempotency-Key`: a request that comes twice acts once, and gets the same answer again.

Two records are kept under a key, each for a day. The first is written before anything happens: the request has begun
(what it asked for, when, and the id of the run that it may make). The second is the answer. If the process dies in
between, only the first exists. The same request then finds with it what was done: a start or replay finds its run by
that id, a decision finds its answer by the digest, and the others find their entry in the activity of the run. Refusals
are not kept: they changed nothing, the same request is handled again, and a corrected one may use the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from flask import Response, request
from msgspec import Struct
from werkzeug.exceptions import HTTPException

from neurocore import forks, typed
from neurocore.errors import InputError, NeuroCoreError, RefusedError
from neurocore.failpoints import failpoint
from neurocore.persistence.base import RunStore
from webapp.failures import status_of
from webapp.security.identity import signed_in

HEADER = "Idempotency-Key"
MAX_KEY = 200

_in_flight: set[tuple[int, str]] = set()
_lock = forks.lock()


class KeyUsed(InputError):
    """The key was used before, for another request."""


class KeyInFlight(RefusedError):
    """A request with this key is being answered now."""


class Begun(Struct, kw_only=True):
    """When a request first began, and the id of the run that it makes. `again` says that it began earlier."""

    at: str
    run_id: str
    again: bool = False


class Kept(Struct, kw_only=True):
    """A recorded answer."""

    status: int
    location: str | None
    body: bytes


def answered(store: RunStore, plain: object, act: Callable[[Begun], Response]) -> Response:
    """Return the answer of `act`, or the answer that was kept under the request's key.

    Raises InputError (the key is not valid), KeyUsed, KeyInFlight, and what `act` raises.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return act(_fresh(store))
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        sentence = f"{HEADER} takes 1 to {MAX_KEY} printable ASCII characters."
        raise InputError(sentence, {HEADER: sentence})
    actor = signed_in()
    if actor is not None:  # the keys of two people are two keys, and nobody can write the other's
        key = f"{actor.id}\n{key}"
    digest = _digest(plain)
    with _alone(store, key):
        found = store.load_request(f"answer {key}")
        if found is not None:
            _refuse_other(found[0], digest)
            return _as_kept(typed.decode(found[1], Kept))
        answer = _acted(store, key, digest, act)
        failpoint("request.before_kept")
        kept = Kept(status=answer.status_code, location=answer.headers.get("Location"), body=answer.get_data())
        mine = msgspec.json.encode(kept)
        store.keep_request(f"answer {key}", digest, mine)
        found = store.load_request(f"answer {key}")
    # Another process may have got the same request at the same time: the answer that was kept first counts.
    return answer if found is None or found[1] == mine else _as_kept(typed.decode(found[1], Kept))


def _acted(store: RunStore, key: str, digest: str, act: Callable[[Begun], Response]) -> Response:
    """Record that the request begins, and act. A refusal removes the record: a corrected request may use the key."""
    begun = _begin(store, key, digest)
    try:
        return act(begun)
    except (NeuroCoreError, HTTPException) as error:
        status = status_of(error) if isinstance(error, NeuroCoreError) else error.code or 500
        if status < 500 and not begun.again:
            store.forget_request(f"begun {key}", digest)
        raise


def _fresh(store: RunStore) -> Begun:
    return Begun(at=store.clock.now(), run_id=store.ids.new())


def _begin(store: RunStore, key: str, digest: str) -> Begun:
    """Record that the request begins, unless that is recorded already. The first record of all processes counts."""
    mine = _fresh(store)
    store.keep_request(f"begun {key}", digest, msgspec.json.encode(mine))
    found = store.load_request(f"begun {key}")
    if found is None:
        return mine
    _refuse_other(found[0], digest)
    first = typed.decode(found[1], Begun)
    return msgspec.structs.replace(first, again=first.run_id != mine.run_id)


def _digest(plain: object) -> str:
    """Return a digest of the request that does not depend on white space and the order of fields."""
    parts = [request.method, request.path, plain]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _refuse_other(digest: str, mine: str) -> None:
    if digest != mine:
        sentence = f"This {HEADER} was used for another request; a new request needs a new key."
        raise KeyUsed(sentence, {HEADER: sentence})


def _as_kept(kept: Kept) -> Response:
    response = Response(kept.body, kept.status, content_type="application/json")
    if kept.location is not None:
        response.headers["Location"] = kept.location
    response.headers["Idempotency-Replayed"] = "true"
    return response


@contextmanager
def _alone(store: RunStore, key: str) -> Iterator[None]:
    """Lock the key in this process. Between processes, the records and the checks of the store are enough."""
    held = (id(store), key)
    with _lock:
        if held in _in_flight:
            raise KeyInFlight(f"A request with this {HEADER} is being answered; send it again a little later.")
        _in_flight.add(held)
    try:
        yield
    finally:
        with _lock:
            _in_flight.discard(held)

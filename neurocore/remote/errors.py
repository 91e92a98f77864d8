"""What can go wrong on the way to a server, and its refusals as the exceptions that the same verbs raise here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from neurocore import errors
from neurocore.remote.tokens import VARIABLE


class RemoteError(errors.NeuroCoreError):
    """The server cannot be reached, failed, or does not answer as NeuroCore does."""


class SignInAgain(errors.RefusedError):
    """The server does not accept the token, or wants one."""


Facts = dict[str, Any]


def _forbidden(said: str, facts: Facts) -> errors.Forbidden:
    who = _texts(facts.get("who_can"))
    is_said = said.endswith(" can.")  # by the rules of a gate
    return errors.Forbidden(f"{said.rstrip('.')}; {', '.join(who)} can." if who and not is_said else said, who_can=who)


def _on_page(said: str, facts: Facts) -> str:
    page = facts.get("page")
    return f"{said.rstrip('.')}: {page}" if isinstance(page, str) and page else said


#: The exception for each kind of problem (the part of its `type` after #).
_KINDS: dict[str, Callable[[str, Facts], errors.NeuroCoreError]] = {
    "ambiguous": lambda said, facts: errors.RunAmbiguous(said, _texts(facts.get("candidates"))),
    "deleted": lambda said, _: errors.RunNotFound(said),
    "not-found": lambda said, _: errors.NotFoundError(said),
    "already-decided": lambda said, _: errors.AlreadyDecided(said),
    "changed": lambda said, _: errors.GateChanged(said),
    "gate-ambiguous": lambda said, facts: errors.GateAmbiguous(said, _texts(facts.get("gates"))),
    "no-open-gate": lambda said, _: errors.NoOpenGate(said),
    "busy": lambda said, facts: errors.RunBusyError(said, owner=str(facts.get("driven_by") or "")),
    "not-resumable": lambda said, _: errors.NotResumable(said),
    "forbidden": _forbidden,
    "needs-sign-in": lambda said, facts: errors.NeedsSignIn(_on_page(said, facts)),
    "needs-passkey": lambda said, facts: errors.NeedsPasskey(_on_page(said, facts)),
    "deadline-passed": lambda said, _: errors.DeadlinePassed(said),
    "too-late": lambda said, _: errors.TooLate(said),
    "refused": lambda said, _: errors.RefusedError(said),
    "in-flight": lambda said, _: errors.RefusedError(said),
    "key-used": lambda said, _: errors.RefusedError(said),
    "invalid": lambda said, facts: errors.InputError(said, _fields(facts.get("errors"))),
    "blueprint": lambda said, _: errors.BlueprintError(said),
    "store": lambda said, _: errors.StoreError(said),
}

#: The exceptions for problems without a kind.
_STATUSES: dict[int, Callable[[str, Facts], errors.NeuroCoreError]] = {
    403: _forbidden,
    404: lambda said, _: errors.NotFoundError(said),
    409: lambda said, _: errors.RefusedError(said),
    410: lambda said, _: errors.NotFoundError(said),
    **dict.fromkeys((400, 405, 413, 414, 415, 422), lambda said, _: errors.UsageError(said)),
}


def refusal(status: int, facts: Facts, url: str) -> errors.NeuroCoreError:
    """Return the exception for a problem (RFC 9457) of the server at `url`. A kind that is unknown counts by status."""
    said = str(facts.get("detail") or facts.get("title") or f"The server refused this ({status}).")
    if status == 401:
        return sign_in_again(url, said)
    kind = str(facts.get("type", "")).partition("#")[2]
    make = _KINDS.get(kind) or _STATUSES.get(status)
    return make(said, facts) if make is not None else RemoteError(f"{url} failed with {status}: {said}")


def sign_in_again(url: str, said: str = "") -> SignInAgain:
    """Return the refusal of a token that is missing or not valid any more."""
    if "not valid" not in said:
        return SignInAgain(f"{url} wants a token; sign in with `neurocore login --server {url}`.")
    if os.environ.get(VARIABLE, "").strip():
        return SignInAgain(
            f"{url} does not accept the token in {VARIABLE}: it is wrong, revoked or expired; replace it."
        )
    return SignInAgain(
        f"The token for {url} is not valid any more: it is revoked or has expired; sign in again with "
        f"`neurocore login --server {url}`."
    )


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value[:10]] if isinstance(value, list) else []


def _fields(value: Any) -> dict[str, str]:
    found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return {str(one.get("field")): str(one.get("detail")) for one in found}

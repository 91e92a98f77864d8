"""Passwords: which are good enough, and how they are kept (Argon2id)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from neurocore.errors import ConfigError, InputError

SHORTEST, LONGEST = 12, 256
#: Words that whoever guesses a password here tries first, beside the names of its owner.
WORDS = ("neurocore", "dashboard", "blueprint", "approver", "operator", "viewer", "approval")
#: The least score of zxcvbn (0 to 4): 10^8 guesses are not enough.
_LEAST_SCORE = 3


def check_password(password: str, *, about: tuple[str, ...] = ()) -> None:
    """Raise InputError, with the reason, for a password that is too short or easy to guess.

    `about` has words that somebody else may know, such as the username.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        _refuse(f"A password has {SHORTEST} to {LONGEST} characters.")
    found = _zxcvbn(password[:100], user_inputs=[*about, *WORDS])
    if found["score"] < _LEAST_SCORE:
        _refuse("This password is easy to guess; take a longer one, for example of words that do not belong together.")


def hashed(password: str) -> str:
    """Return the hash under which a password is kept."""
    return str(_hasher().hash(password))


def fits(password: str, kept: str | None) -> bool:
    """Return whether a password is the one whose hash is kept.

    Without a hash the work is the same, so that the time does not tell whether there is an account.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return bool(_hasher().verify(kept or _nobody(), password[:LONGEST])) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def _refuse(sentence: str) -> None:
    raise InputError(sentence, {"password": sentence})


@lru_cache(maxsize=1)
def _hasher() -> Any:
    try:
        from argon2 import PasswordHasher
    except ImportError as error:
        raise ConfigError("auth.mode: local needs a package: pip install 'neurocore-ai[team]'.") from error
    return PasswordHasher()  # Argon2id with the parameters of RFC 9106's second choice


@lru_cache(maxsize=1)
def _nobody() -> str:
    return hashed("nobody has this password")


def _zxcvbn(password: str, *, user_inputs: list[str]) -> dict[str, Any]:
    try:
        from zxcvbn import zxcvbn
    except ImportError as error:
        raise ConfigError("auth.mode: local needs a package: pip install 'neurocore-ai[team]'.") from error
    found: dict[str, Any] = zxcvbn(password, user_inputs=user_inputs)
    return found

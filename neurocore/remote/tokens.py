"""Keep tokens of servers: in the system's keyring if there is one, else in a private file. One entry per address.

The file of an address says where its token is, so that the keyring is asked only for what it has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import stat
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from neurocore import files, typed
from neurocore.errors import UsageError
from neurocore.remote.address import Address

VARIABLE = "NEUROCORE_TOKEN"
#: The name of the entries in the keyring.
SERVICE = "neurocore"
LONGEST = 500
#: Keyrings that keep nothing, or that keep everything readable in a file, which our own file does better.
_NO_KEYRINGS = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")


class Kept(Struct, frozen=True):
    """What the file of an address has: the token, or None if it is in the keyring."""

    server: str
    token: str | None = None


def check_token(text: str) -> str:
    """Return the token, stripped. Raises UsageError, which does not repeat it, for what cannot be one."""
    text = text.strip()
    if not text:
        raise UsageError("The token is empty; create one on the page Account of the server.")
    if len(text) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"This is not a token: it has at most {LONGEST} visible ASCII characters and no spaces.")
    return text


def find_token(address: Address) -> str | None:
    """Return the token for this address: NEUROCORE_TOKEN, else the kept one. Raises UsageError for an unsafe file."""
    given = os.environ.get(VARIABLE)
    if given is not None and given.strip():
        return check_token(given)
    kept = _read(_file(address))
    if kept is None or kept.server != address.url:
        return None
    if kept.token is not None:
        return check_token(kept.token)
    keyring = _keyring()
    found = None
    if keyring is not None:
        with contextlib.suppress(Exception):  # a keyring that is locked or broken may raise anything
            found = keyring.get_password(SERVICE, address.url)
    if found is None:
        raise UsageError(
            f"The token for {address.url} is in the system's keyring, which cannot be read now; unlock it, set "
            f"{VARIABLE}, or sign in again with `neurocore login --server {address.url}`."
        )
    return check_token(str(found))


def keep_token(address: Address, token: str) -> str:
    """Keep the token, and return where it is, in words. Raises UsageError if no safe place can be made."""
    file = _file(address)
    _make_folder(file.parent)
    if _put_into_keyring(address, token):
        _write(file, Kept(address.url))
        return "in the system's keyring"
    _write(file, Kept(address.url, token))
    return f"in {file}"


def forget_token(address: Address) -> bool:
    """Remove the token from this machine; return whether there was one."""
    file = _file(address)
    with contextlib.suppress(UsageError):  # a file that others can read is removed too
        kept = _read(file)
        if kept is not None and kept.token is None and (keyring := _keyring()) is not None:
            with contextlib.suppress(Exception):
                keyring.delete_password(SERVICE, address.url)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def known_servers() -> list[str]:
    """Return the addresses for which tokens are kept, sorted."""
    found = (_read(file) for file in _folder().glob("token-*.json"))
    return sorted(kept.server for kept in found if kept is not None)


# ---------------------------------------------------------------- the file


def _folder() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given) / "neurocore"
    try:
        return Path.home() / ".config" / "neurocore"
    except RuntimeError as error:
        raise UsageError("There is no home folder for the token; set XDG_CONFIG_HOME or NEUROCORE_TOKEN.") from error


def _file(address: Address) -> Path:
    return _folder() / f"token-{hashlib.sha256(address.url.encode()).hexdigest()[:16]}.json"


def _make_folder(folder: Path) -> None:
    try:
        files.make_folder(folder)
        _refuse_wide(folder, folder.stat(), "700")
    except OSError as error:
        raise UsageError(f"The token cannot be kept in {folder}: {error.strerror or error}.") from error


def _read(file: Path) -> Kept | None:
    """Return what the file has, or None if it does not exist."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    with os.fdopen(opened, "rb") as stream:
        _refuse_wide(file, os.fstat(opened), "600")
        text = stream.read(64 * 1024)
    _refuse_wide(file.parent, file.parent.stat(), "700")
    try:
        return typed.decode(text, Kept)
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is damaged; remove it and sign in again.") from error


def _refuse_wide(path: Path, found: os.stat_result, mode: str) -> None:
    """Raise UsageError if somebody else could read or change what is here."""
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user, so the token in it is not used; remove it.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(
            f"Other users may open {path}, which is for tokens; run `chmod {mode} {shlex.quote(str(path))}`."
        )


def _write(file: Path, kept: Kept) -> None:
    """Write the file at once: nobody sees half of it, or sees it with wider rights."""
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        opened = files.create(new)
        try:
            with os.fdopen(opened, "wb") as stream:
                stream.write(msgspec.json.encode(kept))
                stream.flush()
                os.fsync(opened)
            new.replace(file)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        files.sync(file.parent)
    except OSError as error:
        raise UsageError(f"The token cannot be kept in {file}: {error.strerror or error}.") from error


# ---------------------------------------------------------------- the keyring


def _put_into_keyring(address: Address, token: str) -> bool:
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(SERVICE, address.url, token)
        return bool(keyring.get_password(SERVICE, address.url) == token)
    except Exception:  # a keyring that is locked or broken may raise anything; the file is there instead
        return False


def _keyring() -> Any:
    """Return the system's keyring, or None if there is none that keeps secrets."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        found = keyring.get_keyring()
        candidates = found.backends if isinstance(found, ChainerBackend) else [found]
        return next((one for one in candidates if _is_real(one)), None)
    except Exception:  # not installed, or set up wrongly
        return None


def _is_real(keyring: Any) -> bool:
    return not type(keyring).__module__.startswith(_NO_KEYRINGS) and keyring.priority >= 1

"""The browser's session: a signed cookie that holds the form token and the name a person typed last, nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from datetime import timedelta
from pathlib import Path

from flask import Flask, Request, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from neurocore import files
from neurocore.config import NeuroCoreConfig
from neurocore.errors import ConfigError

KEY_FILE = "web-secret.key"
NAME = "approver"
#: How many bytes a key has at least.
_LEAST = 32


class Sessions(SecureCookieSessionInterface):
    """Behind TLS the cookie is Secure, and bound to this host by its prefix; on plain loopback it cannot be.

    A browser sends a host's cookies to all of its ports. The cookie is therefore named for the project (`of`), so that
    the dashboards of two projects on one machine do not end each other's sessions, and with them each other's forms.
    """

    def __init__(self, of: str) -> None:
        self._name = f"neurocore-{of}"

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session in the cookie; without a cookie, as programs come, a new one at once."""
        if self.get_cookie_name(app) not in request.cookies:
            return SecureCookieSession()
        return super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        """Browsers refuse both prefixes without TLS, and `__Host-` below a path."""
        if not request.is_secure:
            return self._name
        return f"__Secure-{self._name}" if request.script_root else f"__Host-{self._name}"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Only over TLS where there is TLS."""
        return request.is_secure

    def get_cookie_path(self, app: Flask) -> str:
        """The path below which the dashboard is seen; `__Host-` asks for the root."""
        return request.script_root or "/"


def init_app(app: Flask, config: NeuroCoreConfig) -> None:
    """Sign with the project's own key. Raises ConfigError when it can neither be read nor made."""
    app.secret_key = key = secret_key(config.data_dir, config.file_mode)
    app.session_interface = Sessions(hashlib.sha256(key).hexdigest()[:8])
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=365),
    )


def secret_key(data_dir: Path, mode: int = files.PRIVATE) -> bytes:
    """The key under the data folder, made at the first start, readable by its owner only."""
    path = data_dir / KEY_FILE
    try:
        key = _made(path, mode) if not path.exists() or path.stat().st_size < _LEAST else path.read_bytes().strip()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"The dashboard's key {path} cannot be read or made ({error.strerror or error}); "
            "make the data folder writable or set paths.data."
        ) from error
    if len(key) < _LEAST:
        raise ConfigError(
            f"The dashboard's key {path} is damaged; remove it and start again (open forms must be reloaded)."
        )
    return key


def _made(path: Path, mode: int) -> bytes:
    """Write a key into the file if it is new or empty; return what it has.

    The file is locked meanwhile, so that two first starts get the same key, and none reads half of it. This needs no
    hard links, which some file systems refuse.
    """
    files.make_folder(path.parent, mode)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_size == 0:
            os.write(file, secrets.token_hex(32).encode())
            os.fsync(file)
        os.lseek(file, 0, os.SEEK_SET)
        return os.read(file, 1024).strip()
    finally:
        os.close(file)


def remember(name: str) -> None:
    """Fill this name in next time. It is what was typed, not who it is."""
    session.permanent = True
    session[NAME] = name


def remembered() -> str:
    """The name typed last in this browser, or nothing."""
    name = session.get(NAME, "")
    return name if isinstance(name, str) else ""

"""The browser's session: a signed cookie with the form token and the last typed name of the person, nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from flask import Flask, Request, Response, abort, after_this_request, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from neurocore import files
from neurocore.config import NeuroCoreConfig
from neurocore.errors import ConfigError

KEY_FILE = "web-secret.key"
NAME = "approver"
#: The minimum length of a key in bytes.
_LEAST = 32


class Sessions(SecureCookieSessionInterface):
    """With TLS, the cookie is Secure, and its prefix binds it to this host; without TLS that is not possible.

    A browser sends the cookies of a host to all its ports. Therefore the name of the cookie contains the project
    (`of`), so that the dashboards of two projects on one machine do not end each other's sessions and forms.
    """

    digest_method = staticmethod(hashlib.sha256)

    def __init__(self, of: str) -> None:
        self._name = f"neurocore-{of}"

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session in the cookie, or immediately a new one if there is no cookie, as for programs."""
        if self.get_cookie_name(app) not in request.cookies:
            return SecureCookieSession()
        return super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name with a prefix; browsers refuse prefixes without TLS, and `__Host-` below a path."""
        if not request.is_secure:
            return self._name
        return f"__Secure-{self._name}" if request.script_root else f"__Host-{self._name}"

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether the cookie is sent only over TLS: yes if the request used TLS."""
        return request.is_secure

    def get_cookie_path(self, app: Flask) -> str:
        """Return the path of the dashboard; `__Host-` requires the root."""
        return request.script_root or "/"


def init_app(app: Flask, config: NeuroCoreConfig) -> None:
    """Sign with the key of the project. Raises ConfigError if it can be neither read nor made."""
    app.secret_key = key = secret_key(config.data_dir, config.file_mode)
    app.session_interface = sessions = Sessions(hashlib.sha256(key).hexdigest()[:8])
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=365),
    )

    @app.before_request
    def check_cookie() -> None:
        """Refuse two cookies of our name: another site of the domain, or on another port, may have set one of them."""
        name = sessions.get_cookie_name(app)
        if len(set(request.cookies.getlist(name))) < 2:
            return
        session.clear()
        after_this_request(lambda response: _without(name, response))
        abort(
            400,
            f"This browser sends two cookies named {name}, so nobody can tell which is yours. They were removed as far "
            "as possible: open the page again. If this stays, delete the cookies of this site.",
        )


def _without(name: str, response: Response) -> Response:
    """Remove the cookie of this name at every path for which the browser may have sent it to this one."""
    for path in _paths_above(f"{request.script_root}{request.path}"):
        response.delete_cookie(name, path=path, secure=request.is_secure)
    return response


def _paths_above(path: str) -> Iterator[str]:
    """Yield the paths for which a browser may have kept a cookie that it sends to this one."""
    parts = path[:200].split("/")[1:]
    yield "/"
    for count in range(1, len(parts) + 1):
        if parts[count - 1]:
            yield "/" + "/".join(parts[:count])


def secret_key(data_dir: Path, mode: int = files.PRIVATE) -> bytes:
    """Return the key from the data folder. It is made at the first start, and only its owner can read it."""
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
            f"The dashboard's key {path} is damaged; remove it and start again (people must reload open forms)."
        )
    return key


def _made(path: Path, mode: int) -> bytes:
    """Write a key into the file if it is new or empty; return the content.

    The file is locked during this time, so that two first starts get the same key, and none reads half a key. This
    needs no hard links, which some file systems refuse.
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
    """Remember this name for the next form. It is a typed name, not an identity."""
    session.permanent = True
    session[NAME] = name


def remembered() -> str:
    """Return the name that was last typed in this browser, or ""."""
    name = session.get(NAME, "")
    return name if isinstance(name, str) else ""

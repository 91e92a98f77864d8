"""A form that starts a run can start only one: its token, signed by the server, contains the id of the run.

The server generates the id and signs it. If a browser sends the token again, the result is the same run; it cannot
choose an id.
"""

from __future__ import annotations

import hashlib
import uuid

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from neurocore.errors import InputError

FIELD = "once"

_SIGNER = {"digest_method": hashlib.sha256}


def issue(purpose: str) -> str:
    """Return a new token for one purpose, such as `start payouts`."""
    return _serializer(purpose).dumps(uuid.uuid4().hex)


def run_id_of(token: str, purpose: str) -> str:
    """Return the id of the run that a form with this token starts, or a new id if a program sends no token.

    Raises InputError for a token that was not issued here for this purpose.
    """
    if not token:
        return uuid.uuid4().hex
    try:
        return str(_serializer(purpose).loads(token))
    except BadSignature as error:
        sentence = "This form does not come from this dashboard; open its page again, and send it from there."
        raise InputError(sentence, {FIELD: sentence}) from error


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt=f"once {purpose}", signer_kwargs=_SIGNER)

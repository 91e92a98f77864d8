"""A form that makes a run is good for one: its token, signed by the server, stands for the run that it makes.

The server makes the run's id and signs it. A browser can send the token again, which leads to the same run, and it
cannot choose an id.
"""

from __future__ import annotations

import uuid

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from neurocore.errors import InputError

FIELD = "once"


def issue(purpose: str) -> str:
    """A new token for one purpose, such as `start payouts`."""
    return _serializer(purpose).dumps(uuid.uuid4().hex)


def run_id_of(token: str, purpose: str) -> str:
    """The id of the run that a form with this token makes; a new one where a program sends no token.

    Raises InputError for a token that was not issued here for this purpose.
    """
    if not token:
        return uuid.uuid4().hex
    try:
        return str(_serializer(purpose).loads(token))
    except BadSignature as error:
        sentence = "This form was not made by this dashboard; open its page again, then send it."
        raise InputError(sentence, {FIELD: sentence}) from error


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt=f"once {purpose}")

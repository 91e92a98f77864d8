"""ID tokens of a provider (OpenID Connect Core 1.0, section 3.1.3.7): pure checks, without any request."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from neurocore.errors import RefusedError

#: The algorithms that are accepted, each with the type of its keys. None uses a secret that others share.
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"), "EdDSA": "OKP", "Ed25519": "OKP",
}  # fmt: skip
#: How much the clocks of the provider and of this machine may differ, in seconds.
LEEWAY = 60
#: The most bytes of a token, and the most keys that are tried.
MOST, MOST_KEYS = 64 * 1024, 50

Claims = dict[str, Any]
Key = dict[str, Any]


class Untrue(RefusedError):
    """An ID token is not what it must be; the message says what is wrong with it, for who runs the server."""


class UnknownKey(Untrue):
    """The provider's keys have none of this id: they may have been replaced since they were fetched."""


def check(
    token: str, keys: Sequence[Key], *, issuer: str, client_id: str, nonce: str, access_token: str, now: int
) -> Claims:
    """Return the claims of a token that this provider made for this client and this sign-in. Raises Untrue."""
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Untrue(f"its algorithm is {str(algorithm)[:40]!r}")
    fitting = [one for one in keys[:MOST_KEYS] if _may_sign(one, ALGORITHMS[algorithm], kid)]
    if not fitting:
        raise UnknownKey(f"no key of the provider has the id {str(kid)[:100]!r}")
    claims = next(_signed(token, algorithm, fitting), None)
    if claims is None:
        raise Untrue("its signature is wrong")
    options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
    given = {"client_id": client_id, "access_token": access_token}
    try:
        CodeIDToken(claims, header, options, given).validate(now=now, leeway=LEEWAY)
    except (JoseError, AuthlibBaseError, TypeError, ValueError) as error:
        raise Untrue(str(error)[:200]) from error
    said, subject = claims.get("nonce"), claims.get("sub")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode()):
        raise Untrue("its nonce is another")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise Untrue("its subject is not a text of 1 to 255 visible characters")
    return claims


def _header(token: str) -> dict[str, Any]:
    """Return what a token says about itself, before anything is checked."""
    first = token.partition(".")[0]
    try:
        if len(token) > MOST or not token.isascii():
            raise ValueError("size")
        header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError) as error:
        raise Untrue("it is not a signed token") from error
    if not isinstance(header, dict):
        raise Untrue("it is not a signed token")
    return header


def _may_sign(key: Key, key_type: str, kid: object) -> bool:
    is_for = key.get("kty") == key_type and key.get("use", "sig") == "sig"
    return is_for and (kid is None or key.get("kid") == kid)


def _signed(token: str, algorithm: str, keys: Sequence[Key]) -> Iterator[Claims]:
    """Yield the claims for each key that has signed the token."""
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    for one in keys:
        try:
            yield jwt.decode(token, JWKRegistry.import_key(one), registry=registry).claims
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):  # another key, or none at all
            continue

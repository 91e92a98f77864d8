"""What browsers answer with a passkey: for which site, and whether an answer is what it says it is (WebAuthn)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from neurocore.errors import ConfigError, RefusedError
from neurocore.persistence.people import Passkey, Person

#: How long the answer of a browser may be, in characters, and the identifier of a passkey, in bytes.
LONGEST, LONGEST_ID = 32 * 1024, 1023
#: How long a public key may be, in bytes: RSA with 8,192 bits fits.
LONGEST_KEY = 2048
#: How long a browser waits for somebody, in milliseconds.
TIMEOUT = 300_000
#: ES256, EdDSA and RS256, by their numbers in COSE.
ALGORITHMS = (-7, -8, -257)
#: Forms of attestation that a browser may send although none is asked for: none, or the passkey's own signature.
_FORMS = ("none", "packed")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_Made = TypeVar("_Made")


class NotValid(RefusedError):
    """A browser's answer is not valid. The sentence is for logs: it may tell a stranger more than they know."""


class Site(Struct, frozen=True):
    """The address at which passkeys are made and used: the host (`rp_id`), and the origin that browsers send."""

    rp_id: str
    origin: str


def site_of(address: str) -> Site:
    """Return the site of an address. Raises RefusedError where browsers have no passkeys."""
    parts = urlsplit(address)
    try:
        host, port = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii"), parts.port
    except ValueError:
        host, port = "", None
    if not host or _is_address(host):
        raise RefusedError("Passkeys need an address with a name; they do not work at a number.")
    if parts.scheme != "https" and host != "localhost":
        raise RefusedError("Passkeys need TLS; they work at an address that begins with https://.")
    shown = "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    return Site(host, f"{parts.scheme}://{host}{shown}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def creation_options(person: Person, *, challenge: bytes, exclude: Iterable[str], site: Site) -> dict[str, Any]:
    """Return the options with which a browser makes a passkey of a person who has those in `exclude`.

    The passkey is found without a user name, and knows its owner by a finger, a face or a PIN. Raises ConfigError where
    the answer could not be verified.
    """
    _webauthn()
    return {
        "rp": {"id": site.rp_id, "name": "NeuroCore"},
        "user": {"id": text_of(person.id.encode()), "name": person.username, "displayName": person.label},
        "challenge": text_of(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": one} for one in ALGORITHMS],
        "excludeCredentials": [{"type": "public-key", "id": one} for one in exclude],
        "authenticatorSelection": {
            "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
        },
        "attestation": "none",
        "timeout": TIMEOUT,
    }  # fmt: skip


def request_options(*, challenge: bytes, site: Site, allow: Iterable[str] = ()) -> dict[str, Any]:
    """Return the options with which a browser asks a passkey for a signature: any of this site, or those in `allow`.

    Raises ConfigError where the answer could not be verified.
    """
    _webauthn()
    return {
        "rpId": site.rp_id,
        "challenge": text_of(challenge),
        "allowCredentials": [{"type": "public-key", "id": one} for one in allow],
        "userVerification": "required",
        "timeout": TIMEOUT,
    }


def text_of(data: bytes) -> str:
    """Return bytes as browsers write them: in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Answer(Struct, frozen=True):
    """A browser's answer that is read, and not verified yet: its passkey, its challenge, and whose it says it is."""

    given: dict[str, Any]
    id: str
    challenge: bytes
    user: str | None


def read(text: str) -> Answer:
    """Return the answer in the JSON that a page sends. Raises NotValid for what is too long or is no answer."""
    if len(text) > LONGEST:
        raise NotValid(f"it has more than {LONGEST:,} characters")
    helpers = _webauthn().helpers

    def parse() -> Answer:
        given = json.loads(text)
        said = given["response"]
        client = helpers.parse_client_data_json(helpers.base64url_to_bytes(said["clientDataJSON"]))
        if client.cross_origin:
            raise NotValid("it was made in a frame of another site")
        raw = helpers.base64url_to_bytes(given["id"])
        if not 0 < len(raw) <= LONGEST_ID:
            raise NotValid(f"the identifier of its passkey has more than {LONGEST_ID} bytes, or none")
        handle = said.get("userHandle")
        user = None if handle is None else helpers.base64url_to_bytes(handle).decode()
        return Answer(given, text_of(raw), client.challenge, user)

    return _checked(parse)


def verified_key(answer: Answer, *, site: Site) -> tuple[bytes, int]:
    """Return the public key of a new passkey, in COSE, and its counter. Raises NotValid.

    The caller has looked up the challenge: that it is in the answer is what is verified here.
    """
    webauthn = _webauthn()
    cose = webauthn.helpers.cose.COSEAlgorithmIdentifier

    def verify() -> tuple[bytes, int]:
        attested = webauthn.helpers.base64url_to_bytes(answer.given["response"]["attestationObject"])
        if webauthn.helpers.parse_attestation_object(attested).fmt not in _FORMS:
            raise NotValid("its form of attestation was not asked for")
        made = webauthn.verify_registration_response(
            credential=answer.given, expected_challenge=answer.challenge, expected_rp_id=site.rp_id,
            expected_origin=site.origin, require_user_verification=True,
            supported_pub_key_algs=[cose(one) for one in ALGORITHMS],
        )  # fmt: skip
        if text_of(made.credential_id) != answer.id:
            raise NotValid("it is about another passkey than it says")
        if len(made.credential_public_key) > LONGEST_KEY:
            raise NotValid(f"its public key has more than {LONGEST_KEY:,} bytes")
        return made.credential_public_key, made.sign_count

    return _checked(verify)


def verified_count(answer: Answer, passkey: Passkey, *, challenge: bytes, site: Site) -> int:
    """Return the counter in an answer that this passkey signed at this site over this challenge. Raises NotValid.

    Somebody was there, and the passkey knows who (by a finger, a face or a PIN). The counter itself is not compared:
    the store does that when it notes the use.
    """
    webauthn = _webauthn()
    if passkey.rp_id != site.rp_id:
        raise NotValid("its passkey was made for another host")

    def verify() -> int:
        signed = webauthn.verify_authentication_response(
            credential=answer.given, expected_challenge=challenge, expected_rp_id=site.rp_id,
            expected_origin=site.origin, credential_public_key=passkey.public_key, credential_current_sign_count=0,
            require_user_verification=True,
        )  # fmt: skip
        return int(signed.new_sign_count)

    return _checked(verify)


def _checked(act: Callable[[], _Made]) -> _Made:
    """Return what `act` returns. Raises NotValid for whatever the parsers raise on bytes that a stranger sends."""
    try:
        return act()
    except NotValid:
        raise
    except Exception as error:
        raise NotValid(f"{type(error).__name__}: {error}"[:300]) from error


def _webauthn() -> Any:
    try:
        import webauthn
    except ImportError as error:
        raise ConfigError("Passkeys need a package: pip install 'neurocore-ai[team]'.") from error
    return webauthn

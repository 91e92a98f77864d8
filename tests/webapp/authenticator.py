"""A passkey in software: makes credentials and signs challenges as a browser would, or wrongly."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
KINDS = ("ES256", "EdDSA", "RS256")


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}===")


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@dataclass
class Authenticator:
    """One passkey at one origin. What a test changes in an answer is given by name to `make` and `sign`."""

    kind: str = "ES256"
    origin: str = "http://localhost"
    counter: int = 0
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user: bytes = b""

    def __post_init__(self):
        if self.kind == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif self.kind == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def make(self, options, *, form="none", statement=None, **changes):
        """The browser's answer to the options of enrolment, as JSON."""
        self.user = decoded(options["user"]["id"])
        cose = cbor2.dumps(self._public())
        attested = b"\0" * 16 + len(self.id).to_bytes(2, "big") + self.id + cose
        data = self._data(options["rp"]["id"], attested, **changes)
        response = {
            "clientDataJSON": self._client("webauthn.create", options["challenge"], **changes),
            "attestationObject": encoded(cbor2.dumps({"fmt": form, "attStmt": statement or {}, "authData": data})),
        }
        return self._answer(response)

    def sign(self, options, *, signature=None, user=None, named=True, **changes):
        """The browser's answer to the options of signing in, as JSON."""
        self.counter += 1 if self.counter else 0
        data = self._data(options["rpId"], b"", **changes)
        client = self._client("webauthn.get", options["challenge"], **changes)
        if signature is None:
            signature = self._sign(data + hashlib.sha256(decoded(client)).digest())
        response = {
            "clientDataJSON": client, "authenticatorData": encoded(data), "signature": encoded(signature),
            "userHandle": encoded(self.user if user is None else user) if named else None,
        }  # fmt: skip
        return self._answer(response)

    def _answer(self, response):
        name = encoded(self.id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})

    def _client(self, is_for, asked, **changes):
        said = {
            "type": changes.get("type", is_for), "challenge": changes.get("challenge", asked),
            "origin": changes.get("origin", self.origin), "crossOrigin": changes.get("cross", False),
        }  # fmt: skip
        return encoded(json.dumps(said).encode())

    def _data(self, host, attested, **changes):
        flags = changes.get("flags", PRESENT | VERIFIED) | (ATTESTED if attested else 0)
        counter = changes.get("counter", self.counter).to_bytes(4, "big")
        return hashlib.sha256(changes.get("rp_id", host).encode()).digest() + bytes([flags]) + counter + attested

    def _public(self):
        public = self.private.public_key()
        if self.kind == "ES256":
            numbers = public.public_numbers()
            return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        if self.kind == "EdDSA":
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
        numbers = public.public_numbers()
        return {1: 3, 3: -257, -1: _number(numbers.n), -2: _number(numbers.e)}

    def _sign(self, data):
        if self.kind == "ES256":
            return self.private.sign(data, ec.ECDSA(hashes.SHA256()))
        if self.kind == "EdDSA":
            return self.private.sign(data)
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())

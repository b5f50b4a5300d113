"""An authenticator in software: makes passkeys and signs with them as a browser's device does.

W3C Web Authentication, 6.1 (authenticator data) and 5.8.1 (client data); ES256, no attestation.
"""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One device with one passkey. What a test sets wrong is wrong in its answers."""

    origin: str
    rp_id: str = ""
    verifies: bool = True
    count: int = 0
    counts: bool = True
    user_handle: str = ""
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def make(self, options: Mapping[str, Any]) -> str:
        """The answer to what a page that adds a passkey asks for."""
        self.rp_id = self.rp_id or options["rp"]["id"]
        self.user_handle = options["user"]["id"]
        public = self.key.public_key().public_numbers()
        # RFC 9053, 7.1.1: an EC2 key for ES256 on P-256
        cose = {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32), -3: public.y.to_bytes(32)}
        credential = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id
        data = self._data(ATTESTED) + credential + cbor2.dumps(cose)
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            clientDataJSON=self._client("webauthn.create", options["challenge"]),
            attestationObject=encoded(attested),
            transports=["internal"],
        )

    def sign(self, options: Mapping[str, Any]) -> str:
        """The answer to what a page that asks for a passkey asks for."""
        if self.counts:
            self.count += 1
        data = self._data()
        client = self._client("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(decoded(client)).digest()
        return self._answer(
            clientDataJSON=client,
            authenticatorData=encoded(data),
            signature=encoded(self.key.sign(signed, ec.ECDSA(SHA256()))),
            userHandle=self.user_handle,
        )

    def _data(self, more: int = 0) -> bytes:
        flags = PRESENT | (VERIFIED if self.verifies else 0) | more
        return (
            hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)
        )

    def _client(self, what: str, challenge: str) -> str:
        data = {"type": what, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return encoded(json.dumps(data).encode())

    def _answer(self, **response: object) -> str:
        own = encoded(self.credential_id)
        return json.dumps({"id": own, "rawId": own, "type": "public-key", "response": response})

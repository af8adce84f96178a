# SPDX-License-Identifier: Apache-2.0
"""joserfc and age at work, run with the Python of their own environments: needs nothing of this project.

`python -m tests.bench.peers.crypto_worker joserfc|age` says one line of JSON when it is ready, then answers each
line `{"work", "size", "recipients", "seconds"}` with the CPU seconds of one call; `work` is `seal`, `open` or `both`.
"""

import importlib
import json
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

_LARGE = 1 << 26


class Peer(ABC):
    """A way to sign and seal to several recipients; the last of them opens."""

    @abstractmethod
    def prepare(self, recipients: int) -> None:
        """Make the recipients' keys."""

    @abstractmethod
    def seal(self, document: bytes) -> Any:
        """Sign and seal."""

    @abstractmethod
    def open(self, sealed: Any) -> bytes:
        """Open as the last recipient, and verify."""


class Joserfc(Peer):
    """A compact JWS (Ed25519) inside a JWE in general JSON form (ECDH-ES+A256KW, A256GCM)."""

    def __init__(self) -> None:
        self._jwe, self._jws, self._jwk = (importlib.import_module(f"joserfc.{name}") for name in ("jwe", "jws", "jwk"))
        self._signer = self._jwk.OKPKey.generate_key("Ed25519")
        self._signing = self._jws.JWSRegistry(algorithms=["EdDSA", "Ed25519"])
        self._sealing = self._jwe.JWERegistry(algorithms=["ECDH-ES+A256KW", "A256GCM"])
        for registry in (self._signing, self._sealing):
            for name in dir(registry):
                if name.startswith("max_"):
                    setattr(registry, name, _LARGE)

    def prepare(self, recipients: int) -> None:
        """Make X25519 keys."""
        self._keys = [self._jwk.OKPKey.generate_key("X25519") for _ in range(recipients)]

    def seal(self, document: bytes) -> bytes:
        """Sign, then encrypt to all."""
        inner = self._jws.serialize_compact({"alg": "EdDSA"}, document, self._signer, registry=self._signing)
        sealed = self._jwe.GeneralJSONEncryption({"enc": "A256GCM"}, inner.encode())
        for key in self._keys:
            sealed.add_recipient({"alg": "ECDH-ES+A256KW", "kid": key.thumbprint()}, key)
        return json.dumps(self._jwe.encrypt_json(sealed, None, registry=self._sealing)).encode()

    def open(self, sealed: bytes) -> bytes:
        """Decrypt the own entry, then verify."""
        value, key = json.loads(sealed), self._keys[-1]
        own = key.thumbprint()
        value["recipients"] = [one for one in value["recipients"] if one["header"]["kid"] == own]
        inner = self._jwe.decrypt_json(value, key, registry=self._sealing).plaintext
        document: bytes = self._jws.deserialize_compact(inner, self._signer, registry=self._signing).payload
        return document


class Age(Peer):
    """age with X25519 recipients; it signs nothing."""

    def __init__(self) -> None:
        self._age = importlib.import_module("pyrage")

    def prepare(self, recipients: int) -> None:
        """Make X25519 identities."""
        self._identities = [self._age.x25519.Identity.generate() for _ in range(recipients)]
        self._publics = [identity.to_public() for identity in self._identities]

    def seal(self, document: bytes) -> bytes:
        """Encrypt to all."""
        sealed: bytes = self._age.encrypt(document, self._publics)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """Decrypt as the last."""
        document: bytes = self._age.decrypt(sealed, [self._identities[-1]])
        return document


def measure(peer: Peer, work: str, size: int, recipients: int, seconds: float) -> float:
    """Return the CPU seconds of one call, over as many as fill about `seconds`."""
    peer.prepare(recipients)
    document = secrets.token_bytes(size)
    sealed = peer.seal(document)
    if peer.open(sealed) != document:
        raise RuntimeError("what was opened is not what was sealed")
    calls: dict[str, Callable[[], object]] = {
        "seal": lambda: peer.seal(document),
        "open": lambda: peer.open(sealed),
        "both": lambda: peer.open(peer.seal(document)),
    }
    call = calls[work]
    begin = time.process_time()
    call()
    count = max(1, int(seconds / max(time.process_time() - begin, 1e-6)))
    begin = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - begin) / count


def main(name: str) -> None:
    """Answer until stdin ends."""
    peer: Peer = {"joserfc": Joserfc, "age": Age}[name]()
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"cpu": measure(peer, **json.loads(line))}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])

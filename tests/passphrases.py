# SPDX-License-Identifier: Apache-2.0
"""Argon2id for tests whose subject is not the passphrase: the real one, with as little work as it can do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nacl.pwhash.argon2id
from nacl.pwhash.argon2id import MEMLIMIT_MIN, OPSLIMIT_MIN


@contextmanager
def quick_passphrases() -> Iterator[None]:
    """Make keys of passphrases quickly, in this process only: what it seals, no other process opens."""
    slow: Any = nacl.pwhash.argon2id.kdf

    def quick(size: int, password: bytes, salt: bytes, *_: Any, **_work: Any) -> Any:
        return slow(size, password, salt, OPSLIMIT_MIN, MEMLIMIT_MIN)

    nacl.pwhash.argon2id.kdf = quick
    try:
        yield
    finally:
        nacl.pwhash.argon2id.kdf = slow

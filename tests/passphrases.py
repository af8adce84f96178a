# SPDX-License-Identifier: Apache-2.0
"""Argon2id for tests whose subject is not the passphrase: the real one, asked once or with little work."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import nacl.pwhash.argon2id
from nacl.pwhash.argon2id import MEMLIMIT_MIN, OPSLIMIT_MIN

_QUICK = [False]


def are_quick() -> bool:
    """Tell whether keys are made quickly now: what was sealed then is not opened now, or the other way round."""
    return _QUICK[-1]


@contextmanager
def remembered_passphrases() -> Iterator[None]:
    """Make the key of one passphrase, salt and effort once in this process."""
    forgetful = nacl.pwhash.argon2id.kdf
    nacl.pwhash.argon2id.kdf = cache(forgetful)
    try:
        yield
    finally:
        nacl.pwhash.argon2id.kdf = forgetful


@contextmanager
def quick_passphrases() -> Iterator[None]:
    """Make keys of passphrases quickly, in this process only: what it seals, no other process opens."""
    slow: Any = nacl.pwhash.argon2id.kdf

    def quick(size: int, password: bytes, salt: bytes, *_: Any, **_work: Any) -> Any:
        return slow(size, password, salt, OPSLIMIT_MIN, MEMLIMIT_MIN)

    nacl.pwhash.argon2id.kdf = quick
    _QUICK.append(True)
    try:
        yield
    finally:
        _QUICK.pop()
        nacl.pwhash.argon2id.kdf = slow

# SPDX-License-Identifier: Apache-2.0
"""To which key a connector's backups are sealed: always the same, until a person says that another is right (BAK-10).

The keystore holds which key it must be (`keys.backuptrust`): nobody changes that without the passphrase.
"""

from typing import Final

from keys.backuptrust import check_key, check_words
from keys.keystore import Keystore

_PREFIX: Final = "backup-key-"
_PURPOSE: Final = "backup key"
_DIGITS: Final = 32


def known_backup_keys(keystore: Keystore) -> frozenset[bytes]:
    """Return the ids of the keys that backups may be sealed to: none before the first, else one.

    There are two for a moment while a person says that another one is right.
    """
    return frozenset(keystore.get(name, _PURPOSE) for name in keystore.names(_PREFIX))


def check_backup_key(keystore: Keystore, public: bytes) -> bool:
    """Return whether `public` is the first key that is used here; raises `UntrustedKey` if it is another (BAK-10)."""
    return check_key(known_backup_keys(keystore), public)


def keep_backup_key(keystore: Keystore, identity: bytes) -> None:
    """Let backups be sealed to the key with this id, beside those that are known already."""
    name = _name(identity)
    if name in keystore.names(_PREFIX):
        if name not in keystore.unreadable():
            return
        keystore.destroy(name)
    keystore.put(name, _PURPOSE, identity)


def accept_backup_key(keystore: Keystore, public: bytes, spoken: str) -> None:
    """Let backups be sealed to `public` and to no other, once a person has read its words where the key was made.

    Cut off in between both keys are good, and the next try ends it. It also mends what the disk has damaged of this.
    Raises `UntrustedKey` if these are other words.
    """
    identity = check_words(public, spoken)
    keep_backup_key(keystore, identity)
    for name in keystore.names(_PREFIX):
        if name != _name(identity):
            keystore.destroy(name)


def _name(identity: bytes) -> str:
    return f"{_PREFIX}{identity.hex()[:_DIGITS]}"

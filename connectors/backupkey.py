# SPDX-License-Identifier: Apache-2.0
"""To which key a connector's backups are sealed: always the same, until a person says that another is right (BAK-10).

`backup.pub` is a file that lies anywhere, and a timer names it. Whoever can write it, and nothing else, could have all
later backups sealed to a key of his own. So the keystore holds which key it must be: nobody changes that without the
passphrase.
"""

from typing import Final

from keys.backupfile import backup_identity
from keys.keystore import Keystore
from keys.words import fingerprint_words
from protocol.errors import UntrustedKey

_PREFIX: Final = "backup-key-"
_PURPOSE: Final = "backup key"
_DIGITS: Final = 32


def backup_words(identity: bytes) -> tuple[str, ...]:
    """Return the 8 words of a backup key's id, for people to compare."""
    return fingerprint_words(identity)


def known_backup_keys(keystore: Keystore) -> frozenset[bytes]:
    """Return the ids of the keys that backups may be sealed to: none before the first, else one.

    There are two for a moment while a person says that another one is right.
    """
    return frozenset(keystore.get(name, _PURPOSE) for name in keystore.names(_PREFIX))


def check_backup_key(keystore: Keystore, public: bytes) -> bool:
    """Return whether `public` is the first key that is used here, to be kept once a backup is made (BAK-10).

    Raises `UntrustedKey` if backups have been sealed to another.
    """
    known = known_backup_keys(keystore)
    if known and backup_identity(public) not in known:
        raise UntrustedKey(
            "This backup.pub is not the key that backups were sealed to so far: somebody may have exchanged it, to "
            "read what is backed up. No backup was made."
        )
    return not known


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
    identity = backup_identity(public)
    if tuple(spoken.lower().replace(",", " ").split()) != backup_words(identity):
        raise UntrustedKey("These are not the words of this backup.pub. Nothing was changed.")
    keep_backup_key(keystore, identity)
    for name in keystore.names(_PREFIX):
        if name != _name(identity):
            keystore.destroy(name)


def _name(identity: bytes) -> str:
    return f"{_PREFIX}{identity.hex()[:_DIGITS]}"

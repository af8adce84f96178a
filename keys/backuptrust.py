# SPDX-License-Identifier: Apache-2.0
"""Whether a backup may be sealed to a key: always to the same, until a person says that another is right (BAK-10).

`backup.pub` is a file that lies anywhere, and a timer names it. Whoever can write it, and nothing else, could have all
later backups sealed to a key of his own. Where the id of the right one is kept is its owner's matter: a connector's
keystore (`connectors.backupkey`), a hub's data folder (`hub.service.backupkey`).
"""

from collections.abc import Collection

from keys.backupfile import backup_identity
from keys.words import fingerprint_words
from protocol.errors import UntrustedKey


def backup_words(identity: bytes) -> tuple[str, ...]:
    """Return the 8 words of a backup key's id, for people to compare."""
    return fingerprint_words(identity)


def check_key(known: Collection[bytes], public: bytes) -> bool:
    """Return whether `public` is the first key that is used here, to be kept once a backup is made (BAK-10).

    `known` are the ids of those that are right. Raises `UntrustedKey` if there are some, and this is none of them.
    """
    if known and backup_identity(public) not in known:
        raise UntrustedKey(
            "This backup.pub is not the key that backups were sealed to so far: somebody may have exchanged it, to "
            "read what is backed up. No backup was made."
        )
    return not known


def check_words(public: bytes, spoken: str) -> bytes:
    """Return the id of `public`, if `spoken` are its 8 words, read where it was made; else raise `UntrustedKey`."""
    identity = backup_identity(public)
    if tuple(spoken.lower().replace(",", " ").split()) != backup_words(identity):
        raise UntrustedKey("These are not the words of this backup.pub. Nothing was changed.")
    return identity


def told_key(public: bytes, *, first: bool) -> str:
    """Return what a person is to read below a backup that was sealed to `public`, the `first` here or a later one."""
    words = " ".join(backup_words(backup_identity(public)))
    if not first:
        return f"It is sealed to the key of the words: {words}"
    return (
        f"Backups are sealed to this key from now on:\n\n    {words}\n\n"
        "Compare the words with those that throughcare backup-key showed where it was made. Others mean that\n"
        "somebody exchanged backup.pub: delete this backup, and bring the right one."
    )

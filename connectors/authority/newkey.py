# SPDX-License-Identifier: Apache-2.0
"""A newcomer's own key, and the public file of it that goes through other hands (ENR-12).

The key is made where the newcomer is, and nobody else ever has it. What persons of the root sign is told apart from
what a stranger has put in the file's place by 8 words, which the newcomer reads to each of them.
"""

from pathlib import Path

from connectors.authority.office import open_signer
from keys.sealedfile import SMALL, KdfParams, seal_file
from keys.signing import HybridSigner
from keys.verifying import check_identity, verify_hybrid
from keys.words import fingerprint_words
from protocol import labels
from protocol.errors import (
    BadSignature,
    ConfigurationError,
    EnrolmentRefused,
    KeystoreError,
    MalformedEnvelope,
    UntrustedKey,
)
from protocol.newcomer import MAX_NEW_KEY, NewKey, new_key_message


def make_key(
    path: Path, place: str, root_fingerprint: bytes, passphrase: bytes, params: KdfParams = SMALL
) -> HybridSigner:
    """Make the key for a `place` (`approver-2`), sealed in the new file `path` and bound to the root (ENR-9).

    A key that lies there already is opened instead: whoever was cut off, or forgot the words, goes on with it. Raises
    `KeystoreError` if that is another place's or root's key, or opens under another passphrase.
    """
    if not path.exists():
        signer = HybridSigner.generate()
        seal_file(path, place, b"".join(signer.seeds) + root_fingerprint, passphrase, params)
    return open_signer(path, place, passphrase, root_fingerprint)


def open_new_key(path: Path, new: NewKey, passphrase: bytes) -> HybridSigner:
    """Return the newcomer's signer; `KeystoreError` for another key than that of the public file."""
    signer = open_signer(path, new.place, passphrase, new.root_fingerprint)
    if signer.public != new.identity:
        raise KeystoreError("The key file is not the one that the newcomer's public file is of.")
    return signer


def public_half(signer: HybridSigner, place: str, root_fingerprint: bytes) -> NewKey:
    """Return what others get to see of a key, proven by both its algorithms."""
    message = new_key_message(place, root_fingerprint, signer.public)
    return NewKey(place, root_fingerprint, signer.public, signer.sign(labels.NEW_KEY, message))


def words_of(new: NewKey) -> tuple[str, ...]:
    """Return the 8 words that the newcomer reads out (ENR-4, ENR-12)."""
    return fingerprint_words(new.message)


def read_new_key(path: Path, place: str, root_fingerprint: bytes, spoken: str) -> NewKey:
    """Return the newcomer's public key once all of its file was found right, and the words are the `spoken` ones.

    Raises `ConfigurationError` for a file that cannot be read, and `EnrolmentRefused` for one that is no such file, is
    for another place or root, proves nothing, or has other words: nothing is shown or signed then (ENR-12).
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_NEW_KEY + 1)
    except OSError:
        raise ConfigurationError("The newcomer's public file cannot be read. Check its path.") from None
    try:
        new = NewKey.parse(raw)
        check_identity(new.identity)
        verify_hybrid(new.identity, labels.NEW_KEY, new.message, *new.proof)
    except (MalformedEnvelope, UntrustedKey, BadSignature):
        raise EnrolmentRefused(
            "The file is no public file of `throughcare authority new-key`, or was altered. Nothing was signed."
        ) from None
    if new.root_fingerprint != root_fingerprint:
        raise EnrolmentRefused(
            "The key was made for another root fingerprint than this authority's. Nothing was signed. Have it made "
            "with the one that throughcare authority show prints."
        )
    if new.place != place:
        raise EnrolmentRefused(f"The key was made for another place than {place}. Nothing was signed.")
    if tuple(spoken.lower().replace(",", " ").split()) != words_of(new):
        error = EnrolmentRefused(
            "The words are not those of this file: somebody may have exchanged it on the way from the newcomer. "
            "Nothing was signed."
        )
        error.add_note(
            "next: call the newcomer on a number you know, have the words read once more, and type what you hear. If "
            "they differ again: sign nothing, and find out who exchanged the file"
        )
        raise error
    return new

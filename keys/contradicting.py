# SPDX-License-Identifier: Apache-2.0
"""Judges whether a hub contradicted itself, by its two signatures and its pinned keys alone (DIR-19).

Whoever has the keys can do it, without the directory, the hub or the connector that met the contradiction.
"""

from dataclasses import dataclass
from enum import StrEnum

from keys.verifying import verify_ed25519
from protocol import labels
from protocol.contradiction import Contradiction, Form, Named, named
from protocol.errors import BadSignature, DirectoryInconsistent
from protocol.generations import generation_in
from protocol.receipts import parse_head, parse_receipt
from protocol.tree import verify_consistency


@dataclass(frozen=True, slots=True)
class Logs:
    """A hub's two logs as they are pinned: origins and Ed25519 keys."""

    directory_origin: str
    directory_key: bytes
    audit_origin: str
    audit_key: bytes


class Verdict(StrEnum):
    """What two signatures of a hub prove."""

    TWO_DIRECTORIES = "two-directories"
    """It signed two different roots of the same size."""
    WITHHELD = "withheld"
    """It signed a head that counts fewer statements than it had signed for before."""
    NOTHING = "nothing"
    """Both may be true, or the evidence does not say enough."""


def judge(one: Contradiction, logs: Logs) -> tuple[Verdict, Named, Named | None]:
    """Return what `one` proves, what was signed, and what the head beside it says, if there is one.

    Raises `BadSignature` for what this hub did not sign, and `MalformedEnvelope` for what nobody signs.
    """
    signed, generation = _verified(one.form, one.signed, logs)
    if one.head is None:
        return Verdict.NOTHING, signed, None
    head, of_head = _verified(Form.HEAD, one.head, logs)
    return (_compared(one, signed, head) if generation == of_head else Verdict.NOTHING), signed, head


def _compared(one: Contradiction, signed: Named, head: Named) -> Verdict:
    if signed.size > head.size:
        # What is signed at one moment can come in either order; a smaller head that is later cannot.
        return Verdict.WITHHELD if signed.at <= head.at else Verdict.NOTHING
    try:
        verify_consistency(signed.size, one.root, head.size, head.root, one.proof)
    except DirectoryInconsistent:
        return Verdict.NOTHING
    if one.root != signed.root:
        return Verdict.TWO_DIRECTORIES
    # A receipt may be of a moment before the head's although it is dated after it: only heads never shrink.
    shrank = one.form is Form.HEAD and signed.size < head.size and signed.at > head.at
    return Verdict.WITHHELD if shrank else Verdict.NOTHING


def _verified(form: Form, raw: bytes, logs: Logs) -> tuple[Named, int]:
    """Return what a signature of this hub says, and of which generation of its logs (GEN-1)."""
    if form is Form.HEAD:
        unverified = parse_head(raw)
        verify_ed25519(logs.directory_key, labels.HEAD, unverified.body_bytes, unverified.signature)
        origin = logs.directory_origin
    else:
        receipt = parse_receipt(raw)
        verify_ed25519(logs.audit_key, labels.RECEIPT, receipt.body_bytes, receipt.signature)
        origin = logs.audit_origin
    said = named(form, raw)
    generation = generation_in(origin, said.origin)
    if generation is None:
        raise BadSignature("What is in the file is of another log than this hub's.")
    return said, generation

# SPDX-License-Identifier: Apache-2.0
"""A statement that several people sign one after another, while its file goes from hand to hand (ENR-5, ENR-7, ENR-8).

Whoever signs next has worked out by themselves what is to be said. The file only tells whether others have said just
that before; nothing that stands in it gets a signature for being there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keys.privatefile import read_private, write_private
from keys.signing import HybridSigner, cosign, sign_statement
from keys.verifying import verify_hybrid
from protocol import labels, limits
from protocol.errors import BadSignature, Conflict, EnrolmentRefused, KeystoreError, MalformedEnvelope
from protocol.identities import IdentityKey
from protocol.limits import CLOCK_SKEW, DAY
from protocol.restoration import Restoration
from protocol.statements import Agency, Authority, Body, Revocation, Root, UnverifiedStatement, parse_statement

BEGUN_WITHIN: Final = 5 * DAY
"""How old a begun statement may be when it is signed: the log takes none that is over 7 days behind it (DIR-14)."""
ROOT_LIFE: Final = 3_652 * DAY
AUTHORITY_LIFE: Final = 1_826 * DAY
AGENCY_LIFE: Final = 731 * DAY

Said = Root | Authority | Agency | Revocation | Restoration
"""What an authority's people say."""

_LIVES: Final[Mapping[type[Said], int]] = {Root: ROOT_LIFE, Authority: AUTHORITY_LIFE}


@dataclass(frozen=True, slots=True)
class Quorum:
    """The people of whom so many must sign: an authority's approvers, or the persons of a root."""

    identities: tuple[IdentityKey, ...]
    threshold: int
    former: tuple[IdentityKey, ...] = ()
    """Who was among them and has been exchanged since: what they have signed is begun anew (ENR-14)."""
    since: int = 0
    """When the statement was signed that this one is to replace, ms UTC: nothing older can replace it (DIR-7)."""
    newcomer: IdentityKey | None = None
    """Who comes among them by this very statement, and signs it too (ENR-13)."""

    @property
    def signers(self) -> tuple[IdentityKey, ...]:
        """All who may sign."""
        return self.identities if self.newcomer is None else (*self.identities, self.newcomer)

    def lacking(self, raw: bytes) -> int:
        """Return how many signatures a statement lacks, once those that it has were found right."""
        signed = {one.signer for one in parse_statement(raw).signatures}
        own = signed & {one.key_id for one in self.identities}
        comes = self.newcomer is not None and self.newcomer.key_id not in signed
        return max(0, self.threshold - len(own)) + comes


@dataclass(frozen=True, slots=True)
class Turn:
    """A statement after one more signature, or as it was if enough had signed."""

    raw: bytes
    lacking: int
    anew: bool
    """Whether what others had begun was left aside: it said something else, was too old, or `by_former`."""
    by_former: bool = False
    """Whether it was left aside since somebody had signed it who has been exchanged since (ENR-14)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person was shown that others had signed of the very same; None if there was nothing to go on with."""

    begun: UnverifiedStatement | None

    def check(self, begun: UnverifiedStatement | None) -> None:
        """Raise `Conflict` if it is another statement by now: other days, or other signatures (ENR-11)."""
        if (None if begun is None else begun.raw) != (None if self.begun is None else self.begun.raw):
            error = Conflict("What others have signed of this has changed since it was shown. Nothing was signed.")
            error.add_note("next: the same command again   (shows what would be signed now)")
            raise error


def body_of(subject: Said, issued: int) -> Body:
    """Return what is signed of `subject` by whoever begins at `issued`, ms UTC."""
    return Body(issued, issued - CLOCK_SKEW, issued + _LIVES.get(type(subject), AGENCY_LIFE), subject)


def sign_in_turn(
    quorum: Quorum, path: Path, subject: Said, signer: HybridSigner, now: int, shown: Shown | None = None
) -> Turn:
    """Add one signature to the statement of `subject` that is kept in `path` until it has enough.

    What others began is checked like a stranger's. It is begun anew if it says something else or is too old by now,
    and left as it is if enough have signed: it may never have been published. Raises `EnrolmentRefused` if it is not
    what this authority makes, `Conflict` if this one has signed before and others must, or if it is not what was
    `shown`, and `KeystoreError` for somebody who is none of `quorum`.
    """
    if signer.public not in quorum.signers:
        raise KeystoreError("This key is none of those that sign this, by the authority's own statement.")
    begun, by_former = _begun(quorum, path, now)
    if begun is not None and begun.body.subject != subject:
        begun = None
    if shown is not None:
        shown.check(begun)
    if begun is None:
        raw, anew = sign_statement(body_of(subject, now), [signer]), path.exists()
    elif not quorum.lacking(begun.raw):
        raw, anew = begun.raw, False
    elif signer.key_id in {one.signer for one in begun.signatures}:
        raise Conflict("This person has signed already; another must sign too.")
    else:
        raw, anew = cosign(begun.raw, signer), False
    write_private(path, raw)
    return Turn(raw, quorum.lacking(raw), anew, by_former)


def begun_in(quorum: Quorum, path: Path, now: int) -> UnverifiedStatement | None:
    """Return the statement that others began in `path`, every signature verified; None if there is none to go on with.

    There is none either if somebody has signed it who was exchanged since (ENR-14). Whoever could write the file must
    not get another signature for times of his choice, or have his own forged. Raises `EnrolmentRefused` for such a one.
    """
    return _begun(quorum, path, now)[0]


def _begun(quorum: Quorum, path: Path, now: int) -> tuple[UnverifiedStatement | None, bool]:
    """Return what `begun_in` does, and whether it is None for the signature of one of the quorum's `former`."""
    if not path.exists():
        return None, False
    raw = read_private(path, limits.MAX_STATEMENT, "file")
    damaged = EnrolmentRefused(
        "The begun approval is not one that this authority makes. Nothing was signed. Find out who wrote it, then "
        f"delete its file in the folder {path.parent.name} and have all approvers sign again."
    )
    try:
        statement = parse_statement(raw)
    except MalformedEnvelope:
        raise damaged from None
    body = statement.body
    if body.issued < max(now - BEGUN_WITHIN, quorum.since):
        return None, False
    if not isinstance(body.subject, Said):
        raise damaged
    if body != body_of(body.subject, body.issued) or body.issued > now + CLOCK_SKEW:
        raise damaged
    keys = {key.key_id: key for key in (*quorum.signers, *quorum.former)}
    for one in statement.signatures:
        if one.signer not in keys:
            raise damaged
        try:
            verify_hybrid(keys[one.signer], labels.STATEMENT, statement.body_bytes, one.ed25519, one.mldsa65)
        except BadSignature:
            raise damaged from None
    by_former = not {one.signer for one in statement.signatures}.isdisjoint(key.key_id for key in quorum.former)
    return (None if by_former else statement), by_former

# SPDX-License-Identifier: Apache-2.0
"""Who may act for the agency now, by the verified directory: its service and its officers (DIR-2, ENV-14, CON-12).

Enrolment delegated to the first of them and wrote them down. Later ones are added, renewed and ended by statements
of the agency, and every connector of the agency reads them from the same log as its correspondents do.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from connectors.installation import ActorName, Enrolment
from connectors.timing import Clock
from keys.directory import AgencyEntry, DelegationEntry, Directory
from keys.signing import HybridSigner, sign_statement
from protocol.errors import DelegationEnded, DirectoryError, InvalidInput, MalformedEnvelope, NotFound
from protocol.ids import OfficerId, new_id
from protocol.limits import CLOCK_SKEW, DAY
from protocol.sections import Actor, ActorKind
from protocol.statements import Body, Delegation, Revocation, parse_statement

DELEGATION_LIFE: Final = 366 * DAY


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody who may act for the agency; `ends` in ms UTC, None while the directory does not say."""

    actor: Actor
    ends: int | None


class Officers:
    """Answers who acts, from the directory; from the enrolment for what the directory has not shown yet."""

    def __init__(self, enrolment: Enrolment, directory: Callable[[], Directory], clock: Clock) -> None:
        """`directory` gives the verified directory as it is now."""
        self._enrolment = enrolment
        self._directory = directory
        self._clock = clock
        self._service = enrolment.actor(None)

    def acting(self) -> list[Acting]:
        """Return everybody who may act now: the service first, then the officers by their titles."""
        found = {entry.officer: Acting(_actor(entry), entry.not_after) for entry in self._counting()}
        for record in self._enrolment.actors:
            if not self._directory().knows_delegation(record.delegation):
                found.setdefault(record.officer_id, Acting(record.actor, None))
        mine = [one for one in found.values() if self._ours(one.actor)]
        return sorted(mine, key=lambda one: (one.actor.kind is ActorKind.OFFICER, one.actor.name, one.actor.officer))

    def actor(self, officer: OfficerId | None) -> Actor:
        """Return who acts as `officer`, the service for None; `InvalidInput` if nobody may act under that id now."""
        if officer is None and self._counts(self._service):
            return self._service
        wanted = self._service.officer if officer is None else officer
        found = next((one.actor for one in self.acting() if one.actor.officer == wanted), None)
        if found is not None:
            return found
        if officer is None:
            return self._service
        raise InvalidInput("Nobody may act here under that id now. `throughcare officer list` shows who may.")

    def current(self, actor: Actor) -> Actor:
        """Return `actor`, under a newer delegation if its own has ended; the service if there is none (CON-12).

        Raises `DelegationEnded` if the service's has ended too: whoever gets what is signed now would not believe it.
        """
        newer = (one.actor for one in self.acting() if one.actor.officer == actor.officer)
        found = next((one for one in (actor, *newer, self.actor(None)) if self._counts(one)), None)
        if found is None:
            raise DelegationEnded
        return found

    def _counts(self, actor: Actor) -> bool:
        directory = self._directory()
        try:
            directory.delegation(actor.delegation, at=self._clock(), size=directory.size)
        except DirectoryError:
            return False
        return True

    def _counting(self) -> list[DelegationEntry]:
        return self._directory().delegations(self._enrolment.agency, self._clock())

    def _ours(self, actor: Actor) -> bool:
        """Tell whether `actor` is an officer, or the service of this very installation."""
        return actor.kind is ActorKind.OFFICER or actor.officer == self._service.officer


def _actor(entry: DelegationEntry) -> Actor:
    return Actor(officer=entry.officer, kind=entry.actor_kind, name=entry.title, delegation=entry.digest)


def service_id(enrolment: Enrolment) -> OfficerId:
    """Return the id of the installation's service account."""
    return next(one.officer_id for one in enrolment.actors if one.kind is ActorName.SERVICE)


def delegation(
    own: AgencyEntry,
    agency: HybridSigner,
    title: str,
    now: int,
    *,
    officer: OfficerId | None = None,
    kind: ActorKind = ActorKind.OFFICER,
) -> bytes:
    """Return the agency's statement that somebody may act for all its desks for a year.

    Without `officer` it is somebody new; with it, the delegation of that one is renewed. Raises `InvalidInput` for
    a title that no statement can hold.
    """
    desks = tuple(desk for desk, _ in own.desks)
    subject = Delegation(own.address, OfficerId(new_id()) if officer is None else officer, kind, title, desks)
    begin = now - CLOCK_SKEW
    raw = sign_statement(Body(now, begin, begin + DELEGATION_LIFE, subject), [agency])
    try:
        parse_statement(raw)
    except MalformedEnvelope:
        raise InvalidInput("A title is one line of 1 to 200 characters.") from None
    return raw


def endings(found: Collection[DelegationEntry], agency: HybridSigner, now: int) -> Iterator[bytes]:
    """Yield the agency's revocation of each delegation in `found`."""
    begin = now - CLOCK_SKEW
    for entry in found:
        body = Body(now, begin, begin + DELEGATION_LIFE, Revocation(entry.digest, "ended"))
        yield sign_statement(body, [agency])


def officer_entries(directory: Directory, own: AgencyEntry, officer: OfficerId, now: int) -> list[DelegationEntry]:
    """Return all delegations of an officer of the agency that count now or later, oldest first.

    Raises `NotFound` if there is none, and for a service account: its connector could do nothing without it.
    """
    found = [
        entry
        for entry in directory.all_delegations(own.address)
        if entry.officer == officer and entry.not_after > now and entry.revoked_index is None
    ]
    if not found or found[-1].actor_kind is not ActorKind.OFFICER:
        raise NotFound("Nobody has an office in this agency under that id, or not any more.")
    return found

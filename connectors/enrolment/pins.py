# SPDX-License-Identifier: Apache-2.0
"""Makes sure that a hub is the one that was meant, and that its directory begins where it must (ENR-1, DIR-4).

Nothing that a hub says about itself is believed: domain, root fingerprint, logs, keys and minimum sizes are
pinned beforehand, by an enrolment code or in an authority's folder.
"""

from dataclasses import dataclass
from typing import Self

from connectors.hub_client import HubClient
from connectors.hub_restored import check_minimum, check_restored
from connectors.installation import Enrolment
from keys.directory import Directory
from keys.verifying import head_generation, verify_head
from protocol.address import domain_of
from protocol.enrolment import EnrolmentCode, LogAnchor
from protocol.errors import ClockSkewed, DirectoryInconsistent, EnrolmentRefused
from protocol.generations import generation_in, origin_of
from protocol.http.hub import LogIdentity
from protocol.limits import CLOCK_SKEW, MINUTE
from protocol.receipts import Head


@dataclass(frozen=True, slots=True)
class Pins:
    """What a hub must be."""

    domain: str
    root_fingerprint: bytes
    directory: LogAnchor
    audit: LogAnchor

    @classmethod
    def of(cls, code: EnrolmentCode) -> Self:
        """Return what an enrolment code pins."""
        return cls(domain_of(code.terms.agency), code.root_fingerprint, code.directory, code.audit)

    @classmethod
    def kept(cls, enrolment: Enrolment) -> Self:
        """Return what an enrolment has pinned for good."""
        directory, audit = (
            LogAnchor(log.origin, log.key, log.minimum_size) for log in (enrolment.directory, enrolment.audit)
        )
        return cls(enrolment.domain, enrolment.root_fingerprint, directory, audit)


async def check_hub(hub: HubClient, pins: Pins) -> None:
    """Raise `EnrolmentRefused` unless the hub has the pinned domain, root and logs (attack 59).

    Raises `ClockSkewed` if it is, and this machine's clock is so far from its own that it would refuse what is signed
    here, or that what it has counts as not yet begun.
    """
    info = await hub.hub()
    same = (
        info.domain == pins.domain
        and info.root_fingerprint == pins.root_fingerprint
        and _same(info.directory, pins.directory)
        and _same(info.audit, pins.audit)
    )
    if not same:
        raise EnrolmentRefused("This is not the hub that was meant. Nothing was sent to it.")
    ahead = hub.clock() - info.server_time
    if abs(ahead) > CLOCK_SKEW:
        far, side = abs(ahead) // MINUTE, "ahead of" if ahead > 0 else "behind"
        raise ClockSkewed(f"This machine's clock is {far} minutes {side} the hub's. Nothing was sent.")


def _same(log: LogIdentity, anchor: LogAnchor) -> bool:
    return (log.origin, log.key) == (anchor.origin, anchor.key)


async def verified_head(hub: HubClient, pins: Pins) -> Head:
    """Return the directory's head; `DirectoryInconsistent` for a wrong key or a smaller log than pinned (DIR-10)."""
    raw = await hub.directory_head()
    generation = head_generation(raw, pins.directory.origin)
    head = verify_head(raw, origin_of(pins.directory.origin, generation), pins.directory.key)
    if generation == 0 and head.size < pins.directory.size:
        raise DirectoryInconsistent("The hub shows an older directory than the authority had seen. Call both.")
    return head


async def replay(hub: HubClient, pins: Pins) -> Directory:
    """Return the hub's directory, each statement verified from the pinned root on, up to its signed head (DIR-10).

    Raises `DirectoryInconsistent` if the statements do not add up to the head.
    """
    head = await verified_head(hub, pins)
    directory = Directory(pins.root_fingerprint, pins.domain)
    while directory.size < head.size:
        page = await hub.directory_statements(directory.size)
        if not page:
            break
        for raw in page[: head.size - directory.size]:
            directory.apply(raw)
    check_restored(directory, 0, generation_in(pins.directory.origin, head.origin) or 0, None)
    check_minimum(directory, pins.directory.size)
    if (directory.size, directory.root) != (head.size, head.root):
        raise DirectoryInconsistent("The directory's statements do not add up to its signed head.")
    return directory

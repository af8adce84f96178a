# SPDX-License-Identifier: Apache-2.0
"""Our device's certificate and our service's delegation are renewed in place, before they end (DIR-17, CON-11).

The agency's identity lies in the keystore since enrolment and signs the same device keys for another 90 days.
What the device has, it keeps: key id, mailbox, prekeys and all that is under way. A machine that another has
replaced renews nothing: its desks are not its own any more, and the directory would refuse it too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.hub_client import StatementSink
from connectors.installation import agency_signer
from connectors.logs import Log
from connectors.officers import delegation
from connectors.timing import Clock
from connectors.vouching import vouched
from keys.directory import AgencyEntry, DelegationEntry, DeviceEntry, Directory
from keys.keystore import Keystore
from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from protocol.address import AgencyAddress, DeskAddress, desk_name
from protocol.errors import DirectoryError, KeystoreError, Revoked, UntrustedKey
from protocol.ids import OfficerId
from protocol.limits import CLOCK_SKEW, DAY, DEVICE_LIFE, HOUR
from protocol.statements import Body, Device

RENEWED_WITHIN: Final = 30 * DAY
"""CON-11: rest of a certificate's or delegation's life in which it is renewed."""
_AGAIN_AFTER: Final = HOUR
"""Pause after the hub refused a renewal: somebody must act first."""


@dataclass(frozen=True, slots=True)
class Renewable:
    """A device that may be renewed: its newest statement, and which of the desks in it the device still serves."""

    own: AgencyEntry
    entry: DeviceEntry
    desks: tuple[str, ...]


def renewable(directory: Directory, device: DeviceSigner, agency: HybridSigner, now: int) -> Renewable:
    """Return what may be renewed of our device.

    Raises `Revoked` for a revoked device or agency, and `UntrustedKey` if the directory does not know it, if other
    devices serve all of its desks, or if the authority does not vouch for the agency's keys now.
    """
    entry = directory.device(device.key_id)
    if entry is None:
        raise UntrustedKey("The directory does not know this device. Enrol it first.")
    if entry.revoked_index is not None:
        raise Revoked("This device was revoked. Restore a backup, or enrol anew: both make new keys.")
    own = vouched(directory, entry.agency, agency.key_id, now)
    there = {name for name, _ in own.desks}
    kept = (desk for desk in entry.desks if directory.serves(device.key_id, desk, size=directory.size))
    desks = tuple(name for name in map(desk_name, kept) if name in there)
    if not desks:
        raise UntrustedKey("Other devices serve this agency's desks now. Run the connector on the machine that does.")
    return Renewable(own, entry, desks)


def renewal(found: Renewable, device: DeviceSigner, agency: HybridSigner, now: int) -> bytes:
    """Return the statement that renews the device for 90 days, signed by the agency (DIR-17)."""
    agency_address = found.entry.agency
    subject = Device(agency_address, device.public, found.desks, device_proof(agency_address, device))
    begin = now - CLOCK_SKEW
    return sign_statement(Body(now, begin, begin + DEVICE_LIFE, subject), [agency])


def ending_service(directory: Directory, agency: AgencyAddress, service: OfficerId, now: int) -> DelegationEntry | None:
    """Return the newest delegation of our service account if it ends within 30 days or has ended.

    None also if the directory has none, and if it was revoked: whoever did that meant it.
    """
    own = [entry for entry in directory.all_delegations(agency) if entry.officer == service]
    if not own or own[-1].revoked_index is not None or own[-1].not_after - now >= RENEWED_WITHIN:
        return None
    return own[-1]


class Renewal:
    """Keeps the device's certificate and the service's delegation alive while the connector runs."""

    def __init__(
        self,
        keystore: Keystore,
        device: DeviceSigner,
        service: OfficerId,
        directory: Callable[[], Directory],
        clock: Clock,
        log: Log,
    ) -> None:
        """`service` is the installation's service account; `directory` gives the verified directory as it is now."""
        self._keystore = keystore
        self._device = device
        self._service = service
        self._directory = directory
        self._clock = clock
        self._log = log
        self._refused_at: int | None = None
        self._taken: list[DeskAddress] = []

    async def maintain(self, sink: StatementSink) -> bool:
        """Renew what ends within 30 days, or has ended; return whether something was published.

        What cannot be renewed is logged, at most once an hour, and stops nothing else. Raises `HubUnreachable` and
        the like.
        """
        now, directory = self._clock(), self._directory()
        entry = directory.device(self._device.key_id)
        self._tell_taken(directory.taken_from(self._device.key_id))
        if entry is None or entry.revoked_index is not None:
            return False
        device_ends = entry.not_after - now < RENEWED_WITHIN
        service = ending_service(directory, entry.agency, self._service, now)
        if not device_ends and service is None:
            return False
        if self._refused_at is not None and abs(now - self._refused_at) < _AGAIN_AFTER:
            return False
        try:
            agency = agency_signer(self._keystore)
            found = renewable(directory, self._device, agency, now)
            if device_ends:
                await sink.submit_statement(renewal(found, self._device, agency, now))
                self._log.event("certificate-renewed", part="device")
            if service is not None:
                await sink.submit_statement(renewed_service(found, service, agency, now))
                self._log.event("certificate-renewed", part="service")
        except (DirectoryError, KeystoreError) as error:
            self._refused_at = now
            self._log.event("part-failed", part="renewal", code=error.code)
            return False
        self._refused_at = None
        return True

    def _tell_taken(self, taken: list[DeskAddress]) -> None:
        """Tell once of each desk that another device has taken: whoever has the agency's keys can do that (CON-21)."""
        if set(taken) - set(self._taken):
            self._log.event("desk-taken", count=len(taken))
        self._taken = taken


def renewed_service(found: Renewable, service: DelegationEntry, agency: HybridSigner, now: int) -> bytes:
    """Return the statement that lets the service act for another year."""
    return delegation(found.own, agency, service.title, now, officer=service.officer, kind=service.actor_kind)

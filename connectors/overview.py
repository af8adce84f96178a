# SPDX-License-Identifier: Apache-2.0
"""What a person asks a connector about itself: how it is, whom it can reach, what it did not believe."""

from datetime import tzinfo

from connectors.connection import Connection
from connectors.directory_sync import DirectorySync
from connectors.installation import Enrolment
from connectors.officers import Officers
from connectors.store import incoming, progress, quarantine
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import IncomingState
from connectors.store.quarantine import Quarantined
from connectors.store.recipients import RecipientState
from connectors.timing import Clock
from keys.directory import DeskEntry, Directory
from keys.sealing import choose_prekey
from protocol import cbor
from protocol.errors import CODES, DirectoryError, InvalidInput, KeystoreError, MalformedEnvelope, ThroughcareError
from protocol.http.fields import decode_base64url, encode_base64url
from protocol.http.handovers import Page
from protocol.http.standing import (
    Counts,
    DeskItem,
    DeskPage,
    DirectoryStatus,
    HubStatus,
    OfficerItem,
    QuarantineItem,
    QuarantinePage,
    Status,
)
from protocol.shapes import as_int

_CURSOR = "quarantine cursor"


class Overview:
    """Reads; it never changes anything."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        connection: Connection,
        enrolment: Enrolment,
        officers: Officers,
        clock: Clock,
        *,
        zone: tzinfo,
    ) -> None:
        """Take what it reads from; `zone` is that of the agency's clocks."""
        self._store = store
        self._directory = directory
        self._connection = connection
        self._enrolment = enrolment
        self._officers = officers
        self._clock = clock
        self._zone = zone

    async def status(self) -> Status:
        """Say how the connector is: its hub, its directory, its queues."""
        standing = self._directory.standing()
        device = self._directory.directory.device(self._enrolment.device_key_id)
        async with self._store.read() as tx:
            sent, received = await progress.counts(tx), await incoming.counts(tx)
            quarantined = await quarantine.count(tx)
        return Status(
            agency=self._enrolment.agency,
            desks=list(self._enrolment.desks),
            officers=[
                OfficerItem(id=one.actor.officer, kind=one.actor.kind.name.lower(), title=one.actor.name, ends=one.ends)
                for one in self._officers.acting()
            ],
            device=self._enrolment.device_key_id,
            certificate_ends=None if device is None else device.not_after,
            now=self._clock(),
            zone=str(self._zone),
            hub=HubStatus(
                connected=self._connection.connected,
                last_contact=self._connection.last_contact,
                clock_difference_ms=standing.clock_difference,
                error=self._connection.error,
                reason=self._connection.reason,
            ),
            directory=DirectoryStatus(
                size=standing.size,
                confirmed_at=standing.confirmed_at,
                state=standing.freshness,
                error=standing.error,
            ),
            counts=Counts(
                queued=sent[RecipientState.QUEUED] + sent[RecipientState.SEALED],
                accepted=sent[RecipientState.ACCEPTED] + sent[RecipientState.OPENED],
                failed=sent[RecipientState.FAILED] + sent[RecipientState.EXPIRED],
                received=received[IncomingState.DELIVERED],
                held=received[IncomingState.HELD],
                quarantined=quarantined,
            ),
        )

    def desks(self) -> DeskPage:
        """List the desks of the directory, as verified here."""
        directory, now = self._directory.directory, self._clock()
        return DeskPage(items=[_desk(directory, entry, now) for entry in directory.desks(now)])

    async def quarantined(self, number: int) -> bytes:
        """Return the bytes of one item; `NotFound` if there is none, or it was pushed out."""
        async with self._store.read() as tx:
            return await quarantine.raw(tx, number)

    async def quarantine(self, query: Page) -> QuarantinePage:
        """List what came and could not be taken in, newest first."""
        async with self._store.read() as tx:
            before = _position(tx, query.cursor)
            found = await quarantine.page(tx, before=before, limit=query.limit + 1)
            more = _cursor(tx, found[query.limit - 1]) if len(found) > query.limit else None
        return QuarantinePage(items=[_item(one) for one in found[: query.limit]], next_cursor=more)


def _desk(directory: Directory, entry: DeskEntry, now: int) -> DeskItem:
    agency = directory.agency(entry.agency, now)
    reachable, marked = False, False
    try:
        marked = choose_prekey(directory, entry.address, now).marked
        reachable = True
    except DirectoryError:
        pass
    return DeskItem(
        address=entry.address,
        function=entry.function,
        agency=entry.agency,
        agency_name=agency.name if agency else entry.agency,
        reachable=reachable,
        marked=marked,
    )


def _item(one: Quarantined) -> QuarantineItem:
    known = CODES.get(one.code, ThroughcareError)
    return QuarantineItem(
        number=one.position,
        signed_by=one.signed_by.name.lower(),
        leaf_index=one.item_index,
        at=one.received_at,
        code=one.code,
        detail=known.default,
        envelope_id=one.envelope_id,
        sender=one.sender,
    )


def _cursor(tx: Transaction, last: Quarantined) -> str:
    return encode_base64url(tx.vault.seal(_CURSOR, b"", cbor.encode(last.position)))


def _position(tx: Transaction, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return as_int(cbor.decode(tx.vault.open(_CURSOR, b"", decode_base64url(cursor)), limit=20))
    except (KeystoreError, InvalidInput, MalformedEnvelope):
        raise InvalidInput("The cursor is not one that this connector gave.") from None

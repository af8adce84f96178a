# SPDX-License-Identifier: Apache-2.0
"""Every operation of a hub as a typed call, signed by the device where the hub asks for it (HTTP-1)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

import aiohttp

from connectors.portion import BROKEN, Portion
from connectors.timing import Clock
from keys.signing import DeviceSigner
from protocol.errors import CODES, MalformedEnvelope, ThroughcareError, TooManyRequests, Unavailable, UnexpectedAnswer
from protocol.frames import Accepted, Item, Refused, encode_batch, parse_page, parse_results
from protocol.http import blobs
from protocol.http import hub as operations
from protocol.http.calling import Client, anonymous, signed
from protocol.http.problems import LONGEST_WAIT_S
from protocol.ids import BlobId, CodeId, EnvelopeId, Kind, text
from protocol.sections import Attachment

MOST_ITEMS: Final = 50
"""Items that one poll asks for."""
_PAGE_WAITS: Final = 20
"""Times that the same page of the directory is asked for again after a wait."""
_PAGE_WAIT_S: Final = 60
"""Seconds after which it is better to give up, and to look again later."""

Outcome: TypeAlias = bytes | ThroughcareError
"""What became of one submitted envelope: the hub's receipt, or why it was refused."""


class HubAway(Unavailable):
    """The hub, or what stands before it, says that it cannot serve this connector now."""


class Submitter(Protocol):
    """What the outbox needs of a hub."""

    async def reach(self) -> None:
        """Return once the hub has answered, or raise `HubUnreachable` or `UnexpectedAnswer` if it does not (CON-22)."""

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit 1 to 64 envelopes; each stands alone (HTTP-6)."""


class StatementSink(Protocol):
    """Where statements are published."""

    async def submit_statement(self, statement: bytes) -> int:
        """Append `statement` to the directory log; the same bytes again get the same index."""


class HubLink(Submitter, Protocol):
    """A way to the hub and the mailbox, over the websocket or over plain HTTP (HTTP-9)."""

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        """Return items of the mailbox from leaf `cursor` on; after a while without any, none."""

    async def acknowledge(self, up_to: int) -> None:
        """Say that everything up to leaf `up_to` is stored here (HTTP-7)."""


class HubClient:
    """Calls a hub. Make one for each session; `device` is None for what needs no device, such as enrolment."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        clock: Clock,
        device: DeviceSigner | None = None,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`base` is the hub's URL exactly as the hub knows itself: it is signed with every request.

        `pause` waits so many seconds.
        """
        self._pause = pause
        authorize = anonymous if device is None else signed(device.key_id, device.transport.sign_raw, clock)
        self.clock = clock
        self._open = Client(session, base, clock=clock)
        self._signed = Client(session, base, authorize, clock=clock)

    async def hub(self) -> operations.HubInfo:
        """Return what the hub says about itself; compare it with what is pinned and believe none of it."""
        return await self._open.call(operations.GET_HUB, operations.HubInfo)

    async def reach(self) -> None:
        """Return if the hub answers, whatever it says; raise `HubUnreachable` or `UnexpectedAnswer` if not."""
        try:
            await self._open.call_bytes(operations.GET_HUB)
        except BROKEN:
            raise
        except ThroughcareError:
            return

    async def directory_head(self) -> bytes:
        """Return the newest signed head of the directory log, unverified (DIR-10)."""
        return (await self._open.call(operations.GET_DIRECTORY_HEAD, operations.DirectoryHead)).head

    async def directory_statements(self, from_index: int) -> list[bytes]:
        """Return a page of statements from `from_index` on, unverified; an empty one at the end.

        Waits as long as the hub says, where this address has asked for too much (HTTP-14): other connectors may share
        it, and whoever gives up half-way through a long directory begins anew.
        """
        for _ in range(_PAGE_WAITS):
            try:
                return await self._statements(from_index)
            except TooManyRequests as busy:
                wait = busy.retry_after or 1
                if wait > _PAGE_WAIT_S:
                    raise
                await self._pause(wait)
        return await self._statements(from_index)

    async def _statements(self, from_index: int) -> list[bytes]:
        answer = await self._open.call(
            operations.LIST_DIRECTORY_STATEMENTS, operations.StatementPage, query={"from_index": from_index}
        )
        return list(answer.items)

    async def submit_statement(self, statement: bytes) -> int:
        """Append a statement to the directory log and return its index; the same bytes get the same index."""
        body = operations.StatementSubmission(statement=statement)
        return (await self._open.call(operations.SUBMIT_STATEMENT, operations.StatementAccepted, body=body)).index

    async def register_code(self, registration: bytes) -> CodeId:
        """Register an enrolment code that its authority signed (ENR-2)."""
        body = operations.CodeRegistrationBody(registration=registration)
        return (await self._open.call(operations.REGISTER_CODE, operations.CodeRegistered, body=body)).code_id

    async def redeem_code(self, code_id: CodeId, request: bytes, mac: bytes, proof: bytes) -> None:
        """Hand in a key request under an enrolment code (ENR-3), with the proof of holding it (ENR-6)."""
        body = operations.CodeRedemption(code_id=code_id, request=request, mac=mac, proof=proof)
        await self._open.call_bytes(operations.REDEEM_CODE, body=body)

    async def key_request(self, code_id: CodeId) -> operations.KeyRequestView:
        """Return the key request handed in under a code; `NotFound` while there is none."""
        path = {"code_id": text(Kind.CODE, code_id)}
        return await self._open.call(operations.GET_KEY_REQUEST, operations.KeyRequestView, path=path)

    async def submit_envelope(self, envelope: bytes) -> bytes:
        """Submit one envelope and return its acceptance receipt, unverified (HTTP-5)."""
        return await self._signed.call_bytes(operations.SUBMIT_ENVELOPE, body=envelope)

    async def submit_batch(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit 1 to 64 envelopes of at most 4 MiB together, each standing alone (HTTP-6)."""
        answer = await self._signed.call_bytes(operations.SUBMIT_BATCH, body=encode_batch(envelopes))
        try:
            results = parse_results(answer)
        except MalformedEnvelope as error:
            raise UnexpectedAnswer from error
        if sorted(result.ref for result in results) != list(range(len(envelopes))):
            raise UnexpectedAnswer
        return [outcome(result) for result in sorted(results, key=lambda result: result.ref)]

    async def read_mailbox(self, cursor: int, *, wait_s: int, limit: int = MOST_ITEMS) -> tuple[Item, ...]:
        """Return items of this device's mailbox from leaf `cursor` on, waiting up to `wait_s` for the first."""
        query = {"cursor": cursor, "limit": limit, "wait": wait_s}
        try:
            return parse_page(await self._signed.call_bytes(operations.READ_MAILBOX, query=query))[1]
        except MalformedEnvelope as error:
            raise UnexpectedAnswer from error

    async def acknowledge(self, up_to: int) -> None:
        """Say that everything up to leaf `up_to` is stored here; the hub deletes its part of it (HTTP-7)."""
        await self._signed.call_bytes(operations.ACKNOWLEDGE, body=operations.Acknowledgement(up_to=up_to))


class BlobLink:
    """What the hub offers for attachments (ATT-3 to ATT-5)."""

    def __init__(self, session: aiohttp.ClientSession, base: str, clock: Clock, device: DeviceSigner) -> None:
        """Take the same as `HubClient`."""
        authorize = signed(device.key_id, device.transport.sign_raw, clock)
        self._client = Client(session, base, authorize, clock=clock)

    async def announce(self, entry: Attachment) -> blobs.BlobProgress:
        """Return how much of an attachment's ciphertext the hub has."""
        body = blobs.BlobAnnouncement(
            blob_id=BlobId(entry.blob_id), size=entry.ciphertext_size, sha256=entry.ciphertext_hash
        )
        return await self._client.call(blobs.ANNOUNCE_BLOB, blobs.BlobProgress, body=body)

    async def upload(self, blob_id: bytes, offset: int, chunk: bytes) -> blobs.BlobProgress:
        """Upload one chunk and return how much the hub has, durably."""
        path = {"blob_id": text(Kind.BLOB, blob_id)}
        return await self._client.call(
            blobs.UPLOAD_CHUNK, blobs.BlobProgress, path=path, query={"offset": offset}, body=chunk
        )

    async def read(self, envelope_id: EnvelopeId, blob_id: bytes, offset: int) -> bytes:
        """Return the chunk at `offset`; `NotFound` if this device may not read it, or not any more."""
        return await self._client.call_bytes(
            blobs.READ_CHUNK, path=_blob_path(envelope_id, blob_id), query={"offset": offset}
        )

    async def collect(self, envelope_id: EnvelopeId, blob_id: bytes) -> None:
        """Say that an attachment is stored here, or not wanted any more."""
        await self._client.call_bytes(blobs.COLLECT_BLOB, path=_blob_path(envelope_id, blob_id))


def _blob_path(envelope_id: EnvelopeId, blob_id: bytes) -> dict[str, str]:
    return {"envelope_id": text(Kind.ENVELOPE, envelope_id), "blob_id": text(Kind.BLOB, blob_id)}


def outcome(result: Accepted | Refused) -> Outcome:
    """Return a receipt, or the error that the hub named; an unknown code is an unexpected answer."""
    if isinstance(result, Accepted):
        return result.receipt
    try:
        error = CODES[result.code]()
    except KeyError:
        error = UnexpectedAnswer()
    if result.retry_after is not None:
        error.retry_after = min(result.retry_after, LONGEST_WAIT_S)
    return error


class PollingLink:
    """The plain operations as a link: single submissions or batches, long polls, acknowledgements."""

    def __init__(self, client: HubClient, wait_s: int) -> None:
        """Poll with waits of `wait_s` seconds, at most 50."""
        self._client = client
        self._wait_s = wait_s
        self._portion = Portion(MOST_ITEMS)

    async def reach(self) -> None:
        """Ask the hub for what anybody may know of it: nothing of ours goes along."""
        await self._client.reach()

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit 1 to 64 envelopes; each stands alone (HTTP-6)."""
        return await self._client.submit_batch(envelopes)

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        """Return items of the mailbox from leaf `cursor` on; after the wait without any, none (CON-15).

        Raises `HubAway` where the hub says that it cannot answer now.
        """
        try:
            with self._portion.tried():
                return await self._client.read_mailbox(cursor, wait_s=self._wait_s, limit=self._portion.size)
        except Unavailable as error:
            away = HubAway(error.detail)
            away.retry_after = error.retry_after
            raise away from error

    async def acknowledge(self, up_to: int) -> None:
        """Say that everything up to leaf `up_to` is stored here (HTTP-7)."""
        await self._client.acknowledge(up_to)

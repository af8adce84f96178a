# SPDX-License-Identifier: Apache-2.0
"""The typed client of a connector's local interface, for an agency's own systems and for our command.

    async with ApiClient.of("http://127.0.0.1:8450", Path("/var/lib/throughcare/api-token")) as connector:
        queued = await connector.send(request, idempotency_key=key)
        view = await connector.handover(queued.id)

Errors are those of `protocol.errors`, by the code that the connector answered with; a connector that does not
answer is `ConnectorUnreachable`. Calling `send` again with the same key and request is always safe.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self

import aiohttp

from connectors.access import read_token
from connectors.listening import check_listener
from connectors.thread_calls import ThreadCalls, chosen, given
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import HubUnreachable
from protocol.http.attachment_operations import READ_ATTACHMENT, STORE_ATTACHMENT
from protocol.http.calling import Client, bearer, new_session
from protocol.http.events import LIST_EVENTS, EventPage
from protocol.http.handover_operations import GET_HANDOVER, LIST_HANDOVERS, SEND_HANDOVER
from protocol.http.handovers import (
    AttachmentStored,
    Direction,
    HandoverPage,
    HandoverQueued,
    HandoverRequest,
    HandoverView,
)
from protocol.http.messages import (
    GET_MESSAGE,
    LIST_MESSAGES,
    SEND_MESSAGE,
    MessageFilter,
    MessagePage,
    MessageQueued,
    MessageRequest,
    MessageView,
)
from protocol.http.standing import (
    GET_STATUS,
    LIST_DESKS,
    LIST_QUARANTINE,
    READ_QUARANTINED,
    DeskPage,
    QuarantinePage,
    Status,
)
from protocol.http.tokens import (
    LIST_TOKENS,
    MAKE_TOKEN,
    REVOKE_TOKEN,
    TokenItem,
    TokenList,
    TokenMade,
    TokenRequest,
)
from protocol.http.webhooks import LIST_DELIVERIES, REPLAY_EVENT, DeliveryFilter, DeliveryPage, Replayed
from protocol.ids import EventId, Kind, MessageId, TokenId


class ConnectorUnreachable(HubUnreachable):
    """The connector's local interface does not answer; shares the code of its base."""

    default = "The connector does not answer. Start it with `throughcare connector run`, or check its address."


class ApiClient(ThreadCalls):
    """Calls one connector. Make it with `of`, or with a session of your own."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str) -> None:
        """`base` is the interface's URL without `/v1`, `token` what its token file holds."""
        self._client = Client(session, base, bearer(token), unreachable=ConnectorUnreachable)

    @classmethod
    @asynccontextmanager
    async def of(cls, base: str, token_file: Path) -> AsyncIterator[Self]:
        """Give a client of the connector at `base` with the token in `token_file`, while the block lasts.

        Raises `ConfigurationError` for a token file that cannot be used. So does each call that has to connect, the
        first and any later one, where another user's program listens at `base` in the connector's place: while the
        connector was stopped its port was free for all. Nothing is sent to it then (CON-6).
        """
        token = read_token(token_file)
        async with new_session(before_connecting=partial(check_listener, base, token_file)) as session:
            yield cls(session, base, token)

    async def send(
        self, request: HandoverRequest, *, idempotency_key: str, on_replay: Callable[[], None] | None = None
    ) -> HandoverQueued:
        """Send a handover; when this returns it is stored durably at the connector (CON-1).

        `idempotency_key` is 16 to 255 visible ASCII characters; the same key and request again have no second
        effect and get the same answer, of which `on_replay` is told.
        """
        return await self._client.call(
            SEND_HANDOVER, HandoverQueued, body=request, idempotency_key=idempotency_key, on_replay=on_replay
        )

    async def handovers(
        self,
        *,
        direction: Direction | None = None,
        message_id: MessageId | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> HandoverPage:
        """Return a page of handovers, newest first; pass its `next_cursor` for the page that follows.

        With `message_id` those that stand under that id: senders choose ids, so there can be more than one.
        """
        query = given(limit=limit, cursor=cursor)
        if message_id is not None:
            query["id"] = ids.text(Kind.MESSAGE, message_id)
        if direction is not None:
            query["direction"] = direction.value
        return await self._client.call(LIST_HANDOVERS, HandoverPage, query=query)

    async def handover(
        self,
        message_id: MessageId | str,
        *,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
    ) -> HandoverView:
        """Return one handover, by its id or the id's text.

        Raises `NotFound` alike for what does not exist and what is not this agency's (HTTP-4), and `Conflict` where
        several stand under the id until `sender`, `direction` or `recipient`, a desk of ours, leaves one.
        """
        query = chosen(sender, direction, recipient)
        shown = message_id if isinstance(message_id, str) else ids.text(Kind.MESSAGE, message_id)
        return await self._client.call(
            GET_HANDOVER,
            HandoverView,
            path={"id": ids.text(Kind.MESSAGE, ids.raw(Kind.MESSAGE, shown))},
            query=query,
        )

    async def store_attachment(
        self, pieces: AsyncIterator[bytes], *, name: str, media_type: str, place: int, idempotency_key: str = ""
    ) -> AttachmentStored:
        """Store an attachment of at most 1 GiB; a handover names it by its id, at `place` of its section from 0.

        The same again under the same `idempotency_key` is the attachment that it was before.
        """
        query: dict[str, str | int] = {"name": name, "media_type": media_type, "place": place}
        return await self._client.send_pieces(
            STORE_ATTACHMENT, AttachmentStored, pieces, query=query, idempotency_key=idempotency_key
        )

    def attachment(
        self,
        message_id: MessageId,
        section: int,
        place: int,
        *,
        sender: DeskAddress | None = None,
        recipient: DeskAddress | None = None,
    ) -> AsyncIterator[bytes]:
        """Return an attachment that came, in pieces that count only when the iteration has ended by itself (ATT-2).

        Raises `Conflict` where several are meant until `sender`, or `recipient`, a desk of ours, leaves one.
        """
        path = {"id": ids.text(Kind.MESSAGE, message_id), "section": str(section), "place": str(place)}
        return self._client.take_pieces(READ_ATTACHMENT, path=path, query=given(sender=sender, recipient=recipient))

    async def send_message(self, request: MessageRequest, *, idempotency_key: str) -> MessageQueued:
        """Send a message of any kind that is no step; when this returns it is stored durably at the connector."""
        return await self._client.call(SEND_MESSAGE, MessageQueued, body=request, idempotency_key=idempotency_key)

    async def messages(self, query: MessageFilter) -> MessagePage:
        """Return a page of messages, newest first."""
        values = {name: value for name, value in query.model_dump(mode="json").items() if value is not None}
        return await self._client.call(LIST_MESSAGES, MessagePage, query=values)

    async def message(
        self,
        message_id: MessageId,
        *,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
    ) -> MessageView:
        """Return one message with the sections that this agency holds; `Conflict` as in `handover`."""
        path = {"id": ids.text(Kind.MESSAGE, message_id)}
        query = chosen(sender, direction, recipient)
        return await self._client.call(GET_MESSAGE, MessageView, path=path, query=query)

    async def events(self, *, after: EventId | None = None, limit: int = 100) -> EventPage:
        """Return what happened after the event `after`, oldest first; from the beginning without it (EVT-3)."""
        query: dict[str, str | int] = {"limit": limit}
        if after is not None:
            query["after"] = ids.text(Kind.EVENT, after)
        return await self._client.call(LIST_EVENTS, EventPage, query=query)

    async def deliveries(self, query: DeliveryFilter) -> DeliveryPage:
        """Return a page of the events that webhooks have not confirmed, oldest first, and how each address stands."""
        values = {name: value for name, value in query.model_dump(mode="json").items() if value is not None}
        return await self._client.call(LIST_DELIVERIES, DeliveryPage, query=values)

    async def replay(self, event: EventId) -> Replayed:
        """Have an event told to every webhook once more, also to one that is disabled; it is enabled by that."""
        return await self._client.call(REPLAY_EVENT, Replayed, path={"event": ids.text(Kind.EVENT, event)})

    async def make_token(self, request: TokenRequest, *, idempotency_key: str) -> TokenMade:
        """Make a token that is good for the named scopes only; its secret is in this answer and nowhere else."""
        return await self._client.call(MAKE_TOKEN, TokenMade, body=request, idempotency_key=idempotency_key)

    async def tokens(self) -> TokenList:
        """Return the tokens that were made, without their secrets."""
        return await self._client.call(LIST_TOKENS, TokenList)

    async def revoke_token(self, token: TokenId) -> TokenItem:
        """Revoke a token at once; asking twice has no further effect."""
        return await self._client.call(REVOKE_TOKEN, TokenItem, path={"token": ids.text(Kind.TOKEN, token)})

    async def desks(self) -> DeskPage:
        """Return the desks of the directory, as this connector verified it."""
        return await self._client.call(LIST_DESKS, DeskPage)

    async def quarantine(self, *, limit: int = 50, cursor: str | None = None) -> QuarantinePage:
        """Return a page of what the connector received and did not believe, newest first."""
        return await self._client.call(LIST_QUARANTINE, QuarantinePage, query=given(limit=limit, cursor=cursor))

    async def quarantined(self, number: int) -> bytes:
        """Return the bytes of an item of the quarantine, as they came."""
        return await self._client.call_bytes(READ_QUARANTINED, path={"number": str(number)})

    async def status(self) -> Status:
        """Return how the connector is: its hub, its directory, its queues."""
        return await self._client.call(GET_STATUS, Status)

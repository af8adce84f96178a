# SPDX-License-Identifier: Apache-2.0
"""The local interface: the agency's own systems and the command `throughcare` talk to the connector here (CON-6).

What the disk has damaged is told as this connector's fault, and no caller's (CON-28). It shows plaintext, so it
listens on the loopback interface only, wants a token that is good for what is asked (CON-14), answers to no other
host name, and lets no web page of another site change anything.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from connectors import bound
from connectors.attachments import Attachments
from connectors.cases.api import ThreadApi
from connectors.faults import DAMAGED, telling_damage
from connectors.handovers import Handovers
from connectors.logs import Log
from connectors.metrics import Metrics
from connectors.overview import Overview
from connectors.printing.prints import Prints
from connectors.timing import Clock
from connectors.tokens import Tokens, check_scope, desks_of
from protocol.errors import KeystoreError, NotAuthenticated, StoreDamaged
from protocol.http.call import Answer, Call, Handler
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.documents import CONNECTOR_TITLE, document_handlers
from protocol.http.handovers import (
    AttachmentChoice,
    AttachmentPath,
    AttachmentToStore,
    HandoverChoice,
    HandoverFilter,
    HandoverPath,
    HandoverRequest,
    Page,
)
from protocol.http.operation import HOW_TO_CALL, Method, Operation
from protocol.http.schema_operations import get_schema, list_schemas
from protocol.http.serving import LOCAL_HOSTS, Exchange, ReadBody, Serving, bind_all
from protocol.http.standing import QuarantinePath

_BEARER: Final = "Bearer "


class Api:
    """One handler for each operation: parse, one service call, answer."""

    def __init__(
        self,
        handovers: Handovers,
        attachments: Attachments,
        threads: ThreadApi,
        overview: Overview,
        metrics: Metrics,
        tokens: Tokens,
        prints: Prints,
    ) -> None:
        """Take the services to call; `metrics` is also told of every finished exchange, `tokens` asked who calls."""
        self.metrics = metrics
        self.tokens = tokens
        self._attachments = attachments
        self._handovers = handovers
        self._threads = threads
        self._overview = overview
        self._prints = prints

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {name: _tells_damage(handler) for name, handler in self._handlers().items()}

    def _handlers(self) -> Mapping[str, Handler[str]]:
        return {
            "sendHandover": self.send_handover,
            "listHandovers": self.list_handovers,
            "getHandover": self.get_handover,
            "storeAttachment": self.store_attachment,
            "readAttachment": self.read_attachment,
            "listDesks": self.list_desks,
            "listQuarantine": self.list_quarantine,
            "readQuarantined": self.read_quarantined,
            "getStatus": self.get_status,
            "getMetrics": self.get_metrics,
            **self._threads.by_operation(),
            **self._prints.by_operation(),
            **self.tokens.by_operation(),
            "listSchemas": list_schemas,
            "getSchema": get_schema,
            **document_handlers(CONNECTOR_OPERATIONS, title=CONNECTOR_TITLE),
        }

    async def send_handover(self, call: Call[str]) -> Answer:
        """Store a handover durably; it is sent as soon as the hub can be reached."""
        asked, desks = call.body(HandoverRequest), desks_of(call.caller)
        queued = await self._handovers.send(asked, key=call.idempotency_key, body=call.raw, desks=desks)
        headers = {"Idempotent-Replayed": "true"} if queued.replayed else {}
        return Answer(queued.answer, headers=headers)

    async def list_handovers(self, call: Call[str]) -> Answer:
        """List handovers sent and received."""
        return Answer(await self._handovers.list(call.query(HandoverFilter), desks=desks_of(call.caller)))

    async def get_handover(self, call: Call[str]) -> Answer:
        """Show one handover with what this agency may see of it."""
        choice = call.query(HandoverChoice)
        view = await self._handovers.show(
            call.path(HandoverPath).id,
            sender=choice.sender,
            direction=choice.direction,
            recipient=choice.recipient,
            desks=desks_of(call.caller),
        )
        return Answer(view)

    async def store_attachment(self, call: Call[str]) -> Answer:
        """Seal and store an attachment as it comes."""
        what = call.query(AttachmentToStore)
        added = await self._attachments.add(
            call.pieces,
            name=what.name,
            media_type=what.media_type,
            place=what.place,
            key=call.idempotency_key,
            desks=desks_of(call.caller),
        )
        return Answer(added.answer, headers={"Idempotent-Replayed": "true"} if added.replayed else {})

    async def read_attachment(self, call: Call[str]) -> Answer:
        """Give out an attachment that came, after checking it whole (ATT-2)."""
        path = call.path(AttachmentPath)
        choice = call.query(AttachmentChoice)
        opened = await self._attachments.open(
            path.id,
            path.section,
            path.place,
            sender=choice.sender,
            recipient=choice.recipient,
            desks=desks_of(call.caller),
        )
        return Answer(opened.pieces, length=opened.size)

    async def list_desks(self, call: Call[str]) -> Answer:
        """List the desks of the directory."""
        return Answer(self._overview.desks())

    async def list_quarantine(self, call: Call[str]) -> Answer:
        """List what was not believed."""
        return Answer(await self._overview.quarantine(call.query(Page)))

    async def read_quarantined(self, call: Call[str]) -> Answer:
        """Give out the bytes of what was not believed."""
        return Answer(await self._overview.quarantined(call.path(QuarantinePath).number))

    async def get_metrics(self, call: Call[str]) -> Answer:
        """Give numbers for Prometheus."""
        return Answer(await self.metrics.text())

    async def get_status(self, call: Call[str]) -> Answer:
        """Say how the connector is."""
        return Answer(await self._overview.status())


def _tells_damage(handler: Handler[str]) -> Handler[str]:
    async def told(call: Call[str]) -> Answer:
        # Where somebody only reads, bytes of a wrong form are our own; a body may bring text that cannot be encoded.
        with telling_damage(*(DAMAGED if call.operation.method is Method.GET else (KeystoreError,))):
            return await handler(call)

    return told


def application(api: Api, token: str, clock: Clock, log: Log, *, host: str = "127.0.0.1") -> web.Application:
    """Return the local interface as an application; `token` is good for all of it, `host` the address it serves on."""

    async def authenticate(request: web.Request, operation: Operation, _: ReadBody) -> str:
        values = request.headers.getall("Authorization", [])
        if len(values) != 1 or not values[0].startswith(_BEARER):
            raise NotAuthenticated(HOW_TO_CALL)
        with telling_damage(*DAMAGED):
            holder = await api.tokens.holder(values[0].removeprefix(_BEARER), token)
        check_scope(holder, operation.scope)
        bound.check(holder.desks, operation.id)
        return holder

    def observe(exchange: Exchange) -> None:
        api.metrics.observe(exchange)
        failed = exchange.failure is not None
        log.event(
            # Somebody has to look at the disk: it is the one line that tells of it (CON-28).
            "request-failed" if failed or exchange.code == StoreDamaged.code else "request",
            request_id=exchange.request_id,
            op=exchange.operation.id if exchange.operation else None,
            outcome=exchange.status,
            code=type(exchange.failure).__name__ if failed else exchange.code or None,
            duration_ms=round(exchange.duration_ms, 1),
        )

    app = web.Application()
    hosts = LOCAL_HOSTS | {f"[{host}]" if ":" in host else host}
    serving = Serving(clock=clock, hosts=hosts, refuse_foreign_pages=True, observe=observe)
    bind_all(app, CONNECTOR_OPERATIONS, api.by_operation(), authenticate, serving)
    return app

# SPDX-License-Identifier: Apache-2.0
"""One handler for each operation: parse, one service call, answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from hub.service.directory import DirectoryLog
from hub.service.enrolment import Enrolments
from hub.service.mailbox import Mailboxes
from hub.service.submission import Submissions
from hub.web.authentication import Authenticator
from hub.web.handouts import Handouts
from hub.web.refusals import refusal
from protocol.clockwatch import Clock
from protocol.errors import ThroughcareError
from protocol.frames import MAX_BATCH_BODY, Accepted, Refused, encode_page, encode_results
from protocol.http import hub as api
from protocol.http.call import Answer, Call, Handler
from protocol.http.documents import HUB_TITLE, document_handlers
from protocol.ids import KeyId
from protocol.limits import MAX_BATCH, MAX_ENVELOPE, MAX_SOCKET_ENVELOPE, PROTOCOL

DeviceCall = Call[KeyId]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the hub says of itself."""

    domain: str
    root_fingerprint: bytes
    directory: api.LogIdentity
    audit: api.LogIdentity


@dataclass(frozen=True, slots=True)
class Handlers:
    """The hub's handlers with the services that they call."""

    identity: Identity
    directory: DirectoryLog
    enrolments: Enrolments
    submissions: Submissions
    mailboxes: Mailboxes
    authenticator: Authenticator
    handouts: Handouts
    clock: Clock

    def by_operation(self) -> Mapping[str, Handler[KeyId]]:
        """Return the handler of each operation, by its id."""
        return {
            "getHub": self.get_hub,
            "getDirectoryHead": self.get_head,
            "listDirectoryStatements": self.list_statements,
            "submitStatement": self.submit_statement,
            "registerCode": self.register_code,
            "redeemCode": self.redeem_code,
            "getKeyRequest": self.get_key_request,
            "submitEnvelope": self.submit_envelope,
            "submitBatch": self.submit_batch,
            "readMailbox": self.read_mailbox,
            "acknowledge": self.acknowledge,
            **document_handlers(api.HUB_OPERATIONS, title=HUB_TITLE),
        }

    async def get_hub(self, _call: DeviceCall) -> Answer:
        """Say which hub this is."""
        limits = api.HubLimits(
            envelope_bytes=MAX_ENVELOPE,
            socket_envelope_bytes=MAX_SOCKET_ENVELOPE,
            batch_envelopes=MAX_BATCH,
            batch_bytes=MAX_BATCH_BODY,
            mailbox_wait_s=api.MAX_WAIT_S,
        )
        return Answer(
            api.HubInfo(
                domain=self.identity.domain,
                protocol=PROTOCOL,
                server_time=self.clock(),
                root_fingerprint=self.identity.root_fingerprint,
                directory=self.identity.directory,
                audit=self.identity.audit,
                limits=limits,
                kept_statements=[one.subject.directory.size for one in self.directory.directory.restorations],
            )
        )

    async def get_head(self, _call: DeviceCall) -> Answer:
        """Give the newest head of the directory (DIR-10)."""
        return Answer(api.DirectoryHead(head=await self.directory.head()))

    async def list_statements(self, call: DeviceCall) -> Answer:
        """Give a page of the directory."""
        asked = call.query(api.StatementRange)
        async with self.handouts.turn:
            most = self.handouts.page(api.STATEMENT_PAGE)
            items, following = await self.directory.statements(asked.from_index, asked.limit, most)
        return Answer(api.StatementPage(items=items, next_index=following))

    async def submit_statement(self, call: DeviceCall) -> Answer:
        """Append a statement to the directory."""
        index = await self.directory.append(call.body(api.StatementSubmission).statement)
        return Answer(api.StatementAccepted(index=index))

    async def register_code(self, call: DeviceCall) -> Answer:
        """Register an enrolment code (ENR-2)."""
        code_id = await self.enrolments.register(call.body(api.CodeRegistrationBody).registration)
        return Answer(api.CodeRegistered(code_id=code_id))

    async def redeem_code(self, call: DeviceCall) -> Answer:
        """Take the key request of a code (ENR-2, ENR-3, ENR-6)."""
        body = call.body(api.CodeRedemption)
        await self.enrolments.redeem(body.code_id, body.request, body.mac, body.proof)
        return Answer()

    async def get_key_request(self, call: DeviceCall) -> Answer:
        """Give the key request of a code."""
        found = await self.enrolments.request_of(call.path(api.CodePath).code_id)
        return Answer(api.KeyRequestView(request=found.request, mac=found.mac, received_at=found.received_at))

    async def submit_envelope(self, call: DeviceCall) -> Answer:
        """Accept one envelope (HTTP-5)."""
        return Answer(await self.submissions.submit(call.caller, call.raw))

    async def submit_batch(self, call: DeviceCall) -> Answer:
        """Accept several envelopes, each for itself (HTTP-6)."""
        answers = [self.submissions.submit(call.caller, data) for data in self.submissions.batch(call.caller, call.raw)]
        outcomes = enumerate(await asyncio.gather(*answers, return_exceptions=True))
        return Answer(encode_results([_result(place, outcome) for place, outcome in outcomes]))

    async def read_mailbox(self, call: DeviceCall) -> Answer:
        """Give items of the caller's own mailbox (HTTP-7, HTTP-8)."""
        asked = call.query(api.MailboxPosition)
        in_force = self.authenticator.in_force
        items = await self.mailboxes.wait(call.caller, asked.cursor, asked.limit, asked.wait, in_force=in_force)
        # A device that was revoked while it waited gets nothing any more (HTTP-12).
        in_force(call.caller)
        return Answer(encode_page(items[-1].index + 1 if items else asked.cursor, items))

    async def acknowledge(self, call: DeviceCall) -> Answer:
        """Delete what the caller has stored (HTTP-7)."""
        await self.mailboxes.acknowledge(call.caller, call.body(api.Acknowledgement).up_to)
        return Answer()


def _result(place: int, outcome: bytes | BaseException) -> Accepted | Refused:
    """Return the answer to one envelope of a batch; an error that nobody foresaw is raised."""
    if isinstance(outcome, bytes):
        return Accepted(place, outcome)
    if isinstance(outcome, ThroughcareError):
        return refusal(place, outcome)
    raise outcome

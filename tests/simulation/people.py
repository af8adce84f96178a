# SPDX-License-Identifier: Apache-2.0
"""What people at agencies do all day: hand over, with attachments, to whom they please, again in the same thread.

They keep a ledger of their own of what the connector has acknowledged to them; the oracle believes that, and nobody
else.
"""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from connectors.composition import compose
from connectors.handover_form import HandoverComposer
from connectors.store import outgoing
from protocol.address import DeskAddress
from protocol.bodies.person import Person
from protocol.clearance import Basis, Category, DeskFunction, Purpose
from protocol.handover import PackageSection
from protocol.http.handovers import HandoverRequest, NamedAttachment
from protocol.ids import MessageId, ThreadId, new_id
from tests.connectors.stations import package, risk_section
from tests.simulation.agencymachine import AgencyMachine
from tests.simulation.machines import MARK
from tests.simulation.world import World


@dataclass
class Sent:
    """One handover that a connector has acknowledged to its caller."""

    message_id: MessageId
    thread: ThreadId
    sender: AgencyMachine
    desks: tuple[DeskAddress, ...]
    phrase: str
    attachment: bytes | None
    at: int

    @property
    def lost(self) -> bool:
        """Whether the sender's machine was lost before it was in a backup."""
        return any(begin <= self.at <= end for begin, end in self.sender.lost_own_after)


@dataclass
class _Wish:
    """What somebody wants to send, until it is acknowledged: the same request under the same key."""

    sender: AgencyMachine
    phrase: str
    to: list[DeskAddress]
    attachment: bytes | None
    key: str
    request: HandoverRequest | None = None
    tries: int = 0


@dataclass
class People:
    """All who use the connectors."""

    world: World
    ledger: list[Sent] = field(default_factory=list)
    _wishes: list[_Wish] = field(default_factory=list)
    _count: int = 0

    def wish(self) -> None:
        """Think of something to send."""
        chance = self.world.chance
        sender = chance.choice(self.world.agencies)
        others = [agency.desk for agency in self.world.agencies if agency is not sender]
        to = chance.sample(others, chance.randint(1, len(others)))
        self._count += 1
        phrase = f"{MARK}-{self._count}"
        scan = f"{phrase} ".encode() * chance.randint(1, 3_000) if chance.random() < 0.2 else None
        self._wishes.append(_Wish(sender, phrase, to, scan, secrets.token_urlsafe(24)))

    async def work(self) -> None:
        """Try to send all that is wished for; what fails is tried again, a few times."""
        wishes, self._wishes = self._wishes, []
        for wish in wishes:
            if wish.sender.life is None or not await self._try(wish):
                wish.tries += 1
                if wish.tries < 5:
                    self._wishes.append(wish)
        if self.ledger and self.world.chance.random() < 0.25:
            await self._follow_up(self.world.chance.choice(self.ledger))

    async def _try(self, wish: _Wish) -> bool:
        life = wish.sender.life
        assert life is not None
        try:
            if wish.request is None:
                wish.request = await self._request(wish)
            body = wish.request.model_dump_json().encode()
            answer = (await life.parts.handovers.send(wish.request, key=wish.key, body=body)).answer
        except Exception as error:  # noqa: BLE001 - a caller sees no more than that it failed
            wish.sender.note(f"does not take {wish.phrase}: {type(error).__name__}")
            return False
        self._acknowledged(wish.sender, life, answer.id, answer.thread, wish.to, wish.phrase, wish.attachment)
        return True

    async def _request(self, wish: _Wish) -> HandoverRequest:
        assert wish.sender.life is not None
        named = []
        if wish.attachment is not None:
            added = await wish.sender.life.parts.attachments.add(
                _pieces(wish.attachment), name="scan.pdf", media_type="application/pdf", place=0
            )
            named.append(NamedAttachment(id=added.answer.id, section=1))
        return HandoverRequest(to=wish.to, package=package(_identity(wish.phrase), risk_section()), attachments=named)

    async def speak_once_more(self) -> bool:
        """Send another message in every thread of those whose machine was ever lost; tell whether there are any."""
        threads = {sent.thread: sent for sent in self.ledger if sent.sender.lost_own_after and not sent.lost}
        for sent in threads.values():
            await self._follow_up(sent)
        return bool(threads)

    async def _follow_up(self, before: Sent) -> None:
        """Send another message in a thread: what later kinds of messages will do all the time."""
        sender, life = before.sender, before.sender.life
        if life is None or before.lost:
            return
        message_id = MessageId(new_id())
        functions = {agency.desk: agency.function for agency in self.world.agencies if agency.desk in before.desks}
        try:
            async with life.parts.store.write() as tx:
                first = await outgoing.load(tx, before.message_id)
                now = sender.clock()
                message = replace(
                    first,
                    message_id=message_id,
                    created_at=now,
                    deadline=now + first.deadline - first.created_at,
                    attachments=(),
                )
                await outgoing.add(tx, message, compose(HandoverComposer(), message, functions).plans)
        except Exception as error:  # noqa: BLE001 - as above
            sender.note(f"does not take more in the thread of {before.phrase}: {type(error).__name__}")
            return
        life.parts.work.set()
        self._acknowledged(sender, life, message_id, before.thread, list(before.desks), before.phrase, None)

    def _acknowledged(
        self,
        sender: AgencyMachine,
        life: object,
        message_id: MessageId,
        thread: ThreadId,
        to: list[DeskAddress],
        phrase: str,
        attachment: bytes | None,
    ) -> None:
        if sender.life is not life:
            # The machine died before the caller had the answer.
            return
        sender.note(f"takes {phrase} for {', '.join(sorted(to))}")
        now = self.world.nature.now()
        self.ledger.append(Sent(message_id, thread, sender, tuple(to), phrase, attachment, now))


def _identity(phrase: str) -> PackageSection:
    return PackageSection(
        category=Category.IDENTITY,
        purpose=Purpose.CONTINUITY_OF_CARE,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 1",
        functions=(DeskFunction.PRISON_RELEASE, DeskFunction.PROBATION_INTAKE, DeskFunction.SOCIAL_WORK),
        body=Person(family_name=phrase, given_names="Invented"),
    )


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data

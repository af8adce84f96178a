# SPDX-License-Identifier: Apache-2.0
"""A referral in bad weather: mail late and twice, programs that end anywhere, clocks that jump, a stranger who lies.

Hypothesis tells two real connectors at a real hub what to do, in any order, and a third that has no part in it. The hub
turns mail round and damages some, so that earlier steps are sealed anew after later ones. At the end all mail comes
through: then both sides tell the same history, in which each has its own steps in the order in which it made them,
whatever happened on the way, and nothing that the stranger sent has had an effect.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectors.cases.moving import Step
from connectors.cases.threads import history_of
from connectors.store import moves, outgoing, recipients, threads
from connectors.store.recipients import RecipientState
from connectors.store.sequences import Direction
from keys.opening import peek
from protocol.errors import IllegalTransition, InvalidInput, NotFound, PreconditionFailed
from protocol.ids import MessageId, ThreadId
from protocol.kinds.catalogue import kind_for
from protocol.lifecycle.ladder import ladder
from protocol.limits import HOUR
from protocol.rows import EnvelopeClass
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_referral import FIELDS, do, history, refer, row, settle
from tests.connectors.stations import Station, open_station, station
from tests.connectors.tampering import TAMPERINGS
from tests.hub.running import RunningHub
from tests.programme import make_programme

PRISON, CSW, STRANGER = "gora-prison", "polje-csw", "reka-probation"
SIDES = st.sampled_from([PRISON, CSW])
EVENTS = st.sampled_from(sorted(FIELDS))
SEALED_ANEW = 3
"""How often in one life something is sealed anew: after more the pauses would begin, and the end wait for them."""


class Weather(RuleBasedStateMachine):
    """What happens to one referral."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._open: dict[str, tuple[Station, AsyncExitStack]] = {}
        self._lies: set[MessageId] = set()
        self._anew = 0

    def at(self, name: str) -> Station:
        return self._open[name][0]

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    @initialize(priority=st.sampled_from(["emergency", "normal"]))
    def begin(self, priority: str) -> None:
        self.run(self._begin(priority))

    async def _begin(self, priority: str) -> None:
        folder, programme = Path(self._folder.name), make_programme()
        (folder / "hub").mkdir()
        self.hub = await self._stack.enter_async_context(RunningHub(folder / "hub", programme))
        for name in (PRISON, CSW, STRANGER):
            stack = AsyncExitStack()
            opened = await stack.enter_async_context(station(folder / name, self.hub, programme.members[name]))
            self._open[name] = opened, stack
        prison, csw = self.at(PRISON), self.at(CSW)
        self.thread = (await refer(prison, csw, priority=priority)).thread
        async with prison.parts.store.read() as tx:
            self.subject = (await threads.load(tx, self.thread)).subject

    @rule(name=SIDES, event=EVENTS)
    def somebody_makes_a_step(self, name: str, event: str) -> None:
        """It is made or refused; what is refused changes nothing."""
        self.run(self._step(name, event))

    async def _step(self, name: str, event: str) -> None:
        side = self.at(name)
        try:
            before = await row(side, self.thread)
        except NotFound:
            return
        try:
            moved = await do(side, self.thread, event)
        except (IllegalTransition, InvalidInput, PreconditionFailed):
            assert await row(side, self.thread) == before
        else:
            after = await row(side, self.thread)
            assert (after.state, after.version) == (moved.state, moved.version)
            assert after.version > before.version

    @rule(name=SIDES)
    def what_was_written_goes_out(self, name: str) -> None:
        self.run(self.at(name).seal_and_send())

    @rule(name=SIDES)
    def what_was_written_is_sealed(self, name: str) -> None:
        """It waits here, and is called back where its thread is withdrawn before it leaves (CON-22)."""
        self.run(self.at(name).parts.sealer.step())

    @rule(name=SIDES)
    def mail_is_taken(self, name: str) -> None:
        self.run(self.at(name).collect())

    @rule(name=SIDES)
    def mail_is_turned_round(self, name: str) -> None:
        """The hub delivers what it has in the reverse order."""
        self.run(self._turned_round(self.at(name)))

    async def _turned_round(self, side: Station) -> None:
        await side.take(tuple(reversed(await side.link.receive(await side.parts.inbox.cursor()))))

    @precondition(lambda self: self._anew < SEALED_ANEW)
    @rule(name=SIDES, place=st.integers(0, 3))
    def mail_is_damaged(self, name: str, place: int) -> None:
        """A bit flips in a message: it is reported, and sealed anew after what was said behind it."""
        self.run(self._damaged(self.at(name), place))

    async def _damaged(self, side: Station, place: int) -> None:
        items = list(await side.link.receive(await side.parts.inbox.cursor()))
        said = [number for number, item in enumerate(items) if not peek(item.data).klass.bare]
        if said:
            number = said[place % len(said)]
            items[number] = replace(items[number], data=TAMPERINGS["machine state flipped"](items[number].data))
            self._anew += 1
        await side.take(tuple(items))

    @precondition(lambda self: self._anew < SEALED_ANEW)
    @rule(name=SIDES)
    def nothing_is_heard_of_the_oldest(self, name: str) -> None:
        """The oldest message of which no answer has come is sealed anew; the first sealing arrives all the same."""
        self.run(self._unheard(self.at(name)))

    async def _unheard(self, side: Station) -> None:
        async with side.parts.store.write() as tx:
            for move in await moves.of(tx, self.thread):
                for row in await recipients.of(tx, move.message_id) if move.seq is not None else ():
                    if row.state is RecipientState.ACCEPTED:
                        await recipients.requeue(tx, row, now=self.hub.clock(), error="no-notice")
                        self._anew += 1
                        return

    @rule(name=SIDES, acknowledged=st.booleans())
    def mail_comes_twice(self, name: str, acknowledged: bool) -> None:
        """It is stored, the answer to the hub is lost, and it comes once more."""
        self.run(self._twice(self.at(name), acknowledged=acknowledged))

    async def _twice(self, side: Station, *, acknowledged: bool) -> None:
        items = await side.link.receive(await side.parts.inbox.cursor())
        if items:
            await side.parts.inbox.take(items)
            await side.parts.inbox.take(items[:1])
            if acknowledged:
                await side.take(items)

    @rule(name=SIDES)
    def a_program_ends_and_starts_anew(self, name: str) -> None:
        self.run(self._restart(name))

    async def _restart(self, name: str) -> None:
        before, stack = self._open[name]
        await stack.aclose()
        stack = AsyncExitStack()
        again = open_station(before.folder, before.member, before.installation, self.hub.clock)
        self._open[name] = await stack.enter_async_context(again), stack

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.run(self._pass(hours))

    async def _pass(self, hours: int) -> None:
        self.hub.clock.advance(hours * HOUR)
        for opened, _ in self._open.values():
            await opened.look()
        await fire(self.at(PRISON))

    @rule(name=SIDES, event=EVENTS)
    def a_stranger_lies(self, name: str, event: str) -> None:
        """A third agency knows the thread and its subject, and its connector sends a step in it all the same."""
        self.run(self._lie(name, event))

    async def _lie(self, name: str, event: str) -> None:
        stranger = self.at(STRANGER)
        kind = kind_for("referral", event)
        assert kind is not None
        composing = stranger.parts.moving._composing
        step = Step(event=event, fields=FIELDS[event])
        message = composing.message(kind, self.thread, stranger.desk, self.subject, step)
        async with stranger.parts.store.write() as tx:
            await outgoing.add(tx, message, composing.plans(message, [self.at(name).desk], ()))
        self._lies.add(message.message_id)
        await stranger.seal_and_send()

    @precondition(lambda self: self._open)
    @invariant()
    def each_sides_row_follows_from_its_moves(self) -> None:
        self.run(self._follows())

    async def _follows(self) -> None:
        for name in (PRISON, CSW):
            side = self.at(name)
            with suppress(NotFound):
                async with side.parts.store.read() as tx:
                    stored = await threads.load(tx, self.thread)
                    found = history_of(stored, await moves.of(tx, self.thread))
                assert stored.state == found.position.state
                assert not self._lies & {step.move.message_id for step in found.done}

    def teardown(self) -> None:
        try:
            if self._open:
                self.run(self._end())
        finally:
            self.run(self._close())
            self._runner.close()
            self._folder.cleanup()

    async def _end(self) -> None:
        """Let all mail come through; then there is one history."""
        prison, csw = self.at(PRISON), self.at(CSW)
        await settle(prison, csw)
        told = [await self._told(side) for side in (prison, csw)]
        assert told[0] == told[1]
        assert (await row(prison, self.thread)).state == (await row(csw, self.thread)).state
        for side in (prison, csw):
            async with side.parts.store.read() as tx:
                made = [one.message_id for one in await moves.of(tx, self.thread) if one.direction is Direction.OUT]
                made = [one for one in made if (await outgoing.load(tx, one)).klass is not EnvelopeClass.RECEIPT]
            assert [one[0] for one in told[0] if one[0] in set(made)] == made
        # What is due, and what is late, each computes from what it has, at the same time.
        for side in (prison, csw):
            await side.look()
            await fire(side)
        await settle(prison, csw)
        here, there = await row(prison, self.thread), await row(csw, self.thread)
        assert (here.state, here.due_at) == (there.state, there.due_at)
        assert (here.alert == "overdue") == (there.alert == "overdue") or "missed" in str(here.alert)
        rungs = [ladder(await history(side, self.thread)) for side in (prison, csw)]
        assert rungs[0] == rungs[1]
        # Who has no part in it holds nothing of it.
        async with self.at(STRANGER).parts.store.read() as tx:
            with pytest.raises(NotFound):
                await threads.load(tx, ThreadId(self.thread))

    async def _told(self, side: Station) -> list[tuple[object, ...]]:
        """Return the history as a side has it, without what the stranger sent to this side alone."""
        return [
            (step.move.message_id, step.move.index, step.move.actor, step.refused)
            for step in (await history(side, self.thread)).steps
            if step.move.message_id not in self._lies
        ]

    async def _close(self) -> None:
        for _, stack in self._open.values():
            await stack.aclose()
        await self._stack.aclose()


@pytest.mark.parametrize("examples", [2, pytest.param(60, marks=pytest.mark.full)])
def test_lif_4_whatever_happens_on_the_way_both_sides_tell_one_history_and_no_stranger_is_in_it(examples: int) -> None:
    # Each example takes a second, so none is made smaller: what failed is printed as it was.
    steps = settings(max_examples=examples, stateful_step_count=20, deadline=None, phases=[Phase.generate])
    run_state_machine_as_test(Weather, settings=steps)

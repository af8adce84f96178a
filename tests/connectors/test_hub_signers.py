# SPDX-License-Identifier: Apache-2.0
"""Somebody was exchanged at the authority: a hub that is restored to before that gives no former key its power back."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import fork
from connectors.enrolment.pins import Pins, replay
from connectors.hub_client import HubClient
from connectors.hub_restored import agreed
from connectors.hub_signers import Signing
from connectors.installation import PREKEY_PURPOSE, prekey_name
from hub.service.restorerequest import read_request
from keys.signing import sign_statement
from protocol.enrolment import LogAnchor
from protocol.errors import DirectoryInconsistent, UntrustedKey
from protocol.http.handovers import MessageState
from protocol.http.hub import StatementAccepted, StatementSubmission
from protocol.limits import DAY, HOUR
from protocol.receipts import parse_head
from protocol.statements import Body, Root
from tests.connectors.exchanges import authority, exchange, ghost, restoration
from tests.connectors.lyinghub import STATEMENTS
from tests.connectors.restoredhub import LATER, Story, settle, shown, story
from tests.connectors.stations import package, person_section
from tests.hub.backups import back_up, restore_at, resume_at
from tests.hub.running import KEYS
from tests.keys.world import identity
from tests.programme import NOW, make_programme

__all__ = ["story"]

pytestmark = pytest.mark.usefixtures("quick_keys", "databases_in_the_loop")


async def test_gen_9_with_a_former_approver_no_hub_goes_back_behind_the_exchange(story: Story) -> None:
    """It was exchanged for being in strange hands; with it, one more key and a hub the stranger would make agencies."""
    programme = story.programme
    first, leaver, _ = programme.approvers
    kept = programme.directory.size
    exchange(programme, 1)
    forged = [restoration(programme, kept, [first, leaver]), ghost(programme, [first, leaver])]
    async with story.lied_to() as (prison, liar):
        sync, before = prison.parts.directory, prison.parts.directory.directory.root
        shown(story, kept, forged, [kept])(liar)
        for _ in range(2):
            with pytest.raises(DirectoryInconsistent, match="brought back first"):
                await sync.sync()
        assert (sync.directory.root, sync.directory.generation) == (before, 0)
        with pytest.raises(DirectoryInconsistent):
            sync.check_sealing()
        async with prison.parts.store.read() as tx:
            (one,) = await fork.evidence(tx)
        assert parse_head(one.signed).head.origin == "hub.example/directory/1"
        liar.bends.clear()
        await sync.sync()
        assert not sync.check_sealing()


async def test_gen_9_who_signs_before_and_after_restores_it_once_the_exchange_is_there_again(story: Story) -> None:
    programme = story.programme
    stays = [programme.approvers[0], programme.approvers[2]]
    kept = programme.directory.size
    exchanged = exchange(programme, 1)
    restored = restoration(programme, kept, stays)
    async with story.lied_to() as (prison, liar):
        sync = prison.parts.directory
        shown(story, kept, [restored], [kept])(liar)
        # The hub says that it has taken the exchange back, and does not show it.
        liar.swallow[STATEMENTS] = StatementAccepted(index=kept + 1).model_dump_json().encode()
        with pytest.raises(DirectoryInconsistent, match="does not show what it was given back"):
            await sync.sync()
        posted = [StatementSubmission.model_validate_json(raw).statement for raw in liar.paths(STATEMENTS) if raw]
        assert posted == [exchanged, exchanged]
        assert sync.directory.generation == 0
        shown(story, kept, [restored, exchanged], [kept])(liar)
        await sync.sync()
        assert (sync.directory.generation, sync.directory.size) == (1, kept + 2)
        assert not sync.check_sealing()
        newest = sync.directory.authority(programme.domain)
        assert newest is not None
        assert newest.identities[1] == identity("newcomer 1").public


async def test_gen_9_a_root_that_the_hub_refuses_to_take_back_is_not_let_go_of(story: Story) -> None:
    """A person of the root was exchanged; the restored hub has another next version, by who could sign it before."""
    programme = story.programme
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        await back_up(hub, story.file)
        kept = programme.directory.size
        comes = [*programme.root_persons[:2], identity("newcomer to the root")]
        said = Root(2, 2, tuple(one.public for one in comes), "Demo programme")
        programme.state(said, comes, age=0)
        await hub.catch_up()
        prison, office, _ = await story.stations(stack, hub.url)
        await prison.look()
    await story.restore()
    assert programme.directory.size == kept + 1
    stranger = identity("a stranger to the root")
    other = Root(2, 2, tuple(one.public for one in (*programme.root_persons[1:], stranger)), "Demo programme")
    programme.state(other, programme.root_persons[1:], age=0)
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        await hub.catch_up()
        prison, office, _ = await story.stations(stack, hub.url)
        with pytest.raises(DirectoryInconsistent, match="refuses to take back who signs"):
            await prison.parts.directory.sync()
        sync = prison.parts.directory
        assert sync.directory.generation == 0
        newest = sync.directory.newest_root()
        assert newest is not None
        assert newest.identities == said.identities
        with pytest.raises(DirectoryInconsistent):
            sync.check_sealing()
        await office.parts.directory.sync()
        assert office.parts.directory.directory.generation == 1, "who never saw it cannot know"


async def test_gen_9_an_exchange_comes_back_to_a_restored_hub_before_anybody_lets_go_of_it(story: Story) -> None:
    programme = story.programme
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        await back_up(hub, story.file)
        exchanged = exchange(programme, 1)
        await hub.catch_up()
        prison, *_ = await story.stations(stack, hub.url)
        await prison.look()
    story.clock.now = LATER
    new = story.folder / "new"
    standing = await restore_at(new, programme, story.file, now=LATER)
    kept = standing.found.directory.size
    body = Body(NOW, NOW - HOUR, NOW + DAY, read_request(new).subject())
    raw = sign_statement(body, [programme.approvers[0], programme.approvers[2]])
    await resume_at(new, programme, now=LATER, statement=raw)
    programme.lose(kept, raw)
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        prison, *_ = await story.stations(stack, hub.url)
        await prison.parts.directory.sync()
        assert hub.hub.directory.directory.index_of(exchanged) == kept + 1
        assert prison.parts.directory.directory.root == hub.hub.directory.directory.root
        assert not prison.parts.directory.check_sealing()
        with pytest.raises(UntrustedKey):
            await hub.hub.directory.append(ghost(programme, programme.approvers[:2]))
        anchor = LogAnchor("hub.example/directory", KEYS.directory.public, 0)
        pins = Pins("hub.example", programme.fingerprint, anchor, anchor)
        found = await replay(HubClient(hub.session, hub.url, story.clock), pins)
        assert found.root == hub.hub.directory.directory.root


async def test_gen_10_mail_and_statements_that_stood_where_the_exchange_is_brought_back_are_lost_to_nobody(
    story: Story,
) -> None:
    """Who was exchanged is brought back in the place of another statement, which its holder brings back too."""
    programme = story.programme
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office, csw)
        await back_up(hub, story.file)
        kept = programme.directory.size
        prekey = programme.add_prekey(csw.member, epoch=2)
        csw.installation.keystore.put(prekey_name(2), PREKEY_PURPOSE, csw.member.prekeys[csw.member.device_id, 2].seed)
        await hub.catch_up()
        await office.look()
        unsent = (await office.compose(csw.desk, content=package(person_section()))).id
        await office.parts.sealer.step()
        exchanged = exchange(programme, 1)
        await hub.catch_up()
        for one in (prison, office):
            await one.look()
    story.clock.now = LATER
    stated, new = story.folder / "authority.statement", story.folder / "new"
    stated.write_bytes(exchanged)
    await restore_at(new, programme, story.file, now=LATER, stated=[stated])
    body = Body(NOW, NOW - HOUR, NOW + DAY, read_request(new).subject())
    raw = sign_statement(body, [programme.approvers[0], identity("newcomer 1")])
    await resume_at(new, programme, now=LATER, statement=raw)
    programme.statements = [*programme.statements[:kept], exchanged, raw]
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office, csw)
        await settle(prison, office, csw)
        directory = hub.hub.directory.directory
        assert [directory.index_of(one) for one in (exchanged, raw, prekey)] == [kept, kept + 1, kept + 2]
        for one in (prison, office, csw):
            assert one.parts.directory.directory.root == directory.root
            assert one.parts.directory.standing().error is None
            assert await one.quarantined() == []
        assert set((await office.states(unsent)).values()) == {MessageState.OPENED}


class Shown:
    """Statements as a hub shows them, some at a time."""

    def __init__(self, statements: list[bytes]) -> None:
        self.statements = statements
        self.asked = 0

    async def directory_statements(self, from_index: int) -> list[bytes]:
        self.asked += 1
        return self.statements[from_index : from_index + 3]


PROGRAMME = make_programme()
OF_ROOT = [exchange(PROGRAMME.copy(), place) for place in (0, 1, 2)]


@given(st.integers(2, 14), st.integers(0, 3), st.integers(0, 5))
def test_gen_10_a_connector_goes_back_to_where_nothing_but_the_roots_statements_stand_in_the_place_of_others(
    same: int, brought: int, here: int
) -> None:
    """Whatever a hub shows there of the root, no statement that is here too is given up for it."""
    held = [*PROGRAMME.statements[:same], *(b"other %d" % number for number in range(here))]
    shown_there = Shown([*PROGRAMME.statements[:same], *OF_ROOT[:brought], b"restoration"])
    kept = min(same + brought, len(held))
    assert asyncio.run(agreed(shown_there, held, kept)) == same
    assert shown_there.asked == kept - same + 1


@given(st.sets(st.integers(0, 2)), st.sets(st.integers(0, 2), min_size=2), st.booleans(), st.booleans(), st.booleans())
def test_gen_9_so_many_who_sign_after_what_is_lost_must_have_signed(
    left: set[int], signed: set[int], brought: bool, newer: bool, other_root: bool
) -> None:
    """Whatever was exchanged and whoever signs: followed if enough stay, or if the exchange or a newer one was kept."""
    programme = make_programme()
    programme.now += 2
    knows, people = programme.copy(), list(programme.approvers)
    exchanged = exchange(knows, *left)
    if other_root:
        persons = tuple(one.public for one in knows.root_persons)
        knows.state(Root(2, 2, persons, "Demo programme"), knows.root_persons[:2], age=0)
    held = Signing.of(knows.directory)
    assert held is not None
    if brought:
        programme.add(exchanged)
        people = [identity(f"newcomer {place}") if place in left else one for place, one in enumerate(people)]
    if newer:
        programme.now += 1
        programme.state(authority(programme, people), programme.root_persons[:2], age=0)
    signers = [people[place] for place in sorted(signed)]
    programme.add(restoration(programme, programme.directory.size, signers))
    present = held.approvers.people
    follows = len({one.key_id for one in signers} & present) >= 2 or ((brought or newer) and not other_root)
    if follows:
        held.check(programme.directory, 0)
    else:
        with pytest.raises(DirectoryInconsistent):
            held.check(programme.directory, 0)
    held.check(programme.directory, 1)

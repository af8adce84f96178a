# SPDX-License-Identifier: Apache-2.0
"""A hub comes back from a backup: connectors follow it by its authority's word, and nothing accepted is lost."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from connectors.enrolment.pins import Pins, replay
from connectors.hub_client import HubClient
from connectors.installation import PREKEY_PURPOSE, prekey_name
from connectors.store import attempts, incoming
from connectors.store.incoming import IncomingState
from connectors.witnessing import write_witness
from keys.signing import sign_head, sign_statement
from keys.xwing import XWingSecret
from protocol.enrolment import LogAnchor
from protocol.errors import DirectoryInconsistent
from protocol.http.handovers import MessageState
from protocol.ids import MessageId, OfficerId
from protocol.limits import DAY, HOUR
from protocol.receipts import Head, parse_head
from protocol.restoration import Kept, Restoration
from protocol.sections import ActorKind
from protocol.statements import Body, Delegation, Prekey, Revocation, parse_statement
from protocol.tree import EMPTY_ROOT, CompactRange, leaf_hash
from tests.connectors.lyinghub import HEAD, LyingHub, bend_head
from tests.connectors.restoredhub import LATER, Story, settle, shown, story
from tests.connectors.stations import Station, package, person_section
from tests.hub.backups import back_up
from tests.hub.running import KEYS
from tests.keys.world import seed
from tests.programme import NOW

__all__ = ["story"]

pytestmark = pytest.mark.usefixtures("quick_keys", "databases_in_the_loop")


async def opened_at(station: Station, message: MessageId) -> set[MessageState]:
    return set((await station.states(message)).values())


async def test_gen_4_all_that_was_accepted_arrives_once_and_the_directory_is_whole_again(story: Story) -> None:
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office, csw)
        done = await prison.send(office.desk)
        await settle(prison, office)
        waiting = await prison.send(office.desk)
        await back_up(hub, story.file)
        # All of this is in no backup.
        await office.collect()
        lost = [await prison.send(office.desk, csw.desk, content=package(person_section())) for _ in range(2)]
        await csw.turn()
        unsent = (await office.compose(csw.desk, content=package(person_section()))).id
        await office.parts.sealer.step()
        story.programme.add_prekey(csw.member, epoch=2)
        officer = Delegation(csw.member.address, OfficerId(bytes(16)), ActorKind.SERVICE, "night shift", ("intake",))
        digest = parse_statement(story.programme.state(officer, [csw.member.identity])).digest
        story.programme.state(Revocation(digest, "ended"), [csw.member.identity])
        await hub.catch_up()
        await csw.look()
        whole = set(story.programme.statements)
        counted = await prison.send(csw.desk, content=package(person_section()))
    assert await story.restore() == 3
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office, csw)
        await settle(prison, office, csw)
        directory = hub.hub.directory.directory
        # Whoever held what the hub had lost has handed it back, revocation included.
        held = {raw for raw in whole if directory.index_of(raw) is not None}
        assert held == whole
        for one in (prison, office, csw):
            assert one.parts.directory.directory.root == directory.root
            assert one.parts.directory.standing().error is None
            assert await one.quarantined() == []
        for message in (done, waiting, *lost, counted):
            assert await opened_at(prison, message) == {MessageState.OPENED}
        assert await opened_at(office, unsent) == {MessageState.OPENED}
        async with csw.parts.store.read() as tx:
            assert (await incoming.counts(tx))[IncomingState.DELIVERED] == 4
        async with office.parts.store.read() as tx:
            assert (await incoming.counts(tx))[IncomingState.DELIVERED] == 4
        # The old receipts stay as evidence of what was accepted.
        async with prison.parts.store.read() as tx:
            assert len([raw async for raw in attempts.receipts(tx)]) >= 6


async def test_gen_5_with_a_witness_nothing_of_the_directory_has_to_be_handed_back(story: Story) -> None:
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office)
        await back_up(hub, story.file)
        story.programme.add_prekey(csw.member, epoch=2)
        seed = csw.member.prekeys[csw.member.device_id, 2].seed
        csw.installation.keystore.put(prekey_name(2), PREKEY_PURPOSE, seed)
        await hub.catch_up()
        await csw.look()
        message = await prison.send(office.desk)
        path = story.folder / "csw.witness"
        assert await write_witness(csw.folder, csw.installation, path) == (15, 0)
        assert await write_witness(prison.folder, prison.installation, story.folder / "prison.witness") == (14, 1)
    assert await story.restore(path, story.folder / "prison.witness") == 0
    assert story.programme.directory.restorations[0].subject.audit.known_size == 1
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        prison, office, csw = await story.stations(stack, hub.url)
        await settle(prison, office, csw)
        assert hub.hub.directory.directory.size == 16
        assert await opened_at(prison, message) == {MessageState.OPENED}


async def test_gen_4_who_enrolled_last_hands_back_what_its_pin_counts_and_follows_then(story: Story) -> None:
    """It alone holds the statements that the restore lost, its own among them, and its pin counts them (ENR-1)."""
    async with story.hub("old") as hub, AsyncExitStack() as stack:
        await back_up(hub, story.file)
        for name in ("reka-probation", "polje-csw"):
            story.programme.add_prekey(story.programme.members[name], epoch=2)
        await hub.catch_up()
        prison, *_ = await story.stations(stack, hub.url)
        await prison.parts.directory.sync()
        pinned = prison.parts.directory.directory.size
    lost = story.programme.statements[-2:]
    assert await story.restore() == len(lost)
    async with story.hub("new") as hub, AsyncExitStack() as stack:
        prison, office, _ = await story.stations(stack, hub.url)
        for one in (prison, office):
            one.parts.directory._pinned = replace(one.parts.directory._pinned, minimum_size=pinned)
        with pytest.raises(DirectoryInconsistent, match="older directory"):
            # Of one that holds nothing beyond it the hub may be showing an old restore.
            await office.parts.directory.sync()
        assert await prison.parts.directory.sync() == 1 + len(lost), "handed back, and looked for again"
        directory = prison.parts.directory.directory
        assert (directory.generation, directory.size) == (1, pinned + 1)
        assert all(directory.index_of(raw) is not None for raw in lost)
        assert not prison.parts.directory.check_sealing()
        await office.parts.directory.sync()


async def test_gen_4_a_newcomer_replays_a_directory_of_two_generations(story: Story) -> None:
    async with story.hub("old") as hub:
        await back_up(hub, story.file)
        story.programme.add_prekey(story.programme.members["polje-csw"], epoch=2)
        await hub.catch_up()
    await story.restore()
    async with story.hub("new") as hub:
        client = HubClient(hub.session, hub.url, story.clock)
        for minimum in (0, 14, 15):
            anchor = LogAnchor("hub.example/directory", KEYS.directory.public, minimum)
            pins = Pins("hub.example", story.programme.fingerprint, anchor, anchor)
            assert (await replay(client, pins)).generation == 1
        anchor = LogAnchor("hub.example/directory", KEYS.directory.public, 17)
        pins = Pins("hub.example", story.programme.fingerprint, anchor, anchor)
        with pytest.raises(DirectoryInconsistent, match="older directory"):
            await replay(client, pins)


def restoration(story: Story, *, size: int, approvers: int = 2, before: list[bytes] | None = None) -> bytes:
    """Return a restoration that keeps `size` statements, the last of them being `before` instead of the real ones."""
    tree = CompactRange()
    for raw in [*story.programme.statements[: size - len(before or [])], *(before or [])]:
        tree.append(leaf_hash(raw))
    kept = Kept(size, tree.root, size, tree.root)
    subject = Restoration("hub.example", 1, kept, Kept(0, EMPTY_ROOT, 0, EMPTY_ROOT))
    return sign_statement(Body(NOW, NOW - HOUR, NOW + DAY, subject), story.programme.approvers[:approvers])


async def refuse(story: Story, lie: Callable[[LyingHub], None], told: str) -> None:
    """Show that a connector that knows the real directory refuses what the hub shows, and seals nothing."""
    async with story.lied_to() as (prison, liar):
        before = prison.parts.directory.directory.root
        lie(liar)
        with pytest.raises(DirectoryInconsistent, match=told):
            await prison.parts.directory.sync()
        assert prison.parts.directory.directory.root == before
        with pytest.raises(DirectoryInconsistent):
            prison.parts.directory.check_sealing()
        # What it held stays stored, and it goes on with an honest hub.
        liar.bends.clear()
        await prison.parts.directory.sync()
        assert not prison.parts.directory.check_sealing()


async def test_gen_4_a_hub_that_restored_itself_without_its_authority_is_refused(story: Story) -> None:
    await refuse(story, shown(story, 12, [], [12]), "without its authority")
    await refuse(story, shown(story, 12, [], []), "does not speak of")
    one = restoration(story, size=12, approvers=1)
    await refuse(story, shown(story, 12, [one], [12]), "Too few")


async def test_gen_4_a_hub_cannot_leave_out_what_its_authority_says_was_kept(story: Story) -> None:
    # The authority kept 14; the hub shows 12 and forgets what a revocation, say, stood in.
    await refuse(story, shown(story, 12, [restoration(story, size=14)], [12]), "other than this one")
    # Nor may it put another statement, right by itself, in the place of one that is held here.
    device = story.programme.members["gora-prison"].device
    prekey = Prekey(device.key_id, 2, XWingSecret(seed("another prekey")).public)
    extra = sign_statement(Body(NOW - HOUR, NOW - HOUR, NOW + DAY, prekey), [device])
    after = restoration(story, size=13, before=[extra])
    await refuse(story, shown(story, 12, [extra, after], [12]), "left out statements")


async def test_gen_4_a_hub_that_is_shown_as_before_its_restore_is_refused(story: Story) -> None:
    async with story.hub("old") as hub:
        await back_up(hub, story.file)
        story.programme.add_prekey(story.programme.members["polje-csw"], epoch=2)
        await hub.catch_up()
        old_head = await hub.hub.directory.head()
    await story.restore()
    async with story.hub("new") as hub, LyingHub() as liar, AsyncExitStack() as stack:
        liar.target = hub.url
        prison, *_ = await story.stations(stack, liar.url)
        await prison.look()
        assert prison.parts.directory.directory.generation == 1
        liar.bends[HEAD] = bend_head(lambda raw: old_head)
        with pytest.raises(DirectoryInconsistent, match="before it was restored"):
            await prison.parts.directory.sync()
        # Two heads of generation 1 that differ are evidence as ever.
        forked = Head("hub.example/directory/1", parse_head(await hub.hub.directory.head()).head.size, bytes(32), LATER)
        liar.bends[HEAD] = bend_head(lambda raw: sign_head(forked, KEYS.directory))
        with pytest.raises(DirectoryInconsistent, match="two different directories"):
            await prison.parts.directory.sync()

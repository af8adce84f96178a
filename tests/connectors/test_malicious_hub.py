# SPDX-License-Identifier: Apache-2.0
"""A hub that swaps, drops, reorders, replays, truncates and splices: the recipient notices each of them.

The lying hub is a real server with the hub's own signing keys: it can sign receipts for whatever it made up.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from connectors.store.tables import recipient
from protocol.errors import NotFound, UnexpectedAnswer
from protocol.frames import Item, ItemKind
from protocol.http.handovers import MessageState
from protocol.receipts import ReceiptKind, parse_receipt
from protocol.rows import sha256
from protocol.slices import UnverifiedSlice, parse_slice
from tests.connectors.lyinghub import LyingHub, bend_items
from tests.connectors.stations import Station, install, open_station
from tests.connectors.tampering import TAMPERINGS, rebuilt, receipt_for, with_receipt
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

MAILBOX = "/v1/mailbox"


@dataclass
class Scene:
    """Three connectors whose hub may lie."""

    lying: LyingHub
    hub: RunningHub
    prison: Station
    probation: Station
    social_work: Station


@pytest.fixture
async def scene(tmp_path: Path, hub: RunningHub) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        lying = await stack.enter_async_context(LyingHub())
        lying.target = hub.url
        stations = []
        for name in ("gora-prison", "reka-probation", "polje-csw"):
            folder = tmp_path / name
            folder.mkdir()
            member = hub.programme.members[name]
            installation = install(folder, member, hub.programme, lying.url)
            station = await stack.enter_async_context(open_station(folder, member, installation, hub.clock))
            await station.look()
            stations.append(station)
        yield Scene(lying, hub, *stations)


@pytest.mark.parametrize("signed", [False, True], ids=["old receipt", "fresh receipt"])
async def test_env_16_whatever_the_hub_changes_is_noticed_and_has_no_effect(scene: Scene, signed: bool) -> None:
    sent = await scene.prison.send(scene.probation.desk, scene.social_work.desk)

    def change(items: Sequence[Item]) -> list[Item]:
        (item,) = items
        changed = [tamper(item.data) for tamper in TAMPERINGS.values()]
        if signed:
            changed = [with_receipt(data) for data in changed]
        return [replace(item, data=data) for data in (*changed, item.data[:-1])]

    scene.lying.bends[MAILBOX] = bend_items(change)
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    codes = dict(zip((*TAMPERINGS, "truncated"), await scene.probation.quarantined(), strict=True))
    assert set(codes.values()) <= {"cannot-open", "bad-signature", "malformed-envelope", "sender-mismatch"}, codes
    status = await scene.probation.parts.overview.status()
    # However many damaged copies come, the sender is told once of each envelope that the hub says it accepted.
    assert (status.counts.received, status.counts.queued) == (0, 0), "own receipts are no messages of people"
    async with scene.probation.parts.store.read() as tx:
        assert await tx.connection.scalar(select(func.count()).select_from(recipient)) == (2 if signed else 1)
    with pytest.raises(NotFound):
        await scene.probation.view(sent)


async def test_env_19_a_tampered_copy_does_not_bar_the_way_for_the_genuine_envelope(scene: Scene) -> None:
    sent = await scene.prison.send(scene.probation.desk, scene.social_work.desk)

    def both(items: Sequence[Item]) -> list[Item]:
        return [one for item in items for one in (replace(item, data=TAMPERINGS["wrap flipped"](item.data)), item)]

    scene.lying.bends[MAILBOX] = bend_items(both)
    await scene.probation.collect()
    assert await scene.probation.quarantined() == ["cannot-open"]
    assert (await scene.probation.view(sent)).state is MessageState.RECEIVED


@pytest.mark.parametrize("tampering", ["wrap flipped", "section flipped"])
async def test_what_the_hub_or_its_disk_has_damaged_is_reported_and_sealed_anew(scene: Scene, tampering: str) -> None:
    sent = await scene.prison.send(scene.probation.desk, scene.social_work.desk)
    tamper = TAMPERINGS[tampering]
    scene.lying.bends[MAILBOX] = bend_items(lambda items: [replace(item, data=tamper(item.data)) for item in items])
    await scene.probation.collect()
    scene.lying.bends.clear()
    await scene.probation.seal_and_send()
    await scene.prison.turn()
    await scene.probation.turn()
    assert (await scene.probation.view(sent)).state is MessageState.RECEIVED
    await scene.prison.collect()
    assert (await scene.prison.states(sent))[scene.probation.desk] is MessageState.OPENED


async def test_a_report_that_the_hub_provoked_with_a_receipt_of_its_own_changes_nothing(scene: Scene) -> None:
    sent = await scene.prison.send(scene.probation.desk)
    tamper = TAMPERINGS["section flipped"]
    scene.lying.bends[MAILBOX] = bend_items(
        lambda items: [replace(item, data=with_receipt(tamper(item.data))) for item in items]
    )
    await scene.probation.collect()
    scene.lying.bends.clear()
    await scene.probation.seal_and_send()
    await scene.prison.turn()
    assert await scene.prison.quarantined() == ["policy-denied"]
    assert (await scene.prison.states(sent))[scene.probation.desk] is MessageState.ACCEPTED


async def test_slices_spliced_from_two_envelopes_open_as_neither(scene: Scene) -> None:
    for _ in range(2):
        await scene.prison.send(scene.probation.desk, scene.social_work.desk)

    def splice(items: Sequence[Item]) -> list[Item]:
        one, other = items
        first, second = parse_slice(one.data), parse_slice(other.data)
        mixed: list[dict[str, object]] = [
            {"wrap": second.wrap},
            {"sections": second.sections},
            {"row": second.row_bytes, "wrap": second.wrap, "row_hashes": _own_row(first, second)},
            {"receipt": second.receipt},
            {"sender_sig": second.sender_sig},
            {"common": second.common_bytes},
        ]
        return [replace(one, data=rebuilt(one.data, **changes)) for changes in mixed]

    scene.lying.bends[MAILBOX] = bend_items(splice)
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert (await scene.probation.parts.overview.status()).counts.received == 0
    assert len(await scene.probation.quarantined()) == 6


def _own_row(first: UnverifiedSlice, second: UnverifiedSlice) -> tuple[bytes, ...]:
    hashes = list(first.row_hashes)
    hashes[first.position] = sha256(second.row_bytes)
    return tuple(hashes)


async def test_the_slice_of_another_recipient_is_refused(scene: Scene) -> None:
    await scene.prison.send(scene.probation.desk, scene.social_work.desk)
    (theirs,) = await scene.social_work.link.receive(0)
    scene.lying.bends[MAILBOX] = bend_items(lambda _: [theirs])
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert await scene.probation.quarantined() == ["not-a-recipient"]


async def test_mail_in_another_order_has_the_same_effect(scene: Scene) -> None:
    sent = [await scene.prison.send(scene.probation.desk) for _ in range(4)]
    scene.lying.bends[MAILBOX] = bend_items(lambda items: list(reversed(items)))
    await scene.probation.collect()
    for message_id in sent:
        assert (await scene.probation.view(message_id)).state is MessageState.RECEIVED
    assert await scene.probation.quarantined() == []


async def test_mail_repeated_within_a_page_and_over_pages_has_one_effect(scene: Scene) -> None:
    await scene.prison.send(scene.probation.desk)
    scene.lying.bends[MAILBOX] = bend_items(lambda items: [*items, *items])
    page = await scene.probation.link.receive(0)
    await scene.probation.take(page)
    await scene.probation.take(page)
    assert (await scene.probation.parts.overview.status()).counts.received == 1
    assert await scene.probation.quarantined() == []


@pytest.mark.parametrize("shift", [1, 1_000])
async def test_an_item_at_another_place_than_its_receipt_says_is_refused(scene: Scene, shift: int) -> None:
    await scene.prison.send(scene.probation.desk)
    scene.lying.bends[MAILBOX] = bend_items(lambda items: [replace(item, index=item.index + shift) for item in items])
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert await scene.probation.quarantined() == ["bad-signature"]


async def test_a_lie_about_places_does_not_outlive_its_link(scene: Scene) -> None:
    sent = await scene.prison.send(scene.probation.desk)
    scene.lying.bends[MAILBOX] = bend_items(lambda _: [Item(2**40, ItemKind.SLICE, b"noise")])
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert await scene.probation.parts.inbox.cursor() == 2**40 + 1
    scene.lying.bends.clear()
    await scene.probation.parts.inbox.reconnected()
    await scene.probation.collect()
    assert (await scene.probation.view(sent)).state is MessageState.RECEIVED


async def test_mail_that_was_dropped_is_missed_by_its_sender(scene: Scene) -> None:
    sent = await scene.prison.send(scene.probation.desk)
    scene.lying.bends[MAILBOX] = bend_items(lambda _: [])
    await scene.probation.collect()
    await scene.prison.collect()
    assert (await scene.prison.states(sent))[scene.probation.desk] is MessageState.ACCEPTED


async def test_aud_6_a_receipt_that_the_hub_made_up_does_not_fit(scene: Scene) -> None:
    """Attack 39 at the recipient: accepted after its end, or long before it was made."""
    await scene.prison.send(scene.probation.desk)

    def change(items: Sequence[Item]) -> list[Item]:
        (item,) = items
        unverified = parse_slice(item.data)
        body = parse_receipt(unverified.receipt).body
        common = unverified.common
        receipts = [
            receipt_for(replace(body.detail, kind=ReceiptKind.EXPIRED), body),
            receipt_for(body.detail, body, at=common.expires),
            receipt_for(body.detail, body, at=common.created - 700_000),
            receipt_for(replace(body.detail, sender_desk=scene.social_work.desk), body),
        ]
        return [replace(item, data=rebuilt(item.data, receipt=receipt)) for receipt in receipts]

    scene.lying.bends[MAILBOX] = bend_items(change)
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert await scene.probation.quarantined() == ["bad-signature", "expired", "expired", "bad-signature"]
    assert (await scene.probation.parts.overview.status()).counts.received == 0


@pytest.mark.parametrize("lie", ["another root", "a size that the log does not have"])
async def test_env_17_a_receipt_under_another_directory_is_refused_and_blocks_nothing(scene: Scene, lie: str) -> None:
    await scene.prison.send(scene.probation.desk)
    sent = await scene.prison.send(scene.probation.desk)

    def change(items: Sequence[Item]) -> list[Item]:
        first, *others = items
        body = parse_receipt(parse_slice(first.data).receipt).body
        changes = {"directory_root": bytes(32)} if lie == "another root" else {"directory_size": 10**6}
        receipt = receipt_for(replace(body.detail, **changes), body)
        return [replace(first, data=rebuilt(first.data, receipt=receipt)), *others]

    scene.lying.bends[MAILBOX] = bend_items(change)
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert len(await scene.probation.quarantined()) == 1
    assert (await scene.probation.view(sent)).state is MessageState.RECEIVED


async def test_a_slice_offered_as_a_notice_and_a_notice_as_a_slice_are_refused(scene: Scene) -> None:
    await scene.prison.send(scene.probation.desk)

    def change(items: Sequence[Item]) -> list[Item]:
        (item,) = items
        receipt = parse_slice(item.data).receipt
        return [replace(item, kind=ItemKind.NOTICE), replace(item, data=receipt)]

    scene.lying.bends[MAILBOX] = bend_items(change)
    await scene.probation.parts.inbox.take(await scene.probation.link.receive(0))
    assert await scene.probation.quarantined() == ["malformed-envelope", "malformed-envelope"]


async def test_env_15_a_recipient_s_mail_holds_nothing_of_what_is_not_its_own(scene: Scene) -> None:
    """Section 5, attack 1: on the bytes of the slice."""
    await scene.prison.send(scene.probation.desk, scene.social_work.desk)
    (theirs,) = await scene.probation.link.receive(0)
    (ours,) = await scene.social_work.link.receive(0)
    mine, other = parse_slice(ours.data), parse_slice(theirs.data)
    assert set(mine.sections) < set(other.sections)
    hidden = [other.sections[number] for number in set(other.sections) - set(mine.sections)]
    for foreign in (*hidden, other.wrap, other.row_bytes, scene.probation.desk.encode()):
        assert foreign not in ours.data


async def test_http_4_nothing_of_a_mailbox_page_is_believed_that_is_no_page(scene: Scene) -> None:
    scene.lying.bends[MAILBOX] = lambda _: b"\xff\xff"
    with pytest.raises(UnexpectedAnswer):
        await scene.probation.link.receive(0)

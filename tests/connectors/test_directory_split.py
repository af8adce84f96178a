# SPDX-License-Identifier: Apache-2.0
"""A hub that shows two directories: its signatures prove it, nothing is sealed, no agency is blamed (DIR-18)."""

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors import fork
from connectors.cli import main
from connectors.doctor.standing import examine_standing
from connectors.hub_client import Outcome
from keys.contradicting import Logs, Verdict, judge
from keys.signing import sign_head
from protocol.contradiction import Form, encode_file
from protocol.diagnosis import Condition
from protocol.errors import DirectoryInconsistent, DirectorySplit, HubUnreachable
from protocol.frames import Item
from protocol.http.handovers import HandoverFilter, MessageState, Page
from protocol.ids import MessageId, new_id
from protocol.limits import HOUR, MINUTE
from protocol.receipts import Head, parse_head, parse_receipt
from protocol.slices import parse_slice
from tests.connectors.conftest import World
from tests.connectors.hand import BODY, count, sealed_as
from tests.connectors.lyinghub import HEAD, Bend, bend_head, bend_items
from tests.connectors.stations import open_station
from tests.connectors.tampering import rebuilt, receipt_for
from tests.connectors.test_malicious_hub import MAILBOX, Scene, scene
from tests.hub.running import KEYS

__all__ = ["scene"]


def under(**changes: object) -> Bend:
    """Return the lie that the first envelope was accepted under another directory."""

    def change(items: Sequence[Item]) -> list[Item]:
        first, *others = items
        body = parse_receipt(parse_slice(first.data).receipt).body
        receipt = receipt_for(replace(body.detail, **changes), body)  # type: ignore[arg-type]
        return [replace(first, data=rebuilt(first.data, receipt=receipt)), *others]

    return bend_items(change)


ANOTHER_ROOT, A_SIZE_THAT_IS_NOT_SHOWN = {"directory_root": bytes(32)}, {"directory_size": 10**6}


@pytest.mark.parametrize("lie", [ANOTHER_ROOT, A_SIZE_THAT_IS_NOT_SHOWN], ids=["root", "size"])
async def test_dir_18_a_receipt_under_a_directory_that_is_not_shown_stops_sealing_and_blames_nobody(
    scene: Scene, lie: dict[str, object]
) -> None:
    prison, office = scene.prison, scene.probation
    sent = await prison.send(office.desk)
    scene.lying.bends[MAILBOX] = under(**lie)
    await office.parts.inbox.take(await office.link.receive(0))
    scene.lying.bends.clear()
    assert await office.quarantined() == ["directory-split"]
    (item,) = (await office.parts.overview.quarantine(Page())).items
    assert "hub" in item.detail
    # Its sender is told nothing: no fresh sealing mends it, and no agency is at fault.
    assert await count(office, "outgoing") == 0
    await office.compose(scene.social_work.desk)
    for _ in range(2):
        with pytest.raises(DirectorySplit) as refused:
            await office.parts.sealer.step()
        assert refused.value.code == "directory-split"
        # A good look does not end it: what is signed stays signed.
        await office.parts.directory.sync()
    assert (await prison.states(sent))[office.desk] is MessageState.ACCEPTED
    assert (await office.parts.overview.status()).directory.error == "directory-split"
    async with open_station(office.folder, office.member, office.installation, scene.hub.clock) as again:
        assert again.parts.directory.standing().error == "directory-split"
    async with office.parts.store.read() as tx:
        (kept,) = await fork.evidence(tx)
    pinned = office.installation.enrolment
    logs = Logs(pinned.directory.origin, pinned.directory.key, pinned.audit.origin, pinned.audit.key)
    proves = Verdict.TWO_DIRECTORIES if lie is ANOTHER_ROOT else Verdict.WITHHELD
    assert (kept.form, judge(kept, logs)[0]) == (Form.RECEIPT, proves)
    # Both signatures are in the file, and whoever has the keys needs nothing else.
    file = office.folder.parent / "evidence"
    file.write_bytes(encode_file(pinned.domain, [kept]))
    config = office.folder / "connector.toml"
    config.write_text('[connector]\ndata_dir = "."\npassphrase_file = "none"\nprofile = "demo"\n')
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["directory", "check", str(file), "--config", str(config), "--json"]) == 0
    (judged,) = json.loads(told.getvalue())["items"]
    assert (judged["verdict"], judged["form"]) == (proves.value, "receipt")
    found = await examine_standing(office.settings, office.installation, scene.hub.clock)
    (directory,) = [one for one in found if one.check == "directory"]
    assert directory.condition is Condition.FAULT
    assert "throughcare directory evidence" in (directory.fix or "")


async def test_dir_18_a_receipt_that_is_later_than_every_head_waits_and_is_no_proof(scene: Scene) -> None:
    """A proxy that keeps an old head shows the same: the hub has not contradicted itself yet."""
    prison, office = scene.prison, scene.probation
    old = await office.parts.client.directory_head()
    scene.hub.clock.advance(2 * MINUTE)
    sent = await prison.send(office.desk)
    scene.lying.bends = {MAILBOX: under(**A_SIZE_THAT_IS_NOT_SHOWN), HEAD: bend_head(lambda _: old)}
    with pytest.raises(HubUnreachable):
        await office.parts.inbox.take(await office.link.receive(0))
    assert await office.quarantined() == []
    assert office.parts.directory.standing().error is None
    scene.lying.bends.clear()
    await office.collect()
    assert (await office.view(sent)).state is MessageState.RECEIVED


async def test_dir_18_a_sender_that_was_shown_another_directory_is_named_and_sealing_goes_on(world: World) -> None:
    """It may be the hub, and it may be that agency: one's word against the other's proves nothing, and stops nobody."""
    prison, office = world.prison, world.probation
    directory = world.hub.programme.directory
    kept, programme_root = directory.size, directory._roots[-1]
    directory._roots[-1] = bytes(32)
    raw = sealed_as(world, prison.member, office.desk, MessageId(new_id()), BODY)
    directory._roots[-1] = programme_root
    assert directory.size == kept
    await world.hub.device(prison.member).submit(raw)
    await office.collect()
    assert await office.quarantined() == ["directory-disputed"]
    assert office.parts.directory.standing().error is None
    assert await count(office, "outgoing") == 0
    await office.send(world.social_work.desk)
    assert await world.social_work.collect() == 1


async def test_dir_18_an_acceptance_under_another_directory_counts_and_is_evidence_all_the_same(scene: Scene) -> None:
    prison = scene.prison
    await prison.compose(scene.probation.desk)
    await prison.parts.sealer.step()
    genuine = prison.link.submit

    async def lying(envelopes: Sequence[bytes]) -> list[Outcome]:
        bodies = [parse_receipt(raw).body for raw in await genuine(envelopes) if isinstance(raw, bytes)]
        return [receipt_for(replace(body.detail, directory_root=bytes(32)), body) for body in bodies]

    prison.link.submit = lying  # type: ignore[method-assign]
    await prison.parts.outbox.step(prison.link)
    (item,) = (await prison.parts.handovers.list(HandoverFilter())).items
    assert item.state is MessageState.ACCEPTED
    with pytest.raises(DirectorySplit):
        prison.parts.directory.check_sealing()


@pytest.mark.parametrize("lied", [False, True], ids=["came to harm", "lied"])
async def test_dir_18_a_head_that_could_not_be_followed_is_kept_until_the_directory_comes_to_its_size(
    scene: Scene, lied: bool
) -> None:
    hub, directory = scene.hub, scene.prison.parts.directory
    hub.programme.now = hub.clock()
    hub.programme.enrol("late-agency", "ngo", {"intake": "ngo"})
    grown = hub.programme.directory.size
    root = bytes(32) if lied else hub.programme.directory.root

    def ahead(raw: bytes) -> bytes:
        return sign_head(Head(parse_head(raw).head.origin, grown, root, hub.clock()), KEYS.directory)

    scene.lying.bends[HEAD] = bend_head(ahead)
    for _ in range(2):
        with pytest.raises(DirectoryInconsistent):
            await directory.sync()
    async with scene.prison.parts.store.read() as tx:
        (kept,) = await fork.evidence(tx)
    assert parse_head(kept.signed).head.root == root
    scene.lying.bends.clear()
    await directory.sync()
    assert directory.check_sealing() is False, "it proves nothing yet"
    await hub.catch_up()
    hub.clock.advance(HOUR)
    async with open_station(scene.prison.folder, scene.prison.member, scene.prison.installation, hub.clock) as again:
        await again.parts.directory.sync()
        assert again.parts.directory.directory.size == grown
        assert (again.parts.directory.standing().error == "directory-split") is lied
        async with again.parts.store.read() as tx:
            assert len(await fork.evidence(tx)) == int(lied)


@pytest.mark.parametrize("later", [False, True], ids=["shown again", "signed anew"])
async def test_dir_18_a_head_of_fewer_statements_is_evidence_only_if_it_is_later(scene: Scene, later: bool) -> None:
    directory = scene.prison.parts.directory
    size = directory.directory.size - 1
    root = directory.directory.root_at(size)
    assert root is not None
    scene.hub.clock.advance(HOUR)
    await directory.sync()
    at = scene.hub.clock() + (1 if later else -MINUTE)

    def smaller(raw: bytes) -> bytes:
        return sign_head(Head(parse_head(raw).head.origin, size, root, at), KEYS.directory)

    scene.lying.bends[HEAD] = bend_head(smaller)
    for _ in range(2):
        with pytest.raises(DirectoryInconsistent):
            await directory.sync()
    scene.lying.bends.clear()
    await directory.sync()
    assert directory.check_sealing() is False
    async with scene.prison.parts.store.read() as tx:
        kept = await fork.evidence(tx)
    pinned = scene.prison.installation.enrolment
    logs = Logs(pinned.directory.origin, pinned.directory.key, pinned.audit.origin, pinned.audit.key)
    assert [judge(one, logs)[0] for one in kept] == [Verdict.WITHHELD] * later


async def test_dir_18_heads_that_prove_nothing_leave_room_for_one_that_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork, "MOST_OPEN", 3)
    prison, at, size = scene.prison, scene.hub.clock(), scene.prison.parts.directory.directory.size
    async with prison.parts.store.write() as tx:
        for number in range(5):
            head = Head("hub.example/directory", size + 1 + number, bytes(32), at)
            assert not await fork.keep(tx, Form.HEAD, sign_head(head, KEYS.directory), at, stops=False)
        assert not await fork.is_kept(tx)
        for number in range(5):
            head = Head("hub.example/directory", size, bytes([number]) * 32, at)
            assert await fork.keep(tx, Form.HEAD, sign_head(head, KEYS.directory), at, stops=True)
        assert await fork.is_kept(tx)
        assert len(await fork.evidence(tx)) == 6

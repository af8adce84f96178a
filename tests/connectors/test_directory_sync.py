# SPDX-License-Identifier: Apache-2.0
"""The directory is replayed, not believed; a hub that shows another one is refused, and sealing stops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import text

from connectors import fork
from connectors.freshness import Freshness
from connectors.logs import Log
from connectors.store import statements
from keys.signing import sign_head
from protocol.contradiction import Contradiction
from protocol.errors import (
    ClockSkewed,
    DirectoryInconsistent,
    DirectoryStale,
    HubUnreachable,
    StoreFailed,
    ThroughcareError,
)
from protocol.http.handovers import MessageState
from protocol.http.hub import HubInfo, LogIdentity
from protocol.limits import DAY, HOUR, MINUTE
from protocol.receipts import Head, parse_head
from tests.connectors.lyinghub import HEAD, STATEMENTS, Bend, LyingHub, bend_head, bend_info, bend_statements
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import KEYS, RunningHub
from tests.programme import Programme, make_programme

INFO = "/v1/hub"


@dataclass
class Scene:
    """A prison whose hub may lie."""

    lying: LyingHub
    hub: RunningHub
    prison: Station

    @property
    def size(self) -> int:
        return self.prison.parts.directory.directory.size

    @property
    def freshness(self) -> Freshness:
        return self.prison.parts.directory.standing().freshness

    async def grow(self) -> None:
        """Have the genuine directory grow by one agency."""
        self.hub.programme.now = self.hub.clock()
        self.hub.programme.enrol(f"new-{self.size}", "ngo", {"intake": "ngo"})
        await self.hub.catch_up()


@pytest.fixture
async def scene(tmp_path: Path, hub: RunningHub) -> AsyncIterator[Scene]:
    folder = tmp_path / "prison"
    folder.mkdir()
    member = hub.programme.members["gora-prison"]
    async with LyingHub() as lying:
        lying.target = hub.url
        installation = install(folder, member, hub.programme, lying.url)
        async with open_station(folder, member, installation, hub.clock) as prison:
            yield Scene(lying, hub, prison)


def resigned(change: Callable[[Head], Head]) -> Bend:
    """Have the hub sign another head than its own."""
    return bend_head(lambda raw: sign_head(change(parse_head(raw).head), KEYS.directory))


def other_directory() -> Programme:
    """Return a directory that a malicious hub would rather show: same root persons, another history."""
    return make_programme(agencies=3)


async def refused(scene: Scene) -> None:
    """Assert that the directory is refused, that nothing of it is kept, and that nothing is sealed."""
    before = scene.size
    with pytest.raises(DirectoryInconsistent):
        await scene.prison.parts.directory.sync()
    assert scene.size == before
    assert scene.freshness is Freshness.INCONSISTENT
    with pytest.raises(DirectoryInconsistent):
        scene.prison.parts.directory.check_sealing()


async def test_dir_12_the_whole_log_is_replayed_and_survives_a_restart(scene: Scene) -> None:
    await scene.prison.look()
    assert scene.size == len(scene.hub.programme.statements)
    old = scene.prison
    async with open_station(old.folder, old.member, old.installation, scene.hub.clock) as again:
        assert again.parts.directory.directory.root == scene.hub.programme.directory.root
        assert again.parts.directory.standing().freshness is Freshness.NORMAL


async def test_dir_10_an_older_directory_is_refused(scene: Scene) -> None:
    """Attack 15."""
    await scene.prison.look()
    programme = scene.hub.programme
    smaller = Head("hub.example/directory", 5, programme.directory.root_at(5) or b"", scene.hub.clock())
    scene.lying.bends[HEAD] = resigned(lambda _: smaller)
    await refused(scene)
    # It was not a fork, only old: with the newest head all goes on.
    scene.lying.bends.clear()
    await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.NORMAL


async def test_dir_10_a_directory_below_the_minimum_of_the_enrolment_code_is_refused(
    tmp_path: Path, hub: RunningHub
) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    member = hub.programme.members["gora-prison"]
    installation = install(folder, member, hub.programme, hub.url)
    log = installation.enrolment.directory.model_copy(update={"minimum_size": len(hub.programme.statements) + 1})
    late = type(installation)(
        installation.enrolment.model_copy(update={"directory": log}),
        installation.device,
        installation.keystore,
        installation.storage_key,
    )
    async with open_station(folder, member, late, hub.clock) as station:
        with pytest.raises(DirectoryInconsistent):
            await station.parts.directory.sync()


async def kept(scene: Scene) -> list[Contradiction]:
    async with scene.prison.parts.store.read() as tx:
        return await fork.evidence(tx)


async def test_dir_10_another_root_at_a_known_size_is_evidence_and_stops_sealing_for_good(scene: Scene) -> None:
    """Attack 44."""
    await scene.prison.look()
    scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, head.size, bytes(32), head.at))
    await refused(scene)
    scene.lying.bends.clear()
    await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.INCONSISTENT
    (evidence,) = await kept(scene)
    assert parse_head(evidence.signed).head.root == bytes(32)
    old = scene.prison
    async with open_station(old.folder, old.member, old.installation, scene.hub.clock) as again:
        assert again.parts.directory.standing().freshness is Freshness.INCONSISTENT
        assert await fork.dismiss(again.parts.store, scene.hub.clock, Log())
        assert not await fork.dismiss(again.parts.store, scene.hub.clock, Log())
    async with open_station(old.folder, old.member, old.installation, scene.hub.clock) as after:
        assert after.parts.directory.standing().freshness is Freshness.NORMAL
    (dismissed,) = await kept(scene)
    assert dismissed == replace(evidence, dismissed_at=scene.hub.clock())


async def test_dir_10_another_root_at_an_earlier_size_is_evidence_too(scene: Scene) -> None:
    await scene.prison.look()
    scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, 5, bytes(32), head.at))
    await refused(scene)
    assert len(await kept(scene)) == 1


async def test_dir_10_a_head_that_the_statements_do_not_reach_is_refused(scene: Scene) -> None:
    scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, head.size, bytes(32), head.at))
    await refused(scene)
    assert scene.size == 0


@pytest.mark.parametrize("lie", ["another key", "another origin", "damaged", "not a head"])
async def test_dir_10_a_head_of_a_wrong_origin_or_key_is_refused(scene: Scene, lie: str) -> None:
    lies: dict[str, Bend] = {
        "another key": bend_head(lambda raw: sign_head(parse_head(raw).head, KEYS.audit)),
        "another origin": resigned(lambda head: Head("other.example/directory", head.size, head.root, head.at)),
        "damaged": bend_head(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        "not a head": bend_head(lambda _: b"\x80"),
    }
    scene.lying.bends[HEAD] = lies[lie]
    await refused(scene)


async def test_dir_13_a_hub_that_names_another_log_is_refused(scene: Scene) -> None:
    def other(info: HubInfo) -> HubInfo:
        return info.model_copy(update={"directory": LogIdentity(origin="hub.example/directory", key=bytes(32))})

    scene.lying.bends[INFO] = bend_info(other)
    await refused(scene)


@pytest.mark.parametrize("lie", ["dropped", "swapped", "repeated", "cut", "withheld", "foreign"])
async def test_dir_10_statements_that_are_not_the_log_s_are_refused_whole(scene: Scene, lie: str) -> None:
    foreign = other_directory().statements
    lies: dict[str, Callable[[list[bytes]], list[bytes]]] = {
        "dropped": lambda raws: raws[:3] + raws[4:],
        "swapped": lambda raws: [raws[1], raws[0], *raws[2:]],
        "repeated": lambda raws: [*raws[:4], raws[3], *raws[4:]],
        "cut": lambda raws: [*raws[:4], raws[4][:-1], *raws[5:]],
        "withheld": lambda _: [],
        "foreign": lambda _: foreign,
    }
    scene.lying.bends[STATEMENTS] = bend_statements(lies[lie])
    await refused(scene)
    assert scene.size == 0
    scene.lying.bends.clear()
    await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.NORMAL


async def test_dir_4_a_log_that_begins_with_another_root_is_refused(scene: Scene) -> None:
    scene.lying.bends[STATEMENTS] = bend_statements(lambda raws: raws[1:])
    await refused(scene)


async def test_dir_2_a_ghost_device_that_nobody_signed_is_refused(scene: Scene) -> None:
    """Attack 48: the hub adds a device to an agency by itself."""
    from keys.signing import device_proof, sign_statement
    from protocol.statements import Body, Device
    from tests.keys.world import device_of, identity

    await scene.prison.look()
    now = scene.hub.clock()
    member = scene.hub.programme.members["reka-probation"]
    ghost = device_of("ghost")
    subject = Device(member.address, ghost.public, ("intake",), device_proof(member.address, ghost))
    forged = sign_statement(Body(now, now, now + DAY, subject), [identity("somebody else")])
    scene.lying.bends[STATEMENTS] = bend_statements(lambda _: [forged])
    scene.lying.bends[HEAD] = resigned(lambda head: Head(head.origin, head.size + 1, head.root, head.at))
    await refused(scene)
    assert scene.prison.parts.directory.directory.device(ghost.key_id) is None


async def test_what_fails_half_way_leaves_the_directory_as_it_was(scene: Scene) -> None:
    await scene.prison.look()
    root = scene.prison.parts.directory.directory.root
    await scene.grow()
    scene.lying.bends[STATEMENTS] = bend_statements(lambda raws: [*raws[:-1], b"\x00"])
    await refused(scene)
    assert scene.prison.parts.directory.directory.root == root
    scene.lying.bends.clear()
    await scene.prison.parts.directory.sync()
    assert scene.size == len(scene.hub.programme.statements)


@pytest.mark.parametrize("failure", [StoreFailed, asyncio.CancelledError])
async def test_what_could_not_be_stored_is_not_known_either(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    await scene.prison.look()
    before = scene.size
    await scene.grow()

    async def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(statements, "append", fail)
        with pytest.raises(failure):
            await scene.prison.parts.directory.sync()
    assert scene.size == before
    old = scene.prison
    async with open_station(old.folder, old.member, old.installation, scene.hub.clock) as again:
        assert again.parts.directory.directory.size == before
    await scene.prison.parts.directory.sync()
    assert scene.size == len(scene.hub.programme.statements)


async def test_dir_11_a_directory_of_a_day_is_marked_and_of_three_days_refused(scene: Scene) -> None:
    """Attacks 46 and 50."""
    await scene.prison.look()
    scene.lying.target = None
    steps = [(23 * HOUR, Freshness.NORMAL), (2 * HOUR, Freshness.MARKED), (46 * HOUR, Freshness.MARKED)]
    for step, expected in steps:
        scene.hub.clock.advance(step)
        with pytest.raises(HubUnreachable):
            await scene.prison.parts.directory.sync()
        assert scene.freshness is expected
    scene.hub.clock.advance(2 * HOUR)
    assert scene.freshness is Freshness.STALE
    with pytest.raises(DirectoryStale):
        scene.prison.parts.directory.check_sealing()


async def test_dir_11_a_hub_that_repeats_an_old_head_does_not_look_fresh(scene: Scene) -> None:
    """Attack 46: freeze."""
    await scene.prison.look()
    old = sign_head(
        Head("hub.example/directory", scene.size, scene.prison.parts.directory.directory.root, scene.hub.clock()),
        KEYS.directory,
    )
    scene.lying.bends[HEAD] = bend_head(lambda _: old)
    for _ in range(4):
        scene.hub.clock.advance(20 * HOUR)
        await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.STALE


async def test_dir_11_what_is_queued_waits_for_a_fresh_directory_and_then_goes(scene: Scene) -> None:
    await scene.prison.look()
    scene.hub.clock.advance(4 * DAY)
    desk = scene.hub.programme.members["reka-probation"].desk
    queued = await scene.prison.compose(desk)
    with pytest.raises(DirectoryStale):
        await scene.prison.parts.sealer.step()
    await scene.prison.look()
    await scene.prison.seal_and_send()
    assert await scene.prison.states(queued.id) == {desk: MessageState.ACCEPTED}


@pytest.mark.parametrize("off", [-11 * MINUTE, 11 * MINUTE])
async def test_a_connector_whose_clock_is_wrong_does_not_seal(scene: Scene, off: int) -> None:
    """Attack 39 at the sender: nothing is dated ten minutes ahead."""
    scene.lying.bends[INFO] = bend_info(lambda info: info.model_copy(update={"server_time": info.server_time + off}))
    await scene.prison.parts.directory.sync()
    with pytest.raises(ClockSkewed):
        scene.prison.parts.directory.check_sealing()
    standing = scene.prison.parts.directory.standing()
    assert (standing.error, standing.clock_difference) == ("clock-skewed", off)


async def test_a_clock_off_by_less_than_ten_minutes_is_fine(scene: Scene) -> None:
    scene.lying.bends[INFO] = bend_info(
        lambda info: info.model_copy(update={"server_time": info.server_time + 9 * MINUTE})
    )
    await scene.prison.parts.directory.sync()
    assert scene.prison.parts.directory.check_sealing() is False


async def test_without_any_directory_nothing_is_sealed(scene: Scene) -> None:
    with pytest.raises(DirectoryStale):
        scene.prison.parts.directory.check_sealing()


async def test_a_hub_that_does_not_answer_changes_nothing(scene: Scene) -> None:
    await scene.prison.look()
    scene.lying.target = None
    with pytest.raises(HubUnreachable):
        await scene.prison.parts.directory.sync()
    assert scene.freshness is Freshness.NORMAL


async def test_a_proxy_s_error_page_is_no_directory(scene: Scene) -> None:
    scene.lying.refuse[HEAD] = 502
    with pytest.raises(ThroughcareError):
        await scene.prison.parts.directory.sync()
    assert scene.size == 0


async def test_a_store_that_lost_statements_is_not_believed(scene: Scene) -> None:

    await scene.prison.look()
    async with scene.prison.parts.store.write() as tx:
        await tx.connection.execute(text("DELETE FROM statement WHERE idx > 3"))
    with pytest.raises(DirectoryInconsistent):
        await scene.prison.parts.directory.load()

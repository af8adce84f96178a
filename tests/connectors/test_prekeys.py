# SPDX-License-Identifier: Apache-2.0
"""A new prekey every week, and old seeds destroyed when nobody can need them any more (DIR-8, DIR-9)."""

import io
from dataclasses import dataclass, field

import pytest

from connectors.logs import Log
from connectors.loops import Loops
from connectors.prekeys import Prekeys, check_seeds
from connectors.store import prekeys
from connectors.store.prekeys import PrekeyState
from keys.signing import sign_statement
from keys.xwing import XWingSecret
from protocol.errors import CannotOpen, HubUnreachable, KeystoreError, UntrustedKey
from protocol.http.handovers import MessageState
from protocol.limits import DAY
from protocol.statements import Body, Prekey
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


@dataclass
class Sink:
    """Publishes nothing, and remembers what it was handed."""

    handed: list[bytes] = field(default_factory=list)
    reachable: bool = True
    trusting: bool = True

    async def submit_statement(self, statement: bytes) -> int:
        self.handed.append(statement)
        if not self.reachable:
            raise HubUnreachable
        if not self.trusting:
            raise UntrustedKey
        return len(self.handed)


def newest(station: Station) -> int:
    entry = station.parts.directory.directory.newest_prekey(station.member.device_id)
    assert entry is not None
    return entry.epoch


async def states(station: Station) -> dict[int, PrekeyState]:
    async with station.parts.store.read() as tx:
        return {own.epoch: own.state for own in await prekeys.load_all(tx)}


async def test_dir_8_a_new_prekey_is_published_every_week_and_not_before(world: World) -> None:
    station, clock = world.probation, world.hub.clock
    for _ in range(6):
        clock.advance(DAY)
        await station.look()
    assert newest(station) == 1
    clock.advance(DAY)
    await station.look()
    assert newest(station) == 2
    await station.look()
    assert newest(station) == 2


async def test_dir_8_a_connector_that_was_away_for_weeks_publishes_one_at_its_first_look(world: World) -> None:
    world.hub.clock.advance(40 * DAY)
    await world.probation.look()
    assert newest(world.probation) == 2


async def test_dir_8_a_device_without_any_prekey_gets_one_at_its_start(world: World, hub: RunningHub) -> None:
    station = world.probation
    station.installation.keystore.destroy("prekey-1")
    hub.programme.now = hub.clock()
    station.parts.directory._directory._register.prekeys.clear()
    sink = Sink()
    assert await station.parts.prekeys.maintain(sink, drained_at=None) is True
    assert len(sink.handed) == 1
    assert station.installation.keystore.names("prekey-") == ["prekey-1"]


async def test_dir_9_the_seed_is_kept_before_its_statement_exists_and_published_until_it_is_logged(
    world: World,
) -> None:
    station = world.probation
    world.hub.clock.advance(8 * DAY)
    await station.parts.directory.sync()
    sink = Sink(reachable=False)
    for _ in range(3):
        with pytest.raises(HubUnreachable):
            await station.parts.prekeys.maintain(sink, drained_at=None)
    assert len(set(sink.handed)) == 1
    assert station.installation.keystore.names("prekey-") == ["prekey-1", "prekey-2"]
    assert await states(station) == {2: PrekeyState.MADE}
    await station.look()
    await station.look()
    assert await states(station) == {2: PrekeyState.LOGGED}


@pytest.mark.parametrize(("days", "drained_after", "kept"), [(43, 43, True), (45, 43, True), (45, 45, False)])
async def test_dir_9_a_seed_is_destroyed_44_days_after_its_successor_once_the_mailbox_is_drained(
    world: World, days: int, drained_after: int, kept: bool
) -> None:
    station, clock = world.probation, world.hub.clock
    clock.advance(8 * DAY)
    await station.look()
    logged_at = clock()
    await station.look()
    clock.advance(days * DAY)
    sink = Sink()
    await station.parts.prekeys.maintain(sink, drained_at=logged_at + drained_after * DAY)
    assert ("prekey-1" in station.installation.keystore.names("prekey-")) is kept
    files = [path.name for path in (station.folder / "keystore").iterdir()]
    assert any(name.startswith("prekey-1.") for name in files) is kept
    assert (station.parts.prekeys.secret(1) is not None) is kept


async def test_dir_9_a_seed_without_a_logged_successor_is_never_destroyed(world: World) -> None:
    station = world.probation
    world.hub.clock.advance(400 * DAY)
    await station.parts.prekeys._destroy(world.hub.clock())
    assert station.installation.keystore.names("prekey-") == ["prekey-1"]


async def test_dir_9_what_was_sealed_to_a_destroyed_prekey_cannot_be_opened_any_more(world: World) -> None:
    """Attack 42."""
    await world.prison.send(world.probation.desk)
    world.probation.installation.keystore.destroy("prekey-1")
    assert world.probation.parts.prekeys.secret(1) is None
    await world.probation.collect()
    assert await world.probation.quarantined() == [CannotOpen.code]


async def test_a_prekey_that_another_one_overtook_is_dropped_unpublished(world: World, hub: RunningHub) -> None:
    station = world.probation
    hub.clock.advance(8 * DAY)
    await station.parts.directory.sync()
    with pytest.raises(HubUnreachable):
        await station.parts.prekeys.maintain(Sink(reachable=False), drained_at=None)
    hub.programme.now = hub.clock()
    hub.programme.add_prekey(station.member, epoch=5, age=0)
    await hub.catch_up()
    await station.look()
    assert await states(station) == {2: PrekeyState.DESTROYED, 6: PrekeyState.MADE}
    assert "prekey-2" not in station.installation.keystore.names("prekey-")


async def test_http_10_a_prekey_of_our_device_that_was_not_made_here_is_replaced_at_once_and_told(
    world: World, hub: RunningHub
) -> None:
    """A thief of the device's keys published it, or this machine is an old copy: here nobody can open what comes."""
    station = world.probation
    hub.programme.now = hub.clock()
    hub.programme.add_prekey(station.member, epoch=5, age=0)
    await hub.catch_up()
    for _ in range(2):
        await station.look()
    assert newest(station) == 6
    assert station.parts.prekeys.secret(6) is not None
    assert station.logged.getvalue().count("prekey-not-ours") == 1
    sent = await world.prison.send(station.desk)
    await world.prison.look()
    await world.prison.turn()
    await station.turn()
    await world.prison.turn()
    assert await world.prison.states(sent) == {station.desk: MessageState.OPENED}


async def test_dir_14_a_prekey_that_came_too_late_for_the_log_is_made_anew(world: World, hub: RunningHub) -> None:
    """The connector made it, was cut off for three weeks, and the log has gone on without it."""
    station, clock = world.probation, hub.clock
    clock.advance(8 * DAY)
    await station.parts.directory.sync()
    with pytest.raises(HubUnreachable):
        await station.parts.prekeys.maintain(Sink(reachable=False), drained_at=None)
    clock.advance(21 * DAY)
    await world.prison.look()
    await station.look()
    await station.look()
    assert newest(station) == 3
    assert await states(station) == {2: PrekeyState.DESTROYED, 3: PrekeyState.LOGGED}


async def test_dir_15_a_refused_prekey_is_logged_and_stops_nothing_else(world: World) -> None:
    station = world.probation
    world.hub.clock.advance(8 * DAY)
    await station.parts.directory.sync()
    sink = Sink(trusting=False)
    for day in range(5):
        assert await station.parts.prekeys.maintain(sink, drained_at=None) is False, day
        world.hub.clock.advance(DAY)
    # One statement for three days, then another; the seeds of both are kept until the log has one.
    assert [sink.handed.count(one) for one in dict.fromkeys(sink.handed)] == [3, 2]
    assert '"code":"untrusted-key"' in station.logged.getvalue().replace(" ", "")
    assert station.installation.keystore.names("prekey-") == ["prekey-1", "prekey-2", "prekey-3"]


async def test_epochs_ascend_over_everything_that_is_known(world: World) -> None:
    station = world.probation
    station.installation.keystore.put("prekey-9", "prekey", bytes(32))
    world.hub.clock.advance(8 * DAY)
    await station.look()
    assert newest(station) == 10


async def test_a_foreign_name_among_the_prekeys_is_refused_at_the_start(world: World) -> None:
    world.probation.installation.keystore.put("prekey-x", "prekey", bytes(32))
    with pytest.raises(KeystoreError):
        check_seeds(world.probation.installation.keystore)


def test_err_2_prekeys_show_no_secret(world: World) -> None:
    secret = world.probation.parts.prekeys.secret(1)
    assert secret is not None
    assert secret.seed.hex() not in repr(secret)
    assert isinstance(world.probation.parts.prekeys, Prekeys)


async def test_dir_15_epochs_that_never_reached_the_log_do_not_lead_out_of_its_reach(world: World) -> None:
    station, sink = world.probation, Sink()
    keystore = station.installation.keystore
    keystore.put("prekey-999999", "prekey", bytes(32))
    body = Body(1, 1, 2, Prekey(station.member.device_id, 999_999, XWingSecret.generate().public))
    statement = sign_statement(body, [station.member.device])
    async with station.parts.store.write() as tx:
        await prekeys.add(tx, prekeys.OwnPrekey(999_999, 0, None, PrekeyState.MADE, statement))
    world.hub.clock.advance(8 * DAY)
    await station.parts.directory.sync()
    await station.parts.prekeys.maintain(sink, drained_at=None)
    assert await states(station) == {2: PrekeyState.MADE, 999_999: PrekeyState.DESTROYED}
    await station.look()
    assert newest(station) == 2


async def test_seq_4_a_failure_at_the_prekeys_does_not_stop_the_directory_from_being_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await world.prison.send(world.probation.desk)
    world.hub.programme.now = world.hub.clock()
    world.hub.programme.replace_device(world.probation.member, "a new one")
    await world.hub.catch_up()

    async def fails(*_: object, **__: object) -> bool:
        raise KeystoreError

    monkeypatch.setattr(world.prison.parts.prekeys, "maintain", fails)
    loops = Loops(world.prison.parts, world.prison.settings, world.hub.clock, Log(io.StringIO()))
    for _ in range(2):
        with pytest.raises(KeystoreError):
            await loops._look()
    await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, sent)).attempts == 2

# SPDX-License-Identifier: Apache-2.0
"""What a revocation takes from an agency's connector, and what a renewal leaves it, typed at a hub that runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.authority.office import open_office
from connectors.enrolment import visit
from connectors.installation import open_installation
from connectors.socket_link import open_socket
from connectors.timing import system_clock
from protocol.errors import NotAuthenticated, RecipientUnavailable, Revoked
from protocol.http.handovers import MessageState
from protocol.http.skipping import SkippingClock, skip_to
from protocol.limits import DAY
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station, open_station, package, person_section
from tests.programme import Member
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.town import Town, enrolled, opened_town, quiet

pytestmark = pytest.mark.usefixtures("quick_keys")

DOMAIN = "hub.example"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with opened_town(tmp_path / "town") as place:
        yield place


@pytest.fixture
def clock(town: Town, monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Let hub, connectors and commands go by one clock, which the test puts ahead."""
    skipping = SkippingClock(town.clock_file, system_clock)
    monkeypatch.setattr(visit, "time", SimpleNamespace(time_ns=lambda: skipping() * 1_000_000))
    return skipping


def new_agency(town: Town, type_: Typist, name: str) -> Path:
    """Enrol an agency and return its connector's folder."""
    folder = town.folder / name
    enrolled(town, type_, folder)
    return folder


def signs(town: Town, type_: Typist, who: str, *command: str) -> Spoken:
    """Have `approver-1`, or `root-1`, type a command of the authority."""
    role, _, number = who.rpartition("-")
    option = "--approver" if role == "approver" else "--person"
    verb, *more = command
    return type_(
        "authority", verb, town.authority, *more, option, number, "--passphrase-file", town.passphrase(who), "--json"
    )


@asynccontextmanager
async def connector(folder: Path, clock: SkippingClock) -> AsyncIterator[Station]:
    """Open the connector that was enrolled in `folder`."""
    installation = open_installation(folder, b"an agency's passphrase")
    enrolment = installation.enrolment
    actor = enrolment.actor(None)
    functions = {"intake": "probation-intake"}
    # Only its public side is used; the keys are the installation's own.
    member = Member(enrolment.agency, "probation", functions, SimpleNamespace(), installation.device, actor.officer)  # type: ignore[arg-type]
    async with open_station(folder, member, installation, clock) as station:
        await station.look()
        yield station


async def test_http_12_an_agency_that_is_revoked_by_command_is_cut_off_at_once(
    town: Town, type_: Typist, clock: SkippingClock
) -> None:
    """Its open connection is closed, its next request refused, and nobody seals anything for it any more."""
    folders = [await asyncio.to_thread(new_agency, town, type_, name) for name in ("stays", "leaves")]
    async with connector(folders[0], clock) as stays, connector(folders[1], clock) as leaves:
        await stays.look()
        sent = await stays.send(leaves.desk, content=package(person_section()))
        async with open_socket(leaves.session, town.hub_url, DOMAIN, leaves.member.device, clock) as link:
            (item,) = await link.receive(0)
            waiting = asyncio.ensure_future(link.receive(item.index + 1))
            first = await asyncio.to_thread(
                signs, town, type_, "approver-1", "revoke", "leaves", "--reason", "key-compromise", "--yes"
            )
            assert first.json["signatures_lacking"] == 1, first.err
            assert not waiting.done(), "one approver ends nothing"
            second = await asyncio.to_thread(signs, town, type_, "approver-2", "revoke", "leaves", "--yes")
            assert second.json["revoked"], second.err
            with pytest.raises(Revoked):
                await waiting
        with pytest.raises(Revoked):
            await leaves.collect()
        with pytest.raises(Revoked):
            await leaves.send(stays.desk, content=package(person_section()))
        await stays.look()
        with pytest.raises(RecipientUnavailable):
            await stays.compose(leaves.desk, content=package(person_section()))
        assert await stays.states(sent) == {leaves.desk: MessageState.ACCEPTED}, "what was accepted stays"


async def test_dir_6_an_agency_that_was_renewed_goes_on_past_731_days_and_its_connector_is_not_touched(
    town: Town, type_: Typist, clock: SkippingClock
) -> None:
    """Its device, mailbox and cases live on; an agency that nobody renewed is refused from that day on."""
    names = ("goes-on", "also", "forgotten")
    folders = [await asyncio.to_thread(new_agency, town, type_, name) for name in names]
    async with (
        connector(folders[0], clock) as goes_on,
        connector(folders[1], clock) as also,
        connector(folders[2], clock) as forgotten,
    ):
        device = goes_on.parts.directory.directory.device(goes_on.member.device_id)
        await goes_on.look()
        sent = await goes_on.send(also.desk, content=package(person_section()))
        await also.collect()
        skip_to(town.clock_file, 720 * DAY)
        for name in names[:2]:
            assert (await asyncio.to_thread(signs, town, type_, "approver-1", "renew", name)).code == 0
            done = await asyncio.to_thread(signs, town, type_, "approver-2", "renew", name)
            assert done.json["signatures_lacking"] == 0, done.err
        for station in (goes_on, also, forgotten):
            await station.look()
        skip_to(town.clock_file, 740 * DAY)
        for station in (also, goes_on):
            await station.look()
        later = await goes_on.send(also.desk, content=package(person_section()))
        await also.turn()
        await goes_on.turn()
        assert (await only_recipient(goes_on, later)).state is MessageState.OPENED
        assert len((await also.view(sent)).sections) == 1, "what came two years ago is there"
        renewed = goes_on.parts.directory.directory.device(goes_on.member.device_id)
        assert device is not None
        assert renewed is not None
        assert (renewed.key, renewed.desks, renewed.issuer) == (device.key, device.desks, device.issuer)
        assert await also.quarantined() == await goes_on.quarantined() == []
        with pytest.raises(NotAuthenticated):
            await forgotten.collect()
        with pytest.raises(RecipientUnavailable):
            await goes_on.compose(forgotten.desk, content=package(person_section()))


def test_dir_2_the_authority_and_the_root_are_renewed_by_the_persons_of_the_root(
    town: Town, type_: Typist, clock: SkippingClock
) -> None:
    def standing() -> dict[str, str]:
        found = type_("authority", "list", town.authority, "--json").json
        return {name: found[name]["until"][:4] for name in ("root", "authority")}

    began = standing()
    assert signs(town, type_, "approver-1", "renew", "--authority").code == 2, "an approver may not"
    skip_to(town.clock_file, 1_830 * DAY)
    refused = type_(
        "authority", "invite", town.authority, "--agency", "late", "--name", "Late", "--kind", "probation", "--desk",
        "intake=probation-intake", "--approver", "1", "--passphrase-file", town.passphrase("approver-1"),
    )  # fmt: skip
    assert refused.code == 4, "the authority has ended"
    renewed = signs(town, type_, "root-1", "renew", "--authority")
    assert renewed.json["renewed"] == "authority", renewed.err
    assert standing()["authority"] > began["authority"]
    new_agency(town, type_, "late")
    skip_to(town.clock_file, 3_640 * DAY)
    assert signs(town, type_, "root-1", "renew", "--authority").code == 0
    assert signs(town, type_, "root-1", "renew", "--root").code == 0
    assert standing()["root"] > began["root"]
    skip_to(town.clock_file, 3_658 * DAY)
    folder = new_agency(town, type_, "later-still")
    installation = open_installation(folder, b"an agency's passphrase")
    assert installation.enrolment.root_fingerprint == open_office(town.authority).facts.root_fingerprint, "it stays"
    quiet("authority", "publish", town.authority, "--hub", town.folder / "hub" / "hub-public.json")

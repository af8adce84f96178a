# SPDX-License-Identifier: Apache-2.0
"""Drill: an agency's machine is lost and there is no backup; it enrols anew, and what was under way arrives."""

import asyncio
import shutil
from pathlib import Path

import pytest

from connectors.installation import open_installation
from connectors.timing import system_clock
from protocol.address import DeskAddress
from protocol.http.handovers import MessageState
from protocol.ids import MessageId
from tests.connectors.stations import open_station, package, person_section
from tests.programme import make_programme
from tests.scenarios.running import Typist
from tests.scenarios.town import Town, enrolled

pytestmark = pytest.mark.usefixtures("quick_keys")

PASSPHRASE = b"an agency's passphrase"
"""What `enrol` of the town writes into the passphrase file."""
MEMBER = make_programme().members["gora-prison"]
"""Unused by what is enrolled for real; a station only carries it."""


def test_seq_4_dir_7_an_agency_without_a_backup_enrols_anew_and_gets_what_was_under_way(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    sender, lost, again = tmp_path / "sender", tmp_path / "lost", tmp_path / "again"
    enrolled(town, type_, sender, "sender")
    enrolled(town, type_, lost, "finder")
    desk = DeskAddress("intake.finder@hub.example")
    sent = asyncio.run(_send(sender, desk))
    shutil.rmtree(lost)
    enrolled(town, type_, again, "finder")
    states, sections = asyncio.run(_exchange(sender, again, sent))
    assert states == {desk: MessageState.OPENED}
    assert sections == 1


async def _send(folder: Path, desk: DeskAddress) -> MessageId:
    installation = open_installation(folder, PASSPHRASE)
    async with open_station(folder, MEMBER, installation, system_clock) as sender:
        await sender.look()
        return await sender.send(desk, content=package(person_section()))


async def _exchange(folder: Path, other: Path, sent: MessageId) -> tuple[dict[DeskAddress, MessageState], int]:
    """Let both work for a while; return how the message stands at its sender, and how many sections came."""
    async with (
        open_station(folder, MEMBER, open_installation(folder, PASSPHRASE), system_clock) as sender,
        open_station(other, MEMBER, open_installation(other, PASSPHRASE), system_clock) as finder,
    ):
        await finder.look()
        await sender.look()
        for _ in range(2):
            for one in (sender, finder):
                await one.turn()
        await sender.turn()
        return await sender.states(sent), len((await finder.view(sent)).sections)

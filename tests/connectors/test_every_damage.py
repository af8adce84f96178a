# SPDX-License-Identifier: Apache-2.0
"""Whatever row of a connector's store or key file of its keystore a disk damages, all the rest goes on (CON-8).

Driven by the tables themselves: a new column is damaged too, or has to be named here as one that nobody parses.
"""

import shutil
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, Text

from connectors.installation import (
    AGENCY_ED25519,
    AGENCY_MLDSA65,
    DEVICE_ED25519,
    DEVICE_MLDSA65,
    DEVICE_TRANSPORT,
    STORAGE,
)
from connectors.store import tables, threadtables
from connectors.store.damage import PARSED, SEALED
from tests.connectors.conftest import World
from tests.connectors.damaging import (
    OF_EACH,
    Bad,
    all_lists,
    copied,
    found_by_doctor,
    names_of,
    prepare,
    strike_keys,
    tells,
    works,
)
from tests.connectors.hand import count

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

NEEDED = {DEVICE_ED25519, DEVICE_MLDSA65, DEVICE_TRANSPORT, STORAGE}
"""Without these keys no connector starts; `throughcare restore` brings them back."""
PARTS = 6
"""How many tests all columns are dealt out to, none of which may take minutes."""
TABLES = threadtables.thread.metadata.tables
COLUMNS: list[Column[Any]] = [column for table in TABLES.values() for column in table.columns]
TEXTS = {str(column): column for column in COLUMNS if isinstance(column.type, Text)}
NOT_PARSED = frozenset(
    {
        "attachment_in.recipient_desk",
        "attachment_in.sender_desk",
        "asked.recipient_desk",
        "asked.sender_desk",
        "attempt.error",
        "attempt_row.desk",
        "awaited.desk",
        "correction.agency",
        "correction.own_desk",
        "correction.sender_desk",
        "delivery.outcome",
        "delivery.url",
        "event.machine",
        "event.side",
        "event.state",
        "incoming.payload_type",
        "forgotten.recipient_desk",
        "forgotten.sender_desk",
        "lost.recipient_desk",
        "lost.sender_desk",
        "meta.name",
        "move.actor",
        "move.event",
        "move.refused",
        "outgoing.payload_type",
        "quarantine.code",
        "recipient.desk",
        "recipient.error",
        "sequence.direction",
        "sequence.lane",
        "sequence.recipient_desk",
        "sequence.sender_desk",
        "thread.alert",
        "thread.alerts",
        "thread.side",
        "thread.state",
        "timer.ack",
        "timer.error",
        "timer.event",
        "timer.level",
        "webhook.url",
    }
)


def test_con_8_every_sealed_column_is_known_to_the_doctor_and_every_other_text_is_parsed_or_named() -> None:
    sealed = {str(one) for one in COLUMNS if one.name.startswith("sealed") and isinstance(one.type, LargeBinary)}
    assert {str(one) for one in SEALED} == sealed
    assert TEXTS.keys() - set(map(str, PARSED)) == NOT_PARSED


async def facts(world: World) -> list[Bad]:
    """Return every single fact but the first, which stands for its column already."""
    return [Bad(tables.meta.c.sealed, place) for place in range(1, await count(world.prison, "meta"))]


async def test_con_8_one_damaged_row_in_every_column_at_once_holds_up_nothing_else(
    world: World, tmp_path: Path
) -> None:
    whole = await prepare(world)
    bad = [*(Bad(one) for one in SEALED), *(Bad(one, 1) for one in PARSED), *await facts(world)]
    damage, faults = await found_by_doctor(world.prison, world)
    assert (damage.messages, damage.others, faults) == ({}, {}, set())
    assert [(str(one), len(await names_of(world.prison, one))) for one in bad] == [(str(one), 1) for one in bad]
    async with copied(world, tmp_path / "damaged", bad) as station:
        assert (await found_by_doctor(station, world))[1] == {"messages", "stored rows"}
        await tells(station, await works(station, world, whole))


async def test_con_8_a_message_whose_desk_is_damaged_holds_up_nothing_else(world: World, tmp_path: Path) -> None:
    """By its own row alone: where others are damaged too, it is not looked for at that desk."""
    whole = await prepare(world)
    async with copied(world, tmp_path / "damaged", [Bad(tables.incoming.c.recipient_desk)]) as station:
        await works(station, world, whole)


async def test_con_28_a_damaged_word_that_nobody_parses_is_told_as_no_fault_of_whoever_asks(
    world: World, tmp_path: Path
) -> None:
    """One of each column, all at once: who did which step, at which desk it is, in which state."""
    await prepare(world)
    words = [column for name, column in TEXTS.items() if name in NOT_PARSED and not column.primary_key]
    shown = [column for column in words if column.table in (tables.recipient, threadtables.move, threadtables.thread)]
    bad = [Bad(column) for column in words if column not in shown]
    # What a thread shows is damaged in one place of each thread, so that none hides another.
    bad += [Bad(column, number % OF_EACH) for number, column in enumerate([*shown, tables.recipient.c.desk])]
    async with copied(world, tmp_path / "damaged", bad) as station:
        await tells(station, await all_lists(station))


async def test_con_8_key_files_that_no_start_needs_hold_up_nothing_else(world: World, tmp_path: Path) -> None:
    """All prekeys, the newest among them, and the agency's own keys, which sign what is renewed."""
    whole = await prepare(world)
    keystore = world.prison.installation.keystore
    for name in (AGENCY_ED25519, AGENCY_MLDSA65):
        keystore.put(name, name, bytes(32))
    others = sorted(set(keystore.names()) - NEEDED)
    assert others == [AGENCY_ED25519, AGENCY_MLDSA65, *(f"prekey-{epoch}" for epoch in range(1, OF_EACH + 2))]
    async with copied(world, tmp_path / "damaged") as station:
        strike_keys(station.folder, others)
        assert station.installation.keystore.unreadable() == others
        await works(station, world, whole)
        assert f"prekey-{OF_EACH + 2}" in station.installation.keystore.names(), "made anew by the upkeep"


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
async def test_con_8_one_damaged_row_in_any_column_holds_up_nothing_else(
    world: World, tmp_path: Path, part: int
) -> None:
    """Also of the columns that nobody parses: what stands there is a word of somebody's, and hides nothing."""
    whole = await prepare(world)
    bad = [*map(Bad, SEALED), *map(Bad, PARSED), *await facts(world)]
    bad += [Bad(column) for column in TEXTS.values() if not column.primary_key and column not in PARSED]
    held_up = dict[str, str]()
    for number, one in enumerate(bad[part::PARTS]):
        try:
            async with copied(world, tmp_path / str(number), [one]) as station:
                await works(station, world, whole)
        except Exception as error:  # noqa: BLE001 # each is told
            held_up[f"{one} {one.place}"] = "".join(format_exception(error)[-4:])
        shutil.rmtree(tmp_path / str(number))
    assert not held_up, "\n".join(f"{which}: {why}" for which, why in held_up.items())

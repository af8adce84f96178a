# SPDX-License-Identifier: Apache-2.0
"""Attachments that came with what was entered in error: nobody is given them any more (CON-26)."""

import secrets

import pytest

from connectors.cases.moving import Step
from protocol.errors import IllegalTransition
from tests.connectors.cases.test_referral import settle
from tests.connectors.conftest import World
from tests.connectors.test_attachments import SCAN, carry, fetch, read, send, store


async def test_con_26_an_attachment_that_came_in_error_is_given_out_no_more_at_either_desk(world: World) -> None:
    scan, copied = await store(world.prison, SCAN), await store(world.prison, b"2")
    sent = await send(world, (scan, 1))
    other = await send(world, (copied, 1))
    await carry(world.prison)
    for station in (world.probation, world.social_work):
        await fetch(station)
        await station.seal_and_send()
    await world.prison.collect()
    thread = (await world.prison.view(sent)).thread
    step = Step(event="entered-in-error", fields={"reason": "wrong-person"})
    await world.prison.parts.moving.move(thread, step, key=secrets.token_hex(12), body=b"")
    await settle(world.prison, world.probation, world.social_work)
    for station in (world.probation, world.social_work):
        with pytest.raises(IllegalTransition, match="entered in error"):
            await read(station, sent)
        view = await station.view(sent)
        assert (view.withheld, view.sections, [one.sections for one in view.recipients]) == (
            "entered-in-error",
            [],
            [[]],
        )
        assert view.offer != {}, "that it came, and what it was, stands there"
        assert (await read(station, other), (await station.view(other)).withheld) == (b"2", None)
    assert len((await world.prison.view(sent)).sections) == 2

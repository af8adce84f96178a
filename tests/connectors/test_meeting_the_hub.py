# SPDX-License-Identifier: Apache-2.0
"""Before anything is signed or sent, it is made sure that it is the hub that was meant, and that the clocks agree."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.enrolment.pins import Pins, check_hub
from connectors.hub_client import HubClient
from protocol.enrolment import LogAnchor
from protocol.errors import ClockSkewed, EnrolmentRefused
from protocol.limits import MINUTE
from tests.hub.running import RunningHub
from tests.programme import make_programme


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with RunningHub(tmp_path, make_programme()) as running:
        yield running


async def pins_of(hub: RunningHub) -> Pins:
    info = await HubClient(hub.session, hub.url, hub.clock).hub()
    directory, audit = (LogAnchor(log.origin, log.key, 0) for log in (info.directory, info.audit))
    return Pins(info.domain, info.root_fingerprint, directory, audit)


@pytest.mark.parametrize(("minutes", "side"), [(11, "11 minutes ahead of"), (-11, "11 minutes behind")])
async def test_a_clock_that_is_wrong_is_said_before_anything_is_signed_by_it(
    hub: RunningHub, minutes: int, side: str
) -> None:
    """Later it would read as `the approvers have not signed yet`, or as a statement that the hub does not take."""
    client = HubClient(hub.session, hub.url, lambda: hub.clock() + minutes * MINUTE)
    with pytest.raises(ClockSkewed, match=f"{side} the hub's"):
        await check_hub(client, await pins_of(hub))


async def test_a_clock_that_is_a_little_wrong_is_none_of_our_business(hub: RunningHub) -> None:
    for minutes in (-9, 0, 9):
        client = HubClient(hub.session, hub.url, lambda ahead=minutes: hub.clock() + ahead * MINUTE)  # type: ignore[misc]
        await check_hub(client, await pins_of(hub))


async def test_enr_1_another_hub_is_no_measure_of_a_clock(hub: RunningHub, tmp_path: Path) -> None:
    pins = await pins_of(hub)
    (tmp_path / "other").mkdir()
    async with RunningHub(tmp_path / "other", make_programme(domain="other.example")) as other:
        with pytest.raises(EnrolmentRefused, match="not the hub that was meant"):
            await check_hub(HubClient(other.session, other.url, lambda: 0), pins)

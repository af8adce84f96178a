# SPDX-License-Identifier: Apache-2.0
"""A sandbox's troubles: whatever is lost, late, doubled or overtaken, each message arrives once."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from connectors.access import TOKEN_FILE
from connectors.hub_client import Outcome
from connectors.timing import system_clock
from connectors.troubles import TroubledLink, TroubleFile, Troubles
from protocol.errors import ConfigurationError, HubUnreachable, Unavailable
from protocol.frames import Item
from protocol.http.handovers import Direction, HandoverFilter, MessageState
from tests.connectors.conftest import World
from tests.connectors.running import WallClock, installed, running
from tests.hub.running import RunningHub
from tests.programme import make_programme

EVERYTHING = "drop 0.3\nduplicate 0.5  # twice\n\nreorder 0.4\n"


def test_a_file_says_which_troubles_there_are() -> None:
    assert Troubles.parse("") == Troubles()
    assert Troubles.parse("delay 250ms\n429 1\n503 .5\n" + EVERYTHING) == Troubles(
        delay=0.25, drop=0.3, duplicate=0.5, reorder=0.4, busy=1, away=0.5
    )
    assert Troubles.parse("delay 900000s").delay == 60


@pytest.mark.parametrize("line", ["drop", "drop 1.5", "drop -1", "drop 10%", "delay 5", "lose it all", "418 0.1"])
def test_a_line_that_says_nothing_is_named_by_its_number_and_not_repeated(line: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 2 of the faults file") as told:
        Troubles.parse(f"drop 0.1\n{line}\n")
    assert "lose it" not in str(told.value)


def test_what_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    told: list[None] = []
    file = TroubleFile(tmp_path / "faults", tell=lambda: told.append(None))
    assert file.now() == Troubles()
    file.file.write_text("drop 0.5")
    assert file.now().drop == 0.5
    for nonsense in (b"\xff nonsense", b"drop everything"):
        file.file.write_bytes(nonsense)
        assert file.now().drop == 0.5
        assert len(told) == 1, "told once, until it can be read again"
    file.file.write_text("drop 0.25")
    assert file.now().drop == 0.25
    file.file.write_text("lose 1")
    assert file.now().drop == 0.25
    assert len(told) == 2
    file.file.unlink()
    assert file.now() == Troubles()


class _Still:
    """A hub that answers everything at once."""

    def __init__(self) -> None:
        self.submitted: list[bytes] = []

    async def reach(self) -> None:
        return None

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        self.submitted += envelopes
        return [b"receipt of " + envelope for envelope in envelopes]

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        return ()

    async def acknowledge(self, up_to: int) -> None:
        return None


async def test_what_is_overtaken_is_to_be_sent_again_and_each_answer_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("reorder 0.5")
    still = _Still()
    link = TroubledLink(still, TroubleFile(tmp_path / "faults", random.Random(7)))
    envelopes = [bytes([number]) for number in range(40)]
    answers = await link.submit(envelopes)
    late = [envelope for envelope, answer in zip(envelopes, answers, strict=True) if isinstance(answer, Unavailable)]
    assert 10 < len(late) < 30
    assert still.submitted == [envelope for envelope in envelopes if envelope not in late]
    assert [answer for answer in answers if isinstance(answer, bytes)] == [
        b"receipt of " + one for one in still.submitted
    ]


async def test_nothing_is_lost_and_nothing_comes_twice(world: World, tmp_path: Path) -> None:
    (tmp_path / "faults").write_text(EVERYTHING)
    prison, probation = world.prison, world.probation
    for number, station in enumerate((prison, probation)):
        station.link = TroubledLink(station.link, TroubleFile(tmp_path / "faults", random.Random(number)))
    sent = [(await prison.compose(probation.desk)).id for _ in range(6)]
    trouble, states = Counter[str](), list[MessageState]()
    for _ in range(400):
        for station in (prison, probation):
            try:
                await station.turn()
            except HubUnreachable:
                trouble["lost"] += 1
        world.hub.clock.advance(60_000)
        states = [state for one in sent for state in (await prison.states(one)).values()]
        if states == [MessageState.OPENED] * len(sent):
            break
    else:
        raise AssertionError(states)
    assert trouble["lost"] > 0
    assert await probation.quarantined() == []
    received = HandoverFilter(direction=Direction.RECEIVED)
    assert len((await probation.parts.handovers.list(received)).items) == len(sent)


async def test_requests_are_refused_as_busy_servers_do_and_a_client_that_asks_again_is_served(tmp_path: Path) -> None:
    programme = make_programme(now=system_clock())
    (tmp_path / "hub").mkdir()
    (tmp_path / "faults").write_text("429 0.4\n503 0.4\n")
    async with RunningHub(tmp_path / "hub", programme, WallClock()) as hub:
        folder, member = installed(tmp_path, programme, "gora-prison", hub.url)
        async with running(folder, member, faults_file=f'"{tmp_path / "faults"}"') as connector:
            headers = {"Authorization": f"Bearer {(folder / TOKEN_FILE).read_text().strip()}"}
            seen = Counter[int]()
            async with aiohttp.ClientSession(connector.client._client._base, headers=headers) as session:
                for _ in range(60):
                    async with session.get("/v1/status") as response:
                        seen[response.status] += 1
                        body = await response.json(content_type=None)
                    if response.status != 200:
                        assert body["retryable"]
                        assert response.headers["Retry-After"] == "1"
            assert set(seen) == {200, 429, 503}
            (tmp_path / "faults").unlink()
            assert (await connector.client.status()).agency == member.address

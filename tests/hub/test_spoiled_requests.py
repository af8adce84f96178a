# SPDX-License-Identifier: Apache-2.0
"""What a device in force sends, and nobody can use, is charged to its agency all the same (HTTP-14)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hub.service.allowances import LEAST_SPOILED
from protocol.errors import EnvelopeIdReused, MalformedEnvelope, TooManyRequests
from protocol.http import hub as api
from protocol.limits import SECOND
from tests.hub.heads import begun, head_of, status_of
from tests.hub.running import RunningHub
from tests.programme import Programme

REFUSED = 8 << 20
"""What may have to be refused of 64 MiB in a minute."""


@pytest.fixture
async def small(tmp_path: Path, programme: Programme) -> AsyncIterator[RunningHub]:
    """Serve a hub that takes 64 MiB of an agency in a minute."""
    async with RunningHub(tmp_path, programme, more=("[limits]", "megabytes_per_minute = 64")) as running:
        yield running


async def other_body(hub: RunningHub) -> None:
    """Send another body than the signed one."""
    prison = hub.programme.members["gora-prison"]
    async with begun(hub, head_of(hub, prison.device, b"one")) as (reader, writer):
        writer.write(b"two")
        assert await status_of(reader) == 401


async def cut_body(hub: RunningHub) -> None:
    """Send half a body."""
    prison = hub.programme.members["gora-prison"]
    async with begun(hub, head_of(hub, prison.device, b"one")) as (reader, writer):
        writer.write(b"o")
        writer.write_eof()
        await reader.read()


async def wrong_query(hub: RunningHub) -> None:
    """Ask for what there is not; the body is not even waited for."""
    prison = hub.programme.members["gora-prison"]
    async with begun(hub, head_of(hub, prison.device, b"one", "/v1/envelopes?if=1")) as (reader, _):
        assert await status_of(reader) == 422


async def no_batch(hub: RunningHub) -> None:
    """Send a batch that is none."""
    with pytest.raises(MalformedEnvelope):
        await hub.device(hub.programme.members["gora-prison"]).client.call_bytes(api.SUBMIT_BATCH, body=b"no batch")


async def large_body(hub: RunningHub) -> None:
    """Send a larger one: it counts by its bytes."""
    client = hub.device(hub.programme.members["gora-prison"]).client
    with pytest.raises(MalformedEnvelope):
        await client.call_bytes(api.SUBMIT_BATCH, body=bytes(1 << 20))


KINDS = {
    other_body: LEAST_SPOILED,
    cut_body: LEAST_SPOILED,
    wrong_query: LEAST_SPOILED,
    no_batch: LEAST_SPOILED,
    large_body: 1 << 20,
}


@pytest.mark.parametrize(("spoil", "cost"), KINDS.items(), ids=[kind.__name__ for kind in KINDS])
async def test_http_14_a_submission_of_which_nothing_can_be_used_is_charged_all_the_same(
    small: RunningHub, spoil: Callable[[RunningHub], Awaitable[None]], cost: int
) -> None:
    """Else a hostile agency could have signatures checked, nonces stored and bodies read for ever."""
    prison, probation, csw = small.programme.members.values()
    allowances = small.hub.submissions._parts.allowances
    allowances.refused(prison.address, REFUSED - cost)
    data = small.programme.sender("gora-prison").seal(csw.desk).data
    await small.device(prison).submit(data)
    await spoil(small)
    with pytest.raises(TooManyRequests) as refused:
        await small.device(prison).submit(data)
    assert refused.value.retry_after == 1
    # What reads is not held up by it, and nobody else notices anything.
    await small.device(prison).read()
    await small.device(probation).submit(small.programme.sender("reka-probation").seal(csw.desk).data)
    small.clock.advance(SECOND)
    await small.device(prison).submit(data)


async def test_http_14_who_repeats_a_signed_request_pays_by_address_and_its_agency_does_not(
    tmp_path: Path, programme: Programme
) -> None:
    """It may be somebody else, who has seen the request on its way."""
    prison, _, csw = programme.members.values()
    limits = ("[limits]", "megabytes_per_minute = 64", "stranger_requests_per_minute = 60")
    async with RunningHub(tmp_path, programme, more=("behind_proxy = true", *limits)) as hub:
        data = programme.sender("gora-prison").seal(csw.desk).data
        head = head_of(hub, prison.device, data, forwarded="192.0.2.1")
        statuses = []
        for _ in range(63):
            async with begun(hub, head) as (reader, writer):
                writer.write(data)
                statuses.append(await status_of(reader))
        assert statuses == [201] + [401] * 60 + [429] * 2
        assert hub.hub.submissions._parts.allowances._refused.wait(prison.address) == 0
        assert len(hub.hub.submissions._parts.allowances._refused) == 0
        async with begun(hub, head_of(hub, prison.device, data, forwarded="192.0.2.2")) as (reader, writer):
            writer.write(data)
            assert await status_of(reader) == 201


async def test_http_14_an_envelope_under_a_used_id_counts_among_those_that_must_be_refused(small: RunningHub) -> None:
    prison, probation, _ = small.programme.members.values()
    device, sender = small.device(prison), small.programme.sender("gora-prison")
    first = sender.seal(probation.desk)
    other = sender.seal(probation.desk, envelope_id=first.envelope_id)
    await device.submit(first.data)
    small.hub.submissions._parts.allowances.refused(prison.address, REFUSED - len(other.data))
    await device.submit(first.data)
    with pytest.raises(EnvelopeIdReused):
        await device.submit(other.data)
    with pytest.raises(TooManyRequests):
        await device.submit(first.data)

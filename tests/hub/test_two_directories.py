# SPDX-License-Identifier: Apache-2.0
"""A hub process that has not heard yet of what another appended to the directory looks before it refuses (HTTP-23)."""

import asyncio

import pytest

from protocol.errors import RecipientUnavailable, Revoked, SenderMismatch
from tests.hub.pairs import Pair, pair

__all__ = ["pair"]


async def test_http_23_an_envelope_for_a_device_appended_elsewhere_a_moment_ago_is_accepted(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    before = pair.second.hub.directory.directory.size
    pair.programme.replace_device(probation, "another device")
    await pair.first.catch_up()
    sealed = pair.programme.sender("gora-prison").seal(probation.desk)
    assert pair.second.hub.directory.directory.size == before, "nobody has told it"
    await pair.second.device(prison).submit(sealed.data)
    assert len(await pair.first.device(probation).items()) == 1


async def test_http_23_so_is_one_of_a_sender_whose_own_device_was_appended_elsewhere(pair: Pair) -> None:
    prison, probation, _ = pair.programme.members.values()
    pair.programme.replace_device(prison, "another device")
    await pair.first.catch_up()
    sealed = pair.programme.sender("gora-prison").seal(probation.desk)
    await pair.second.hub.submissions.submit(prison.device_id, sealed.data)
    assert await pair.second.leaves() == 1


async def test_http_23_what_is_wrong_by_the_newest_directory_is_refused_however_often_it_comes(pair: Pair) -> None:
    """A stranger's, a dropped device's and a revoked one's: with one look for each, and no loop."""
    prison, probation, csw = pair.programme.members.values()
    sender = pair.programme.sender("gora-prison")
    outdated, own = sender.seal(probation.desk), sender.seal(csw.desk)
    pair.programme.replace_device(probation, "another device")
    await pair.first.catch_up()
    for result in await asyncio.gather(
        *(pair.second.device(prison).submit(outdated.data) for _ in range(4)), return_exceptions=True
    ):
        assert isinstance(result, RecipientUnavailable)
    with pytest.raises(SenderMismatch):
        await pair.second.hub.submissions.submit(csw.device_id, own.data)
    pair.programme.revoke_device(prison)
    await pair.first.catch_up()
    with pytest.raises(Revoked):
        await pair.second.hub.submissions.submit(prison.device_id, own.data)
    assert await pair.second.leaves() == 0

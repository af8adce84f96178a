# SPDX-License-Identifier: Apache-2.0
"""Who answers questions about a referral while its officer is away is somebody of that agency (LIF-8)."""

import secrets

import pytest

from protocol import ids
from protocol.http.drafts import DraftRequest
from protocol.http.problems import FieldError, InvalidFields
from protocol.http.threads import ReferralRequest, StepQueued
from protocol.ids import Kind, OfficerId
from tests.connectors.cases.test_cases import probation, refer, step
from tests.connectors.cases.test_onward import ANSWER_BY, forward, proposed, sub_refer
from tests.connectors.cases.test_referral import REQUEST, WORDS
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.test_officers import add

__all__ = ["csw", "prison", "probation"]


async def test_lif_8_who_is_no_officer_here_is_no_deputy_either(prison: Served, csw: Served, world: World) -> None:
    """Whom the recipient is to ask while the officer is away; a mistyped id was sent, and is nobody."""
    theirs, new = await add(csw.station, world.hub, "Officer"), await add(world.prison, world.hub, "Officer")

    async def send(deputy: OfficerId) -> StepQueued:
        fields = {**REQUEST, "deputy": ids.text(Kind.OFFICER, deputy)}
        request = ReferralRequest(to=csw.station.desk, fields=fields, sections=[WORDS])
        return await prison.client.refer(request, idempotency_key=secrets.token_hex(12))

    async def draft(deputy: OfficerId) -> StepQueued:
        fields = {**REQUEST, "deputy": ids.text(Kind.OFFICER, deputy)}
        kept = (
            await prison.client.make_draft(
                DraftRequest(to=csw.station.desk, fields=fields, sections=[WORDS]),
                idempotency_key=secrets.token_hex(12),
            )
        ).item
        return await prison.client.send_draft(kept.id, version=kept.version, idempotency_key=secrets.token_hex(12))

    for way in (send, draft):
        for stranger in (OfficerId(b"x" * 16), theirs):
            with pytest.raises(InvalidFields, match="officer list") as refused:
                await way(stranger)
            assert refused.value.fields == (FieldError("/fields/deputy", "not-allowed"),)
        assert (await way(new)).state == "sent", "known only at the hub so far, and looked for there"


async def test_lif_8_nor_of_what_is_referred_on(prison: Served, csw: Served, probation: Served, world: World) -> None:
    theirs, new = await add(probation.station, world.hub, "Officer"), await add(world.prison, world.hub, "Officer")
    thread = await proposed(prison, csw)

    def named(deputy: OfficerId) -> dict[str, str]:
        return {**ANSWER_BY, "deputy": ids.text(Kind.OFFICER, deputy)}

    for stranger in (OfficerId(b"x" * 16), theirs):
        with pytest.raises(InvalidFields, match="officer list") as refused:
            await forward(prison, thread, probation, fields=named(stranger))
        assert refused.value.fields == (FieldError("/fields/deputy", "not-allowed"),)
    assert (await forward(prison, thread, probation, fields=named(new))).state == "superseded"
    other = await refer(csw, prison)
    for event in ("acknowledge", "accept"):
        await step(prison, other, event, csw)
    code = REQUEST["services"][0]["code"]
    for stranger in (OfficerId(b"x" * 16), theirs):
        with pytest.raises(InvalidFields, match="officer list"):
            await sub_refer(prison, other, probation, code, fields=named(stranger))
    assert (await sub_refer(prison, other, probation, code, fields=named(new))).state == "sent"

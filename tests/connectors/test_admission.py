# SPDX-License-Identifier: Apache-2.0
"""A sender's signature does not make its words known here: category, purpose and label must stand in the tables."""

from typing import Any

import pytest

from keys.sealing import SectionDraft
from protocol.clearance import Category, Label, Purpose
from protocol.content import encode_payload
from protocol.ids import MessageId, new_id
from protocol.rows import EnvelopeClass
from tests.connectors.conftest import World
from tests.connectors.hand import BODY, sealed_as
from tests.connectors.stations import risk_section

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

RISK = encode_payload(risk_section().body)
IDENTITY, CARE, STANDARD = Category.IDENTITY, Purpose.CONTINUITY_OF_CARE, Label.STANDARD


@pytest.mark.parametrize(
    ("section", "code"),
    [
        (SectionDraft("gossip", CARE, STANDARD, BODY), "policy-denied"),
        (SectionDraft(IDENTITY, "curiosity", STANDARD, BODY), "policy-denied"),
        (SectionDraft(IDENTITY, CARE, "for everybody", BODY), "policy-denied"),
        (SectionDraft(Category.RISK_SUMMARY, Purpose.SUPERVISION, STANDARD, RISK), "policy-denied"),
        (SectionDraft(Category.RISK_SUMMARY, Purpose.SUPERVISION, Label.RESTRICTED, RISK), None),
        (SectionDraft(IDENTITY, CARE, STANDARD, BODY), None),
    ],
    ids=["category", "purpose", "label", "restricted without label", "restricted", "fine"],
)
async def test_con_7_what_is_not_in_the_tables_is_refused_at_the_receiver(
    world: World, section: SectionDraft, code: str | None
) -> None:
    member, desk = world.prison.member, world.probation.desk
    sealed = sealed_as(world, member, desk, MessageId(new_id()), section.body, section=section)
    await world.hub.device(member).submit(sealed)
    await world.probation.collect()
    assert await world.probation.quarantined() == ([] if code is None else [code])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"payload_version": 2},
        {"payload_type": "handover.nothing"},
        {"payload_type": "referral.request"},
        {"klass": EnvelopeClass.RECORD},
    ],
    ids=["fine", "version", "type", "payload of another type", "class"],
)
async def test_kind_1_a_type_version_or_class_that_is_not_known_is_refused_at_the_receiver(
    world: World, changes: dict[str, Any]
) -> None:
    member, desk = world.prison.member, world.probation.desk
    await world.hub.device(member).submit(sealed_as(world, member, desk, MessageId(new_id()), BODY, **changes))
    await world.probation.collect()
    assert await world.probation.quarantined() == (["malformed-envelope"] if changes else [])


async def test_con_7_a_message_with_an_unknown_label_is_refused_at_the_receiver(world: World) -> None:
    member, desk = world.prison.member, world.probation.desk
    await world.hub.device(member).submit(
        sealed_as(world, member, desk, MessageId(new_id()), BODY, label="burn after reading")
    )
    await world.probation.collect()
    assert await world.probation.quarantined() == ["policy-denied"]

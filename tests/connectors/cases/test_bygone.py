# SPDX-License-Identifier: Apache-2.0
"""Whoever writes a date that is over already is told, and it is sent all the same: papers come late."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import JsonValue

from connectors.cases.bygone import _AHEAD, _AHEAD_IN
from connectors.cases.moving import Moved
from protocol import cbor, ids
from protocol.handover import Trigger
from protocol.http.handovers import HandoverRequest
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY, SECOND
from tests.connectors.cases.test_cases import probation
from tests.connectors.cases.test_onward import proposed
from tests.connectors.cases.test_referral import REQUEST, WORDS, do, refer, row, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.stations import Station, package
from tests.connectors.typing import type_at

__all__ = ["csw", "prison", "probation"]


def today(station: Station) -> date:
    return datetime.fromtimestamp(station.parts.sealer._clock() // SECOND, UTC).date()


async def test_each_field_that_lies_in_the_past_is_named_and_what_is_today_or_was_meant_to_be_past_is_not(
    world: World,
) -> None:
    day, now = today(world.prison), world.prison.parts.sealer._clock()
    yesterday = (day - timedelta(days=1)).isoformat()
    due = await refer(world.prison, world.social_work, release_on=day.isoformat(), answer_by=day.isoformat())
    assert due.in_the_past == ()
    late = await refer(world.prison, world.social_work, release_on=yesterday, answer_by=yesterday)
    assert sorted(late.in_the_past) == ["answer_by", "release_on"]
    await settle(world.prison, world.social_work)
    assert (await row(world.social_work, late.thread)).state == "delivered", "it is sent all the same"
    for event, fields, past in (
        ("acknowledge", {"answer_by": yesterday}, ("answer_by",)),
        ("accept", {"start_by": yesterday}, ("start_by",)),
        ("schedule", {"appointment": now - DAY}, ("appointment",)),
        ("attended", {"appointment": now - DAY}, ()),
    ):
        assert (await do(world.social_work, late.thread, event, **fields)).in_the_past == past, event


async def test_a_handover_names_those_of_its_terms_and_the_same_answer_comes_again(world: World) -> None:
    day = today(world.prison)
    whole = package()
    terms = whole.terms.model_copy(
        update={
            "answer_by": day - timedelta(days=1),
            "trigger": Trigger(expected_on=day - timedelta(days=400)),
        }
    )
    asked = HandoverRequest(to=[world.probation.desk], package=whole.model_copy(update={"terms": terms}))
    key = secrets.token_hex(12)
    for _ in range(2):
        queued = await world.prison.parts.handovers.send(asked, key=key, body=b"the same")
        assert sorted(queued.answer.in_the_past) == ["answer_by", "expected_on"]


async def test_ref_10_a_forward_names_those_of_the_new_referral(
    prison: Served, csw: Served, probation: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    yesterday = (today(prison.station) - timedelta(days=1)).isoformat()
    thread = await proposed(prison, csw)
    key = secrets.token_hex(12)
    words = ["referral", "approve-forward", ids.text(Kind.THREAD, thread), "--to", probation.station.desk]
    assert await type_at(prison.station, prison.url, *words, "--answer-by", yesterday, "--key", key, "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["in_the_past"] == ["answer_by"]
    assert "warning: answer_by lies in the past; it was sent all the same" in told.err


async def test_a_message_names_what_it_says_of_the_future_and_not_of_the_past(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = prison.station.parts.sealer._clock()
    cases: list[tuple[str, dict[str, JsonValue], list[str]]] = [
        ("appointment.changed", {"was": now - DAY, "appointment": now - DAY}, ["appointment"]),
        ("appointment.changed", {"was": now - DAY, "appointment": now + DAY}, []),
        ("appointment.cancelled", {"appointment": now - DAY}, []),
        ("case.meeting-call", {"meets_at": now - DAY}, ["meets_at"]),
    ]
    for kind, fields, past in cases:
        request = MessageRequest(kind=kind, to=[csw.station.desk], fields=fields)
        assert (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).in_the_past == past
    file = tmp_path / "call.json"
    file.write_text(json.dumps({"fields": {"meets_at": now - DAY}}), encoding="utf-8")
    words: list[str | Path] = ["message", "send", "case.meeting-call", "--to", csw.station.desk, "--input", file]
    assert await type_at(prison.station, prison.url, *words) == 0
    assert "warning: meets_at lies in the past; it was sent all the same" in capsys.readouterr().err


def test_every_field_that_looks_ahead_is_one_of_a_kind_that_is_sent() -> None:
    """A field that is renamed or misspelt would be looked for in vain."""
    known = {name for kind in KINDS.values() for name in _names(kind.payload)}
    assert known >= _AHEAD
    for name, fields in _AHEAD_IN.items():
        assert set(_names(KINDS[name].payload)) >= fields


def _names(payload: Any) -> Iterator[str]:
    for name, field in payload.model_fields.items():
        yield name
        if name in ("terms", "trigger"):
            inside = [one for one in get_args(field.annotation) or [field.annotation] if hasattr(one, "model_fields")]
            yield from (deeper for one in inside for deeper in _names(one))


async def test_the_command_warns_and_exits_well(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "late.json"
    fields = {**REQUEST, "release_on": "2020-01-20"}
    file.write_text(json.dumps({"fields": fields, "sections": [WORDS.model_dump(mode="json")]}), encoding="utf-8")
    words: list[str | Path] = [
        "referral",
        "send",
        "--to",
        csw.station.desk,
        "--input",
        file,
        "--key",
        secrets.token_hex(12),
    ]
    for _ in range(2):
        assert await type_at(prison.station, prison.url, *words) == 0
        told = capsys.readouterr()
        assert "warning: release_on lies in the past; it was sent all the same" in told.err
        assert ids.raw(Kind.THREAD, told.out.split()[0])


def test_an_answer_that_was_stored_by_an_older_version_is_read() -> None:
    now = Moved(ThreadId(bytes(16)), ids.MessageId(bytes(16)), "sent", 1, in_the_past=("release_on",))
    assert Moved.parse(now.encode()).in_the_past == ("release_on",)
    whole = cbor.decode(now.encode(), limit=4_096)
    assert isinstance(whole, list)
    for parts in (4, 5):
        assert Moved.parse(cbor.encode(whole[:parts])).in_the_past == ()

# SPDX-License-Identifier: Apache-2.0
"""A moment is told as people write it, and only with its zone."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cli import moments, shapes
from connectors.cli.moments import local_time, moment, with_moments
from connectors.cli.shapes import example
from protocol import ids
from protocol.http.fields import format_time
from protocol.ids import Kind
from protocol.kinds.base import MOST_INSTANT
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_cases import refer, step
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cli.test_mistakes import Typed, typed_

__all__ = ["csw", "prison", "typed_"]

_WHERE = click.Context(click.Command("schedule")), click.Option(["--appointment"])


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        ("2027-01-05T10:00+01:00", 1_799_139_600_000),
        ("2027-01-05T09:00Z", 1_799_139_600_000),
        ("1799139600000", 1_799_139_600_000),
        ("2027-01-05 10:00 (+01:00)", 1_799_139_600_000),
    ],
)
def test_a_moment_is_read_as_people_write_it_or_as_a_number_of_a_program(said: str, ms: int) -> None:
    assert moment(*_WHERE, said) == ms
    assert moment(*_WHERE, None) is None


@pytest.mark.parametrize(
    "said", ["2027-01-05T10:00", "2027-01-05", "10:00", "tomorrow", "20270105", "1600-01-01T00:00Z", "9999999999999999"]
)
def test_a_moment_without_its_zone_or_out_of_reach_is_refused_with_an_example(said: str) -> None:
    with pytest.raises(click.BadParameter, match="2027-01-05T10:00") as refused:
        moment(*_WHERE, said)
    assert said not in refused.value.message.replace("2027-01-05T10:00+01:00", "")


@given(st.integers(0, MOST_INSTANT), st.sampled_from(["UTC", "Europe/Belgrade", "Asia/Kathmandu", "America/St_Johns"]))
def test_what_a_screen_shows_can_be_typed_back_in_every_zone(at: int, zone: str) -> None:
    context = click.Context(click.Command("show"))
    context.meta[moments._ZONE] = ZoneInfo(zone)
    with context:
        assert moment(*_WHERE, local_time(at)) == at - at % 60_000


def test_a_moment_is_shown_by_the_agencys_clock_in_summer_and_winter_and_in_utc_where_that_is_not_known() -> None:
    assert local_time(1_799_139_600_000) == "2027-01-05 09:00 (+00:00)"
    context = click.Context(click.Command("show"))
    context.meta[moments._ZONE] = ZoneInfo("Europe/Belgrade")
    with context:
        assert local_time(1_799_139_600_000) == "2027-01-05 10:00 (+01:00)"
        assert local_time(1_814_400_000_000).endswith("(+02:00)")


def test_every_moment_of_every_kind_is_shown_as_people_write_it_and_read_from_a_file_so() -> None:
    shown = {name: example(kind).removeprefix("\b\n").partition("\n")[2] for name, kind in KINDS.items()}
    for name, text in shown.items():
        times = shapes.moments(KINDS[name])
        fields = json.loads(text)["fields"] if text else {}
        assert times & fields.keys() == {one for one, value in fields.items() if value == "2027-01-05T10:00+01:00"}
        assert {with_moments(fields, times)[one] for one in times & fields.keys()} <= {1_799_139_600_000}
    assert shapes.moments(KINDS["alert.risk"]) == {"occurred_at", "answer_by"}
    assert "grant_version" not in shapes.moments(KINDS["consent.changed"]), "a number is no moment"
    assert with_moments({"area": "2027-01-05T10:00Z", "at": 5}, {"at"}) == {"area": "2027-01-05T10:00Z", "at": 5}


async def test_an_alert_of_risk_says_by_when_in_a_file_as_people_write_it(
    typed: Typed, csw: Served, tmp_path: Path
) -> None:
    file, words = tmp_path / "alert.json", ["message", "send", "alert.risk", "--to", csw.station.desk, "--input"]
    file.write_text('{"fields": {"imminence": "now", "answer_by": "2027-01-22T10:00"}}', encoding="utf-8")
    status, _, told = await typed(*words, file)
    assert (status, "at answer_by: write a time with its zone" in told, "2027-01-22" in told) == (2, True, False)
    file.write_text('{"fields": {"imminence": "now", "answer_by": "2027-01-22T10:00+01:00"}}', encoding="utf-8")
    status, said, _ = await typed(*words, file)
    assert (status, "is waiting to be sent" in said) == (0, True)
    status, said, _ = await typed("message", "show", said.split()[0], "--json")
    assert (status, json.loads(said)["payload"]["answer_by"]) == (0, 1_800_608_400_000)


async def test_the_appointment_that_was_typed_is_shown_as_it_was_typed_and_to_programs_in_utc(
    typed: Typed, prison: Served, csw: Served
) -> None:
    zone = ZoneInfo((await prison.client.status()).zone)
    assert zone.key != "UTC"
    thread = await refer(csw, prison)
    for event in ("acknowledge", "accept"):
        await step(prison, thread, event, csw)
    words = ids.text(Kind.THREAD, thread)
    when = "--appointment", "2027-01-22T10:00+01:00", "--place", "office"
    assert (await typed("referral", "schedule", words, *when))[0] == 0
    status, shown, _ = await typed("referral", "show", words)
    with click.Context(click.Command("show")) as context:
        context.meta[moments._ZONE] = zone
        assert (status, f"appointment {local_time(1_800_608_400_000)}" in shown) == (0, True)
    assert "Z  " not in shown
    status, shown, _ = await typed("referral", "show", words, "--json")
    assert format_time((await prison.client.thread(thread)).item.changed_at) in shown

# SPDX-License-Identifier: Apache-2.0
"""A moment is told as people write it, and only with its zone."""

import click
import pytest

from connectors.cli.moments import moment

_WHERE = click.Context(click.Command("schedule")), click.Option(["--appointment"])


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        ("2027-01-05T10:00+01:00", 1_799_139_600_000),
        ("2027-01-05T09:00Z", 1_799_139_600_000),
        ("1799139600000", 1_799_139_600_000),
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

# SPDX-License-Identifier: Apache-2.0
"""The story is printed plainly, and a step that failed is never ticked."""

import io

import pytest

from connectors.demo.telling import Teller, WentWrong


def test_a_step_is_ticked_with_its_time_and_its_details() -> None:
    out = io.StringIO()
    with Teller(out, colour=False).step("A hub is up.") as step:
        step.detail("http://localhost:8440")
    assert out.getvalue() == " ✓   0.0 s  A hub is up.\n            http://localhost:8440\n"


def test_a_step_that_fails_is_crossed_and_its_error_goes_on() -> None:
    out = io.StringIO()

    def fail() -> None:
        with Teller(out, colour=False).step("Nothing was lost."):
            raise WentWrong("a handover is missing")

    with pytest.raises(WentWrong):
        fail()
    assert out.getvalue() == " ✗   0.0 s  Nothing was lost.\n"


def test_colours_only_where_they_are_wanted() -> None:
    plain, painted = io.StringIO(), io.StringIO()
    for out, colour in ((plain, False), (painted, True)):
        teller = Teller(out, colour=colour)
        teller.title("Title")
        with teller.step("Step"):
            pass
    assert "\x1b[" not in plain.getvalue()
    assert painted.getvalue().count("\x1b[0m") == 3


def test_columns_stand_beside_each_other_whatever_their_length() -> None:
    out = io.StringIO()
    Teller(out, colour=False).side_by_side([("one", ["short"]), ("two", ["first", "long " * 12])])
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["one", "two"]
    assert lines[1].split() == ["short", "first"]
    assert len(lines) == 4
    assert max(map(len, lines)) <= 102

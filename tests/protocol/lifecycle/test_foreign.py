# SPDX-License-Identifier: Apache-2.0
"""Another service's table is read as strictly as our own, and walked by the same code."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IllegalTransition, TableUnreadable
from protocol.lifecycle.foreign import MAX_TABLE, read_table
from protocol.lifecycle.walking import walk

REAL = Path(__file__).resolve().parents[4] / "shared" / "samples" / "transitions" / "accredited-programmes.csv"
TABLE = b"from,to,nurse,guard\nnew,seen,true,false\nseen,done,true,true\nlost,done,false,true\nseen,seen,false,true\n"


def test_a_small_table_is_read_and_walked() -> None:
    machine = read_table("ward", TABLE)
    found = walk(machine)
    assert (found.transitions, found.states) == (4, 4)
    assert (found.dead_ends, found.unreachable, found.unfinished) == (("done",), ("lost",), ())
    assert machine.step(machine.begin(), "seen", "nurse").state == "seen"
    with pytest.raises(IllegalTransition):
        machine.step(machine.begin(), "seen", "guard")


def test_a_loop_without_an_end_is_found() -> None:
    found = walk(read_table("loop", b"from,to,x,y\na,b,true,false\nb,a,true,false\na,end,true,false\nc,c,false,true\n"))
    assert (found.dead_ends, found.unreachable, found.idle) == (("end", "c"), ("c",), ("y",))
    assert walk(read_table("round", b"from,to,x\na,b,true\nb,a,true\n")).unfinished == ("a", "b")


@pytest.mark.skipif(not REAL.exists(), reason="a real table is not walked: ../shared/samples is not beside the project")
def test_a_real_services_table_has_43_transitions() -> None:
    found = walk(read_table("programmes", REAL.read_bytes()))
    assert found.transitions == 43
    assert set(found.dead_ends) == {"NOT_ELIGIBLE", "WITHDRAWN", "NOT_SUITABLE", "PROGRAMME_COMPLETE", "DESELECTED"}
    assert (found.unreachable, found.unfinished, found.idle) == ((), (), ())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "first line"),
        (b"to,from,x\n", "first line"),
        (b"from,to\na,b\n", "first line"),
        (b"from,to,x,x\n", "first line"),
        (b"from,to,x\n", "no rows"),
        (b"from,to,x\na,b\n", "Line 2 of the table has 2 fields"),
        (b"from,to,x\na,b,true\na,,true\n", "Line 3 of the table names no state"),
        (b"from,to,x\na,b,yes\n", "Line 2 of the table has something else"),
        (b"from,to,x\na,b,false\n", "permits nobody"),
        (b"from,to,x\na,b,true\na,b,true\n", "same of one actor"),
        (b"from,to,x\n\xff,b,true\n", "not UTF-8"),
        (b"from,to,x\na\x1b[31m,b,true\n", "names no state"),
        (b"x" * (MAX_TABLE + 1), "larger than 1 MiB"),
    ],
)
def test_a_table_that_cannot_be_read_names_the_line_and_never_its_words(data: bytes, told: str) -> None:
    with pytest.raises(TableUnreadable, match=told) as caught:
        read_table("bad", data)
    assert "\x1b" not in caught.value.detail


@given(st.binary(max_size=300) | st.text('from,toxa\n"true', max_size=300).map(str.encode))
def test_whatever_comes_is_a_machine_or_a_named_error(data: bytes) -> None:
    try:
        machine = read_table("any", data)
    except TableUnreadable:
        return
    walk(machine)

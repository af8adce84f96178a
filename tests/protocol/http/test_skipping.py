# SPDX-License-Identifier: Apache-2.0
"""A demo's clock goes ahead as a file says, and never back."""

from pathlib import Path

import pytest

from protocol.http.skipping import SkippingClock, skip_to
from protocol.limits import DAY, HOUR, MINUTE, SECOND


@pytest.mark.parametrize(
    ("written", "ahead"), [("14d", 14 * DAY), ("36h\n", 36 * HOUR), ("5m", 5 * MINUTE), ("7s", 7 * SECOND), ("12", 12)]
)
def test_a_file_puts_the_clock_ahead(tmp_path: Path, written: str, ahead: int) -> None:
    file = tmp_path / "clock"
    clock = SkippingClock(file, lambda: 1_000)
    assert clock() == 1_000
    file.write_text(written)
    assert clock() == 1_000 + ahead


@pytest.mark.parametrize("written", ["13d", "", "-1", "14 days", "d", "\u0661", "1" * 13])
def test_it_never_goes_back_and_nonsense_changes_nothing(tmp_path: Path, written: str) -> None:
    file = tmp_path / "clock"
    clock = SkippingClock(file, lambda: 0)
    skip_to(file, 14 * DAY)
    assert clock() == 14 * DAY
    file.write_text(written)
    assert clock() == 14 * DAY
    file.unlink()
    assert clock() == 14 * DAY


def test_all_that_read_the_file_skip_at_once(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    clocks = [SkippingClock(file, lambda: 0) for _ in range(2)]
    skip_to(file, DAY)
    assert [clock() for clock in clocks] == [DAY, DAY]
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]

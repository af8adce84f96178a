# SPDX-License-Identifier: Apache-2.0
"""What a run leaves to chance can be had again: it follows from one seed, which the run prints or is given."""

import pytest
from hypothesis import settings

from tests.seeds import EVERY_DAY, GIVEN, SEED, chosen


def test_a_seed_that_is_given_is_taken_and_without_one_each_full_run_has_its_own() -> None:
    assert chosen("17", full=True) == chosen("17", full=False) == 17
    assert len({chosen(None, full=True) for _ in range(8)}) > 1


def test_what_runs_every_day_has_the_same_chance_unless_a_seed_is_given(seed: int, pytestconfig: pytest.Config) -> None:
    full = pytestconfig.option.markexpr.startswith("full")
    assert full or seed == (EVERY_DAY if GIVEN is None else int(GIVEN))
    assert settings().derandomize is not full


@pytest.mark.full
def test_full_tests_have_the_seed_that_the_run_prints(seed: int, pytestconfig: pytest.Config) -> None:
    assert seed == pytestconfig.stash[SEED]
    assert GIVEN is None or seed == int(GIVEN)

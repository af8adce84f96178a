# SPDX-License-Identifier: Apache-2.0
"""The programs that serve load only what they need, and look for garbage again once they serve."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from protocol.starting import SELDOM, starting
from tests.hub.process import ROOT, environment


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_no_garbage_is_looked_for_until_the_program_has_started() -> None:
    before = gc.get_freeze_count()
    with starting() as started:
        assert not gc.isenabled()
        started()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert gc.get_threshold() == SELDOM


def test_a_program_that_does_not_start_collects_garbage_as_before() -> None:
    with pytest.raises(ZeroDivisionError), starting():
        _ = 1 / 0
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("programs", "unwanted"),
    [
        ("hub.cli, hub.serving", ["alembic", "asyncpg", "keys.opening", "holidays", "sqlalchemy.orm"]),
        ("connectors.cli.connector, connectors.app", ["alembic", "holidays", "hub", "connectors.demo"]),
    ],
)
def test_what_only_some_starts_need_is_not_loaded_by_all(programs: str, unwanted: list[str]) -> None:
    look = f"import sys, {programs}; print(*[name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []

# SPDX-License-Identifier: Apache-2.0
"""Worlds for tests: a fresh one for those that extend it, a shared one for those that only read."""

import pytest

from tests.keys.world import Cast, make_cast


@pytest.fixture
def cast() -> Cast:
    """Return a world that the test may extend."""
    return make_cast()


@pytest.fixture(scope="session")
def shared_cast() -> Cast:
    """Return a world that no test may extend."""
    return make_cast()

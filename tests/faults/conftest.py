# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share."""

import pytest

from tests.programme import Programme, make_programme


@pytest.fixture
def programme() -> Programme:
    """Return prison, probation and social work."""
    return make_programme()

# SPDX-License-Identifier: Apache-2.0
"""What most tests of the hub need: a programme, and a hub that knows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hub.running import RunningHub
from tests.programme import Programme, make_programme


@pytest.fixture
def programme() -> Programme:
    """Return prison, probation and social work."""
    return make_programme()


@pytest.fixture
async def hub(tmp_path: Path, programme: Programme) -> AsyncIterator[RunningHub]:
    """Serve a hub with the programme's directory."""
    async with RunningHub(tmp_path, programme) as running:
        yield running

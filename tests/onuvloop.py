# SPDX-License-Identifier: Apache-2.0
"""A plugin for pytest, `-p tests.onuvloop`: runs every test on the event loop that the hub's program serves on."""

import asyncio
import inspect
from collections.abc import Callable, Mapping

import pytest

from hub.serving import new_event_loop


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give all tests such loops."""
    return {"uvloop": new_event_loop}


@pytest.fixture(autouse=True)
async def on_uvloop(request: pytest.FixtureRequest) -> None:
    """Make sure of it, for every test that needs a loop itself."""
    if inspect.iscoroutinefunction(request.function):
        assert type(asyncio.get_running_loop()).__module__ == "uvloop"

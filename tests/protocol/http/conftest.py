# SPDX-License-Identifier: Apache-2.0
"""A client session, the invented shop, and its address while it is open."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.protocol.http.shop import Shop


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def base(shop: Shop) -> AsyncIterator[str]:
    async with shop.running() as base:
        yield base

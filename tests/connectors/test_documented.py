# SPDX-License-Identifier: Apache-2.0
"""A few questions of every kind are answered as the interface's own document says; in full by tests/scenarios."""

import asyncio
from pathlib import Path

import pytest

from connectors.access import TOKEN_FILE
from connectors.timing import system_clock
from tests.connectors.running import WallClock, installed, running
from tests.hub.running import RunningHub
from tests.programme import make_programme
from tests.scenarios.documented import try_all
from tests.seeds import SEED


async def test_a_few_questions_of_every_kind_are_answered_as_the_document_says(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    programme = make_programme(now=system_clock())
    (tmp_path / "hub").mkdir()
    async with RunningHub(tmp_path / "hub", programme, WallClock()) as hub:
        folder, member = installed(tmp_path, programme, "gora-prison", hub.url)
        async with running(folder, member) as connector:
            url, token, phases = connector.client._client._base, folder / TOKEN_FILE, "examples,fuzzing"
            seed = pytestconfig.stash[SEED]
            await asyncio.to_thread(try_all, url, token, tmp_path, examples=1, phases=phases, seed=seed)

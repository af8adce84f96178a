# SPDX-License-Identifier: Apache-2.0
"""A hub is restored from a backup of before somebody was exchanged, and who left does not come back by that."""

import asyncio
import shutil
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from protocol.http.hub import StatementAccepted
from tests.connectors.lyinghub import LyingHub
from tests.scenarios.ruins import Ruin, ruined
from tests.scenarios.running import Spoken

pytestmark = pytest.mark.usefixtures("quick_keys")

STATEMENTS = "/v1/directory/statements"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, quick_keys: None) -> Path:
    """Give an authority of three approvers, of whom the second was exchanged before its hub was lost."""
    return asyncio.run(ruined(tmp_path_factory.mktemp("base"), approvers=3)).folder


@pytest.fixture
def ruin(base: Path, tmp_path: Path) -> Ruin:
    shutil.copytree(base, tmp_path / "town")
    return Ruin(tmp_path / "town")


async def listed(ruin: Ruin) -> Spoken:
    return await ruin.type("authority", "list", ruin.authority, "--json")


async def published(ruin: Ruin) -> Spoken:
    return await ruin.type("authority", "publish", ruin.authority, "--hub", ruin.facts, "--json")


async def test_enr_15_a_folder_signs_nothing_before_what_a_restored_hub_lost_of_who_signs_is_back(ruin: Ruin) -> None:
    """1 and 3 were approvers before and after, and have signed with a folder of before: the hub may go on by that."""
    await ruin.resumed_by(1, 3)
    before = open_office(ruin.authority).facts.approvers
    asked = ("--agency", "new", "--name", "New", "--kind", "probation", "--desk", "intake=probation-intake")
    invites = ("invite", *asked, "--out", ruin.folder / "new.code")
    async with ruin.serving() as hub:
        for refused in (await listed(ruin), await ruin.by(ruin.authority, 1, *invites)):
            assert (refused.code, "has lost who signs" in refused.err) == (6, True), refused.err
            assert f"next:  throughcare authority publish {ruin.authority} --hub hub-public.json" in refused.err
        assert open_office(ruin.authority).facts.approvers == before, "who left is not put back"
        async with LyingHub() as between:
            between.target = hub.url
            between.swallow[STATEMENTS] = StatementAccepted(index=9).model_dump_json().encode()
            ruin.connect(between.url)
            swallowed = await published(ruin)
            assert (swallowed.code, "does not show them" in swallowed.err) == (8, True), swallowed.err
        ruin.connect(hub.url)
        assert (await published(ruin)).code == 0
        assert (await listed(ruin)).code == 0
        invited = await ruin.by(ruin.authority, 2, *invites)
        assert invited.code == 0, invited.err
        followed = await ruin.type("authority", "list", ruin.copy, "--json")
        assert followed.code == 0, "the copy never held more"
    after = open_office(ruin.authority).facts
    assert after.approvers == before == open_office(ruin.copy).facts.approvers
    assert after.seen is not None
    assert after.seen.generation == 1


async def test_gen_9_a_folder_that_knows_the_exchange_follows_no_restoration_by_who_left(ruin: Ruin) -> None:
    await ruin.resumed_by(1, 2)
    async with ruin.serving():
        before = open_office(ruin.authority).facts
        for refused in (await listed(ruin), await published(ruin), await listed(ruin)):
            assert (refused.code, "brought back first" in refused.err) == (8, True), refused.err
        assert open_office(ruin.authority).facts == before

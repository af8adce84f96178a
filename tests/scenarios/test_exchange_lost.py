# SPDX-License-Identifier: Apache-2.0
"""A hub is restored from a backup of before somebody was exchanged, and who left does not come back by that."""

import asyncio
import shutil
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from protocol.http.hub import StatementAccepted
from tests.connectors.lyinghub import STATEMENTS, LyingHub
from tests.programme import DOMAIN
from tests.scenarios.ruins import Ruin, ruined
from tests.scenarios.running import Spoken

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, quick_keys: None) -> Path:
    """Give an authority of three approvers, of whom the second was exchanged before its hub was lost."""
    return asyncio.run(ruined(tmp_path_factory.mktemp("base"), approvers=3)).folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, quick_keys: None) -> Path:
    """Give an authority of two approvers likewise: only one of them was there before."""
    return asyncio.run(ruined(tmp_path_factory.mktemp("pair"), approvers=2)).folder


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
        async with LyingHub() as between:
            between.target = hub.url
            between.swallow[STATEMENTS] = b"what is there is not handed in again"
            ruin.connect(between.url)
            assert (await published(ruin)).code == 0
        ruin.connect(hub.url)
        assert (await listed(ruin)).code == 0
        invited = await ruin.by(ruin.authority, 2, *invites)
        assert invited.code == 0, invited.err
        followed = await ruin.type("authority", "list", ruin.copy, "--json")
        assert followed.code == 0, "the copy never held more"
    after = open_office(ruin.authority).facts
    assert after.approvers == before == open_office(ruin.copy).facts.approvers
    assert after.seen is not None
    assert after.seen.generation == 1


async def test_enr_15_an_exchange_whose_answer_was_lost_is_brought_back_too(ruin: Ruin) -> None:
    """Its last signature was given, the hub had it, and died: the folder holds it where it was begun."""
    await ruin.resumed_by(1, 3)
    copy, exchanged = open_office(ruin.copy), open_office(ruin.authority).facts.approvers
    begun = copy.exchange_file("approver-2")
    begun.write_bytes(open_office(ruin.authority).authority_file.read_bytes())
    async with ruin.serving():
        refused = await ruin.type("authority", "list", ruin.copy, "--json")
        assert (refused.code, "has lost who signs" in refused.err) == (6, True), refused.err
        assert open_office(ruin.copy).authority_file.read_bytes() != begun.read_bytes()
        brought = await ruin.type("authority", "publish", ruin.copy, "--hub", ruin.facts, "--json")
        assert brought.code == 0, brought.err
        assert (await ruin.type("authority", "list", ruin.copy, "--json")).code == 0
    assert open_office(ruin.copy).facts.approvers == exchanged
    assert open_office(ruin.copy).authority_file.read_bytes() == begun.read_bytes()


async def test_gen_9_a_folder_that_knows_the_exchange_follows_no_restoration_by_who_left(ruin: Ruin) -> None:
    await ruin.resumed_by(1, 2)
    async with ruin.serving():
        before = open_office(ruin.authority).facts
        for refused in (await listed(ruin), await published(ruin), await listed(ruin)):
            assert (refused.code, "brought back first" in refused.err) == (8, True), refused.err
        assert open_office(ruin.authority).facts == before
        open_office(ruin.authority).authority_file.write_bytes(b"damaged, or put there by who left")
        damaged = await listed(ruin)
        assert "authority.statement is damaged or missing" in damaged.err
        assert "from a copy of this folder" in damaged.err
        assert open_office(ruin.authority).facts == before


async def test_gen_10_of_two_approvers_one_exchanged_sign_once_the_folder_has_brought_that_back(
    pair: Path, tmp_path: Path
) -> None:
    """What an IT officer types, by what each command says is next; no witness is at hand."""
    shutil.copytree(pair, tmp_path / "town")
    ruin = Ruin(tmp_path / "town")
    await ruin.restore()
    for number in (1, 2):
        refused = await ruin.signs(ruin.authority, number)
        assert (refused.code, "would refuse what is signed" in refused.err) == (6, True), refused.err
        assert "restore --in-place --config hub.toml --authority authority.statement;" in refused.err
    assert not list((ruin.authority / "restorations").glob("*")), "nobody is bound by what was refused"
    brought = await ruin.hub(
        "restore", "--in-place", "--authority", ruin.authority / "authority.statement", "--without-statements",
        "--agree", DOMAIN,
    )  # fmt: skip
    assert "brought back directory: 1 leaf of the authority's folder, about who signs" in brought
    old = await ruin.signs(ruin.copy, 2)
    assert (old.code, "with the newest folder of this authority" in old.err) == (6, True), old.err
    for number in (1, 2):
        signed = await ruin.signs(ruin.authority, number)
        assert (signed.code, "brought back from this folder, of who signs: 1;" in signed.err) == (0, True)
    await ruin.resume(ruin.authority)
    async with ruin.serving():
        assert (await listed(ruin)).code == 0
        assert open_office(ruin.authority).facts.approvers != open_office(ruin.copy).facts.approvers

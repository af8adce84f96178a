# SPDX-License-Identifier: Apache-2.0
"""How a generation begins: the same wherever it is begun, and with what connectors can show of the directory."""

import shutil
from pathlib import Path

import pytest

from hub.backups.standing import check_statements
from hub.doctor import examine
from hub.service.logcheck import check_everything
from hub.service.restorerequest import REQUEST_NAME, read_request
from hub.store import restorations, trees
from hub.store.opening import look
from hub.store.trees import Log
from protocol.diagnosis import Condition, Finding
from protocol.errors import (
    ConfigurationError,
    Revoked,
)
from protocol.limits import MINUTE
from tests.hub.backups import restore_at, resume_at, signed_by_authority
from tests.hub.loss import LATER, Loss
from tests.hub.running import RunningHub, TestClock, make_settings
from tests.programme import make_programme

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def loss(tmp_path: Path) -> Loss:
    made = Loss(tmp_path, make_programme())
    await made.happen()
    return made


async def test_gen_7_resuming_in_a_copy_of_the_folder_writes_the_same_leaf(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    copy = loss.folder / "copy"
    shutil.copytree(loss.new, copy)
    raw = signed_by_authority(loss.new, loss.programme)
    first = list[tuple[bytes, bytes]]()
    for folder, now in ((loss.new, LATER), (copy, LATER + 7 * MINUTE)):
        await resume_at(folder, loss.programme, now=now, statement=raw)
        settings = make_settings(folder, loss.programme)
        heads, at = await look(folder, settings.store, lambda one: (trees.stored_heads(one), restorations.newest(one)))
        first.append((heads[Log.AUDIT][1], heads[Log.DIRECTORY][1]))
        # What is not signed differs: here no signature counts that the other copy may have taken.
        assert at == now
        await check_everything(settings)
    assert first[0] == first[1]


async def test_gen_7_a_resume_that_is_finished_later_leaves_the_logs_own_time_in_the_guard(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    raw, request = signed_by_authority(loss.new, loss.programme), (loss.new / REQUEST_NAME).read_bytes()
    await resume_at(loss.new, loss.programme, now=LATER, statement=raw)
    (loss.new / REQUEST_NAME).write_bytes(request)
    (loss.new / "hub.guard").unlink()
    await resume_at(loss.new, loss.programme, now=LATER + MINUTE, statement=raw)
    await check_everything(make_settings(loss.new, loss.programme))


def test_gen_2_a_request_that_cannot_be_read_is_not_told_as_none(tmp_path: Path) -> None:
    """An operator who has updated meanwhile would be told that no restore waits, by a hub that waits for one."""
    with pytest.raises(ConfigurationError, match="no restore waits here"):
        read_request(tmp_path)
    (tmp_path / REQUEST_NAME).write_text('{"domain": "hub.example"}')
    with pytest.raises(ConfigurationError, match="another version wrote it") as told:
        read_request(tmp_path)
    assert told.value.__notes__ == ["next: the same restore from the backup file again, which writes another"]


async def test_gen_7_a_restoration_from_the_future_waits_until_its_time_has_come(loss: Loss) -> None:
    await restore_at(loss.new, loss.programme, loss.file, now=LATER)
    raw = signed_by_authority(loss.new, loss.programme, now=LATER + 11 * MINUTE)
    with pytest.raises(ConfigurationError, match="ahead of this machine's clock"):
        await resume_at(loss.new, loss.programme, now=LATER, statement=raw)
    await resume_at(loss.new, loss.programme, now=LATER + 2 * MINUTE, statement=raw)


async def test_gen_8_a_lost_revocation_counts_from_the_first_request_on_if_a_connector_shows_it(
    loss: Loss,
) -> None:
    csw = loss.programme.members["polje-csw"]
    async with RunningHub(loss.old, loss.programme) as hub:
        loss.programme.revoke_device(csw)
        await hub.catch_up()
        loss.head = await hub.hub.directory.head()
    guard = loss.old / "hub.guard"
    for guards in ((), (guard,)):
        # Nobody shows how far the directory had come; or the guard does, and nobody has the rest.
        with pytest.raises(ConfigurationError, match="--without-statements"):
            await restore_at(loss.new, loss.programme, loss.file, *guards, now=LATER, agree=check_statements)
    assert [one.name for one in loss.new.iterdir()] == ["passphrase"]
    await restore_at(
        loss.new, loss.programme, loss.file, guard, now=LATER, witnesses=[loss.witness()], agree=check_statements
    )
    await loss.resume()
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        with pytest.raises(Revoked):
            await hub.device(csw).read()
    assert (await doctors_word(loss)).condition is Condition.OK


async def test_gen_8_without_it_the_device_is_in_force_again_until_the_statement_is_handed_back(loss: Loss) -> None:
    csw = loss.programme.members["polje-csw"]
    async with RunningHub(loss.old, loss.programme) as hub:
        loss.programme.revoke_device(csw)
        await hub.catch_up()
    lost = loss.programme.statements[14:]
    await restore_at(loss.new, loss.programme, loss.file, loss.old / "hub.guard", now=LATER)
    found = await doctors_word(loss, "store")
    assert (found.condition, found.fix) == (
        Condition.FAULT,
        "Have restore-request.json signed, then throughcare-hub resume --statement FILE --config FILE.",
    )
    await loss.resume()
    found = await doctors_word(loss)
    assert found.condition is Condition.WARNING
    assert found.found == "Of 2 statements that the restore lost, 2 or more are still missing."
    async with RunningHub(loss.new, loss.programme, TestClock(LATER)) as hub:
        await hub.device(csw).read()
        for raw in lost:
            await hub.hub.directory.append(raw)
        with pytest.raises(Revoked):
            await hub.device(csw).read()
    assert (await doctors_word(loss)).condition is Condition.OK


async def doctors_word(loss: Loss, check: str = "restore") -> Finding:
    """Return what the doctor says of the restored hub."""
    found = await examine(make_settings(loss.new, loss.programme), TestClock(LATER))
    return {one.check: one for one in found}[check]

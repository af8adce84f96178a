# SPDX-License-Identifier: Apache-2.0
"""A restore into PostgreSQL that is cut off leaves nothing that is taken for a hub that may go on (BAK-5, GEN-2)."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub.app import Hub
from hub.backups import restoring
from hub.backups.restoring import Evidence, restore_in_place
from hub.backups.standing import Standing
from hub.doctor import examine
from hub.logs import make_log
from hub.migrations import revision_of
from hub.service.restorerequest import REQUEST_NAME
from hub.service.signingkeys import SEALED_NAME
from hub.store.opening import look
from protocol.diagnosis import Condition
from protocol.errors import ConfigurationError, StoreBehind
from tests.hub.backups import agreed, back_up, restore_at
from tests.hub.loss import LATER, Loss
from tests.hub.running import KEYS, RunningHub, TestClock, make_settings, on_postgres
from tests.programme import Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from hub.backups import restoring
from tests.hub.backups import restore_at
from tests.hub.loss import LATER
from tests.hub.running import on_postgres
from tests.passphrases import quick_passphrases
from tests.programme import make_programme

step, url, folder, source = sys.argv[1:]
done = getattr(restoring, step)

def killed(*given):
    done(*given)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(restoring, step, killed)
with quick_passphrases():
    asyncio.run(restore_at(Path(folder), make_programme(), Path(source), now=LATER, more=on_postgres(url)))
"""
"""A restore that is killed when it has done one step."""


@pytest.fixture
async def loss(tmp_path: Path, programme: Programme) -> Loss:
    lost = Loss(tmp_path, programme)
    await lost.happen()
    return lost


async def does_not_serve(loss: Loss, more: tuple[str, ...]) -> None:
    """Try to run the hub."""
    settings = make_settings(loss.new, loss.programme, *more)
    with pytest.raises(StoreBehind, match="waits for its authority"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"), rounds=False)


async def goes_on(loss: Loss, more: tuple[str, ...]) -> None:
    await loss.resume(more=more)
    async with RunningHub(loss.new, loss.programme, TestClock(LATER), more=more) as hub:
        assert hub.hub.directory.directory.generation == 1
        for data, receipt in loss.kept.items():
            assert await hub.device(loss.prison).submit(data) == receipt


async def is_empty(loss: Loss, more: tuple[str, ...]) -> bool:
    settings = make_settings(loss.new, loss.programme, *more)
    return await look(loss.new, settings.store, revision_of) is None


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
async def test_gen_2_a_restore_that_is_killed_behind_its_commit_has_left_its_request(
    loss: Loss, postgres_url: str
) -> None:
    """Without it a hub with a guard no newer than the backup served what its other processes had gone beyond."""
    program = [sys.executable, "-c", PROGRAM, "keep_opened_key", postgres_url, str(loss.new), str(loss.file)]
    done = await asyncio.to_thread(subprocess.run, program, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    more = on_postgres(postgres_url)
    assert not await is_empty(loss, more)
    await does_not_serve(loss, more)
    with pytest.raises(ConfigurationError, match="not empty") as refusal:
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=more)
    assert refusal.value.__notes__ == [
        f"next: have {REQUEST_NAME} signed; a restore that was cut off has filled the database"
    ]
    await goes_on(loss, more)


async def test_gen_2_no_other_process_serves_a_database_that_waits_for_its_authority(
    loss: Loss, postgres_url: str
) -> None:
    """One that had stood for long has a guard no newer than the backup, and no request in its folder."""
    async with RunningHub(loss.old, loss.programme) as hub:
        newest = loss.folder / "newest.backup"
        await back_up(hub, newest)
    more = on_postgres(postgres_url)
    await restore_at(loss.new, loss.programme, newest, now=LATER, more=more)
    settings = make_settings(loss.old, loss.programme, *more)
    with pytest.raises(StoreBehind, match="The database was restored and waits"):
        await Hub.open(settings, KEYS, log=make_log("error", "json"), rounds=False)
    found = {one.check: one for one in await examine(settings, TestClock(LATER))}
    assert found["store"].condition is Condition.FAULT
    shutil.copy(loss.old / "hub.guard", loss.new)
    (loss.new / REQUEST_NAME).unlink()
    settings = make_settings(loss.new, loss.programme, *more)
    with pytest.raises(StoreBehind, match="The database was restored and waits"):
        await Hub.open(
            make_settings(loss.new, loss.programme, *more), KEYS, log=make_log("error", "json"), rounds=False
        )
    # The request is made anew of the database as it is.
    await restore_in_place(settings, Evidence(), LATER, agreed)
    await loss.resume(more=more)
    async with RunningHub(loss.new, loss.programme, TestClock(LATER), more=more) as hub:
        assert hub.hub.directory.directory.generation == 1


async def test_gen_2_what_a_restore_refuses_is_said_on_postgres_too(loss: Loss, postgres_url: str) -> None:
    """The wrong word, and another hub's backup, were told as a lost connection: "the same command again"."""

    def refuse(standing: Standing) -> None:
        raise ConfigurationError("Nothing was agreed to.")

    more = on_postgres(postgres_url)
    with pytest.raises(ConfigurationError, match="agreed"):
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=more, agree=refuse)
    assert await is_empty(loss, more)
    assert not (loss.new / REQUEST_NAME).exists()
    assert not (loss.new / SEALED_NAME).exists()


@pytest.mark.parametrize("step", ["keep_opened_key", "_leave_request", "_decide"])
async def test_gen_2_a_restore_that_is_cut_off_at_any_step_can_be_gone_on_with(
    loss: Loss, postgres_url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Cancelled behind the commit it took the keys away too, of which nobody else may have a copy."""
    done: Any = getattr(restoring, step)

    def cut(*given: object) -> None:
        done(*given)
        raise asyncio.CancelledError

    more = on_postgres(postgres_url)
    with monkeypatch.context() as patched:
        patched.setattr(restoring, step, cut)
        with pytest.raises(asyncio.CancelledError):
            await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=more)
    assert await is_empty(loss, more) == (step != "keep_opened_key")
    assert (loss.new / REQUEST_NAME).exists() == (step != "_decide")
    assert (loss.new / SEALED_NAME).exists() == (step != "_decide")
    if step != "keep_opened_key":
        if step == "_leave_request":
            await does_not_serve(loss, more)
            with pytest.raises(StoreBehind, match="Restore the backup again"):
                await loss.resume(more=more)
        await restore_at(loss.new, loss.programme, loss.file, now=LATER, more=more)
    await goes_on(loss, more)

# SPDX-License-Identifier: Apache-2.0
"""An operator's commands on a PostgreSQL database: they may take their time, and a lost connection is told as that."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # it has no annotations
import pytest
from sqlalchemy import Connection

from hub.backups.restoring import Evidence, restore_in_place
from hub.backups.standing import Standing
from hub.failures import report
from hub.store import postgres
from hub.store.opening import look
from hub.store.trees import Log, stored_heads
from protocol.errors import StoreFailed
from tests.hub.backups import agreed, back_up, restore_at, resume_at, seal_keys
from tests.hub.running import RunningHub, make_settings, on_postgres
from tests.programme import Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

OFTEN = "idle_in_transaction_session_timeout"
TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'throughcare-hub'"""


def thinks(_: Standing) -> None:
    """Take longer over the answer than a hub's own transaction may wait for its process."""
    time.sleep(0.3)


@pytest.fixture
async def backup(tmp_path: Path, programme: Programme) -> Path:
    """Return a backup of a hub whose folder is `old`."""
    folder = tmp_path / "old"
    folder.mkdir()
    seal_keys(folder)
    async with RunningHub(folder, programme) as hub:
        await back_up(hub, tmp_path / "hub.backup")
    return tmp_path / "hub.backup"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server end a hub's session that does nothing in a transaction for a tenth of a second."""
    monkeypatch.setitem(postgres._SESSION, OFTEN, "100")


@pytest.mark.usefixtures("impatient")
async def test_bak_4_an_operator_may_think_before_agreeing_to_a_restore(
    tmp_path: Path, programme: Programme, postgres_url: str, backup: Path
) -> None:
    """The question is asked in the middle of the transaction; the server ended it after five seconds."""
    new, more = tmp_path / "new", on_postgres(postgres_url)
    await restore_at(new, programme, backup, more=more, agree=thinks)
    settings = make_settings(new, programme, *more)
    standing = await restore_in_place(settings, Evidence(), programme.now, thinks)
    await resume_at(new, programme, more=more)

    def slowly(connection: Connection) -> int:
        """As where a backup is written to a disk that makes it wait."""
        time.sleep(0.3)
        return stored_heads(connection)[Log.DIRECTORY][0]

    assert await look(new, settings.store, slowly) == standing.found.directory.size + 1


async def test_a_connection_that_is_lost_during_a_restore_is_told_as_that_and_the_command_may_be_typed_again(
    tmp_path: Path, programme: Programme, postgres_url: str, backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, more = tmp_path / "new", on_postgres(postgres_url)

    async def terminate() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(TERMINATE)
        await connection.close()

    def meanwhile(_: Standing) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, terminate()).result()

    with pytest.raises(StoreFailed) as failed:
        await restore_at(new, programme, backup, more=more, agree=meanwhile)
    assert report(failed.value) == 8
    told = capsys.readouterr().err
    assert "The connection to the database was lost" in told
    assert "next:  the same command again" in told
    assert (await restore_at(new, programme, backup, more=more, agree=agreed)).found.directory.size > 0

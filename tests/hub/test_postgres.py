# SPDX-License-Identifier: Apache-2.0
"""The hub on PostgreSQL: what only a shared database can do, and what a server must promise before it is used."""

from pathlib import Path

from tests.hub.running import RunningHub
from tests.programme import Programme


async def test_x(tmp_path: Path, programme: Programme, postgres_url: str) -> None:
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, more=["[store]", f'url = "{postgres_url}"']) as hub:
        sealed = programme.sender("gora-prison").seal(probation.desk)
        receipt = await hub.device(prison).submit(sealed.data)
        assert await hub.device(prison).submit(sealed.data) == receipt
        assert len(await hub.device(probation).items()) == 1

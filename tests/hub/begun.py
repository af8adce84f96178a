# SPDX-License-Identifier: Apache-2.0
"""What a hub's first start leaves behind: its tables, and the programme's directory in its log.

A real hub makes it once for each programme; the fixtures give copies, for hardly a test asks how it came about. Those
that do begin with an empty folder: `RunningHub` makes whatever is not there.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Self

from hub.config import DATABASE_NAME, GUARD_NAME
from tests.hub.running import RunningHub, on_postgres
from tests.postgres import create_database, drop_left, leave_database
from tests.programme import Programme


class Beginnings:
    """Folders, and databases on a PostgreSQL server, of hubs that have started once and stopped."""

    def __enter__(self) -> Self:
        self._root = tempfile.TemporaryDirectory()
        self._made: dict[tuple[str | None, tuple[bytes, ...]], tuple[Path, str | None]] = {}
        return self

    def __exit__(self, *ended: object) -> None:
        for (server_url, _), (_, url) in self._made.items():
            if server_url is not None and url is not None:
                leave_database(url, server_url)
                asyncio.run(drop_left(server_url))
        self._root.cleanup()

    async def put(self, programme: Programme, folder: Path, server_url: str | None = None) -> str | None:
        """Put into `folder` what a hub left there; with `server_url`, return the URL of its database, to be copied."""
        key = server_url, tuple(programme.statements)
        if key not in self._made:
            made = Path(tempfile.mkdtemp(dir=self._root.name))
            url = await create_database(server_url) if server_url else None
            async with RunningHub(made, programme, more=on_postgres(url) if url else ()):
                pass
            self._made[key] = made, url
        made, url = self._made[key]
        for name in (GUARD_NAME,) if url else (GUARD_NAME, DATABASE_NAME):
            shutil.copy2(made / name, folder / name)
        return url

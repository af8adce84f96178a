# SPDX-License-Identifier: Apache-2.0
"""What was refused is listed with its number, and its bytes are saved as evidence by typed commands (HTTP-10)."""

import asyncio
from pathlib import Path

import pytest

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.cli import main
from protocol.frames import Item, ItemKind
from tests.connectors.cases.test_thread_api import Served, prison

__all__ = ["prison"]


async def test_http_10_an_item_is_saved_for_us_alone_by_its_number(
    prison: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await prison.station.parts.inbox.take((Item(7, ItemKind.SLICE, b"rubbish"),))
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    folder = prison.station.folder
    home.register(home.Profile("gora-prison", prison.station.desk, prison.url, str(folder / TOKEN_FILE), str(folder)))

    async def typed(*words: str) -> int:
        return await asyncio.to_thread(main, ["quarantine", *words, "--agency", "gora-prison"])

    assert await typed("list") == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("leaf 7  malformed-envelope, signed by nobody")
    number, file = line.split()[0], tmp_path / "item"
    assert await typed("save", number, str(file)) == 0
    assert file.read_bytes() == b"rubbish"
    assert file.stat().st_mode & 0o777 == 0o600
    assert await typed("save", number, str(file)) == 6
    assert await typed("save", "99", str(tmp_path / "other")) == 5
    assert "throughcare quarantine list --agency gora-prison" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()

# SPDX-License-Identifier: Apache-2.0
"""Drill: the hub's machine is lost after it had signed more than its newest backup holds, command by command."""

import asyncio
import json
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.cast import GORA, POLJE, REKA
from connectors.sandbox.processes import Supervisor
from connectors.sandbox.world import Sandbox
from tests.scenarios.running import BIN, Typist

DEMO = Path(__file__).parents[2] / "connectors" / "demo"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `condition` holds, at most a minute."""
    async with asyncio.timeout(60):
        for _ in range(300):
            if await condition():
                return
            await asyncio.sleep(0.2)
    raise AssertionError("what was waited for did not happen")


class Drill:
    """A sandbox in which the operator and the authority type commands."""

    def __init__(self, folder: Path, sandbox: Sandbox, type_: Typist) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self._type = type_
        self.config = sandbox.folder / "hub" / "hub.toml"
        self.offline = folder / "offline"
        self.secret = folder / "offline.passphrase"
        self.secret.touch(mode=0o600)
        self.secret.write_text("an offline passphrase\n")

    async def type(self, *arguments: str | Path) -> str:
        spoken = await asyncio.to_thread(self._type, *arguments)
        assert spoken.code == 0, spoken.err
        return spoken.out

    async def hub(self, *arguments: str | Path, code: int = 0) -> str:
        command = [str(BIN / "throughcare-hub"), *map(str, arguments), "--config", str(self.config)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    async def send(self, *to: str) -> str:
        desks = [part for desk in to for part in ("--to", desk)]
        arguments: list[str | Path] = ["--mapping", DEMO / "mapping.toml", "--input", DEMO / "export", "--json"]
        told = await self.type(
            "handover", "send", "--agency", GORA.name, "--key", secrets.token_hex(12), *arguments, *desks
        )
        return str(json.loads(told)["id"])

    async def states(self, message: str) -> dict[str, str]:
        shown = json.loads(await self.type("handover", "show", message, "--agency", GORA.name, "--json"))
        return {one["desk"]: one["state"] for one in shown["recipients"]}

    async def until_opened(self, message: str, *desks: str) -> None:
        """Wait until the message was opened at `desks`, or at both."""
        wanted = dict.fromkeys(desks or (REKA.address, POLJE.address), "opened")

        async def opened() -> bool:
            return wanted.items() <= (await self.states(message)).items()

        await until(opened)

    async def received(self, agency: str) -> list[str]:
        told = await self.type("handover", "list", "--agency", agency, "--direction", "received", "--json")
        items: list[dict[str, Any]] = json.loads(told)["items"]
        return [item["id"] for item in items]

    async def statements(self, agency: str) -> int:
        told = json.loads(await self.type("connector", "status", "--agency", agency, "--json"))
        return int(told["directory"]["size"])


@pytest.mark.full
async def test_gen_4_drill_a_lost_hub_comes_back_and_everything_arrives_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Supervisor(tmp_path / "logs") as supervisor:
        sandbox = Sandbox(tmp_path / "town", supervisor)
        await sandbox.start_all()
        drill = Drill(tmp_path, sandbox, Typist(capsys))
        try:
            await rehearse(drill, sandbox)
        finally:
            sandbox.forget()


async def rehearse(drill: Drill, sandbox: Sandbox) -> None:
    folder, backup, witness = drill.folder, drill.folder / "hub.backup", drill.folder / "polje.witness"
    reka = sandbox.data_dir(REKA) / "connector.toml"
    before = await drill.send(REKA.address, POLJE.address)
    await drill.until_opened(before)
    await drill.type("backup-key", drill.offline, "--passphrase-file", drill.secret, "--demo")
    await drill.hub("backup", backup, "--public-key", drill.offline / "backup.pub")
    assert json.loads((sandbox.hub_data / "newest-backup.json").read_text())["made_at"] > 0

    # All that follows is in no backup: mail that one desk opens and another has not collected, and a statement.
    await sandbox.connectors[POLJE.name].stop()
    await drill.type("witness", witness, "--config", sandbox.data_dir(POLJE) / "connector.toml")
    after = [await drill.send(REKA.address, POLJE.address) for _ in range(2)]
    for message in after:
        await drill.until_opened(message, REKA.address)
    stated = await drill.statements(REKA.name)
    await drill.type("officer", "add", "night shift", "--config", reka)
    await sandbox.connectors[REKA.name].stop()
    await sandbox.start_connector(REKA)
    assert await drill.statements(REKA.name) == stated + 1

    # The machine is lost; a new folder on a new one.
    assert sandbox.hub is not None
    await sandbox.hub.kill()
    sandbox.hub_data.rename(folder / "lost")
    sandbox.hub_data.mkdir(mode=0o700)
    restore: list[str | Path] = [
        "restore", backup, "--key", drill.offline / "backup.key", "--key-passphrase-file", drill.secret,
        "--witness", witness, "--guard", folder / "lost" / "hub.guard", "--agree", "hub.example",
    ]  # fmt: skip
    # The officer's statement is known to exist, by the guard, and the witness does not hold it.
    assert "--without-statements" in await drill.hub(*restore, code=3)
    restored = await drill.hub(*restore, "--without-statements")
    assert "lost         audit log: leaves" in restored
    assert "generation 1 of both logs" in restored
    assert "waits for its authority" in await drill.hub("run", code=8)
    request = sandbox.hub_data / "restore-request.json"
    for number in (1, 2):
        secret = sandbox.folder / "passphrases" / f"approver-{number}.passphrase"
        await drill.type(
            "authority", "restore", sandbox.folder / "authority", "--request", request,
            "--approver", str(number), "--passphrase-file", secret,
        )  # fmt: skip
    statement = sandbox.folder / "authority" / "restorations" / "1.statement"
    assert "Generation 1" in await drill.hub("resume", "--statement", statement)
    await sandbox.start_hub()
    await sandbox.start_connector(POLJE)

    for message in after:
        await drill.until_opened(message)
    for agency in (REKA.name, POLJE.name):
        assert sorted(await drill.received(agency)) == sorted([before, *after])
        quarantined = json.loads(await drill.type("quarantine", "list", "--agency", agency, "--json"))
        assert quarantined["items"] == []
    new = await drill.send(REKA.address, POLJE.address)
    await drill.until_opened(new)
    # The officer's statement was handed back by the one connector that knew it, beside the restoration itself.

    async def is_whole() -> bool:
        return await drill.statements(REKA.name) == stated + 2

    await until(is_whole)
    await sandbox.hub.stop()
    checked = await drill.hub("check")
    assert f"hub.example/directory/1: {stated + 2} leaves, and all that belongs to them, sound" in checked
    assert "hub.example/audit/1:" in checked

# SPDX-License-Identifier: Apache-2.0
"""A hub that is lost after somebody was exchanged at its authority, with a backup of before; and what people type."""

import asyncio
import contextlib
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from click.testing import CliRunner

from connectors.authority.office import HubFacts, Log, Office, open_office
from connectors.cli import main
from hub.cli import main as hub_main
from hub.service.restorerequest import REQUEST_NAME
from keys.backupopening import make_backup_key
from keys.directory import Directory
from keys.sealedfile import SMALL
from protocol.ids import KeyId
from tests.hub.backups import passphrase_in, seal_keys
from tests.hub.running import KEYS, RunningHub, settings_text
from tests.programme import DOMAIN, Programme
from tests.scenarios.newcomers import exchanged, newcomer
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.test_restore_transcripts import WallClock
from tests.scenarios.town import Town


class Scribe(Typist):
    """Types commands where no test captures what they print."""

    def __init__(self) -> None:
        pass

    def __call__(self, *arguments: str | Path) -> Spoken:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
        assert "Traceback" not in err.getvalue()
        return Spoken(code, out.getvalue(), err.getvalue())


class Founded(Programme):
    """The programme of an authority's folder, of which a hub of tests knows domain and fingerprint."""

    def __init__(self, office: Office) -> None:
        self.now, self.domain, self.statements = WallClock()(), DOMAIN, []
        self.fingerprint = office.facts.root_fingerprint
        self.directory = Directory(self.fingerprint, DOMAIN)


class Ruin:
    """An authority with its hub in one folder; `copy` is the authority's folder of before the exchange."""

    def __init__(self, folder: Path) -> None:
        self.town = Town(folder)
        self.folder, self.authority = folder, self.town.authority
        self.copy, self.data, self.facts = folder / "copy", folder / "hub", folder / "hub-public.json"
        self.scribe = Scribe()
        self.programme = Founded(open_office(self.authority))
        self.config = folder / "hub.toml"
        self.config.write_text(settings_text(self.data, self.programme))

    async def type(self, *arguments: str | Path) -> Spoken:
        return await asyncio.to_thread(self.scribe, *arguments)

    async def by(self, folder: Path, number: int, verb: str, *arguments: str | Path) -> Spoken:
        """Have an approver type a command of the authority."""
        secret = folder / "passphrases" / f"approver-{number}.passphrase"
        own = ("--approver", str(number), "--passphrase-file", secret, "--json")
        return await self.type("authority", verb, folder, *arguments, *own)

    async def hub(self, *arguments: str | Path, code: int = 0) -> str:
        command = [*map(str, arguments), "--config", str(self.config)]
        done = await asyncio.to_thread(CliRunner().invoke, hub_main, command)
        assert done.exit_code == code, done.output
        return done.output

    async def restore(self, *more: str | Path, code: int = 0) -> str:
        """Restore the backup of before the exchange, as if nothing else had survived."""
        shutil.rmtree(self.data)
        passphrase_in(self.data)
        return await self.hub(
            "restore", self.folder / "hub.backup", "--key", self.folder / "offline" / "backup.key",
            "--key-passphrase-file", self.data / "passphrase", "--without-statements", "--agree", DOMAIN, *more,
            code=code,
        )  # fmt: skip

    async def signs(self, folder: Path, number: int) -> Spoken:
        """Have an approver sign the request with the authority's folder or a copy of it."""
        return await self.by(folder, number, "restore", "--request", self.data / REQUEST_NAME)

    async def resume(self, folder: Path, code: int = 0) -> str:
        return await self.hub("resume", "--statement", folder / "restorations" / "1.statement", code=code)

    async def resumed_by(self, *numbers: int) -> None:
        """Restore, and go on by the word of approvers who know of no exchange."""
        await self.restore()
        for number in numbers:
            signed = await self.signs(self.copy, number)
            assert signed.code == 0, signed.err
        await self.resume(self.copy)

    def connect(self, url: str) -> None:
        """Let the authority, and its copy, find the hub."""
        logs = {"directory": KEYS.directory.public, "audit": KEYS.audit.public}
        named = {name: Log(origin=f"{DOMAIN}/{name}", key=KeyId(key)) for name, key in logs.items()}
        found = HubFacts(domain=DOMAIN, url=url, **named)
        self.facts.write_text(found.model_dump_json())
        for folder in (self.authority, self.copy):
            if folder.exists():
                open_office(folder).connect(found)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[RunningHub]:
        async with RunningHub(self.data, self.programme, WallClock()) as hub:
            self.connect(hub.url)
            yield hub


async def ruined(folder: Path, *, approvers: int) -> Ruin:
    """Make an authority in `folder` whose hub ends behind the exchange of approver 2, which is in no backup."""
    people = ("--root-persons", "3", "--approvers", str(approvers))
    founded = await asyncio.to_thread(
        Scribe(), "authority", "init", folder / "authority", "--domain", DOMAIN, "--programme", "P",
        "--jurisdiction", "J", *people,
    )  # fmt: skip
    assert founded.code == 0, founded.err
    ruin = Ruin(folder)
    seal_keys(ruin.data)
    make_backup_key(folder / "offline", b"invented", SMALL)
    async with ruin.serving():
        published = await ruin.type("authority", "publish", ruin.authority, "--hub", ruin.facts)
        assert published.code == 0, published.err
        await ruin.hub("backup", folder / "hub.backup", "--public-key", folder / "offline" / "backup.pub")
        shutil.copytree(ruin.authority, ruin.copy)
        comes = await asyncio.to_thread(newcomer, ruin.town, ruin.scribe, folder / "comes")
        await asyncio.to_thread(exchanged, ruin.town, ruin.scribe, comes)
    return ruin

# SPDX-License-Identifier: Apache-2.0
"""`throughcare directory evidence` and `dismiss`: see and end what stops sealing after the hub contradicted itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from connectors import fork
from connectors.app import read_passphrase
from connectors.cli.configfile import finds_config
from connectors.cli.failures import then
from connectors.cli.outfile import REPLACE, must_be_writable, write_out
from connectors.cli.voice import Voice, speaks
from connectors.config import load
from connectors.installation import open_installation, read_enrolment
from connectors.logs import Log
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, Store
from connectors.store.lock import InstallationLock
from connectors.timing import system_clock
from connectors.vault import Vault
from protocol.contradiction import Contradiction, encode_file, named
from protocol.diagnosis import starts_connector
from protocol.errors import Forbidden, NotFound
from protocol.http.fields import format_time


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@finds_config
@REPLACE
@speaks
def evidence(target: Path, config_file: Path, replace: bool, voice: Voice) -> None:
    """Write all by which the hub contradicted itself to a file.

    Also what was dismissed. `directory check` and `authority check` judge the file.
    """
    must_be_writable(target, replace=replace)
    domain, found = asyncio.run(_evidence(config_file))
    write_out(target, encode_file(domain, found), replace=replace)
    items = [_item(one) for one in found]
    lines = [f"{one['at']}  {one['form']} of {one['size']} statements, root {one['root']}" for one in items]
    voice.data({"file": str(target), "items": items}, [f"{target}:", *(f"  {line}" for line in lines)])
    voice.say("next:  give the file to your authority; the hub signed what is in it")


def _item(one: Contradiction) -> dict[str, object]:
    said = named(one.form, one.signed)
    return {
        "form": one.form.value,
        "origin": said.origin,
        "size": said.size,
        "root": said.root.hex(),
        "at": format_time(said.at),
        "kept_at": format_time(one.kept_at),
        "dismissed_at": None if one.dismissed_at is None else format_time(one.dismissed_at),
    }


@click.command()
@click.argument("agency")
@finds_config
@speaks
def dismiss(agency: str, config_file: Path, voice: Voice) -> None:
    """Seal again after a contradiction that your authority has looked at.

    Type your AGENCY's name once the authority has told you which directory counts; the connector must be stopped.
    """
    asyncio.run(_dismiss(agency, config_file))
    voice.data({"dismissed": True}, ["The contradiction is dismissed; the log says so."])
    voice.say(f"next:  start it: {starts_connector(config_file)}")


async def _evidence(config_file: Path) -> tuple[str, list[Contradiction]]:
    domain = read_enrolment(load(config_file, os.environ).settings.connector.data_dir).domain
    async with _opened(config_file) as store, store.read() as tx:
        found = await fork.evidence(tx)
    if not found:
        raise _nothing()
    return domain, found


async def _dismiss(agency: str, config_file: Path) -> None:
    data_dir = load(config_file, os.environ).settings.connector.data_dir
    enrolled = read_enrolment(data_dir).agency
    if agency not in (enrolled, enrolled.partition("@")[0]):
        error = Forbidden("That is not the name of this connector's agency. Nothing was changed.")
        raise then(error, "the same command with the agency's name")
    with InstallationLock(data_dir / LOCK_FILE):
        async with _opened(config_file) as store:
            if not await fork.dismiss(store, system_clock, Log()):
                raise _nothing()


def _nothing() -> NotFound:
    error = NotFound("No contradiction is kept here.")
    return then(error, "throughcare connector status --agency NAME")


@asynccontextmanager
async def _opened(config_file: Path) -> AsyncIterator[Store]:
    section = load(config_file, os.environ).settings.connector
    installation = open_installation(section.data_dir, read_passphrase(section))
    store = await Store.open(section.data_dir / DATABASE_FILE, Vault(installation.storage_key))
    try:
        yield store
    finally:
        await store.close()

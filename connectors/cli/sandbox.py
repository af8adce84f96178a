# SPDX-License-Identifier: Apache-2.0
"""`throughcare sandbox`: a hub and three agencies, up until they are told to stop."""

import asyncio
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from connectors import demo
from connectors.cli.signals import run_until_signalled
from connectors.cli.voice import Voice, pasteable, speaks
from connectors.sandbox.processes import Supervisor
from connectors.sandbox.world import Sandbox
from protocol.ownership import check_ownership


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the sandbox here and go on with it next time.  [default: a temporary folder, deleted at the end]",
)
@click.option("--port-base", type=click.IntRange(1_024, 65_000), help="Take the next free ports from this one on.")
@speaks
def sandbox(data: Path | None, port_base: int | None, voice: Voice) -> None:
    """Run a hub and three invented agencies until stopped."""
    check_ownership()
    voice.say("Starting a DEMO hub and three DEMO agencies…")
    if data is not None:
        run_until_signalled(serve(data, port_base, voice))
        return
    with tempfile.TemporaryDirectory(prefix="throughcare-sandbox-") as folder:
        run_until_signalled(serve(Path(folder), port_base, voice))


async def serve(folder: Path, port_base: int | None, voice: Voice) -> None:
    """Start everything, say where it is, and watch until cancelled; nothing runs when this returns or raises."""
    async with Supervisor(folder / "logs") as supervisor:
        sandbox_ = Sandbox(folder, supervisor, port_base=port_base)
        try:
            await sandbox_.start_all()
            description = sandbox_.description()
            voice.data(description, lines(description))
            voice.say("Everything is DEMO and invented. Ctrl-C stops it.")
            await supervisor.watch()
        finally:
            await asyncio.to_thread(sandbox_.forget)


def lines(description: dict[str, Any]) -> Iterator[str]:
    """Yield the description of a sandbox for people, with something to try."""
    hub = description["hub"]
    wide = max(len(agency["name"]) for agency in description["agencies"])
    yield f"{'hub':<{wide}}  {hub['url']}   (health and metrics: {hub['admin_url']})"
    yield f"{'':<{wide}}  what its operator sees: {hub['data_dir']}"
    for agency in description["agencies"]:
        yield f"{agency['name']:<{wide}}  {agency['api_url']}   desk {agency['desk']}"
    sender, first, second, *_ = description["agencies"]
    yield ""
    yield pasteable(f"Try: throughcare handover send --agency {sender['name']} \\")
    yield f"         --mapping {_shipped('mapping.toml')} --input {_shipped('export')} \\"
    yield f"         --to {first['desk']} --to {second['desk']}"
    yield pasteable(f"     throughcare handover list --agency {first['name']}")
    yield f"     {sender['api_url']}/v1/docs   in a browser: the interface for the agency's own systems"


def _shipped(name: str) -> str:
    """Return where something of the demo's lies, as one would type it from here."""
    path = Path(demo.__file__).parent / name
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(near))

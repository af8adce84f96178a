# SPDX-License-Identifier: Apache-2.0
"""`throughcare demo`: the story of one release, and afterwards everything left running to be looked at."""

import asyncio
import importlib
import os
import sys
import tempfile
from pathlib import Path

import click

from connectors import home
from connectors.cli.failures import FAILED, report
from connectors.cli.sandbox import lines
from connectors.cli.signals import run_until_signalled
from connectors.demo.telling import Teller, WentWrong
from connectors.sandbox.cast import DOLINA, GORA, OBALA, POLJE, WHOLE_CAST
from connectors.sandbox.processes import Supervisor
from connectors.sandbox.world import Sandbox
from protocol.ownership import check_ownership


@click.command()
@click.option("--once", is_flag=True, help="End after the story: exit code 0 if all went as it must, else 1.")
@click.option("--no-color", is_flag=True, help="No colours (the variable NO_COLOR does the same).")
def demo(once: bool, no_color: bool) -> int:
    """Tell the story of one release, everything real but the clock."""
    check_ownership()
    colour = sys.stdout.isatty() and not no_color and "NO_COLOR" not in os.environ
    teller = Teller(sys.stdout, colour=colour)
    with tempfile.TemporaryDirectory(prefix="throughcare-demo-") as folder:
        told = run_until_signalled(_demo(Path(folder), teller, once=once))
    return FAILED if told is None and once else told or 0


async def _demo(folder: Path, teller: Teller, *, once: bool) -> int:
    """Tell the story in `folder`; with `once` the profiles of its agencies stay in there too."""
    environment = {home.VARIABLE: str(folder / "home")} if once else {}
    teller.title("Throughcare DEMO: one release. Every person, agency and record here is invented.")
    async with Supervisor(folder / "logs", environment) as supervisor:
        sandbox = Sandbox(folder, supervisor, cast=WHOLE_CAST)
        try:
            await sandbox.begin(GORA, POLJE, DOLINA, OBALA)
            story = await asyncio.to_thread(importlib.import_module, "connectors.demo.story")
            await story.Story(teller, sandbox, folder).tell()
            teller.say(
                f"\nThe story took {teller.seconds:.1f} s. But for the clock all was real: processes, keys, files."
            )
            if once:
                return 0
            teller.title("Still running")
            for line in lines(sandbox.description()):
                teller.say(f"  {line}")
            teller.say("\nCtrl-C stops everything and deletes it.")
            await supervisor.watch()
        except WentWrong as error:
            click.echo(f"error: the story went wrong: {error}", err=True)
            return FAILED
        except Exception as error:  # noqa: BLE001  # told like every other failure, but always with exit code 1
            report(error)
            return FAILED
        finally:
            sandbox.forget()
    return 0

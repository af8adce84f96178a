# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub check`, `doctor` and `clock`: what is so, and what is wrong; only `clock --confirm` writes."""

import json
import sys
from datetime import datetime
from pathlib import Path

import click

from hub.cli.options import CONFIG, load, told


@click.command(short_help="Check keys and all that is stored.")
@CONFIG
def check(path: Path) -> None:
    """Check configuration, keys and all that is stored, without serving: every hash is computed anew."""
    with told(path):
        import asyncio

        from hub.config import doubts, pinned_root
        from hub.service.logcheck import check_everything
        from hub.service.signingkeys import open_keys
        from hub.store.trees import Log

        settings = load(path)
        keys = open_keys(settings)
        found = asyncio.run(
            check_everything(settings, {Log.AUDIT: keys.audit.public, Log.DIRECTORY: keys.directory.public})
        )
        if not found:
            click.echo("There is no database yet; `throughcare-hub run` makes it.")
        for log, size in found.items():
            click.echo(f"{log}: {size} leaves, and all that belongs to them, sound")
        pinned_root(settings)  # last, so that a hub without it is told of what is damaged too
        for doubt in doubts(settings):
            click.echo(f"warning: {doubt}", err=True)
        click.echo("Everything is in order.")
        click.echo(f"next:  throughcare-hub run --config {path}", err=True)


@click.command(short_help="Look for what is wrong, and how to mend it.")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print JSON: stable, for programs.")
def doctor(path: Path, as_json: bool) -> None:
    """Look for what is wrong with the hub, and say how to mend it; nothing is changed, also beside a running hub."""
    with told(path):
        import asyncio

        from hub.app import system_clock
        from hub.doctor import examine
        from protocol import diagnosis

        found = asyncio.run(examine(load(path), system_clock))
        found = diagnosis.named(found, path)
        click.echo(json.dumps(diagnosis.as_json(found)) if as_json else "\n".join(diagnosis.lines(found)))
        sys.exit(diagnosis.exit_code(found))


@click.command(short_help="Say what time it is here, and confirm it.")
@CONFIG
@click.option("--confirm", "today", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="Today's date.")
def clock(path: Path, today: datetime | None) -> None:
    """Say what time it is by this machine, and since when the hub knew; confirm it with today's date from a calendar.

    After it was off for over a day a hub believes its clock when the connectors of two agencies show the same time, or
    when its operator confirms it. Also beside a running hub, which goes on within seconds.
    """
    with told(path):
        import asyncio

        from hub import confirming
        from hub.app import system_clock

        settings = load(path)
        times = asyncio.run(confirming.read_times(settings, system_clock()))
        click.echo("\n".join(times.lines()))
        if today is not None:
            confirming.confirm(settings, today.date(), times.now)
            click.echo("Confirmed.")
        elif times.unsure:
            click.echo(f"next:  throughcare-hub clock --confirm YYYY-MM-DD --config {path}   (today's date)", err=True)
            sys.exit(1)

# SPDX-License-Identifier: Apache-2.0
"""`throughcare witness`: what this agency can show of the hub's logs, for an operator whose hub has lost some."""

import asyncio
import os
from pathlib import Path

import click

from connectors.cli.configfile import finds_config
from connectors.cli.voice import Voice, speaks

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("target", metavar="FILE", type=FILE)
@finds_config
@speaks
def witness(target: Path, config_file: Path, voice: Voice) -> None:
    """Write what this connector holds of the hub's logs, for its operator.

    For a hub that is restored from a backup; the file contains no content of anybody.
    """
    from connectors.app import read_passphrase
    from connectors.config import load
    from connectors.installation import open_installation
    from connectors.witnessing import write_witness

    section = load(config_file, os.environ).settings.connector
    installation = open_installation(section.data_dir, read_passphrase(section))
    stated, audit = asyncio.run(write_witness(section.data_dir, installation, target))
    voice.data(
        {"file": str(target), "statements": stated, "audit_size": audit},
        [f"{target}: {stated} statements, and a receipt that counts {audit} leaves."],
    )
    voice.say(f"Bring it to the hub's operator.\nnext:  throughcare-hub restore FILE … --witness {target}")

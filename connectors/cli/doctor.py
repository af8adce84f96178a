# SPDX-License-Identifier: Apache-2.0
"""`throughcare doctor`: what is wrong with a connector, and how to mend it."""

import asyncio
import os
from pathlib import Path

import click

from connectors.cli.configfile import finds_config
from connectors.cli.voice import Voice, pasteable, speaks
from connectors.config import load
from protocol import diagnosis


@click.command()
@finds_config
@speaks
def doctor(config_file: Path, voice: Voice) -> int:
    """Look for what is wrong with a connector, and say how to mend it."""
    from connectors.doctor import examine

    settings = load(config_file, os.environ).settings
    found = asyncio.run(examine(settings.connector, drop=settings.drop))
    found = diagnosis.named(found, config_file)
    voice.data(diagnosis.as_json(found), map(pasteable, diagnosis.lines(found)))
    return diagnosis.exit_code(found)

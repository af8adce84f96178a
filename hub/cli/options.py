# SPDX-License-Identifier: Apache-2.0
"""What every command of `throughcare-hub` has: its configuration, and one sentence for whatever goes wrong."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.failures import report

if TYPE_CHECKING:
    from hub.config import HubSettings

FILE = click.Path(path_type=Path, dir_okay=False)

CONFIG = click.option(
    "--config",
    "path",
    type=FILE,
    required=True,
    help="The configuration file (TOML); config.example.toml explains every key.",
)


@contextmanager
def told(config: Path) -> Iterator[None]:
    """Turn an error into one sentence on stderr and the exit code for its kind."""
    try:
        yield
    except click.Abort:
        raise  # the operator has thought better of it, at a question
    except Exception as error:  # noqa: BLE001 - the last place to tell of it, whatever it is
        sys.exit(report(error, config))


def load(path: Path) -> "HubSettings":
    """Read the configuration file; raises ConfigurationError where it cannot be used."""
    from hub.config import load_settings

    return load_settings(path, os.environ).settings

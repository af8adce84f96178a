# SPDX-License-Identifier: Apache-2.0
"""For commands that go by a connector's configuration file, also while it does not run: which file that is."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from connectors import home
from connectors.cli.failures import at
from connectors.enrolment.configuration import CONFIG_FILE
from connectors.home import Profile

_HELP: Final = (
    "The connector's configuration file: the connector.toml that enrol or restore wrote into --data-dir. Where this "
    "machine has one connector only, and it has run, that one's."
)

CONFIG: Final = click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help=_HELP)
AGENCY: Final = click.option(
    "--agency", "of_agency", metavar="NAME", help="In place of --config: which agency's, by its name."
)


def finds_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config`, or `--agency` in its place, and pass the file on as `config_file`."""

    @CONFIG
    @AGENCY
    @functools.wraps(command)
    def with_config(*args: Any, config_file: Path | None, of_agency: str | None, **kwargs: Any) -> Any:
        file = found_config(config_file, of_agency)
        with at(agency=of_agency or "", config=file):
            return command(*args, config_file=file, **kwargs)

    return with_config


def found_config(config_file: Path | None, of_agency: str | None) -> Path:
    """Return the file that `--config` or `--agency` means, or the only one that there is."""
    if config_file is not None and of_agency is not None:
        raise click.UsageError("Say --config or --agency, not both.")
    if config_file is not None:
        return config_file
    return _config_of(home.find(of_agency) if of_agency is not None else _only_one())


def _only_one() -> Profile:
    """Return the profile of this machine's connector if it has one and no other."""
    known = home.profiles()
    if not known:
        raise click.UsageError(
            f"Missing option '--config'. No connector has run here yet; its file is the {CONFIG_FILE} that "
            "`throughcare enrol` wrote into --data-dir."
        )
    if len(known) > 1:
        names = ", ".join(profile.name for profile in known)
        raise click.UsageError(f"Missing option '--agency' or '--config'. Known here: {names}.")
    return known[0]


def _config_of(profile: Profile) -> Path:
    """Return the file with which that connector was started; one of an older version did not say."""
    file = Path(profile.config_file or Path(profile.data_dir) / CONFIG_FILE)
    if not file.is_file():
        raise click.UsageError(f"The configuration of {profile.name} is not at {file}. Say where: --config FILE.")
    return file

# SPDX-License-Identifier: Apache-2.0
"""`throughcare config`: a connector's configuration, checked and explained without starting anything."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from connectors.cli.failures import advising
from connectors.cli.voice import Voice, speaks, table
from connectors.config import ConnectorSettings, load
from connectors.installation import ENROLMENT_FILE, read_enrolment
from connectors.parts import hub_url
from protocol.errors import ConfigurationError, ThroughcareError
from protocol.settings import Explanation, Loaded, Profile, render_example
from protocol.settings import explain as explain_key

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


def read(file: Path) -> Loaded[ConnectorSettings]:
    """Return the configuration in `file`, or say what to do where it is missing or wrong."""
    missing = "throughcare config example > FILE   (or enrol, which writes connector.toml into --data-dir)"
    with advising(
        {ConfigurationError: "mend the line that is named, then the same command" if file.exists() else missing}
    ):
        return load(file, os.environ)


@click.command()
@FILE
@speaks
def check(file: Path, voice: Voice) -> None:
    """Validate a connector's configuration file offline."""
    loaded = read(file)
    connector = loaded.settings.connector
    if connector.hub_url is None and (connector.data_dir / ENROLMENT_FILE).is_file():
        # Where the file names no hub, the enrolment does: `connector run` refuses it for the same reason.
        with advising({ConfigurationError: "name the hub by https:// in connector.hub_url, or enrol again"}):
            hub_url(connector, read_enrolment(connector.data_dir))
    warnings = list(insecure(loaded.settings))
    voice.data({"valid": True, "warnings": warnings}, [f"{file}: valid", *(f"  {warning}" for warning in warnings)])


def insecure(settings: ConnectorSettings) -> Iterator[str]:
    """Yield what is allowed but weak, or will fail at the start."""
    connector = settings.connector
    if connector.profile is Profile.DEMO:
        yield "connector.profile is demo: for trying out, not for real cases"
    if not connector.passphrase_file.exists():
        yield "connector.passphrase_file names a file that does not exist"
    elif os.name == "posix" and connector.passphrase_file.stat().st_mode & 0o077:
        yield "connector.passphrase_file can be read by others; type chmod 600"
    if not connector.data_dir.exists():
        yield "connector.data_dir names a folder that does not exist; throughcare enrol makes it"
    if settings.log.level == "debug":
        yield "log.level is debug: more is logged than is needed"
    yield from unusable(settings)


def unusable(settings: ConnectorSettings) -> Iterator[str]:
    """Yield why the files that `connector run` reads at its start cannot be used: it reads them in the same way."""
    from connectors.fhir.services import read_services
    from connectors.way_out import WayOut
    from connectors.webhooks.courier import read_files

    services = settings.fhir.services
    readers: dict[str, Callable[[], object]] = {
        "connector": WayOut.of(settings.connector).check,
        "webhooks": lambda: read_files(settings.webhooks),
        "fhir.services": lambda: read_services(services) if services else None,
    }
    for section, read_them in readers.items():
        try:
            read_them()
        except ThroughcareError as error:
            yield f"{section}: {error.detail}"


def every_key(settings: type[ConnectorSettings]) -> Iterator[str]:
    """Yield all keys as `section.key`."""
    for section, field in settings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        yield from (f"{section}.{key}" for key in keys)


@click.command()
@FILE
@speaks
def show(file: Path, voice: Voice) -> None:
    """Show the configuration in force and where each value is from."""
    loaded = read(file)
    found = [explain_key(loaded, key) for key in every_key(ConnectorSettings)]
    voice.data(
        {"items": [as_json(loaded, one) for one in found]},
        table(["KEY", "VALUE", "FROM"], [[one.key, one.value, one.origin.value] for one in found]),
    )


@click.command()
@click.argument("key")
@FILE
@speaks
def explain(key: str, file: Path, voice: Voice) -> None:
    """Explain one key, for example connector.hub_url."""
    loaded = read(file)
    found = explain_key(loaded, key)
    lines = [found.key, f"  {found.description}", f"  now {found.value}, from {found.origin.value}"]
    voice.data(as_json(loaded, found), lines)


def as_json(loaded: Loaded[ConnectorSettings], one: Explanation) -> dict[str, Any]:
    """Return an explanation as `--json` shows it: the value is JSON's own, null where nothing is set."""
    section, _, name = one.key.partition(".")
    return {
        "key": one.key,
        "value": loaded.settings.model_dump(mode="json")[section][name],
        "origin": one.origin.value,
        "description": one.description,
    }


@click.command()
def example() -> None:
    """Print an example configuration with every key."""
    click.echo(render_example([("throughcare connector run", ConnectorSettings)]), nl=False)

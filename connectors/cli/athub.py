# SPDX-License-Identifier: Apache-2.0
"""For commands that sign with the agency's identity: its installation opened, its hub checked and replayed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from connectors.app import read_passphrase
from connectors.cli.failures import advising
from connectors.config import load
from connectors.enrolment.pins import Pins, check_hub, replay
from connectors.hub_client import HubClient
from connectors.installation import Installation, agency_signer, open_installation
from connectors.parts import hub_url
from connectors.timing import Clock, system_clock
from connectors.way_out import WayOut
from keys.directory import Directory
from keys.signing import HybridSigner
from protocol.errors import EnrolmentRefused, HubUnreachable, Revoked, UntrustedKey
from protocol.http.skipping import SkippingClock


@dataclass(frozen=True, slots=True)
class AtHub:
    """An installation with the agency's identity, and its hub with the directory as verified just now."""

    installation: Installation
    agency: HybridSigner = field(repr=False)
    hub: HubClient = field(repr=False)
    directory: Directory = field(repr=False)
    clock: Clock = field(repr=False)


@asynccontextmanager
async def at_hub(config_file: Path) -> AsyncIterator[AtHub]:
    """Yield the installation at its hub, also beside a running connector: nothing of the installation is changed.

    Raises `KeystoreError` if the agency's identity is not here, and `EnrolmentRefused` for another hub than the
    pinned one.
    """
    section = load(config_file, os.environ).settings.connector
    installation = open_installation(section.data_dir, read_passphrase(section))
    agency = agency_signer(installation.keystore)
    pins = Pins.kept(installation.enrolment)
    clock = system_clock if section.clock_file is None else SkippingClock(section.clock_file, system_clock)
    doctor = f"throughcare doctor --config {config_file}"
    steps: dict[type[Exception], str] = {
        Revoked: doctor,
        UntrustedKey: doctor,
        HubUnreachable: f"{doctor}   (shows where the way to the hub ends)",
        EnrolmentRefused: f"mend connector.hub_url, if {config_file} sets it; {doctor}",
    }
    with advising(steps):
        async with WayOut.of(section).session() as session:
            hub = HubClient(session, hub_url(section, installation.enrolment), clock)
            await check_hub(hub, pins)
            yield AtHub(installation, agency, hub, await replay(hub, pins), clock)

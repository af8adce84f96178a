# SPDX-License-Identifier: Apache-2.0
"""`throughcare key renew`: the device's certificate, renewed by hand where the connector did not do it in time."""

import asyncio
from pathlib import Path

import click

from connectors.cli.athub import at_hub
from connectors.cli.configfile import finds_config
from connectors.cli.voice import Voice, speaks
from connectors.officers import service_id
from connectors.renewal import ending_service, renewable, renewal, renewed_service
from protocol.http.fields import format_time
from protocol.statements import parse_statement


@click.command()
@finds_config
@speaks
def renew(config_file: Path, voice: Voice) -> None:
    """Renew this device's certificate for another 90 days.

    A running connector does so by itself in the last 30 days. Also for a certificate that has ended.
    """
    device, until = asyncio.run(_renew(config_file))
    voice.data(
        {"device": device, "certificate_ends": format_time(until)},
        [f"The certificate of device {device[:16]}… counts until {format_time(until)}."],
    )


async def _renew(config_file: Path) -> tuple[str, int]:
    async with at_hub(config_file) as place:
        now, device = place.clock(), place.installation.device
        found = renewable(place.directory, device, place.agency, now)
        raw = renewal(found, device, place.agency, now)
        await place.hub.submit_statement(raw)
        service = ending_service(place.directory, found.own.address, service_id(place.installation.enrolment), now)
        if service is not None:
            await place.hub.submit_statement(renewed_service(found, service, place.agency, now))
    return device.key_id.hex(), parse_statement(raw).body.not_after

# SPDX-License-Identifier: Apache-2.0
"""The way to the hub, step by step, and whether it is the hub that enrolment pinned."""

from typing import Final

from connectors.config import ConnectorSection
from connectors.installation import Enrolment, Installation
from connectors.parts import hub_url
from connectors.timing import Clock
from connectors.way_out import WayOut
from protocol.diagnosis import Finding, fault, fine
from protocol.errors import ConfigurationError
from protocol.http.hub import HubInfo
from protocol.http.reaching import Way, examine_way, examine_websocket

_UPGRADE: Final = (
    "Have what stands in between pass on `Upgrade: websocket` without buffering, or set connector.websocket = false."
)


async def examine_hub(
    settings: ConnectorSection, installation: Installation, clock: Clock
) -> tuple[list[Finding], int | None]:
    """Go to the hub by the configured way; nothing that needs the device's key is asked.

    Returns also how many ms the hub's clock is ahead of this one, None if it told no time.
    """
    try:
        base = hub_url(settings, installation.enrolment)
        session = WayOut.of(settings).session()
    except ConfigurationError as error:
        return [fault("hub", error.detail, "Mend the setting that is named.")], None
    way = Way(
        base,
        settings.proxy,
        "connector.hub_url",
        "connector.proxy",
        "connector.ca_file",
        "connector.proxy_credentials_file",
        settings.proxy_credentials_file is not None,
    )
    async with session:
        found, info = await examine_way(way, session, clock)
        if info is None:
            return found, None
        ahead = info.server_time - clock()
        found.append(_identity(info, installation.enrolment))
        if settings.websocket:
            found.append(await examine_websocket(way, session, _UPGRADE))
    return found, ahead


def _identity(info: HubInfo, enrolment: Enrolment) -> Finding:
    same = (
        info.domain == enrolment.domain
        and info.root_fingerprint == enrolment.root_fingerprint
        and (info.directory.origin, info.directory.key) == (enrolment.directory.origin, enrolment.directory.key)
        and (info.audit.origin, info.audit.key) == (enrolment.audit.origin, enrolment.audit.key)
    )
    if same:
        return fine("identity", "It is the hub that enrolment pinned.")
    return fault(
        "identity",
        "It is not the hub that enrolment pinned: its domain, root or log keys are others.",
        "Check connector.hub_url. If it is right, stop, and call your authority first, then the hub's operator.",
    )

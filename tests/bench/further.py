# SPDX-License-Identifier: Apache-2.0
"""Figures beside the targets: sizes on the wire, and a connector that comes back to a full mailbox."""

import asyncio
import json
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.installation import LogIdentity, write_enrolment
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.frames import Accepted, Acknowledge, Deliver, Submit, encode_frame
from protocol.handover import parties_for
from protocol.ids import Kind, new_id, text
from tests.bench.hubserver import HubFolder, serving
from tests.bench.machine import Process, python, resident_mib
from tests.bench.rounds import Extent
from tests.bench.stock import ONLINE, SENDER, Stock
from tests.bench.targets import Figure
from tests.connectors.stations import PASSPHRASE, install, package

KIB = 1_024
PATIENCE_S = 180.0
_WAITING = "SELECT count(*) FROM delivery WHERE device_id = ?"
_CONNECTOR = "from connectors.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure that has a bound of its own; larger is worse, unless it shall be `at_least` that."""

    figure: Figure
    bound: float
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether it keeps its bound."""
        return self.figure.value >= self.bound if self.at_least else self.figure.value <= self.bound


async def wire_sizes(folder: Path) -> list[Promise]:
    """Return what 1 KiB to one recipient takes on the wire, and how large a receipt is."""
    hub_folder = HubFolder(folder / "wire")
    sender, recipient = (hub_folder.programme.members[name] for name in (SENDER, ONLINE))
    receipt, figures = b"", list[Promise]()
    async with hub_folder.opened() as hub:
        for body, what in ((KIB, "1 KiB in a section"), (0, "machine state alone")):
            data = Stock(hub_folder.programme, body=body).original.raw
            receipt = await hub.submissions.submit(sender.device_id, data)
            items = await hub.mailboxes.read(recipient.device_id, 0, 1)
            await hub.mailboxes.acknowledge(recipient.device_id, items[0].index)
            sent = len(encode_frame(Submit(1, data))) + len(encode_frame(Accepted(1, receipt)))
            taken = len(encode_frame(Deliver(tuple(items)))) + len(encode_frame(Acknowledge(items[0].index)))
            figures.append(Promise(Figure(f"{what}: submission and receipt", sent, "bytes"), 14_000))
            figures.append(Promise(Figure(f"{what}: delivery and acknowledgement", taken, "bytes"), 14_000))
        return [Promise(Figure("acceptance receipt", len(receipt), "bytes"), 1_500), *figures]


async def catch_up(folder: Path, extent: Extent) -> list[Promise]:
    """Return how long a connector takes that comes back to many messages, and what memory it takes."""
    count = extent.catch_up
    hub_folder = HubFolder(folder / "behind")
    async with hub_folder.opened() as hub:
        device = hub_folder.programme.members[SENDER].device_id
        for envelope in await asyncio.to_thread(handovers, hub_folder, count):
            await hub.submissions.submit(device, envelope)
    async with serving(hub_folder) as hub_process:
        config = _installed(folder / "connector", hub_folder, hub_process.said["url"])
        recipient = hub_folder.programme.members[ONLINE].device_id
        begin = time.perf_counter()
        command = [*python("connectors.cli")[:1], "-c", _CONNECTOR, "connector", "run", "--config", config]
        async with Process("connector", [*command, "--ready-json"], folder) as connector:
            start, peak = resident_mib(connector.pid), 0.0
            async with asyncio.timeout(PATIENCE_S):
                while waiting(hub_folder, recipient):
                    peak = max(peak, resident_mib(connector.pid))
                    await asyncio.sleep(0.05)
            seconds = time.perf_counter() - begin
    return [
        Promise(Figure(f"a connector catches up with {count} messages", seconds, "s, its start included"), 60),
        Promise(Figure("its memory meanwhile, above its start", max(0.0, peak - start), "MiB"), 64),
    ]


def handovers(hub_folder: HubFolder, count: int) -> list[bytes]:
    """Return really sealed handovers of one section each, every one in a thread of its own."""
    programme = hub_folder.programme
    sender, recipient = programme.members[SENDER], programme.members[ONLINE]
    content, envelopes = package(), []
    body = encode_payload(content.sections[0].body)
    for _ in range(count):
        recipients = [(recipient.address, DeskFunction(next(iter(recipient.functions.values()))))]
        parties = parties_for(text(Kind.SUBJECT, new_id()), sender.address, recipients)
        sealed = programme.sender(SENDER).seal(
            recipient.desk, payload=encode_payload(content.offer(parties)), sections=[(body, [recipient.desk])]
        )
        envelopes.append(sealed.data)
    return envelopes


def _installed(folder: Path, hub_folder: HubFolder, url: str) -> Path:
    """Make the recipient's installation as enrolment would, and return its configuration."""
    folder.mkdir()
    installation = install(folder, hub_folder.programme.members[ONLINE], hub_folder.programme, url)
    public: dict[str, Any] = json.loads((hub_folder.folder / "data" / "hub-public.json").read_text())
    logs = {
        name: LogIdentity(origin=public[name]["origin"], key=bytes.fromhex(public[name]["key"]), minimum_size=1)
        for name in ("directory", "audit")
    }
    write_enrolment(folder, replace(installation, enrolment=installation.enrolment.model_copy(update=logs)).enrolment)
    passphrase = folder / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_bytes(PASSPHRASE)
    config = folder / "connector.toml"
    config.write_text(
        f'[connector]\ndata_dir = "{folder}"\npassphrase_file = "{passphrase}"\nprofile = "demo"\nport = 0\n'
    )
    return config


def waiting(hub_folder: HubFolder, device: bytes) -> int:
    """Return how many items wait in a device's mailbox, as the hub's database says."""
    path = hub_folder.folder / "data" / "hub.db"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found: int = connection.execute(_WAITING, (device,)).fetchone()[0]
    finally:
        connection.close()
    return found

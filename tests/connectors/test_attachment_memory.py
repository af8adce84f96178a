# SPDX-License-Identifier: Apache-2.0
"""However large an attachment is, sender, hub and recipient need the same little memory for it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.installation import Installation, LogIdentity
from protocol.http import hub as api
from protocol.http.calling import Client
from protocol.http.handovers import HandoverRequest, NamedAttachment
from tests.connectors.stations import Station, install, open_station, package
from tests.hub.process import HubProcess, now, prepare

MIB = 1 << 20


def memory(pid: int, line: str) -> int:
    """Return a line of a process's memory in bytes: `VmRSS` as it is, `VmHWM` at its highest (Linux)."""
    for one in Path(f"/proc/{pid}/status").read_text().splitlines():
        if one.startswith(line + ":"):
            return int(one.split()[1]) << 10
    raise AssertionError(f"no {line}")


@contextmanager
def bounded(most: int, *pids: int) -> Iterator[None]:
    """Show that none of the processes grows by over `most` bytes while the block runs."""
    before = {}
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        before[pid] = memory(pid, "VmRSS")
    yield
    grown = {pid: memory(pid, "VmHWM") - before[pid] for pid in pids}
    assert max(grown.values()) <= most, {pid: f"{bytes_ / MIB:.0f} MiB" for pid, bytes_ in grown.items()}


async def endless(mebibytes: int, digest: list[bytes]) -> AsyncIterator[bytes]:
    """Yield so many MiB of chance that is made as it is asked for, and leave its hash in `digest`."""
    found = sha256()
    for _ in range(mebibytes):
        piece = os.urandom(MIB)
        found.update(piece)
        yield piece
    digest.append(found.digest())


async def carry(sender: Station, recipient: Station, mebibytes: int, most: int, hub: int) -> None:
    digest: list[bytes] = []
    await sender.look()
    await recipient.look()
    with bounded(most, os.getpid(), hub):
        added = await sender.parts.attachments.add(
            endless(mebibytes, digest), name="large.bin", media_type="application/octet-stream", place=0
        )
        request = HandoverRequest(
            to=[recipient.desk], package=package(), attachments=[NamedAttachment(id=added.answer.id, section=1)]
        )
        queued = await sender.parts.handovers.send(request, key="k" * 20, body=b"request")
        while await sender.seal_and_send() or await sender.parts.uploads.step():
            pass
    with bounded(most, os.getpid(), hub):
        await recipient.collect()
        while await recipient.parts.downloads.step():
            pass
        opened = await recipient.parts.attachments.open(queued.answer.id, 1, 0)
        found = sha256()
        async for piece in opened.pieces:
            found.update(piece)
    assert (opened.size, found.digest()) == (mebibytes * MIB, digest[0])


def pinned(installation: Installation, said: api.HubInfo) -> Installation:
    """Return the installation with the logs of a hub that made keys of its own."""
    changes = {
        "directory": LogIdentity(origin=said.directory.origin, key=said.directory.key, minimum_size=1),
        "audit": LogIdentity(origin=said.audit.origin, key=said.audit.key),
    }
    return replace(installation, enrolment=installation.enrolment.model_copy(update=changes))


@pytest.mark.parametrize(("mebibytes", "most"), [(64, 32), pytest.param(1_024, 64, marks=pytest.mark.full)])
async def test_att_3_and_att_7_need_constant_memory_on_every_side(tmp_path: Path, mebibytes: int, most: int) -> None:
    """A real hub process; growth bounded at half the attachment's size, and at a sixteenth for a gibibyte."""
    config, programme = prepare(tmp_path)
    prison, probation, _ = programme.members.values()
    async with HubProcess(config, programme) as hub:
        await hub.start()
        await hub.publish()
        said = await Client(hub.session, hub.url).call(api.GET_HUB, api.HubInfo)
        folders = [tmp_path / "prison", tmp_path / "probation"]
        one, other = [
            pinned(install(folder, member, programme, hub.url), said)
            for folder, member in zip(folders, (prison, probation), strict=True)
        ]
        async with (
            open_station(folders[0], prison, one, now) as sender,
            open_station(folders[1], probation, other, now) as recipient,
        ):
            await carry(sender, recipient, mebibytes, most * MIB, hub.pid)

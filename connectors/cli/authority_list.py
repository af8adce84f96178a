# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority list`: whom the directory holds, until when, with which devices."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from connectors.cli.office import FOLDER, directory_of, opened
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.visit import now_ms
from connectors.way_out import WayOut
from keys.directory import DeviceEntry, Directory
from keys.entries import Certificate
from protocol.address import AgencyAddress, desk_name
from protocol.http.fields import format_time


@click.command("list")
@FOLDER
@goes_out
@speaks
def list_(folder: Path, way_out: WayOut, voice: Voice) -> None:
    """List the agencies and their devices, and until when each counts."""
    office, directory = directory_of(opened(folder), way_out)
    now = now_ms()
    root, authority = directory.newest_root(), directory.authority(office.facts.domain)
    found: dict[str, Any] = {
        "root": None if root is None else _standing(root, now),
        "authority": None if authority is None else _standing(authority, now),
        "items": [_agency(directory, address, now) for address in sorted(directory.addresses())],
    }
    voice.data(found, _lines(found))


def _agency(directory: Directory, address: AgencyAddress, now: int) -> dict[str, Any]:
    entry = directory.agency_line(address)[-1]
    return {
        "agency": address,
        "name": entry.name,
        "kind": entry.agency_kind,
        "identity": entry.identity.key_id.hex(),
        **_standing(entry, now),
        "devices": [_device(directory, device, now) for device in directory.devices_of(address)],
    }


def _device(directory: Directory, device: DeviceEntry, now: int) -> dict[str, Any]:
    standing = _standing(device, now)
    if standing["state"] == "in force" and not directory.counts(device.key_id, now):
        # Itself it would count; what it stands on does not.
        standing["state"] = "ended"
    elif standing["state"] == "in force" and device.superseded_at is not None:
        standing["state"] = "replaced"
    return {"key_id": device.key_id.hex(), "desks": [desk_name(desk) for desk in device.desks], **standing}


def _standing(entry: Certificate, now: int) -> dict[str, Any]:
    state = "revoked" if entry.revoked_index is not None else "in force" if entry.covers(now) else "ended"
    return {"state": state, "until": format_time(entry.not_after)}


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for name in ("root", "authority"):
        if found[name] is not None:
            yield f"{name:9}  {_told(found[name])}"
    if not found["items"]:
        yield "No agency is in the directory."
    for item in found["items"]:
        yield f"{item['agency']}  ({item['name']}, {item['kind']}): {_told(item)}"
        for device in item["devices"]:
            yield f"    device {device['key_id'][:16]}  {', '.join(device['desks'])}: {_told(device)}"


def _told(item: dict[str, Any]) -> str:
    if item["state"] == "revoked":
        return "revoked"
    return f"{item['state']}, until {item['until'][:10]}"

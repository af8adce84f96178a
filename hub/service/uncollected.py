# SPDX-License-Identifier: Apache-2.0
"""Whose mail waits for nobody: the devices that were revoked or replaced, and will never collect it.

Their senders seal it anew for whoever serves the desk now, and here it goes when it expires. So it is no sign that a
connector stands still, and no alert tells of it.
"""

from collections.abc import Iterable

from keys.directory import Directory
from protocol.errors import Revoked, UntrustedKey
from protocol.ids import KeyId


def gone(devices: Iterable[KeyId], directory: Directory, now: int) -> set[KeyId]:
    """Return those of `devices` that nobody waits for at `now` (ms UTC)."""
    return {device for device in devices if _is_gone(device, directory, now)}


def _is_gone(device: KeyId, directory: Directory, now: int) -> bool:
    entry = directory.device(device)
    if entry is not None and entry.superseded_at is not None:
        return True
    try:
        directory.device_in_force(device, at=now, size=directory.size)
    except Revoked:
        return True
    except UntrustedKey:
        pass  # an ended certificate: its connector renews it and collects
    return False

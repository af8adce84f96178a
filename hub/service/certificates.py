# SPDX-License-Identifier: Apache-2.0
"""When the certificates that keep the hub's traffic going end: root's, authority's, and the first of the others.

Of agencies and devices what has ended already is not counted: an agency that left is no alarm. Root and authority are
told of also when they have ended, for then nothing passes any more. Going through a large directory takes a moment
on the event loop, so the answer is kept until the directory grows or one of the certificates ends.
"""

from hub.service.directory import DirectoryLog
from protocol.clockwatch import Clock


class Certificates:
    """Looks at the directory as this process holds it."""

    def __init__(self, directory: DirectoryLog, clock: Clock) -> None:
        self._log = directory
        self._clock = clock
        self._size = -1
        self._ends: dict[str, int | None] = {}

    def ends(self) -> dict[str, int | None]:
        """Return the end of root and authority, and the first of those in force, in ms UTC, by kind; None for none."""
        directory, now = self._log.directory, self._clock()
        first = (self._ends.get(kind) for kind in ("agency", "device"))
        if directory.size != self._size or any(end is not None and end <= now for end in first):
            authority = directory.authority(directory.domain)
            devices = {desk.device.key_id: desk.device.not_after for desk in directory.desks(now) if desk.device}
            root = directory.newest_root()
            self._ends = {
                "root": None if root is None else root.not_after,
                "authority": None if authority is None else authority.not_after,
                "agency": min((entry.not_after for entry in directory.agencies(now)), default=None),
                "device": min(devices.values(), default=None),
            }
            self._size = directory.size
        return self._ends

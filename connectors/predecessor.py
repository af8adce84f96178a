# SPDX-License-Identifier: Apache-2.0
"""Whether a machine before this one served a desk of ours: others may know more of its messages (SEQ-12)."""

from connectors.directory_sync import DirectorySync
from connectors.store import restored
from connectors.store.engine import Transaction
from protocol.address import DeskAddress, agency_of
from protocol.ids import KeyId


class Predecessor:
    """Says what is known of the machine that was before."""

    def __init__(self, directory: DirectorySync, device: KeyId) -> None:
        """`device` is our own."""
        self._directory = directory
        self._device = device

    async def behind(self, tx: Transaction, desk: DeskAddress) -> int | None:
        """Return the place of our newest message that cannot be unknown to that machine, None if there never was one.

        It is the newest of the backup that this store was restored from; 0 where the desk was enrolled anew without.
        """
        behind = await restored.behind(tx)
        if behind is not None:
            return behind
        directory = self._directory.directory
        others = (one.key_id for one in directory.devices_of(agency_of(desk)) if one.key_id != self._device)
        return 0 if any(directory.ever_served(other, desk) for other in others) else None

# SPDX-License-Identifier: Apache-2.0
"""Reading for a device on its agency's account: a few reads at the same time, each charged by its bytes (HTTP-14)."""

import asyncio

from hub.service.allowances import Allowances
from hub.service.directory import DirectoryLog
from hub.service.outgoing import LEAST_PAGE
from protocol.ids import KeyId


class Reads:
    """The account of each device's agency."""

    def __init__(self, allowances: Allowances, log: DirectoryLog) -> None:
        self._allowances = allowances
        self._log = log

    def turn(self, device_id: KeyId) -> asyncio.Semaphore:
        """Return what surrounds a read for `device_id`, and waits while its agency has enough of them under way."""
        return self._allowances.reading(self._log.agency_of(device_id))

    def page(self, device_id: KeyId) -> int:
        """Return how many bytes a page that is asked for may have now (HTTP-21)."""
        return self._allowances.outgoing(self._log.agency_of(device_id)).page(0) or LEAST_PAGE

    def charge(self, device_id: KeyId, size: int) -> None:
        """Charge for `size` bytes that were read."""
        self._allowances.was_read(self._log.agency_of(device_id), size)

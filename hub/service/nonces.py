# SPDX-License-Identifier: Apache-2.0
"""Nonces of request signatures: each counts once for a device, also after a restart or at another process (HTTP-2)."""

from collections.abc import Coroutine
from typing import Any

from hub.service.clocktrust import ClockWrong
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import nonces, restorations
from hub.store.engine import Store
from protocol.clockwatch import Clock
from protocol.errors import NotAuthenticated, StoreFull, Unavailable
from protocol.ids import KeyId
from protocol.limits import CLOCK_SKEW, SECOND, SIGNATURE_WINDOW

_USED = "The signature's nonce was used before. Sign each request anew."
_KEPT = 2 * SIGNATURE_WINDOW
"""A signature may be dated a window ahead, and is accepted for a window from then."""
AT_ONCE = 2_000
"""Nonces deleted by one change: an agency that asks for all that it may leaves a hundred thousand in a minute."""


class StoreNonce(Change[None]):
    """Store a nonce that is new as far as this process knows."""

    weight = 128

    def __init__(self, device_id: KeyId, nonce: bytes, expires: int) -> None:
        self.nonce = (device_id, nonce)
        self._row: dict[str, object] = {"device_id": device_id, "nonce": nonce, "expires": expires}

    def apply(self, transaction: Transaction) -> Finish[None]:
        """Collect the row; raises NotAuthenticated when another process has used the nonce."""
        if self.nonce in transaction.used_nonces:
            raise NotAuthenticated(_USED)
        transaction.insert(nonces.NEW_NONCES, self._row)
        return lambda: None


class DropNonces(Change[bool]):
    """Delete nonces whose signatures are too old to be accepted anyway, a portion at once; others get their turn."""

    def apply(self, transaction: Transaction) -> Finish[bool]:
        """Delete them; the answer is whether there are more."""
        # The log's time may be ahead of the clock that judges signatures (AUD-7).
        more = nonces.drop_old(transaction.connection, transaction.now - CLOCK_SKEW, AT_ONCE)
        return lambda: more


class Nonces:
    """The nonces in use: looked up in memory, stored before the request is answered."""

    def __init__(self, store: Store, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._used: dict[tuple[KeyId, bytes], int] = {}
        self._floor = 0

    async def load(self) -> None:
        """Read what was in use before the restart, and when the hub was last restored.

        A time that has not come by this clock is that of a clock which was ahead (BAK-6). That restore was before this
        start all the same, and nothing that was used before it is dated later than a window from now.
        """
        restored, now = await self._store.read(restorations.newest), self._clock()
        self._floor = restored if restored <= now + CLOCK_SKEW else now + SIGNATURE_WINDOW
        for device_id, nonce, expires in await self._store.read(nonces.stored):
            self._used[device_id, nonce] = expires

    def use(
        self, device_id: KeyId, nonce: bytes, created: int, *, reads_only: bool = False
    ) -> Coroutine[Any, Any, None]:
        """Use up a nonce of an authentic signature dated `created`; raises NotAuthenticated if it was used before.

        Returns what stores it, to be awaited before the request is answered. What the request asks for may be done
        meanwhile: whoever repeats a signed request at another process, in this very moment, asks for what was asked
        for anyway, and gets no answer.

        What was used between a backup and the loss of the hub is not known any more, so signatures dated before the
        hub was restored are refused as Unavailable; whoever means it signs anew (BAK-6). On a full disk reading goes
        on (HTTP-17): the nonce of a request that `reads_only` counts in memory.
        """
        if created < self._floor:
            restored = Unavailable("The hub was just restored from a backup. Sign the request anew.")
            restored.retry_after = max(1, -(-(self._floor - self._clock()) // SECOND))
            raise restored
        if (device_id, nonce) in self._used:
            raise NotAuthenticated(_USED)
        expires = self._clock() + _KEPT
        self._used[device_id, nonce] = expires
        return self._keep(device_id, nonce, expires, reads_only=reads_only)

    async def _keep(self, device_id: KeyId, nonce: bytes, expires: int, *, reads_only: bool) -> None:
        try:
            await self._writer.write(StoreNonce(device_id, nonce, expires))
        except StoreFull:
            if not reads_only:
                raise
        except ClockWrong:
            # What it came with was refused too. While the clock is wrong nothing is forgotten for its age, so nothing
            # may be kept of those who ask meanwhile, which is for days (AUD-11).
            self._used.pop((device_id, nonce), None)
            raise

    async def prune(self) -> None:
        """Forget nonces whose signatures are too old anyway."""
        now = self._clock()
        # The writer first: it refuses while the clock is wrong, when nothing must be forgotten (AUD-7).
        while await self._writer.write(DropNonces()):
            pass
        self._used = {key: expires for key, expires in self._used.items() if expires >= now}

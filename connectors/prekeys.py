# SPDX-License-Identifier: Apache-2.0
"""Our prekeys: a new one every week, and the old ones' seeds destroyed when nothing can need them (DIR-8, DIR-9).

The order protects against every crash: the seed is in the keystore before its statement exists, the statement is
stored before it is published, and a seed goes only after the log has had its successor for 44 days and the
mailbox has been read since. Then what was sealed to it is closed for everybody, us included.
"""

import errno
from collections.abc import Callable
from itertools import count
from typing import Final

from connectors.hub_client import StatementSink
from connectors.installation import PREKEY_PREFIX, PREKEY_PURPOSE, prekey_name
from connectors.logs import Log
from connectors.store import prekeys
from connectors.store.engine import Store
from connectors.store.prekeys import OwnPrekey, PrekeyState
from connectors.timing import Clock
from keys.directory import Directory, PrekeyEntry
from keys.keystore import Keystore
from keys.signing import DeviceSigner, sign_statement
from keys.xwing import XWingSecret
from protocol.errors import DirectoryError, KeystoreError
from protocol.limits import DAY, PREKEY_EPOCH_STEP, PREKEY_EVERY, PREKEY_KEPT
from protocol.statements import Body, Prekey

_LIFE: Final = 366 * DAY
"""A prekey is superseded, not expired; its statement's end only bounds a mistake."""
_PASSING: Final = frozenset({errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT})
"""Why a sound file cannot be read now."""
_MADE_ANEW: Final = 3 * DAY
"""After which one that the log still lacks is made anew: the log takes no statement signed long before (DIR-14)."""


class Prekeys:
    """Makes, publishes and destroys this device's prekeys."""

    def __init__(
        self,
        store: Store,
        keystore: Keystore,
        device: DeviceSigner,
        directory: Callable[[], Directory],
        clock: Clock,
        log: Log,
        *,
        sound: Callable[[], bool],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`directory` gives the verified directory as it is now; `wake` is called to have `maintain` called soon.

        `sound` tells whether the clock is known to be right: by another no seed is destroyed (CON-23).
        """
        self._store = store
        self._keystore = keystore
        self._device = device
        self._directory = directory
        self._clock = clock
        self._log = log
        self._wake = wake
        self._sound = sound

    def secret(self, epoch: int) -> XWingSecret | None:
        """Return the secret of `epoch`, or None if it never was, is destroyed (DIR-9) or cannot be read any more.

        Raises `KeystoreError` if no key can be read at all, or not now: that passes, or somebody must act.
        """
        name = prekey_name(epoch)
        if name not in self._keystore.names(PREKEY_PREFIX):
            return None
        try:
            return XWingSecret(self._keystore.get(name, PREKEY_PURPOSE))
        except KeystoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _PASSING:
                raise
            # One file is damaged. What is sealed to it is reported, and its sender seals it to a newer one (HTTP-10).
            self._log.event("part-failed", part="prekeys", code=error.code)
            self._wake()
            return None

    async def maintain(self, sink: StatementSink, *, drained_at: int | None) -> bool:
        """Do what is due: note what the log has, publish a new prekey, destroy seeds.

        Returns whether something was published, so that the directory is worth another look.

        `drained_at` is when the mailbox was last found empty (ms UTC), None if not since the start. Raises
        `HubUnreachable` and the like; what was made is stored and published at the next call. That the directory
        refuses a prekey is logged, and stops nothing else; it is tried again, and made anew after three days.
        """
        await self._note_logged()
        if await self._newest_is_due():
            await self._make()
        published = await self._publish(sink)
        await self._destroy(drained_at)
        return published

    async def _publish(self, sink: StatementSink) -> bool:
        """Publish the newest that the log lacks; those before it have been made anew and are dropped with it."""
        made = [own for own in await self._load() if own.state is PrekeyState.MADE]
        if not made or not made[-1].statement:
            return False
        try:
            await sink.submit_statement(made[-1].statement)
        except DirectoryError as error:
            self._log.event("part-failed", part="prekeys", code=error.code)
            return False
        self._log.event("prekey-published")
        return True

    async def _load(self) -> list[OwnPrekey]:
        async with self._store.read() as tx:
            return await prekeys.load_all(tx)

    async def _note_logged(self) -> None:
        """Mark as logged what the replayed directory holds: its word counts, not the hub's answer.

        One that can no longer be logged, because a higher epoch is, was never sealed to and goes at once.
        """
        directory, now = self._directory(), self._clock()
        newest = directory.newest_prekey(self._device.key_id)
        for own in [own for own in await self._load() if own.state is PrekeyState.MADE]:
            if self._is_logged(own):
                if not self._sound():
                    continue  # dated years back, it would end the one before it at once
                async with self._store.write() as tx:
                    await prekeys.logged(tx, own.epoch, now)
            elif (newest is not None and newest.epoch >= own.epoch) or own.epoch > _last(newest) + PREKEY_EPOCH_STEP:
                await self._drop(own.epoch)

    def _is_logged(self, own: OwnPrekey) -> bool:
        directory = self._directory()
        if own.statement:
            return directory.index_of(own.statement) is not None
        return directory.prekey(self._device.key_id, own.epoch) is not None

    async def _newest_is_due(self) -> bool:
        stored = await self._load()
        made = [own for own in stored if own.state is PrekeyState.MADE]
        if made:
            # In both directions: a clock that was far ahead once must not hold up prekeys until then.
            lost = not made[-1].statement or self._is_lost(made[-1].epoch)
            return lost or abs(self._clock() - made[-1].made_at) >= _MADE_ANEW
        newest = self._directory().newest_prekey(self._device.key_id)
        if newest is not None and prekey_name(newest.epoch) not in self._keystore.names(PREKEY_PREFIX):
            # This device's keys are elsewhere too, or this machine is an old copy of itself.
            self._log.event("prekey-not-ours")
            return True
        # What is sealed to one whose seed is lost opens for nobody: others need another at once.
        return newest is None or self._is_lost(newest.epoch) or self._clock() - newest.issued >= PREKEY_EVERY

    def _is_lost(self, epoch: int) -> bool:
        return prekey_name(epoch) in self._keystore.names(PREKEY_PREFIX) and self.secret(epoch) is None

    async def _make(self) -> None:
        epoch = self._next_epoch(await self._load())
        secret = XWingSecret.generate()
        self._keystore.put(prekey_name(epoch), PREKEY_PURPOSE, secret.seed)
        now = self._clock()
        body = Body(
            issued=now,
            not_before=now,
            not_after=now + _LIFE,
            subject=Prekey(device_id=self._device.key_id, epoch=epoch, public=secret.public),
        )
        statement = sign_statement(body, [self._device])
        async with self._store.write() as tx:
            await prekeys.add(tx, OwnPrekey(epoch, now, None, PrekeyState.MADE, statement))

    def _next_epoch(self, stored: list[OwnPrekey]) -> int:
        """Return an epoch above all that the log, the store or the keystore knows, or at least unused (DIR-8)."""
        newest = self._directory().newest_prekey(self._device.key_id)
        kept = [int(name.removeprefix(PREKEY_PREFIX)) for name in self._keystore.names(PREKEY_PREFIX)]
        last = _last(newest)
        used = {own.epoch for own in stored} | set(kept)
        following = max([last, *used]) + 1
        if following <= last + PREKEY_EPOCH_STEP:
            return following
        # What never reached the log must not lead where the log refuses every prekey (DIR-15).
        return next(epoch for epoch in count(last + 1) if epoch not in used)

    async def _destroy(self, drained_at: int | None) -> None:
        """Destroy the seeds whose successor has been logged for 44 days, if the mailbox was drained since (DIR-9)."""
        if not self._sound():
            return
        successors = await self._successors_logged_at()
        for name in self._keystore.names(PREKEY_PREFIX):
            epoch = int(name.removeprefix(PREKEY_PREFIX))
            logged_at = successors.get(epoch)
            if logged_at is None or drained_at is None:
                continue
            if drained_at >= logged_at + PREKEY_KEPT:
                await self._drop(epoch)

    async def _drop(self, epoch: int) -> None:
        self._keystore.destroy(prekey_name(epoch))
        async with self._store.write() as tx:
            await prekeys.destroyed(tx, epoch)
        self._log.event("prekey-destroyed")

    async def _successors_logged_at(self) -> dict[int, int]:
        """Return for each epoch when its successor was first seen in the log, in ms UTC."""
        seen = {own.epoch: own.logged_at for own in await self._load() if own.logged_at is not None}
        found: dict[int, int] = {}
        for name in self._keystore.names(PREKEY_PREFIX):
            epoch = int(name.removeprefix(PREKEY_PREFIX))
            later = [at for other, at in seen.items() if other > epoch]
            if later:
                found[epoch] = min(later)
        return found


def _last(newest: PrekeyEntry | None) -> int:
    return 0 if newest is None else newest.epoch


def check_seeds(keystore: Keystore) -> None:
    """Raise `KeystoreError` if a prekey's name in the keystore is not of this connector's making."""
    for name in keystore.names(PREKEY_PREFIX):
        if not name.removeprefix(PREKEY_PREFIX).isdecimal():
            raise KeystoreError("The keystore holds a prekey under a name that no connector gave it.")

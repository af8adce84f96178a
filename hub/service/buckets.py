# SPDX-License-Identifier: Apache-2.0
"""Token buckets: so much of something in a minute for each who asks, all of it at once if need be (HTTP-14).

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm), so a check
costs a comparison, nothing is counted by a clock tick, and who has not asked for a minute is forgotten.
"""

from protocol.clockwatch import Clock
from protocol.errors import TooManyRequests
from protocol.limits import MINUTE, SECOND

MOST = 20_000
"""Buckets kept; while so many are not full, newcomers share one."""
_SWEEP_EVERY = SECOND
_EVERYBODY_ELSE = ""


class Buckets:
    """One bucket for each key: an agency, or a network address."""

    def __init__(self, name: str, quota: int, elapsed: Clock, most: int = MOST) -> None:
        """`name` is what is counted, `quota` how much of it a minute has; `elapsed` counts ms."""
        self._name = name
        self._quota = quota
        self._elapsed = elapsed
        self._most = most
        self._full_at: dict[str, float] = {}
        self._swept = 0

    def __len__(self) -> int:
        return len(self._full_at)

    def check(self, key: str) -> None:
        """Raise TooManyRequests if the bucket of `key` is empty; take nothing."""
        wait = self._full_at.get(key, 0) - self._elapsed() - MINUTE
        if wait >= 0:
            raise self._refusal(wait)

    def has(self, key: str, amount: int = 1) -> bool:
        """Tell whether `take` would find `amount` in the bucket of `key`."""
        return max(self._full_at.get(key, 0) - self._elapsed(), 0) + amount * MINUTE / self._quota <= MINUTE

    def wait(self, key: str) -> float:
        """Return for how many seconds the bucket of `key` stays empty."""
        return max(0.0, (self._full_at.get(key, 0) - self._elapsed() - MINUTE) / SECOND)

    def take(self, key: str, amount: int = 1) -> None:
        """Take `amount` from the bucket of `key`, or raise TooManyRequests, which says when it will be there."""
        now = self._elapsed()
        key, full_at = self._after(key, amount, now)
        if full_at > now + MINUTE:
            raise self._refusal(full_at - now - MINUTE)
        self._full_at[key] = full_at

    def charge(self, key: str, amount: int) -> None:
        """Take `amount` that is used already, more than there is if need be: the next one who takes waits for it."""
        key, full_at = self._after(key, amount, self._elapsed())
        self._full_at[key] = full_at

    def _after(self, key: str, amount: int, now: int) -> tuple[str, float]:
        """Return whose bucket counts for `key`, and when it would be full after `amount` is taken."""
        full_at = self._full_at.get(key)
        if full_at is None:
            key = self._place_for(key, now)
            full_at = self._full_at.get(key, now)
        return key, max(full_at, now) + amount * MINUTE / self._quota

    def give(self, key: str, amount: int = 1) -> None:
        """Put `amount` back."""
        if key in self._full_at:
            self._full_at[key] -= amount * MINUTE / self._quota

    def _place_for(self, key: str, now: int) -> str:
        if len(self._full_at) >= self._most and now >= self._swept + _SWEEP_EVERY:
            self._swept = now
            self._full_at = {one: at for one, at in self._full_at.items() if at > now}
        return key if len(self._full_at) < self._most else _EVERYBODY_ELSE

    def _refusal(self, wait: float) -> TooManyRequests:
        refusal = TooManyRequests()
        refusal.retry_after = max(1, -int(-wait // SECOND))
        refusal.policy, refusal.quota = self._name, self._quota
        return refusal

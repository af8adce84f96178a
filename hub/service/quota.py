# SPDX-License-Identifier: Apache-2.0
"""How many statements a signer may add to the directory in a day (DIR-16).

Every connector keeps and replays every statement for ever, so one stolen key must not fill the log. The shares
are far above what honest work needs. Revocations are not counted: they are few, since nothing is revoked twice,
and must never have to wait.
"""

from collections import Counter

from protocol.errors import Unavailable
from protocol.limits import DAY, HOUR
from protocol.statements import StatementKind, UnverifiedStatement

SHARES = {
    StatementKind.ROOT: 100,
    StatementKind.AUTHORITY: 100,
    StatementKind.AGENCY: 5_000,
    StatementKind.DEVICE: 100,
    StatementKind.DELEGATION: 400,
    StatementKind.PREKEY: 20,
}
"""Statements of a kind that one signer may add within a day; an approver takes in a whole jurisdiction of 1,000."""


class Quota:
    """Counts by signer and kind, in days of 24 hours since 1970."""

    def __init__(self) -> None:
        self._day = 0
        self._counts: Counter[tuple[bytes, StatementKind]] = Counter()

    def check(self, statement: UnverifiedStatement, now: int) -> None:
        """Raise Unavailable if one who signed `statement` has had its share of the day of `now` (ms UTC).

        Whether the signatures are right is asked afterwards.
        """
        kind = statement.body.kind
        if now // DAY != self._day or kind not in SHARES:
            return
        if any(self._counts[one.signer, kind] >= SHARES[kind] for one in statement.signatures):
            full = Unavailable("A signer has added as many statements as the directory takes from it in a day.")
            full.retry_after = HOUR // 1_000
            raise full

    def count(self, statement: UnverifiedStatement, now: int) -> None:
        """Count a statement that was accepted on the day of `now`."""
        if now // DAY != self._day:
            self._day = now // DAY
            self._counts.clear()
        if statement.body.kind in SHARES:
            self._counts.update((one.signer, statement.body.kind) for one in statement.signatures)

    def recall(self, statement: UnverifiedStatement, now: int) -> None:
        """Count a statement found at the start, if it is dated today; nobody knows when it was accepted."""
        if statement.body.issued // DAY >= now // DAY:
            self.count(statement, now)

# SPDX-License-Identifier: Apache-2.0
"""What a thread of ours waits for, what time will do to it, and what somebody here must hear of (LIF-7, CLK-4)."""

from collections.abc import Callable, Sequence

from connectors.cases.instant import check_instant
from connectors.cases.sides import OBSERVER, ROLES
from connectors.cases.terms import dates_of, named_by, visits_of
from connectors.store import outgoing
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.threads import ThreadRow
from connectors.timing import Clock
from protocol.address import AgencyAddress
from protocol.clocks import Calendar
from protocol.errors import KeystoreError, MalformedEnvelope
from protocol.handover import Priority
from protocol.ids import ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.release import ReleaseNotice
from protocol.lifecycle import handover_timers, owed, timers
from protocol.lifecycle.alerts import Watch, watch
from protocol.lifecycle.history import History
from protocol.lifecycle.owed import Owed, Release
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.timers import Timer

NOTICE = "release.notice"
_TAKEN_BACK = frozenset({"release.cancelled", "custody.returned", "handover.failed"})


class Waiting:
    """Computes it from the moves that are stored; nothing is kept here."""

    def __init__(self, calendar: Callable[[AgencyAddress], Calendar], clock: Clock, secret: bytes) -> None:
        """`calendar` gives an agency's working days; `secret` goes into the ids of time's own moves."""
        self._calendar = calendar
        self._clock = clock
        self._secret = secret

    def check_instant(
        self, row: ThreadRow, history: History, stored: Sequence[MoveRow], message: OutgoingMessage
    ) -> None:
        """Raise for a step of an officer's that names an instant which cannot be one (HAN-3)."""
        check_instant(message, history, stored, self._calendar(row.answers))

    def owed(self, row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> tuple[Owed, ...]:
        """Return what the thread waits for, here and now."""
        return owed_in(row, history, stored, self._calendar(row.answers), now=self._clock())

    def watch(self, row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> Watch:
        """Return the alerts that the thread gives rise to, here and now (REF-5, LIF-7); none where it is a copy."""
        if row.side == OBSERVER:
            return Watch()
        late = owed.overdue(history, self.owed(row, history, stored), now=self._clock())
        if row.machine != REFERRAL.name:
            dates = dates_of(history, stored)
            return late if dates is None else late.with_(owed.unseen(history, dates))
        visits = visits_of(stored)
        return watch(history, visits, self._calendar(row.answers), now=self._clock()).with_(late)

    async def timers(
        self, tx: Transaction, row: ThreadRow, history: History, stored: Sequence[MoveRow]
    ) -> tuple[Timer, ...]:
        """Return what time will still do here; its moves are made by the connector of the side that began (CLK-4)."""
        calendar, now = self._calendar(row.answers), self._clock()
        if row.side != ROLES[row.machine].begins:
            return ()
        if row.machine == REFERRAL.name:
            named, priority = named_by(stored), Priority(row.priority)
            return timers.timers(history, priority, calendar, named=named, now=now, secret=self._secret)
        dates = dates_of(history, stored, release=await told_release(tx, row.thread))
        if dates is None:
            return ()
        priority = Priority(row.priority)
        return handover_timers.timers(history, dates, priority, calendar, now=now, secret=self._secret)


def owed_in(
    row: ThreadRow, history: History, stored: Sequence[MoveRow], calendar: Calendar, *, now: int
) -> tuple[Owed, ...]:
    """Return what a referral or handover waits for; `calendar` is that of its answering agency."""
    if row.machine == REFERRAL.name:
        return owed.of_referral(history, named_by(stored), Priority(row.priority), calendar, now=now)
    dates = dates_of(history, stored)
    if dates is None:
        return ()
    if row.side == OBSERVER:
        # What the receiver answered is not known here; the day of the instant is (HAN-5).
        return owed.of_copy(history, dates, calendar)
    waits = owed.of_handover(history, dates, Priority(row.priority), calendar, now=now)
    if row.side != ROLES[row.machine].begins:
        return waits
    unheard = owed.unheard(history, {one.message_id for one in stored if one.opened_by is not None}, calendar)
    return waits if unheard is None else (unheard, *waits)


def owed_by(machine: str, side: str) -> frozenset[str]:
    """Return the states in which `side` is the one that has to do something."""
    return owed.OWED_BY[machine].get(side, frozenset())


async def told_release(tx: Transaction, thread: ThreadId) -> Release | None:
    """Return the release that we told of in a handover's thread, and have not taken back since (HAN-6)."""
    try:
        last = await outgoing.newest(tx, thread, {NOTICE} | _TAKEN_BACK)
        if last is None or last.payload_type != NOTICE:
            return None
        notice = decode_payload(KINDS[NOTICE], last.payload)
    except (KeystoreError, MalformedEnvelope):
        # What the disk has damaged tells of nothing; what is late is told all the same.
        return None
    assert isinstance(notice, ReleaseNotice)  # noqa: S101 - the only payload of the kind
    return Release(notice.released_at, last.created_at, last.message_id)

# SPDX-License-Identifier: Apache-2.0
"""What one agency may use of the hub, so that its flood never holds up another's mail (HTTP-14, HTTP-15).

Each hub process counts for itself: of several on one database each gives an agency the whole of its minute. The
bounds are there for floods, not for bookkeeping, and a shared count would cost a round trip with every message.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import TracebackType
from weakref import WeakValueDictionary

from hub.config import LimitsSection
from hub.service.backlog import Queue
from hub.service.buckets import Buckets
from hub.service.outgoing import READERS, Outgoing
from protocol.clockwatch import Clock
from protocol.errors import Unavailable
from protocol.limits import MAX_DESKS

AT_ONCE = 2 * MAX_DESKS
"""Requests of one agency that may be in work at the same time, besides those that read mailboxes."""
SOCKETS = POLLS = 2 * MAX_DESKS
"""Websockets of one agency that may be open at the same time, and requests that read mailboxes, most of which only
wait: a connector for each desk that it can have, and as many whose line has broken without a word, which takes a minute
to be noticed."""
FRAMES = 6_000
"""Frames in a minute over all websockets of one agency, besides submissions and one acknowledgement for each delivery:
a connector sends a few, and says now and then that it is still there."""
OVER_SHARE = 8 * MAX_DESKS
"""Submissions of one agency over its share that are read from its websockets at the same time."""
REFUSED = 8
"""The part of what an agency may send, one by this, that may have to be refused: it is read and checked for nothing."""
LEAST_SPOILED = 32 << 10
"""Bytes that a request counts for of which nothing can be used: its signature is checked, and its nonce stored."""
_TOO_MUCH = "Too much of this agency is on its way at once. Try again after the time in Retry-After."
_BY_ENVELOPE = ("submitEnvelope", "submitBatch")


class Allowances:
    """The shares of all agencies, by the agency's address."""

    def __init__(self, limits: LimitsSection, queue: Queue, elapsed: Clock) -> None:
        """`queue` is what may wait for the writer in all; `elapsed` counts ms."""
        self._submissions = Buckets("submissions", limits.submissions_per_minute, elapsed)
        self._bytes = Buckets("bytes", limits.megabytes_per_minute << 20, elapsed)
        self._refused = Buckets("bytes-refused", (limits.megabytes_per_minute << 20) // REFUSED, elapsed)
        self._reads = Buckets("reads", limits.reads_per_minute, elapsed)
        self._read_bytes = Buckets("bytes-read", limits.megabytes_read_per_minute << 20, elapsed)
        self._uploads = Buckets("uploads", limits.uploads_per_minute, elapsed)
        self._frames = Buckets("frames", FRAMES, elapsed)
        self._queue = queue
        self._changes: Counter[str] = Counter()
        self._weights: Counter[str] = Counter()
        self._in_all = 0
        self._weight_in_all = 0
        self._requests: Counter[str] = Counter()
        self._sockets: Counter[str] = Counter()
        self._polls: Counter[str] = Counter()
        self._reading: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._outgoing: WeakValueDictionary[str, Outgoing] = WeakValueDictionary()
        self._over_share: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def request(self, agency: str, operation: str) -> None:
        """Charge a request of `agency` whose body is still to come; raises TooManyRequests.

        Bytes are charged when they are here, submissions one by one where they are accepted; of those only an empty
        bucket is noticed, before more work is done for them.
        """
        match operation:
            case _ if operation in _BY_ENVELOPE:
                self._submissions.check(agency)
                self._bytes.check(agency)
                self._refused.check(agency)
            case "announceBlob" | "uploadChunk":
                self._uploads.take(agency)
                self._bytes.check(agency)
            case "readMailbox" | "readChunk" | "connect":
                self._read_bytes.check(agency)
                self._reads.take(agency)
            case _:
                self._reads.take(agency)

    def was_read(self, agency: str, size: int) -> None:
        """Charge `agency` for `size` bytes that it reads; what it asks for next waits for what was too much."""
        self._read_bytes.charge(agency, size)

    def reading(self, agency: str) -> asyncio.Semaphore:
        """Return what surrounds each read of `agency`, so that few are under way at the same time (HTTP-21)."""
        return self._reading.setdefault(agency, asyncio.Semaphore(READERS))

    def outgoing(self, agency: str) -> Outgoing:
        """Return what counts the bytes that are held for `agency`, as long as somebody holds it (HTTP-21)."""
        return self._outgoing.setdefault(agency, Outgoing(partial(self._read_bytes.wait, agency)))

    def hold(self, agency: str, size: int) -> Callable[[], None]:
        """Count an answer of `size` bytes until what is returned is called; raises Unavailable for too much."""
        outgoing = self.outgoing(agency)
        if not outgoing.try_take(size):
            raise _busy(_TOO_MUCH)
        return partial(outgoing.give, size)

    def expect(self, agency: str, size: int) -> Callable[[], None]:
        """Count a body of `size` bytes until what is returned is called; raises Unavailable for too much."""
        outgoing = self.outgoing(agency)
        if not outgoing.try_come(size):
            raise _busy(_TOO_MUCH)
        return partial(outgoing.came, size)

    def received(self, agency: str, operation: str, size: int) -> None:
        """Charge `agency` for a body of `size` bytes that holds no envelopes; raises TooManyRequests."""
        if operation not in _BY_ENVELOPE:
            self._bytes.take(agency, size)

    def enter(self, agency: str, operation: str) -> Callable[[], None]:
        """Note that a request of `agency` is in work until what is returned is called; raises Unavailable (HTTP-20).

        What only waits has places of its own: websockets, and long polls where those are blocked.
        """
        match operation:
            case "connect":
                places, most, what = self._sockets, SOCKETS, "websockets of this agency are open"
            case "readMailbox":
                places, most, what = self._polls, POLLS, "requests read mailboxes of this agency"
            case _:
                places, most, what = self._requests, AT_ONCE, "requests of this agency are in work"
        if places[agency] >= most:
            raise _busy(f"Too many {what}. Try again after the time in Retry-After.")
        places[agency] += 1
        return partial(_leave, places, agency)

    def frame(self, agency: str) -> None:
        """Charge a frame of a websocket that is no submission; raises TooManyRequests."""
        self._frames.take(agency)

    def delivered(self, agency: str) -> None:
        """Note a delivery over a websocket, which may be acknowledged for nothing."""
        self._frames.give(agency)

    def is_over(self, agency: str, size: int) -> bool:
        """Tell whether a submission of `size` bytes would be refused for the agency's share."""
        within = self._submissions.has(agency) and self._bytes.has(agency, size) and self._refused.has(agency)
        return not within

    def over_share(self, agency: str) -> asyncio.Semaphore:
        """Return what surrounds the reading of a submission over the share, on all websockets of `agency`."""
        return self._over_share.setdefault(agency, asyncio.Semaphore(OVER_SHARE))

    def submission(self, agency: str, size: int) -> None:
        """Charge a submission of `size` bytes; raises TooManyRequests."""
        self._refused.check(agency)
        self._submissions.take(agency)
        self._bytes.take(agency, size)

    def refused(self, agency: str, size: int) -> None:
        """Charge `agency` for an envelope of `size` bytes that was read for nothing; its next one waits for that."""
        self._refused.charge(agency, size)

    def spoiled(self, agency: str, size: int) -> None:
        """Charge `agency` for a request with a body of `size` bytes that ended before any use was made of it."""
        self.refused(agency, max(LEAST_SPOILED, size))

    def place(self, agency: str, size: int) -> "Place":
        """Return what counts `size` bytes of `agency` that wait for the writer, as long as they do."""
        return Place(self, agency, size)

    def take_place(self, agency: str, size: int) -> None:
        """Count `size` bytes of `agency` that wait for the writer.

        Raises Unavailable once `agency` has as much in work as there is room left for all others: one agency can fill
        half of the writer's queue, two together two thirds, and however many do, the next one still finds room.
        """
        changes, weight = self._changes[agency], self._weights[agency]
        too_many = changes >= self._queue.changes - self._in_all
        if too_many or (changes and weight + size > self._queue.bytes - self._weight_in_all):
            raise _busy("The hub is busy with other messages of this agency. Try again after the time in Retry-After.")
        self._count(agency, 1, size)

    def give_place(self, agency: str, size: int) -> None:
        """Count them no more."""
        self._count(agency, -1, -size)

    def _count(self, agency: str, change: int, size: int) -> None:
        self._in_all += change
        self._weight_in_all += size
        self._changes[agency] += change
        self._weights[agency] += size
        if not self._changes[agency]:
            del self._changes[agency], self._weights[agency]


class Place:
    """A block in which bytes of an agency count as waiting for the writer."""

    __slots__ = ("_agency", "_allowances", "_size")

    def __init__(self, allowances: Allowances, agency: str, size: int) -> None:
        self._allowances = allowances
        self._agency = agency
        self._size = size

    def __enter__(self) -> None:
        self._allowances.take_place(self._agency, self._size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._allowances.give_place(self._agency, self._size)


def _leave(places: Counter[str], agency: str) -> None:
    places[agency] -= 1
    if not places[agency]:
        del places[agency]


def _busy(detail: str) -> Unavailable:
    busy = Unavailable(detail)
    busy.retry_after = 1
    return busy

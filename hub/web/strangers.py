# SPDX-License-Identifier: Apache-2.0
"""Whoever calls, before it is known who that is: bounded by network address (HTTP-14).

A request costs its address something until a device's signature is found good and its agency has some of its share
left, which gives it back: neither a stranger nor an agency over its share can burn processor time on signatures and
enrolment codes or memory on answers, and connectors that share an address with many others are not counted by it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from aiohttp import web

from hub.service.allowances import Allowances
from hub.service.buckets import Buckets
from hub.web.handouts import Handouts
from protocol.errors import OurError, ThroughcareError, Unavailable
from protocol.http.addresses import network_of
from protocol.http.answering import ANSWER_PIECE
from protocol.http.operation import Operation

AT_ONCE = 64
"""Places that requests of one address may hold as long as nobody is known to make them."""
COSTS = {"submitStatement": 2, "registerCode": 10, "redeemCode": 10}
"""What counts for several requests, since its own signatures are checked."""
PLACES = {"listDirectoryStatements": 8}
"""What holds several places, since its answer is large."""
ANSWER_UNIT = 128 << 10
"""Bytes of an answer that count for one more request: a page of the directory may have 5 MiB."""


def _nothing() -> None:
    """Give nothing back."""


class Visit:
    """One request as long as it is in work. Use it with `with`."""

    def __init__(self, strangers: "Strangers", address: str, operation: Operation, announced: int) -> None:
        """`announced` is how many bytes its body is said to have."""
        self._strangers = strangers
        self._announced = announced
        self._address = address
        self._operation = operation
        self._places = PLACES.get(operation.id, 1)
        self._agency: str | None = None
        self._done: Callable[[], None] = _nothing
        self._sent: Callable[[], None] = _nothing
        self._came: Callable[[], None] = _nothing
        self._came_whole = 0

    def __enter__(self) -> None:
        self._strangers.arrive(self._address, COSTS.get(self._operation.id, 1), self._places)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._strangers.leave(self._address, self._places)
        self._sent()
        self._came()
        self._done()

    def recognise(self, agency: str) -> None:
        """Charge `agency` instead of the address, from now on.

        Raises TooManyRequests or Unavailable; then the address is charged all the same, for who goes on and on over
        its share must be sent away before anything is checked.
        """
        allowances = self._strangers.allowances
        self._strangers.leave(self._address, self._places)
        self._places = 0
        self._done = allowances.enter(agency, self._operation.id)
        if self._announced > ANSWER_PIECE:
            self._came = allowances.expect(agency, self._announced)
        self._agency = agency
        allowances.request(agency, self._operation.id)
        self._strangers.give_back(self._address, COSTS.get(self._operation.id, 1))

    def doubt(self) -> None:
        """Charge the address after all: the signature is good, and may have been made for somebody else's request."""
        self._strangers.owe(self._address, COSTS.get(self._operation.id, 1))

    def answer(self, size: int) -> None:
        """Charge a stranger for an answer of `size` bytes; count a large one, or hold it to its agency's share.

        Raises Unavailable if the agency is being sent too much at once.
        """
        if self._agency is None:
            self._strangers.owe(self._address, size // ANSWER_UNIT)
            if size > ANSWER_PIECE:
                self._sent = self._strangers.handouts.hold(size)
        elif size > ANSWER_PIECE:
            self._sent = self._strangers.allowances.hold(self._agency, size)

    @property
    def agency(self) -> str:
        """Whose device is recognised; empty while none is."""
        return self._agency or ""

    def charge(self, size: int) -> None:
        """Charge the agency for a body of `size` bytes; raises TooManyRequests."""
        self._came_whole = size
        if self._agency is not None:
            self._strangers.allowances.received(self._agency, self._operation.id, size)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Charge the agency for a request of which nothing can be used, if it fails in this block by its own fault."""
        try:
            yield
        except OurError:
            raise
        except ThroughcareError:
            if self._agency is not None:
                self._strangers.allowances.spoiled(self._agency, self._came_whole)
            raise


VISIT = web.RequestKey("visit", Visit)
"""Where whoever finds out who calls says so."""


def weigh(request: web.Request, size: int) -> None:
    """Charge for an answer of `size` bytes."""
    request[VISIT].answer(size)


class Strangers:
    """The addresses that call, and what they have used."""

    def __init__(self, requests: Buckets, allowances: Allowances, handouts: Handouts, header: str | None) -> None:
        """`header` is where the proxy says who calls; None where there is no proxy, and none is believed."""
        self.allowances = allowances
        self.handouts = handouts
        self._requests = requests
        self._header = header
        self._held: Counter[str] = Counter()

    def visit(self, request: web.Request, operation: Operation) -> Visit:
        """Return the visit of `request`, which begins with its `with` block; raises there what HTTP-14 says."""
        announced = request.content_length
        if operation.request is None:
            announced = 0
        elif announced is None:
            # Who does not say how much comes may send as much as the operation takes.
            announced = operation.limit if request.body_exists else 0
        visit = Visit(self, self.address(request), operation, announced)
        request[VISIT] = visit
        return visit

    def address(self, request: web.Request) -> str:
        """Return whom a request is counted for: an IPv4 address or an IPv6 network of 64 bits."""
        if self._header is not None and (told := request.headers.getall(self._header, [])):
            # Proxies append, so only the last one is the word of our own.
            return network_of(told[-1].rpartition(",")[2].strip()) or network_of(request.remote or "")
        return network_of(request.remote or "")

    def arrive(self, address: str, cost: int, places: int) -> None:
        """Take what a request costs; raises TooManyRequests, or Unavailable if the address holds too many places."""
        if self._held[address] + places > AT_ONCE:
            busy = Unavailable("Too many requests from this address are in work. Try again after Retry-After.")
            busy.retry_after = 1
            raise busy
        self._requests.take(address, cost)
        self._held[address] += places

    def owe(self, address: str, cost: int) -> None:
        """Charge an address for work that is done: its next request waits for what it has used too much of."""
        if cost:
            self._requests.charge(address, cost)

    def leave(self, address: str, places: int) -> None:
        """Give places back."""
        self._held[address] -= places
        if self._held[address] <= 0:
            del self._held[address]

    def give_back(self, address: str, cost: int) -> None:
        """Give back what the address was charged for a request whose caller is known now."""
        self._requests.give(address, cost)

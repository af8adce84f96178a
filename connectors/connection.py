# SPDX-License-Identifier: Apache-2.0
"""The connector's way to its hub: a websocket where one can be had, polling where not, and patience in between.

Connectors only ever dial out. A blocked websocket is tried again every ten minutes; a hub that does not answer,
with growing, jittered pauses (CON-2). A websocket that opens and breaks soon, again and again, counts as blocked, and
so does one for which it is never the time (429, 502, 503, 504) while plain requests are answered (CON-16).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp

from connectors.hub_client import HubAway, HubClient, HubLink, Outcome, PollingLink
from connectors.logs import Event, Log
from connectors.socket_link import GREETING_S, HubLeft, SocketPostponed, SocketRefused, open_socket
from connectors.timing import Clock
from keys.signing import DeviceSigner
from protocol.errors import HubUnreachable, ThroughcareError
from protocol.limits import MINUTE

BLOCKED_FOR: Final = 10 * MINUTE
"""How long to poll before a blocked websocket is tried again, in ms."""
SHORT_LIFE: Final = MINUTE
"""A websocket that breaks sooner than this, in ms, may have been broken by what stands in between."""
MOST_BROKEN: Final = 3
"""So many of them in a row, or of answers that it is not the time for one, and polling takes over."""

COMES_BACK: Final = MINUTE
"""How long a hub that said that it goes away may be away, in ms, before that is worth a warning."""


class Connection:
    """Hands out links to the hub and knows whether one is up."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        domain: str,
        device: DeviceSigner,
        clock: Clock,
        log: Log,
        *,
        websocket: bool,
        poll_wait_s: int,
        greeting_s: float = GREETING_S,
        shape: Callable[[HubLink], HubLink] = lambda link: link,
    ) -> None:
        """`base` is the hub's URL, `domain` its pinned domain, which the challenge is signed with.

        A websocket that is not there within `greeting_s` seconds is taken for blocked. `shape` puts something around
        each link.
        """
        self._session = session
        self._base = base
        self._domain = domain
        self._device = device
        self._clock = clock
        self._log = log
        self._websocket = websocket
        self._shape = shape
        self._polling = shape(PollingLink(HubClient(session, base, clock, device), poll_wait_s))
        self._greeting_s = greeting_s
        self._blocked_until = 0
        self._broken = 0
        self._postponed = 0
        self._opened_at = 0
        self._left_at: int | None = None
        self._link: HubLink | None = None
        self.last_contact: int | None = None
        self.error: str | None = None
        self.reason: str | None = None

    @property
    def connected(self) -> bool:
        """Whether a link is up as far as is known."""
        return self._link is not None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HubLink]:
        """Open the best link that can be had now; raises `HubUnreachable` and the like if there is none.

        A polling link is up once its first answer has come; until then `connected` says no.
        """
        async with AsyncExitStack() as stack:
            link: HubLink = self._polling
            if self._websocket and not self._is_blocked():
                try:
                    opening = open_socket(
                        self._session, self._base, self._domain, self._device, self._clock, greeting_s=self._greeting_s
                    )
                    link = self._shape(await stack.enter_async_context(opening))
                    self._postponed = 0
                    self.reached()
                    self._link = link
                    self._log.event("hub-connected", part="socket")
                except SocketPostponed as error:
                    self._postponed += 1
                    if self._postponed < MOST_BROKEN:
                        raise error.told from None
                except SocketRefused:
                    self._block()
            self._opened_at = self._clock()
            try:
                yield link
            except HubUnreachable:
                if link is not self._polling:
                    self._note_end()
                raise
            finally:
                self._link = None

    def _note_end(self) -> None:
        """Note that a websocket broke."""
        self._broken = self._broken + 1 if self._clock() - self._opened_at < SHORT_LIFE else 0
        if self._broken >= MOST_BROKEN:
            self._block()

    def _block(self) -> None:
        self._broken = self._postponed = 0
        self._blocked_until = self._clock() + BLOCKED_FOR
        self._log.event("websocket-blocked")

    @property
    def worth_reopening(self) -> bool:
        """Whether a polling link should give way to another try at the websocket."""
        return self._websocket and self._link is self._polling and not self._is_blocked()

    def _is_blocked(self) -> bool:
        # Not if a clock that was ahead wrote it down (CON-24).
        return 0 < self._blocked_until - self._clock() <= BLOCKED_FOR

    def reached(self, link: HubLink | None = None) -> None:
        """Note that the hub has answered, over `link` if one is given."""
        self.last_contact, self.error, self.reason = self._clock(), None, None
        if link is not None:
            if link is self._polling and self._link is None:
                self._log.event("hub-connected", part="polling")
            self._link = link
        if link is self._polling and self._postponed:
            # The hub is there and answers, so it is the websocket that does not come through.
            self._block()

    def failed(self, error: ThroughcareError) -> None:
        """Note why the hub could not be talked to."""
        self.error, self.reason = error.code, error.reason

    def event(self, error: ThroughcareError) -> Event:
        """Return what the log is to say of an error: a hub that was stopped and comes back is no fault (CON-16).

        One that says goodbye again and again, soon after each greeting, is.
        """
        now = self._clock()
        if isinstance(error, HubLeft) and now - self._opened_at >= SHORT_LIFE:
            self._left_at = now
        if not isinstance(error, HubUnreachable | HubAway):
            return "part-failed"
        comes_back = self._left_at is not None and 0 <= now - self._left_at < COMES_BACK
        return "hub-away" if comes_back else "hub-unreachable"

    async def reach(self) -> None:
        """Return if a link is up, else once the hub has answered a plain request (CON-22)."""
        await (self._link or self._polling).reach()

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit over the link that is up, else by a plain request (HTTP-9: both have the same effect)."""
        outcomes = await (self._link or self._polling).submit(envelopes)
        self.reached()
        return outcomes

# SPDX-License-Identifier: Apache-2.0
"""One authenticated websocket: submissions in, receipts and deliveries out, each within its bounds (HTTP-9).

What a connector may keep in the air is bounded in both directions (HTTP-13): submissions in number and bytes until
their answer is sent, deliveries by what it has not acknowledged and by its agency's room. Who does not read is cut off.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from aiohttp import WSCloseCode, WSMsgType, web

from hub.logs import Event, Log, where
from hub.service.allowances import Allowances
from hub.service.mailbox import Mailboxes
from hub.service.outgoing import Pages
from hub.service.submission import Submissions
from hub.web.refusals import refusal
from hub.web.threshold import Threshold
from protocol.errors import (
    InternalError,
    InvalidInput,
    MalformedEnvelope,
    StoreFull,
    ThroughcareError,
    TooManyRequests,
    Unavailable,
)
from protocol.frames import Accepted, Acknowledge, Deliver, Item, Refused, Submit, encode_frame, parse_frame
from protocol.ids import KeyId

IN_FLIGHT = 8 << 20
"""Bytes of submissions of one connection that are being worked on."""
LEAST_CHARGE = 4_096
"""Bytes that even the smallest submission counts for: its answer takes memory too."""
AT_WORK = 256
"""Submissions of one connection that are being worked on, or whose answer waits to be sent."""
WINDOW = 8 << 20
"""Bytes delivered and not yet acknowledged after which nothing more is sent."""
PAGE = 200
SEND_S = 30.0
"""Seconds in which a frame, and the small ones that wait behind it, must be taken by the other side."""
LARGE = 64 << 10
"""Bytes of frames from which on they have a time of their own to be taken."""
OVER_SHARE_S = 1.0
"""Seconds for which a submission over its agency's share keeps its place here: who goes on and on is slowed down."""
RETRY_S = 1.0
PATIENCE_S = 0.05
"""Seconds for which the deletion of what was acknowledged waits for something else to share a commit with."""


class _Ended(Exception):
    """The connection is over, in whatever way."""


class Budget:
    """So many pieces and bytes at a time, for one taker; a single larger piece may pass alone."""

    def __init__(self, pieces: int, limit: int) -> None:
        self._pieces = pieces
        self._limit = limit
        self._taken = 0
        self._used = 0
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until one more piece of `size` bytes fits."""
        while self._taken and (self._taken >= self._pieces or self._used + size > self._limit):
            self._freed.clear()
            await self._freed.wait()
        self._taken += 1
        self._used += size

    def give(self, size: int) -> None:
        """Give a piece of `size` bytes back."""
        self._taken -= 1
        self._used -= size
        self._freed.set()


def _charge(frame: Submit) -> int:
    return max(LEAST_CHARGE, len(frame.envelope))


class Connection:
    """A websocket of one device."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        device_id: KeyId,
        agency: str,
        threshold: Threshold,
        submissions: Submissions,
        mailboxes: Mailboxes,
        allowances: Allowances,
        log: Log,
    ) -> None:
        """`agency` is the device's, `threshold` what stood before the socket until it was known."""
        self.device_id = device_id
        self._agency = agency
        self._threshold = threshold
        self._allowances = allowances
        self._log = log
        self._socket = socket
        self._submissions = submissions
        self._mailboxes = mailboxes
        self._pages = Pages(allowances.outgoing(agency))
        self._over_share = allowances.over_share(agency)
        # Bounded by what may be in work, and by what of the agency's room a page may have.
        self._outgoing: asyncio.Queue[tuple[bytes, Callable[[], None]]] = asyncio.Queue()
        self._budget = Budget(AT_WORK, IN_FLIGHT)
        self._up_to = -1
        self._acknowledged = asyncio.Event()
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._window = WINDOW
        self._ending: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def end(self, code: int, reason: str) -> None:
        """Have the connection closed with a close code and an error code as the reason."""
        if not self._ending.done():
            self._ending.set_result((code, reason))

    async def serve(self) -> None:
        """Work until either side ends the connection."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._push())
                tasks.create_task(self._delete())
                tasks.create_task(self._close_when_told())
                await self._read()
        except* (_Ended, TimeoutError, ConnectionError):
            pass
        except* Unavailable:
            await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=Unavailable.code.encode())
        finally:
            self._pages.close()
            if self._acknowledged.is_set():
                # It came while the one before was on its way, and the other side has left: nothing comes twice for it.
                self._mailboxes.acknowledge_soon(self.device_id, self._up_to)

    async def _read(self) -> None:
        self._threshold.watch(self._is_within)
        async for message in self._socket:
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                self._threshold.was_read(len(message.data))
                await self._charge_frame()
                if message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
                continue
            if message.type is not WSMsgType.BINARY:
                self.end(WSCloseCode.UNSUPPORTED_DATA, MalformedEnvelope.code)
                return
            self._threshold.was_read(len(message.data))
            try:
                frame = parse_frame(message.data)
            except MalformedEnvelope as error:
                self.end(WSCloseCode.PROTOCOL_ERROR, error.code)
                return
            except MemoryError:
                raise Unavailable from None  # nothing is wrong with what was sent (HTTP-17)
            match frame:
                case Submit():
                    if self._allowances.is_over(self._agency, len(frame.envelope)):
                        await self._slow_down()
                    await self._submit(frame)
                case Acknowledge(up_to):
                    await self._charge_frame()
                    self._up_to = max(self._up_to, up_to)
                    self._acknowledged.set()
                case _:
                    self.end(WSCloseCode.PROTOCOL_ERROR, MalformedEnvelope.code)
                    return
        raise _Ended

    async def _charge_frame(self) -> None:
        """Let others have their turn, and cut off who says far more than it is told or sends (HTTP-22)."""
        await asyncio.sleep(0)
        if not self._is_within():
            self._threshold.cut()
            raise _Ended

    def _is_within(self) -> bool:
        """Charge a frame, and tell whether the agency had one left."""
        try:
            self._allowances.frame(self._agency)
        except TooManyRequests:
            self._log.info(Event.CONNECTION_FLOODED, code=TooManyRequests.code)
            return False
        return True

    async def _slow_down(self) -> None:
        """Wait for a place among what is over the agency's share, and hold it for a while."""
        await self._over_share.acquire()
        asyncio.get_running_loop().call_later(OVER_SHARE_S, self._over_share.release)

    async def _submit(self, frame: Submit) -> None:
        """Have it accepted or refused, once there is room for it; the answer is told by `_answered`."""
        charge = _charge(frame)
        await self._budget.take(charge)
        try:
            answer = self._submissions.submit(self.device_id, frame.envelope)
            answer.add_done_callback(partial(self._answered, frame.ref, charge))
        except MemoryError:
            raise Unavailable from None

    def _answered(self, ref: int, charge: int, answer: "asyncio.Future[bytes]") -> None:
        """Queue the answer; its submission keeps its place until that is sent: who reads no answers must not go on."""
        try:
            said, pause = self._answer(ref, answer)
            self._outgoing.put_nowait((encode_frame(said), partial(self._answer_is_sent, charge, pause)))
        except Exception as error:  # noqa: BLE001 - whoever gets no answer must come again (HTTP-5)
            self._log.error(Event.REQUEST_FAILED, op="connect", where=where(error))
            self.end(WSCloseCode.TRY_AGAIN_LATER, Unavailable.code)

    def _answer(self, ref: int, answer: "asyncio.Future[bytes]") -> tuple[Accepted | Refused, float]:
        """Return what is answered, and for how many seconds the submission is to keep its place after it."""
        error = answer.exception()
        if error is None:
            return Accepted(ref, answer.result()), 0
        if isinstance(error, ThroughcareError):
            return refusal(ref, error), OVER_SHARE_S if isinstance(error, TooManyRequests) else 0
        if isinstance(error, MemoryError):
            return refusal(ref, Unavailable()), 0
        # One envelope that nobody foresaw must not end the connection.
        self._log.error(Event.REQUEST_FAILED, op="connect", where=where(error))
        return refusal(ref, InternalError()), 0

    def _answer_is_sent(self, charge: int, pause: float) -> None:
        if pause:
            asyncio.get_running_loop().call_later(pause, self._budget.give, charge)
        else:
            self._budget.give(charge)

    async def _push(self) -> None:
        """Send what is in the mailbox and whatever comes, as long as it is acknowledged in time."""
        cursor = 0
        with self._mailboxes.watch(self.device_id) as arrived:
            self._arrived = arrived
            while True:
                arrived.clear()
                items, size = list[Item](), 0
                if self._window > 0:
                    items, size = await self._pages.read(partial(self._mailboxes.read, self.device_id, cursor, PAGE))
                if items:
                    cursor = items[-1].index + 1
                    self._window -= size
                    self._unacknowledged.append((items[-1].index, size))
                    self._outgoing.put_nowait((encode_frame(Deliver(tuple(items))), partial(self._pages.give, size)))
                    self._allowances.delivered(self._agency)
                    del items
                else:
                    await arrived.wait()

    async def _delete(self) -> None:
        """Delete what is acknowledged; acknowledgements that came meanwhile are one (HTTP-7)."""
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            up_to = self._up_to
            try:
                await self._mailboxes.acknowledge(self.device_id, up_to, PATIENCE_S)
            except InvalidInput as error:
                self.end(WSCloseCode.POLICY_VIOLATION, error.code)
                return
            except (Unavailable, StoreFull):
                self._acknowledged.set()
                await asyncio.sleep(RETRY_S)
                continue
            while self._unacknowledged and self._unacknowledged[0][0] <= up_to:
                self._window += self._unacknowledged.popleft()[1]
            self._arrived.set()

    async def _send(self) -> None:
        while True:
            frame, sent = await self._outgoing.get()
            async with asyncio.timeout(SEND_S) as limit:
                await self._socket.send_bytes(frame)
                sent()
                # A timeout costs as much as sending; what waits already, such as the answers to one group, shares it as
                # long as it is little. What comes meanwhile does not: who reads all the time is never cut off.
                size = len(frame)
                for _ in range(self._outgoing.qsize()):
                    frame, sent = self._outgoing.get_nowait()
                    size += len(frame)
                    if size >= LARGE:
                        size = 0
                        limit.reschedule(asyncio.get_running_loop().time() + SEND_S)
                    await self._socket.send_bytes(frame)
                    sent()

    async def _close_when_told(self) -> None:
        code, reason = await self._ending
        await self._socket.close(code=code, message=reason.encode())
        raise _Ended

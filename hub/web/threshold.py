# SPDX-License-Identifier: Apache-2.0
"""What a websocket takes from a stranger, who has answered no challenge yet: next to nothing (HTTP-20).

aiohttp has one bound for messages, that of the largest submission, and holds as much of a message that never ends:
64 strangers at each address could make the hub hold 64 KiB each. So what comes is counted before aiohttp sees it, and
goes on being counted: of a message in millions of parts, each of them empty, aiohttp says nothing before its end, and
100 MB of them in a second keep the hub busy (HTTP-22).
"""

from collections.abc import Callable
from typing import Any

from aiohttp import web

STRANGER_BYTES = 4_096
"""Bytes of the answer to the challenge, with what carries it: it has some 120."""
AHEAD = 1 << 20
"""Bytes that may have come over a websocket and are in no message yet: twice what waits for a hub that has no time."""
STEP = 4_096
"""Bytes over that which count as one frame."""
HEAD = 14
"""Bytes that stand before a message at most, where it is not in parts."""


def sent_ahead(request: web.Request) -> bool:
    """Tell whether something stands behind a request to open a websocket: nobody can answer what is not asked yet."""
    protocol: Any = request.protocol
    return bool(protocol._message_tail)  # noqa: SLF001


class Threshold:
    """Stands before a connection's reader, and cuts the connection off over STRANGER_BYTES until `open`."""

    def __init__(self, request: web.Request) -> None:
        """To be called as soon as the websocket is prepared."""
        # aiohttp offers no other place between a connection and its parser; a test shows that this one holds.
        self._protocol: Any = request.protocol
        self._transport = request.transport
        self._reader = self._protocol._payload_parser  # noqa: SLF001
        self._unread = 0
        self._is_open = False
        self._charge: Callable[[], bool] = lambda: True
        # Without one the connection is lost already.
        if self._reader is not None:
            self._protocol._payload_parser = self  # noqa: SLF001

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass on what has come, and nothing over what may come."""
        self._unread += len(data)
        if not self._is_within():
            self.cut()
            return False, b""
        fed: tuple[bool, bytes] = self._reader.feed_data(data)
        return fed

    def _is_within(self) -> bool:
        if not self._is_open:
            return self._unread <= STRANGER_BYTES
        while self._unread > AHEAD:
            if not self._charge():
                return False
            self._unread -= STEP
        return True

    def feed_eof(self) -> None:
        """Pass on that the other side has ended."""
        self._reader.feed_eof()

    def open(self) -> None:
        """Let more pass: it is known who is there."""
        self._is_open = True

    def watch(self, charge: Callable[[], bool]) -> None:
        """Call `charge` for each STEP of bytes that come and make no message; False from it cuts the connection off."""
        self._charge = charge

    def was_read(self, size: int) -> None:
        """Count a message of `size` bytes that was read."""
        self._unread -= size + HEAD

    def cut(self) -> None:
        """Cut the connection off without a word, which would wait for an answer behind whatever else comes."""
        if self._transport is not None:
            self._transport.abort()

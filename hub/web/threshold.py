# SPDX-License-Identifier: Apache-2.0
"""What a websocket takes from a stranger, who has answered no challenge yet: next to nothing (HTTP-20).

aiohttp has one bound for messages, that of the largest submission, and holds as much of a message that never ends:
64 strangers at each address could make the hub hold a MiB each. So what comes is counted before aiohttp sees it.
"""

from typing import Any

from aiohttp import web

STRANGER_BYTES = 4_096
"""Bytes of the answer to the challenge, with what carries it: it has some 120."""


def sent_ahead(request: web.Request) -> bool:
    """Tell whether something stands behind a request to open a websocket: nobody can answer what is not asked yet."""
    protocol: Any = request.protocol
    return bool(protocol._message_tail)  # noqa: SLF001


class Threshold:
    """Stands before a connection's reader until `open`, and cuts the connection off over STRANGER_BYTES."""

    def __init__(self, request: web.Request) -> None:
        """To be called as soon as the websocket is prepared."""
        # aiohttp offers no other place between a connection and its parser; a test shows that this one holds.
        self._protocol: Any = request.protocol
        self._transport = request.transport
        self._reader = self._protocol._payload_parser  # noqa: SLF001
        self._taken = 0
        # Without one the connection is lost already.
        if self._reader is not None:
            self._protocol._payload_parser = self  # noqa: SLF001

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass on what a stranger may send."""
        self._taken += len(data)
        if self._taken > STRANGER_BYTES:
            self.cut()
            return False, b""
        fed: tuple[bool, bytes] = self._reader.feed_data(data)
        return fed

    def feed_eof(self) -> None:
        """Pass on that the other side has ended."""
        self._reader.feed_eof()

    def open(self) -> None:
        """Step aside: it is known who is there."""
        if self._protocol._payload_parser is self:  # noqa: SLF001
            self._protocol._payload_parser = self._reader  # noqa: SLF001

    def cut(self) -> None:
        """Cut the connection off without a word, which would wait for an answer behind whatever else comes."""
        if self._transport is not None:
            self._transport.abort()

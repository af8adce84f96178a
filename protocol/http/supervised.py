# SPDX-License-Identifier: Apache-2.0
"""What a server tells systemd that started it (`Type=notify`): that it is ready, that it stops, that it is alive.

The protocol of sd_notify(3): lines in one datagram to the socket that the environment names. Without such a socket
nothing is told. A supervisor that cannot be told is no reason to stop serving.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Whom to tell; `watchdog_s` is how often it wants to hear that the program is alive, if at all."""

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Supervisor":
        """Return the supervisor that `environment` names, or one that is told nothing."""
        address = environment.get("NOTIFY_SOCKET") or None
        # What another process of the unit was asked for is not asked of this one.
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        asked = environment.get("WATCHDOG_USEC", "")
        # Twice as often as it asks, as sd_watchdog_enabled(3) says.
        every = int(asked) / _MICROSECONDS / 2 if asked.isdigit() and ours else 0
        return cls(address, every or None)

    def ready(self, status: str) -> None:
        """Tell that everything answers; `status` is shown to the operator."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Tell that the program ends by itself, in order."""
        self._tell("STOPPING=1")

    async def keep_told(self, healthy: Callable[[], Awaitable[bool]]) -> None:
        """Tell again and again that the program is alive, as long as `healthy` says so; ends when cancelled.

        Returns at once if nobody asks for it.
        """
        if self.address is None or self.watchdog_s is None:
            return
        while True:
            if await healthy():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s)

    def _tell(self, lines: str) -> None:
        if self.address is None or not hasattr(socket, "AF_UNIX"):
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talking:
            talking.connect(address)
            talking.send(lines.encode())


NOBODY = Supervisor()
"""No supervisor: a program started by hand."""

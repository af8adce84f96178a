# SPDX-License-Identifier: Apache-2.0
"""Free ports of the loopback interface."""

import os
import socket
from collections.abc import Iterable

from protocol.errors import Unavailable

LOOPBACK = "127.0.0.1"
_TRIES = 500


def free_ports(count: int, base: int | None = None) -> list[int]:
    """Return `count` different ports that nobody listens on now: the next free ones from `base`, or any.

    All are held until all are found, so no port comes twice. Raises `Unavailable` if too few are free.
    """
    held: list[socket.socket] = []
    try:
        if base is None:
            held = [_hold(0) for _ in range(count)]
        else:
            for port in range(base, min(base + _TRIES, 65_536)):
                if len(held) == count:
                    break
                try:
                    held.append(_hold(port))
                except OSError:
                    continue
        if len(held) < count:
            raise Unavailable(f"There are not {count} free ports from {base} on; choose another base.")
        return [int(sock.getsockname()[1]) for sock in held]
    finally:
        for sock in held:
            sock.close()


def check_free(ports: Iterable[int]) -> None:
    """Raise `Unavailable`, which names the port, unless nobody listens on any of `ports` now."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            if os.name == "posix":
                # As servers do: what is left for a while of connections that were closed keeps nobody from listening.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                raise Unavailable(
                    f"Port {port} of this sandbox is taken: the sandbox runs already, or another program uses the "
                    "port. Stop that one, or name an empty folder with --data."
                ) from None


def _hold(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.bind((LOOPBACK, port))
    except OSError:
        sock.close()
        raise
    return sock

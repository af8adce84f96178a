# SPDX-License-Identifier: Apache-2.0
"""Where a connector's local interface is, and whether it is not somebody else who listens there (CON-6).

Every user of a machine may listen on its loopback interface. So a connector names the address that it has bound, for
`localhost` is `::1` as well, where another may listen beside it. And whoever is about to show the token looks first
whose program waits for it: while the connector is stopped its port is free for all.
"""

import ipaddress
import os
import re
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from protocol.errors import ConfigurationError

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS: Final = re.compile(r"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A \S+ \S+ \S+ +(\d+) ", re.MULTILINE)
_ROOT: Final = 0
_PORTS: Final = {"http": 80, "https": 443}
"""Where a URL leads that names no port."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def url_of(host: str, port: int) -> str:
    """Return the URL of a local interface that listens on the loopback address `host`."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(base: str) -> bool:
    """Tell whether the URL of a local interface leads to this machine: no connector's leads anywhere else (CON-6)."""
    where = _addresses(urlsplit(base).hostname or "")
    return bool(where) and all(one.is_loopback for one in where)


def check_listener(base: str, token_file: Path, tables: Iterable[Path] = _TABLES) -> None:
    """Raise `ConfigurationError` if another user's program listens at `base`, as far as the system tells (Linux).

    What listens there may be of whoever asks, of root, or of whoever owns `token_file`. `tables` are the system's.
    """
    if sys.platform == "win32":
        return
    where = urlsplit(base)
    wanted, port = _addresses(where.hostname or ""), where.port or _PORTS.get(where.scheme)
    found = list[tuple[Address, int, int]]()
    for table in tables:
        found += [one for one in _listeners(table) if one[1] == port]
        if {at for at, _, _ in found}.issuperset(wanted):
            break
    ours = {os.geteuid(), _ROOT, token_file.stat().st_uid}
    for address in wanted:
        # What is bound to the very address gets the call, also where something is bound to all addresses.
        exact = {user for at, _, user in found if at == address}
        for user in sorted((exact or {user for at, _, user in found if at.is_unspecified}) - ours):
            error = ConfigurationError(
                f"A program of another user of this machine (uid {user}) listens at {base}. Nothing was sent there: it "
                "would have had the connector's token."
            )
            error.add_note("next: stop that program, or set another connector.port; then start the connector")
            raise error


def _addresses(host: str) -> list[Address]:
    """Return the addresses that a host name means, written as the system's tables write them; none for other names.

    What names a zone is none either: `::1%1` leads to `::1`, and is not equal to it.
    """
    if host == "localhost":
        return [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    return [] if address.scope_id is not None else [address.ipv4_mapped or address]


def _listeners(table: Path) -> Iterator[tuple[Address, int, int]]:
    """Yield address, port and user of every socket that listens; nothing where the system shows none."""
    try:
        text = table.read_text(encoding="ascii")
    except (OSError, ValueError):
        return
    for address, port, user in _LISTENS.findall(text):
        # Words of 32 bits, each written as this machine orders its bytes.
        words = [int(address[place : place + 8], 16) for place in range(0, len(address), 8)]
        packed = struct.pack(f"={len(words)}I", *words)
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        at: Address = ipaddress.ip_address(socket.inet_ntop(family, packed))
        mapped = at.ipv4_mapped if isinstance(at, ipaddress.IPv6Address) else None
        yield mapped or at, int(port, 16), int(user)

# SPDX-License-Identifier: Apache-2.0
"""Another user of the machine listens where the connector should be, or beside it: he gets no token, and no record."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api_client import ApiClient, ConnectorUnreachable
from connectors.listening import check_listener, is_loopback, url_of
from connectors.timing import system_clock
from protocol.errors import ConfigurationError
from tests.connectors.running import installed, running
from tests.programme import make_programme

THEIRS = 61_236
"""Another user of the machine."""
LISTENS = (
    "   {n}: {at}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user:5}        0 1670 1\n"
)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
V4, V4_ALL, V4_OTHER = "0100007F", "00000000", "0100000A"
V6, V6_ALL = "00000000000000000000000001000000", "0" * 32
MAPPED = "0000000000000000FFFF00000100007F"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


both_families = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


@contextmanager
def localhost_is_both(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have `localhost` mean ::1 first and 127.0.0.1 then, as it does on most machines."""
    ask = socket.getaddrinfo

    def told(host: Any, port: Any, family: int = 0, *more: Any, **also: Any) -> Any:
        if host != "localhost":
            return ask(host, port, family, *more, **also)
        return [one for each in ("::1", "127.0.0.1") for one in ask(each, port, 0, *more, **also)]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", told)
        yield


@asynccontextmanager
async def stranger(host: str, port: int = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Listen as anybody may, and yield the port and what was said there."""
    heard = list[bytes]()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(listen, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@both_families
async def test_con_6_a_connector_names_the_address_that_it_has_bound_so_that_nobody_listens_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listens at ::1 on the same port got the token of every command, and could pass all on unseen."""
    folder, member = installed(tmp_path, make_programme(now=system_clock()), "gora-prison", "http://localhost:9")
    with localhost_is_both(monkeypatch):
        async with running(folder, member) as connector:
            base = connector.client._client._base
            async with stranger("::1", int(base.rpartition(":")[2])) as (_, heard):
                status = await connector.client.status()
            assert (status.agency, heard) == (member.address, [])
    assert base.startswith("http://127.0.0.1:")


@both_families
async def test_con_6_a_connector_on_another_loopback_address_is_found_there(tmp_path: Path) -> None:
    folder, member = installed(tmp_path, make_programme(now=system_clock()), "gora-prison", "http://localhost:9")
    for host in ("::1", "127.0.0.2"):
        async with running(folder, member, host=f'"{host}"') as connector:
            assert connector.client._client._base.startswith(url_of(host, 0)[:-1])
            assert (await connector.client.status()).agency == member.address


async def ask(base: str, token_file: Path) -> None:
    async with ApiClient.of(base, token_file) as client:
        await client.status()


only_root_is_two = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can be two users")


@contextmanager
def squatter(port: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Have another user's program listen, and yield its port, and what it heard once the block is over."""
    program = (
        # Another user may not be allowed to read the folder that this Python lies in.
        "import os, socket\n"
        f"os.setuid({THEIRS})\n"
        f"one = socket.create_server(('127.0.0.1', {port}))\n"
        "print(one.getsockname()[1], flush=True)\n"
        "one.settimeout(20)\n"
        "print(one.accept()[0].recv(9999))\n"
    )
    heard = list[bytes]()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running_:
        assert running_.stdout is not None
        try:
            yield int(running_.stdout.readline()), heard
        finally:
            running_.kill()
        heard.append(running_.stdout.read())


@only_root_is_two
def test_con_6_who_took_the_port_of_a_connector_that_is_stopped_gets_no_token(tmp_path: Path) -> None:
    ensure_token(tmp_path)
    with squatter() as (port, heard):
        for name in ("localhost", "127.0.0.1"):
            with pytest.raises(ConfigurationError, match="another user") as told:
                asyncio.run(ask(f"http://{name}:{port}", tmp_path / TOKEN_FILE))
            assert told.value.__notes__
    assert heard == [b""]


@only_root_is_two
async def test_con_6_who_took_it_while_a_program_keeps_its_client_gets_no_token_either(tmp_path: Path) -> None:
    """An agency's own program has one client for weeks, and a connector is stopped and started meanwhile."""
    ensure_token(tmp_path)
    async with AsyncExitStack() as stopped:
        port, _ = await stopped.enter_async_context(stranger("127.0.0.1"))
        async with ApiClient.of(f"http://127.0.0.1:{port}", tmp_path / TOKEN_FILE) as client:
            with pytest.raises(ConnectorUnreachable):
                await client.status()
            await stopped.aclose()
            with squatter(port) as (_, heard), pytest.raises(ConfigurationError, match="another user"):
                await client.status()
    assert heard == [b""]


async def test_con_6_what_the_same_user_or_nobody_serves_is_asked(tmp_path: Path) -> None:
    ensure_token(tmp_path)
    async with stranger("127.0.0.1") as (port, _):
        check_listener(f"http://127.0.0.1:{port}", tmp_path / TOKEN_FILE)
    check_listener(f"http://127.0.0.1:{port}", tmp_path / TOKEN_FILE)


@pytest.mark.skipif(sys.platform != "linux", reason="the form of the table is Linux's")
@pytest.mark.parametrize(
    ("base", "listeners", "refused"),
    [
        ("http://127.0.0.1:8450", [(V4, 8450, THEIRS)], True),
        ("http://127.0.0.1:8450", [(V4, 8451, THEIRS)], False),
        ("http://127.0.0.1:8450", [(V4_OTHER, 8450, THEIRS)], False),
        ("http://127.0.0.1:8450", [(V4_ALL, 8450, THEIRS)], True),
        ("http://127.0.0.1:8450", [(V6_ALL, 8450, THEIRS)], True),
        ("http://127.0.0.1:8450", [(MAPPED, 8450, THEIRS)], True),
        ("http://127.0.0.1:8450", [(V4, 8450, None), (V6, 8450, THEIRS)], False),
        ("http://127.0.0.1:8450", [(V4, 8450, None), (V6_ALL, 8450, THEIRS)], False),
        # Of an older version's profile.
        ("http://localhost:8450", [(V4, 8450, None), (V6, 8450, THEIRS)], True),
        ("http://localhost:8450", [(V4, 8450, None)], False),
        ("http://[::1]:8450", [(V6, 8450, THEIRS)], True),
        ("http://[::1]:8450", [(V4, 8450, THEIRS)], False),
        ("http://[::1]:8450", [(V6, 8450, 0)], False),
        # Another way to write the address, and no port: nothing was looked for.
        ("http://[::ffff:127.0.0.1]:8450", [(V4, 8450, THEIRS)], True),
        ("http://127.0.0.1", [(V4, 80, THEIRS)], True),
        ("http://elsewhere.example:8450", [(V4, 8450, THEIRS)], False),
        ("http://127.0.0.1:8450", [], False),
    ],
)
def test_con_6_it_counts_who_would_get_the_call(
    tmp_path: Path, base: str, listeners: list[tuple[str, int, int | None]], refused: bool
) -> None:
    assert sys.byteorder == "little", "the addresses above are written so"
    ensure_token(tmp_path)
    ours = (tmp_path / TOKEN_FILE).stat().st_uid
    rows = [
        LISTENS.format(n=n, at=at, port=port, state="0A", user=ours if user is None else user)
        for n, (at, port, user) in enumerate(listeners)
    ]
    # A connection of somebody's to that port is no listener.
    rows.append(LISTENS.format(n=99, at=V4, port=8450, state="01", user=THEIRS))
    table = tmp_path / "tcp"
    table.write_text(HEAD + "".join(rows), encoding="ascii")
    asked = base, tmp_path / TOKEN_FILE, (table, tmp_path / "not there")
    if refused:
        with pytest.raises(ConfigurationError):
            check_listener(*asked)
    else:
        check_listener(*asked)


@pytest.mark.parametrize("host", ["[::1%1]", "[::1%25lo]", "[::ffff:8.8.8.8]", "127.1", "127.0.0.1.example"])
def test_con_6_what_only_looks_like_an_address_of_the_loopback_interface_is_none(host: str) -> None:
    """Whose program listens there could not be told, and a profile may name only what can be."""
    assert not is_loopback(f"http://{host}:8450")
    assert is_loopback("http://[::ffff:127.0.0.1]:8450")
    assert is_loopback("http://127.0.0.2")

# SPDX-License-Identifier: Apache-2.0
"""Where a program cannot listen it says which key of the configuration is wrong, and why."""

import errno
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from connectors import app
from connectors.logs import Log
from connectors.timing import system_clock
from hub.cli import main
from protocol.errors import ConfigurationError
from protocol.http.running import Runner, cannot_listen, listen
from tests.connectors.running import installed, settings_of
from tests.hub.process import prepare
from tests.programme import make_programme

KEYS = "hub.host", "hub.port"
TAKEN = "Another program listens on"
NOT_HERE = "hub.host is no address of this machine. Set one that it has."


@pytest.fixture
def taken() -> Iterator[int]:
    """Give a port on which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def told(host: str, port: int) -> str:
    """Try to listen there; return what whoever configured it is told."""
    runner = Runner(web.Application(), clock=system_clock)
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is what the answer depends on
            await listen(runner, host, port)
        return cannot_listen(caught.value, *KEYS).detail
    finally:
        await runner.cleanup()


async def test_a_taken_port_and_an_address_of_another_machine_are_told_apart(taken: int) -> None:
    assert await told("127.0.0.1", taken) == f"{TAKEN} hub.port already. Stop it, or set another port."
    # An address for documentation (RFC 5737).
    assert await told("203.0.113.9", 0) == NOT_HERE


def test_a_port_that_needs_a_right_is_not_called_taken() -> None:
    refused = cannot_listen(PermissionError(errno.EACCES, "permission denied"), *KEYS).detail
    assert refused.startswith("This user may not listen on hub.port; ports below 1024 need a right")
    # What is raised for a name that nobody has, and by asyncio where none of a name's addresses is this machine's.
    assert cannot_listen(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), *KEYS).detail == NOT_HERE
    assert cannot_listen(OSError("could not bind on any address"), *KEYS).detail == NOT_HERE
    assert cannot_listen(OSError(errno.ENOBUFS, ""), *KEYS).detail.startswith("hub.port cannot be listened on: No buf")


@pytest.mark.parametrize("key", ["port", "admin_port"])
def test_a_hub_names_the_key_of_the_port_that_is_taken(tmp_path: Path, taken: int, key: str) -> None:
    config, _ = prepare(tmp_path)
    config.write_text(config.read_text().replace(f"\n{key} = 0\n", f"\n{key} = {taken}\n"))
    done = CliRunner().invoke(main, ["run", "--config", str(config)])
    assert (done.exit_code, f"why:   {TAKEN} hub.{key} already." in done.stderr) == (3, True), done.stderr


async def test_a_connector_names_the_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    folder, _ = installed(tmp_path, make_programme(now=system_clock()), "reka-probation", "http://localhost:9")
    with pytest.raises(ConfigurationError, match=f"{TAKEN} connector.port"):
        await app.run(settings_of(folder, port=str(taken)), ready=print, log=Log(io.StringIO(), json=True))

# SPDX-License-Identifier: Apache-2.0
"""A supervisor leaves no process behind, whatever happens to it or to its children."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectors.sandbox.ports import check_free, free_ports
from connectors.sandbox.processes import ChildFailed, Supervisor, program
from protocol.errors import Unavailable

READY = "import time, sys; print('{\"up\": true}', flush=True)\n"
PATIENT = READY + "time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_is_ready_when_it_says_so_and_ends_with_its_supervisor(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        child = await supervisor.start("patient", python(PATIENT))
        assert child.ready == {"up": True}
        assert alive(child.pid)
    assert not alive(child.pid)


async def test_a_child_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ChildFailed, match="no passphrase file"):
            await supervisor.start("broken", python("import sys; sys.exit('no passphrase file')"))


async def test_when_one_child_dies_the_watcher_is_told_and_the_others_end(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        victim = await supervisor.start("victim", python(PATIENT))
        other = await supervisor.start("other", python(PATIENT))
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(ChildFailed, match="victim ended with code -9"):
            await supervisor.watch()
    assert not alive(other.pid)


async def test_a_child_that_was_asked_to_end_is_no_failure(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        child = await supervisor.start("patient", python(PATIENT))
        await child.kill()
        again = await supervisor.start("patient", python(PATIENT))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await supervisor.watch()
    assert not alive(again.pid)


async def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        child = await supervisor.start("stubborn", python(STUBBORN))
        await child.stop(grace_s=0.1)
        assert not alive(child.pid)


async def test_an_error_inside_ends_the_children_too(tmp_path: Path) -> None:
    started: list[int] = []

    async def fail_inside() -> None:
        async with Supervisor(tmp_path) as supervisor:
            started.append((await supervisor.start("patient", python(PATIENT))).pid)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        await fail_inside()
    assert not alive(started[0])


async def test_a_program_that_runs_to_its_end_must_end_well(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.run("fine", python("print('done')"))
        with pytest.raises(ChildFailed, match="not fine"):
            await supervisor.run("bad", python("import sys; sys.exit('not fine')"))


async def test_a_talkative_child_never_waits_for_a_reader(tmp_path: Path) -> None:
    script = READY + "print('x' * 1_000_000, flush=True)"
    async with Supervisor(tmp_path) as supervisor, asyncio.timeout(10):
        child = await supervisor.start("talkative", python(script))
        assert await child.process.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux offers this")
def test_children_end_even_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib\n"
        "from connectors.sandbox.processes import Supervisor\n"
        "async def main():\n"
        f"    async with Supervisor(pathlib.Path({str(tmp_path)!r})) as supervisor:\n"
        f"        child = await supervisor.start('patient', {python(PATIENT)!r})\n"
        "        print(child.pid, flush=True)\n"
        "        await supervisor.watch()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(python(script), stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert alive(pid)
        supervisor.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(pid)


def test_a_program_of_ours_is_found_beside_this_python() -> None:
    assert Path(program("throughcare")).name.startswith("throughcare")
    with pytest.raises(ChildFailed):
        program("throughcare-nonsense")


def test_free_ports_are_different_and_start_at_the_base() -> None:
    assert len(set(free_ports(5))) == 5
    base = free_ports(1)[0]
    found = free_ports(3, base)
    assert found == sorted(set(found))
    assert found[0] >= base


def test_too_few_free_ports_are_an_error() -> None:
    with pytest.raises(Unavailable):
        free_ports(5, 65_533)


def test_a_port_on_which_somebody_listens_is_named_and_one_that_was_just_left_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Unavailable, match=f"Port {port} of this sandbox is taken"):
            check_free([free_ports(1)[0], port])
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()  # who closes first keeps the port for a minute, for what may still be on its way
            assert client.recv(1) == b""
    check_free([port])
    with pytest.raises(OSError, match="in use"), socket.socket() as plain:
        plain.bind(("127.0.0.1", port))

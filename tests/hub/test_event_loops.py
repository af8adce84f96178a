# SPDX-License-Identifier: Apache-2.0
"""The hub's program serves on uvloop, most tests on asyncio's loop: what comes over a socket is tried on both."""

import subprocess
import sys

import pytest

from hub.serving import new_event_loop
from tests.hub.process import ROOT, environment

SOCKETS = (
    "connections",
    "connection_bounds",
    "slow_callers",
    "limits",
    "queue_shares",
    "requests",
    "mailbox",
    "concurrency",
    "strangers_memory",
    "answers",
)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
def test_a_hub_serves_on_uvloop() -> None:
    loop = new_event_loop()
    try:
        assert type(loop).__module__ == "uvloop"
    finally:
        loop.close()


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
def test_what_comes_over_a_socket_is_met_on_uvloop_as_on_asyncio() -> None:
    files = [f"tests/hub/test_{name}.py" for name in SOCKETS]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "tests.onuvloop", *files]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4_000:]

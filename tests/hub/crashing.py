# SPDX-License-Identifier: Apache-2.0
"""A program for tests: starts hubs that are killed, each as a process of its own, without importing anew.

`python -m tests.hub.crashing CONFIG` reads one line for each hub: the step of the writer at which the hub kills
itself and how often it passes that step before, or `none 0`. The hub says on stdout where it serves; when it is
gone, this program says how it ended.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from hub.config import load_settings
from hub.logs import make_log
from hub.serving import Urls, new_event_loop, run


class KillAt:
    """A hook of the writer that ends the process with SIGKILL at a step."""

    def __init__(self, step: str, passes: int) -> None:
        self.step = step
        self.passes = passes

    def __call__(self, step: str) -> None:
        if step != self.step:
            return
        if self.passes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passes -= 1


def _tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _ready(urls: Urls) -> None:
    _tell(url=urls.public, pid=os.getpid())


async def _serve(config: Path, step: str, passes: int) -> None:
    settings = load_settings(config, {}).settings
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(settings, log=make_log("warning", "json"), ready=_ready, stop=stop, reach=KillAt(step, passes))


def main() -> None:
    """Serve one hub after the other, as told."""
    config = Path(sys.argv[1])
    for line in sys.stdin:
        step, passes = line.split()
        child = os.fork()
        if child == 0:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(_serve(config, step, int(passes)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()

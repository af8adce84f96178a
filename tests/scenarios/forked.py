# SPDX-License-Identifier: Apache-2.0
"""The hub's program as processes that need not load anything: forked from one process that has loaded it once.

To load a hub's modules takes a second of processor time, and to start it a fifth of that. How the real program starts
is tested where that is the subject: `tests/hub/test_program.py`, `tests/faults/hubprogram.py`, the sandbox, the demo.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

_LOADED = ["hub.cli", "hub.serving", "alembic.command", "alembic.config"]
_RUN = sys.modules["__main__"].__spec__
"""What was run by `python -m`, which a process that is forked for it imports too."""
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([*_LOADED, _RUN.name] if _RUN else _LOADED)
START_S = 60
"""Seconds that a hub has to say that it is up."""
END_S = 20
"""Seconds that it has to end; it takes up to five."""


def hub_program(*arguments: str) -> None:
    """Run `throughcare-hub` with `arguments` to its end, which must be a good one."""
    process = _FORKS.Process(target=_run, args=(arguments, dict(os.environ)), daemon=True)
    process.start()
    process.join(START_S)
    assert process.exitcode == 0, f"the program ended with {process.exitcode}"
    process.close()


@contextmanager
def running_hub(*arguments: str) -> Iterator[str]:
    """Give what `throughcare-hub run` with `arguments` says when it serves; it has ended when the block is left."""
    reading, writing = _FORKS.Pipe(duplex=False)
    with reading:
        with writing:
            process = _FORKS.Process(target=_run, args=(("run", *arguments), dict(os.environ), writing), daemon=True)
            process.start()
        try:
            said = os.read(reading.fileno(), 65_536) if reading.poll(START_S) else b""
            assert said, "the hub ended, or waited, before it was up"
            yield said.decode()
        finally:
            process.terminate()
            process.join(END_S)
            code = process.exitcode
            process.kill()
            process.join()
            process.close()
    assert code == 0, f"the hub ended with {code}"


def _run(arguments: tuple[str, ...], environment: dict[str, str], output: Connection | None = None) -> None:
    from hub.cli import main  # it is loaded where this is forked, not where it is asked for

    if output is not None:
        os.dup2(output.fileno(), sys.stdout.fileno())
        output.close()
    os.environ.clear()
    os.environ.update(environment)
    main(arguments)

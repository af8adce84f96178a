# SPDX-License-Identifier: Apache-2.0
"""Starts a program that ends when its parent does, however the parent ends (Linux; elsewhere it just starts).

Run as a script, with the standard library only: `python -I -S tether.py PARENT_PID PROGRAM ARGUMENTS…`. It
turns into the program, so the process id stays and nothing stands between parent and program.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGTERM at the parent's end, then become the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # Linux only, and every start pays for it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            return  # the parent ended before the kernel was asked
    os.execv(command[0], command)  # noqa: S606  # no shell: that is the point


if __name__ == "__main__":
    main()

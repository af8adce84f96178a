# SPDX-License-Identifier: Apache-2.0
"""A disk that fails at a call of one's choice: `faultyio.c`, compiled where there is a compiler."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faultyio.c")
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None) if sys.platform == "linux" else None
MISSING = "THE DISK'S FAILURES ARE NOT TESTED: install a C compiler (Linux only)."


def compiled(folder: Path) -> Path:
    """Compile the library into `folder` and return it."""
    assert COMPILER is not None
    library = folder / "faultyio.so"
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@dataclass(frozen=True, slots=True)
class FaultyDisk:
    """A fault that is to happen in one process; its files lie in `folder`."""

    library: Path
    folder: Path
    call: str
    file: str
    at: int
    errno: int

    @property
    def armed(self) -> Path:
        """The file whose presence lets calls count."""
        return self.folder / "armed"

    def environment(self) -> dict[str, str]:
        """Return what the process must find in its environment."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAULTY_CALL": self.call,
            "FAULTY_FILE": self.file,
            "FAULTY_AT": str(self.at),
            "FAULTY_ERRNO": str(self.errno),
            "FAULTY_ARMED": str(self.armed),
            "FAULTY_TRACE": str(self.folder / "trace"),
        }

    def arm(self) -> None:
        """Let calls count from now on."""
        self.armed.touch()

    def disarm(self) -> None:
        """Forget the fault and what was traced of it."""
        self.armed.unlink(missing_ok=True)
        (self.folder / "trace").unlink(missing_ok=True)

    def trace(self) -> list[str]:
        """Return `failed`, if the fault happened, and then each later `sync` and `write` of the same file."""
        path = self.folder / "trace"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

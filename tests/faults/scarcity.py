# SPDX-License-Identifier: Apache-2.0
"""Less of everything for a running process: limits set from outside, and a disk of a few megabytes."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest


@contextmanager
def set_limit(pid: int, what: int, limit: int) -> Iterator[Callable[[], object]]:
    """Lower a process's soft limit; yields what lifts it again."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (limit, before[1]))
    yield lambda: resource.prlimit(pid, what, before)


class Tmpfs:
    """A disk in memory of so many bytes, mounted for a while; skips the test where it may not be mounted."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def __enter__(self) -> Path:
        self.folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", str(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("NOT TESTED ON A REAL SMALL DISK: mounting one needs root")
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", str(self.folder)], capture_output=True, check=True)

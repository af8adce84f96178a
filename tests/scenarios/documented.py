# SPDX-License-Identifier: Apache-2.0
"""Runs Schemathesis: a server is asked thousands of things that its own OpenAPI document allows, or forbids."""

import subprocess
from pathlib import Path

from tests.scenarios.running import BIN
from tests.seeds import SEED_VARIABLE

CONFIG = Path(__file__).with_name("schemathesis.toml")


def try_all(url: str, token_file: Path, folder: Path, *, examples: int, phases: str, seed: int) -> str:
    """Try every operation of the server at `url` with so many `examples`; return what was found, or fail with it.

    `folder` takes what the tool writes. The same `seed` asks the same.
    """
    command: list[str | Path] = [BIN / "st", "--config-file", CONFIG, "run", f"{url}/v1/openapi.json"]
    command += ["--header", f"Authorization: Bearer {token_file.read_text().strip()}", "--phases", phases]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--no-color", "--continue-on-failure"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{SEED_VARIABLE}={seed}\n{done.stdout[-20_000:]}{done.stderr[-2_000:]}"
    return done.stdout

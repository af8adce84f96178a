# SPDX-License-Identifier: Apache-2.0
"""Writes what `--help` prints into docs/operations.md anew: `python -m tests.transcripts`.

Each block begins with its command, and stays where it stands.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
BLOCK = re.compile(r"(?<=```\n)\$ (throughcare(?:-hub)?) --help\n.*?(?=```)", re.DOTALL)


def help_of(program: str) -> str:
    """Return the transcript of `program --help` in a terminal of 80 columns."""
    command = [str(Path(sys.executable).parent / program), "--help"]
    environment = {**os.environ, "COLUMNS": "80"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return f"$ {program} --help\n{said}"


def renewed(page: str) -> str:
    """Return the page with every help text as it is now."""
    return BLOCK.sub(lambda found: help_of(found[1]), page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

# SPDX-License-Identifier: Apache-2.0
"""The README's commands, to be typed as they stand there."""

import re
import shlex
from contextlib import chdir
from pathlib import Path
from typing import Final

from tests.scenarios.running import Spoken, Typist

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^    \./run throughcare (.*(?:(?<=\\)\n.*)*)$", re.MULTILINE)


def script() -> str:
    """Return the README's script for a shell."""
    found = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def typed(type_: Typist, section: str, *, folder: Path) -> list[Spoken]:
    """Type every command of the section with this heading, in `folder`; THREAD is the id that the first one printed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    spoken: list[Spoken] = []
    for command in _BLOCK.findall(text):
        words = shlex.split(command.replace("\\\n", " "))
        thread = spoken[0].out.split()[0] if spoken else ""
        arguments = [str(ROOT / word) if word.startswith("connectors/") else word for word in words]
        with chdir(folder):
            spoken.append(_until_it_came(type_, [thread if word == "THREAD" else word for word in arguments], thread))
    return spoken


def _until_it_came(type_: Typist, arguments: list[str], thread: str) -> Spoken:
    """Type a command; what shows what came from another agency is typed until it has come."""
    awaited = {"list": thread, "show": "-> scheduled"}.get(arguments[1], "")
    for _ in range(200):
        said = type_(*arguments)
        if said.code or awaited in said.out or arguments[0] == "case":
            return said
    raise AssertionError(f"{thread} never came")

# SPDX-License-Identifier: Apache-2.0
"""Writes config.example.toml from the models of hub and connector: `python -m tests.config_example [--check]`.

It stands here because hub and connectors may not import each other, and the example shows both.
"""

import sys
from pathlib import Path

from connectors.config import ConnectorSettings
from hub.config import HubSettings
from protocol.settings import Settings, render_example

TARGET = Path(__file__).parent.parent / "config.example.toml"
HEAD = """\
# Every key that can be set for a hub and for a connector, with its meaning. Written by
# `python -m tests.config_example` from the models that check it; do not edit by hand.
#
# One file can serve both programs. A key that is commented out shows its default, and one that names a file,
# an address or a language an example (`config explain` says what counts without it). A variable of the
# environment goes before the file: THROUGHCARE_HUB__PORT=8440 sets port of [hub].
# `throughcare-hub check` and `throughcare config check FILE` validate a file, `throughcare config explain KEY
# FILE` explains a key. Secrets are never written here: keys ending in _file name the file that holds one.

"""


def rendered() -> str:
    """Return the example as it must be."""
    models: list[tuple[str, type[Settings]]] = [
        ("throughcare-hub", HubSettings),
        ("throughcare connector run", ConnectorSettings),
    ]
    return HEAD + render_example(models).rstrip("\n") + "\n"


def main() -> int:
    """Write the example, or with --check only compare; return the exit code."""
    if sys.argv[1:] == ["--check"]:
        return 0 if TARGET.read_text(encoding="utf-8") == rendered() else 1
    TARGET.write_text(rendered(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The configuration file that enrolment leaves beside the keys, so that the connector can be started at once."""

import json
from pathlib import Path
from typing import Final

from protocol.settings import Profile

CONFIG_FILE: Final = "connector.toml"


def write_configuration(data_dir: Path, passphrase_file: Path, *, profile: Profile, port: int | None = None) -> Path:
    """Write `connector.toml` into `data_dir`, unless there is one, and return its path.

    `port` is that of the local interface; without it the default is used.
    """
    path = data_dir / CONFIG_FILE
    if path.exists():
        return path
    lines = [
        "# Written by enrolment; `throughcare config example` explains every key that can be set.",
        "[connector]",
        'data_dir = "."',
        f"passphrase_file = {json.dumps(str(passphrase_file.absolute()), ensure_ascii=False)}",
        f'profile = "{profile.value}"',
    ]
    if port is not None:
        lines.append(f"port = {port}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

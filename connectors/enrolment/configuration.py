# SPDX-License-Identifier: Apache-2.0
"""The configuration file that enrolment leaves beside the keys, so that the connector can be started at once."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from connectors.enrolment.visit import DIRECT
from connectors.way_out import WayOut
from keys.folderowner import open_made
from protocol.settings import Profile

CONFIG_FILE: Final = "connector.toml"


def write_configuration(
    data_dir: Path,
    passphrase_file: Path,
    *,
    profile: Profile,
    port: int | None = None,
    way_out: WayOut = DIRECT,
    rehearsal: Mapping[str, Path] = MappingProxyType({}),
) -> Path:
    """Write `connector.toml` into `data_dir`, unless there is one, and return its path.

    `port` is that of the local interface; without it the default is used. The connector goes the `way_out` that
    enrolment has gone. `rehearsal` are a demo's `clock_file` and `faults_file`.
    """
    path = data_dir / CONFIG_FILE
    if path.exists():
        return path
    lines = [
        "# Written by enrolment; `throughcare config example` explains every key that can be set.",
        "[connector]",
        'data_dir = "."',
        f"passphrase_file = {_text(passphrase_file.absolute())}",
        f'profile = "{profile.value}"',
    ]
    if way_out.proxy is not None:
        lines.append(f"proxy = {_text(way_out.proxy)}")
    for name, path_set in (
        ("proxy_credentials_file", way_out.proxy_credentials_file),
        ("ca_file", way_out.ca_file),
        *rehearsal.items(),
    ):
        if path_set is not None:
            lines.append(f"{name} = {_text(path_set.absolute())}")
    if port is not None:
        lines.append(f"port = {port}")
    with os.fdopen(open_made(path, os.O_WRONLY | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return path


def _text(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)

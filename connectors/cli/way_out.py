# SPDX-License-Identifier: Apache-2.0
"""The options of commands that dial out before there is a configuration: proxy and certificates."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from connectors.config import proxy_url
from connectors.way_out import WayOut

_FILE = click.Path(path_type=Path, dir_okay=False)


def goes_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--proxy`, `--proxy-credentials-file` and `--ca-file`, and pass them on as `way_out`."""

    @click.option("--proxy", help="The HTTP proxy by which the hub is reached.  [default: that of HTTPS_PROXY]")
    @click.option("--proxy-credentials-file", type=_FILE, help="File with NAME:PASSWORD for the proxy.")
    @click.option("--ca-file", type=_FILE, help="Certificates (PEM) to trust instead of the system's.")
    @functools.wraps(command)
    def with_way_out(
        *args: Any, proxy: str | None, proxy_credentials_file: Path | None, ca_file: Path | None, **kwargs: Any
    ) -> Any:
        way = WayOut(proxy_url(proxy) if proxy is not None else None, proxy_credentials_file, ca_file)
        return command(*args, way_out=way, **kwargs)

    return with_way_out

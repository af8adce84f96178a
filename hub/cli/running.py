# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub run`: serves until it is told to stop."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import CONFIG, load, told
from hub.failures import report
from protocol.errors import StoreFailed
from protocol.ownership import check_ownership
from protocol.starting import asking_nobody, starting

if TYPE_CHECKING:
    from hub.serving import Urls


@click.command(short_help="Serve until it is told to stop.")
@CONFIG
@click.option("--ready-json", is_flag=True, help="Print one line of JSON with the URLs once the hub serves.")
def run(path: Path, ready_json: bool) -> None:
    """Serve until a SIGTERM or SIGINT (Ctrl-C) comes; after that one the exit code is 130."""
    with told(path), starting() as started:
        import asyncio

        with asking_nobody():
            from hub import serving
        from hub.logs import make_log
        from hub.store.sqlite import left_open
        from protocol.http.supervised import Supervisor

        check_ownership()
        settings = load(path)
        log = make_log(settings.log.level, settings.log.form)
        supervisor, asked_by = Supervisor.of(os.environ), list[int]()

        def ready(urls: "Urls") -> None:
            started()
            _say(urls, ready_json)

        async def serve() -> None:
            stop = asyncio.Event()

            def asked(number: int) -> None:
                asked_by.append(number)
                stop.set()

            _on_signal(asked)
            await serving.run(settings, log=log, ready=ready, stop=stop, supervisor=supervisor)

        before = left_open()
        try:
            with asyncio.Runner(loop_factory=serving.new_event_loop) as runner:
                runner.run(serve())
        except StoreFailed as error:
            if left_open() > before:
                # Python's own way to end would close it.
                os._exit(report(error, path))
            raise
        if asked_by[:1] == [signal.SIGINT]:
            sys.exit(128 + signal.SIGINT)


def _say(urls: "Urls", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"url": urls.public, "admin_url": urls.admin}))
    else:
        click.echo(f"The hub serves {urls.public}; health and metrics are at {urls.admin}.", err=True)


def _on_signal(stop: Callable[[int], None]) -> None:
    """Have `stop` called for SIGTERM and SIGINT, with the signal's number, on the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))

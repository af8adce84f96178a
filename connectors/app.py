# SPDX-License-Identifier: Apache-2.0
"""The long-running connector: opens the installation, serves the local interface, keeps all parts going, stops well.

What it does all the time is in `connectors.loops`; here it is put together, begun and ended.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from connectors.access import ensure_token
from connectors.api import Api, application
from connectors.calendars import Calendars
from connectors.config import ConnectorSection, ConnectorSettings
from connectors.dropfolder.folder import drop_folder
from connectors.fhir.services import read_services
from connectors.installation import open_installation
from connectors.listening import url_of
from connectors.logs import Log
from connectors.loops import Loops
from connectors.parts import make_parts
from connectors.prekeys import check_seeds
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, Store
from connectors.store.lock import InstallationLock
from connectors.timing import Clock, system_clock
from connectors.troubles import TroubleFile, trouble
from connectors.vault import Vault
from connectors.way_out import WayOut
from keys.passphrasefile import read_passphrase_file
from keys.selftest import self_test
from protocol.clockwatch import machine_time
from protocol.errors import ConfigurationError
from protocol.http.running import Runner, cannot_listen, listen
from protocol.http.skipping import SkippingClock
from protocol.http.supervised import NOBODY, Supervisor

STOP_S: Final = 3.0


async def run(
    settings: ConnectorSettings,
    *,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
    clock: Clock = system_clock,
    elapsed: Clock = machine_time,
    log: Log | None = None,
    supervisor: Supervisor = NOBODY,
) -> None:
    """Run the connector until `stop` is set or the task is cancelled.

    `ready` is called with the local interface's URL once it serves, and `supervisor` is told. Raises
    `ConfigurationError`, `KeystoreError`, `SelfTestFailed`, or `Conflict` if a connector runs on this installation
    already; nothing is left running.
    """
    log = log or _log(settings)
    log.take_over_libraries()
    await asyncio.to_thread(self_test)
    section = settings.connector
    if section.clock_file is not None:
        # Both, or it would look as if the clock had jumped (CON-23).
        clock = SkippingClock(section.clock_file, clock)
        elapsed = SkippingClock(section.clock_file, elapsed)
    if not section.data_dir.is_dir():
        raise ConfigurationError(f"There is no folder {section.data_dir}. Enrol first: `throughcare enrol` makes it.")
    passphrase = read_passphrase(section)
    async with AsyncExitStack() as stack:
        stack.enter_context(InstallationLock(section.data_dir / LOCK_FILE))
        installation = await asyncio.to_thread(open_installation, section.data_dir, passphrase)
        check_seeds(installation.keystore)
        calendars = Calendars(settings.calendar)
        services = read_services(settings.fhir.services) if settings.fhir.services else {}
        store = await Store.open(section.data_dir / DATABASE_FILE, Vault(installation.storage_key))
        stack.push_async_callback(store.close)
        session = await stack.enter_async_context(WayOut.of(section).session())
        parts = make_parts(
            section,
            installation,
            store,
            session,
            clock,
            log,
            calendars=calendars,
            elapsed=elapsed,
            webhooks=settings.webhooks,
            services=services,
        )
        await parts.directory.load()
        await parts.threads.register.catch_up(store)
        interface = Api(
            parts.handovers,
            parts.attachments,
            parts.thread_api,
            parts.overview,
            parts.metrics,
            parts.tokens,
            parts.prints,
        )
        own = installation.enrolment.desks
        drop = drop_folder(settings.drop, interface.by_operation(), store, parts.agency, clock, log, own)
        if drop is not None:
            await drop.prepare()
        loops = Loops(parts, section, clock, log, drop=drop)
        await loops.look_once()
        api = application(interface, ensure_token(section.data_dir), clock, log, host=section.host)
        if section.faults_file is not None:
            trouble(api, TroubleFile(section.faults_file))
        runner = Runner(api, clock=clock, shutdown_s=STOP_S)
        stack.push_async_callback(runner.cleanup)
        port = await _listen(runner, section)
        log.event("connector-started")
        where = url_of(section.host, port)
        ready(where)
        supervisor.ready(f"Serves {where}")
        telling = asyncio.create_task(supervisor.keep_told(_alive))
        try:
            await loops.run(stop or asyncio.Event())
        finally:
            telling.cancel()
            supervisor.stopping()
            log.event("connector-stopping")
    log.event("connector-stopped")


async def _alive() -> bool:
    """Say yes: whoever answers on the event loop lives, and a hub that is away is no reason to start anew."""
    return True


def read_passphrase(settings: ConnectorSection) -> bytes:
    """Return the passphrase in connector.passphrase_file; `ConfigurationError` without one."""
    return read_passphrase_file(settings.passphrase_file)


def _log(settings: ConnectorSettings) -> Log:
    form = {"auto": None, "json": True, "text": False}[settings.log.form]
    return Log(json=form, level=settings.log.level)


async def _listen(runner: Runner, settings: ConnectorSection) -> int:
    try:
        return await listen(runner, settings.host, settings.port)
    except OSError as error:
        raise cannot_listen(error, "connector.host", "connector.port") from error

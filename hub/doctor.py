# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub doctor`: looks at everything that a hub needs, and says of each fault how to mend it.

It changes nothing, and works beside a running hub: the guard is read before the database, so that what a running
hub adds meanwhile can only make the database larger than the guard, as it may be.
"""

import shlex
import shutil
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

import aiohttp
from cryptography import x509
from sqlalchemy import Connection

from hub.config import (
    CLOCK_NAME,
    DATABASE_NAME,
    GUARD_NAME,
    RESTORING_PREFIX,
    VERIFYING_PREFIX,
    HubSettings,
    doubts,
    pinned_root,
)
from hub.confirming import told
from hub.migrations import NEWEST, revision_of
from hub.service.backupkey import known_backup_keys
from hub.service.behind import check_not_behind
from hub.service.clocktrust import is_unsure, noted_time
from hub.service.damage import GO_BACK, NEXT
from hub.service.guard import Guard
from hub.service.leases import last_shown
from hub.service.logcheck import check_logs, origins_in
from hub.service.replaying import replay
from hub.service.restorerequest import REQUEST_NAME
from hub.service.signingkeys import SEALED_NAME, given_by_systemd, open_keys
from hub.service.uncollected import gone
from hub.store import envelopes, restorations, trees
from hub.store.opening import look
from hub.store.sqlite import sqlite_is_sound
from hub.store.trees import Log
from hub.web.admin import LEAST_FREE
from hub.web.tls import tls_context
from keys.backupfinding import examine_backup_key
from keys.folderfinding import examine_folder
from keys.lockholders import holders_of
from keys.privatefile import open_to_others
from keys.workfolders import left_behind, own_left
from protocol.diagnosis import Finding, fault, fine, skipped, starts_hub, warning
from protocol.errors import ConfigurationError, StoreFailed, ThroughcareError, Unavailable
from protocol.http.calling import new_session
from protocol.http.reaching import Way, examine_health, examine_way, examine_websocket
from protocol.http.skipping import SkippingClock
from protocol.limits import CLOCK_SKEW, DAY
from protocol.settings import Profile

LITTLE_FREE = 4 << 30
"""Bytes of free disk below which it is time to make room."""
CERTIFICATE_MARKED_DAYS = 14
WAITING_MARKED = 7 * DAY
"""Age of the oldest uncollected envelope above which its recipient should be called, in ms."""

_RESTORE = "Stop the hub, then throughcare-hub restore FILE --key KEY --config FILE with the newest sound backup."
_GO_BACK = "Stop the hub, then throughcare-hub restore --in-place --config FILE, or with a FILE that holds more."
_RESUME = f"Have {REQUEST_NAME} signed, then throughcare-hub resume --statement FILE --config FILE."
_TRIAL = (
    "For trials only. For real work make a new hub (throughcare-hub init with another data_dir), where agencies enrol "
    "anew: what was made under demo does not go over."
)
_RUN = f"Start it: {starts_hub()}"
_LOG = "Look in the hub's log what it says of it, and start the hub anew: systemctl restart throughcare-hub."
_STORE = f"Mend what the lines `store`, `guard` and `disk` name; if they name nothing: {_LOG[0].lower()}{_LOG[1:]}"
_NOT_READY = {
    "started": "Wait until it has started, and type this again; if it stays so, look in the hub's log.",
    "store": _STORE,
    "writer": _STORE,
    "disk": "Make room on the disk of hub.data_dir.",
    "clock": (
        "throughcare-hub clock --config FILE says what this machine believes. If it is wrong: set the clock, keep it "
        "set (NTP), and start the hub anew."
    ),
}
"""What mends each check of `/readyz`."""


async def examine(settings: HubSettings, clock: Callable[[], int]) -> list[Finding]:
    """Look at one hub; `clock` gives ms UTC, and a `clock_file` puts it ahead as it does the hub's own."""
    if settings.hub.clock_file is not None:
        clock = SkippingClock(settings.hub.clock_file, clock)
    folder = settings.hub.data_dir
    found = [_root(settings), *_doubts(settings), *_secrets(settings), _tls(settings)]
    if folder.is_dir():
        found.append(_disk(folder))
        found += _left(folder)
        found += examine_backup_key(
            folder, lambda: known_backup_keys(folder), "throughcare-hub accept-backup-key --config FILE"
        )
        found += await _store(settings, clock())
    async with new_session() as session:
        found.append(await _service(settings, session))
        found += await _public(settings, session, clock)
    return found


def _root(settings: HubSettings) -> Finding:
    try:
        pinned_root(settings)
    except ThroughcareError as error:
        return fault("configuration", "hub.root_fingerprint is not set.", error.detail.partition(". ")[2])
    if settings.hub.profile is Profile.DEMO:
        return warning("configuration", "The profile is demo.", _TRIAL)
    return fine("configuration", "The file is valid; the profile is production.")


def _doubts(settings: HubSettings) -> Iterator[Finding]:
    for doubt in doubts(settings):
        found, _, fix = doubt.partition(". ")
        yield warning("address", f"{found}.", fix)


def _secrets(settings: HubSettings) -> Iterator[Finding]:
    hub, folder = settings.hub, settings.hub.data_dir
    if not folder.is_dir():
        yield fault("data folder", "hub.data_dir does not exist.", "throughcare-hub init --config FILE")
        return
    own = [folder / name for name in (SEALED_NAME, DATABASE_NAME, GUARD_NAME)]
    if hindered := examine_folder(folder, own, "hub.data_dir"):
        yield hindered
    named = [hub.passphrase_file, settings.tls.key_file, *(folder / n for n in (SEALED_NAME, DATABASE_NAME))]
    exposed = [path for path in named if path is not None and path.is_file() and open_to_others(path)]
    if exposed:
        names = " ".join(str(path) for path in exposed)
        yield fault("permissions", f"Others can read {', '.join(p.name for p in exposed)}.", f"chmod 600 {names}")
    else:
        yield fine("permissions", "Nobody but the owner can read keys and database.")
    try:
        open_keys(settings)
    except ThroughcareError as error:
        if hub.credentials_directory is not None:
            # A hub that runs has its own from systemd, and this doctor has none: what to type, and no word of new keys.
            step = given_by_systemd(settings)
            yield fault("keys", error.detail, f"{step[0].upper()}{step[1:]}.")
            return
        fix = "Check hub.passphrase_file, or make the keys with throughcare-hub init if there never were any."
        if (folder / GUARD_NAME).exists():
            fix = (
                f"Check hub.passphrase_file. If {SEALED_NAME} is lost, put it back from a copy; a restored backup has "
                "it too. Never make new keys for a hub that has signed."
            )
        yield fault("keys", error.detail, fix)
    else:
        yield fine("keys", "The signing keys open.")


def _tls(settings: HubSettings) -> Finding:
    path = settings.tls.certificate_file
    if path is None:
        return fine(
            "certificate",
            "A proxy on this machine ends TLS." if settings.hub.behind_proxy else "No certificate is set.",
        )
    try:
        tls_context(settings)
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (ThroughcareError, OSError, ValueError, ssl.SSLError):
        fix = "Check tls.certificate_file and tls.key_file: PEM, readable, and belonging together."
        return fault("certificate", "The certificate or its key cannot be used.", fix)
    days = (ends - datetime.now(UTC)).days
    fix = "Get a new certificate, put it there, and start the hub again."
    if days < 0:
        return fault("certificate", "The certificate has ended.", fix)
    found = f"The certificate counts for {days} more days."
    return warning("certificate", found, fix) if days < CERTIFICATE_MARKED_DAYS else fine("certificate", found)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found, fix = f"{free / (1 << 30):.1f} GiB free.", f"Make room on the disk of {folder}."
    if free < LEAST_FREE:
        return fault("disk", found, fix)
    return warning("disk", found, fix) if free < LITTLE_FREE else fine("disk", found)


def _left(folder: Path) -> Iterator[Finding]:
    """Name what a restore, or the check of a backup, that was killed has left (BAK-9)."""
    if left := left_behind(folder, RESTORING_PREFIX):
        fix = f"Type the restore again, or start the hub: both remove it. By hand: rm -r {' '.join(map(str, left))}"
        yield warning("working copy", "A restore that was cut off has left its copy of the database.", fix)
    if left := own_left(Path(gettempdir()), VERIFYING_PREFIX):
        fix = f"Check a backup again (restore --verify): that removes it. By hand: rm -r {shlex.join(map(str, left))}"
        yield warning("opened backup", "A check of a backup that was cut off has left what it opened.", fix)


async def _store(settings: HubSettings, now: int) -> list[Finding]:
    """Look at database and guard: every root is computed anew (AUD-4)."""
    folder, url = settings.hub.data_dir, settings.store.url
    guard = Guard(folder / GUARD_NAME)
    if (folder / REQUEST_NAME).exists():
        return [fault("store", "The hub was restored and waits for its authority's word.", _RESUME)]
    try:
        guard.read()
        if url is None and not (folder / DATABASE_NAME).exists():
            if guard.heads:
                return [fault("store", "There is a guard file, but the database is gone.", _RESTORE)]
            return [warning("store", "There is no database yet.", _RUN)]
        return await look(folder, settings.store, lambda connection: _logs(connection, settings, guard, now))
    except ThroughcareError as error:
        if url is not None and isinstance(error, ConfigurationError | StoreFailed | Unavailable):
            told, _, fix = error.detail.partition(". ")
            return [fault("store", f"{told}.", fix)]
        fix = _GO_BACK if error.detail.endswith(GO_BACK) else _RESTORE
        return [fault("guard", error.detail.removesuffix(NEXT).removesuffix(GO_BACK).rstrip(), fix)]


def _logs(connection: Connection, settings: HubSettings, guard: Guard, now: int) -> list[Finding]:
    revision = revision_of(connection) or ""
    if not revision and guard.heads:
        return [fault("store", "The database is empty, but this hub has signed.", _RESTORE)]
    if not revision:
        return [warning("store", "The database is empty yet.", _RUN)]
    if revision != NEWEST:
        return [_migration(revision)]
    check_not_behind(settings.hub.data_dir, len(restorations.generations(connection)))
    heads = check_logs(connection, origins_in(connection, settings.hub.domain), guard.heads)
    if restorations.waits(connection):
        return [fault("store", "The database was restored and waits for the authority's word.", _RESUME)]
    newest = trees.newest_time(connection)
    audit, directory = heads[Log.AUDIT].size, heads[Log.DIRECTORY].size
    found = [fine("guard", f"The database holds all that was signed: {audit} leaves, roots computed anew.")]
    if settings.store.url is None and not sqlite_is_sound():
        found.append(warning("sqlite", "This SQLite has a known fault.", "Install Python with SQLite 3.51.3 or newer."))
    if directory == 0:
        fix = "Have the authority type throughcare authority publish."
        found.append(warning("directory", "The directory is empty: nobody can enrol yet.", fix))
    else:
        found.append(fine("directory", f"The directory has {directory} statements."))
    if restorations.generations(connection):
        found.append(_handed_back(connection, settings))
    noted = max(noted_time(settings.hub.data_dir / CLOCK_NAME), last_shown(connection))
    noted = now if settings.hub.clock_file else noted
    return [*found, _log_times(newest, noted, now), _waiting(connection, settings, now)]


def _handed_back(connection: Connection, settings: HubSettings) -> Finding:
    """Tell whether what the last restore is known to have lost of the directory can be there again (GEN-8)."""
    directory = replay(connection, settings)
    last = directory.restorations[-1]
    lost = last.subject.directory.known_size - last.subject.directory.size
    lacking = lost - (directory.size - last.index - 1)
    if lacking > 0:
        fix = (
            "Ask that all connectors run: they hand back what they hold. Then have anew what nobody held: revocations."
        )
        return warning(
            "restore", f"Of {lost} statements that the restore lost, {lacking} or more are still missing.", fix
        )
    return fine("restore", "No statement is known to be missing since the restore.")


def _migration(revision: str) -> Finding:
    if revision > NEWEST:
        fix = "Install that version or a newer one."
        return fault("store", "The database was made by a newer version of Throughcare.", fix)
    fix = "Make sure of a backup that the version before made, then start the hub: it brings the database up to date."
    return warning("store", "The database is of an older version of Throughcare.", fix)


def _log_times(newest: int, noted: int, now: int) -> Finding:
    if newest > now + CLOCK_SKEW:
        minutes = (newest - now) // 60_000
        fix = "Set this machine's clock, and keep it set (NTP)."
        return fault("log times", f"The clock is {minutes} minutes behind what this hub has signed.", fix)
    if is_unsure(now, newest, noted):
        fix = (
            "If that is the time: throughcare-hub clock --confirm YYYY-MM-DD --config FILE, or let two agencies' "
            "connectors come. If not: set the clock, keep it set (NTP), and start the hub anew."
        )
        since = f"The clock says {told(now)}, and the hub last knew it to be right at {told(max(newest, noted))}"
        return warning("log times", f"{since}: it takes and deletes nothing before that is confirmed.", fix)
    return fine("log times", "The clock is not behind what this hub has signed.")


def _waiting(connection: Connection, settings: HubSettings, now: int) -> Finding:
    oldest = envelopes.oldest_waiting(connection)
    if oldest is None:
        return fine("mail", "Nothing waits to be collected.")
    days = max(0, now - oldest) // DAY
    found = f"The oldest mail has waited for {days} days."
    if days * DAY < WAITING_MARKED:
        return fine("mail", found)
    directory = replay(connection, settings)
    devices = envelopes.devices_that_wait(connection, now - WAITING_MARKED)
    away = gone(devices, directory, now)
    oldest = envelopes.oldest_waiting(connection, away)
    if oldest is None or now - oldest < WAITING_MARKED:
        return fine("mail", "Nothing has waited for a week but what is for devices that were revoked or replaced.")
    # Whose the devices are the operator is told, and nobody else.
    entries = [directory.device(device) for device in devices if device not in away]
    late = sorted({entry.agency for entry in entries if entry is not None})
    fix = f"Ask whether the connector runs that should collect it: {', '.join(late) or 'of a device not known'}."
    return warning("mail", f"The oldest mail has waited for {(now - oldest) // DAY} days.", fix)


async def _service(settings: HubSettings, session: aiohttp.ClientSession) -> Finding:
    """Ask a running hub how it is."""
    hub = settings.hub
    if hub.admin_port == 0:
        return skipped("service", "hub.admin_port is 0, so where to ask the hub is not known.")
    host = f"[{hub.admin_host}]" if ":" in hub.admin_host else hub.admin_host
    said = await examine_health(f"http://{host}:{hub.admin_port}", session)
    if said is None:
        held = ", ".join(map(str, sorted(holders_of((hub.data_dir / DATABASE_NAME).with_suffix(".lock")))))
        if held:
            fix = "Wait if it is a restore or a start. Else look at the hub's log, and stop that process."
            return warning("service", f"Process {held} holds the database, and does not answer at admin_port.", fix)
        return warning("service", "The hub is not running.", _RUN)
    failing = sorted(name for name, good in said.items() if not good)
    if failing:
        fix = " ".join(dict.fromkeys(_NOT_READY.get(name, _LOG) for name in failing))
        return fault("service", f"The hub runs and is not ready: {', '.join(failing)}.", fix)
    return fine("service", "The hub runs and is ready.")


async def _public(settings: HubSettings, session: aiohttp.ClientSession, clock: Callable[[], int]) -> list[Finding]:
    """Go the way that connectors go, from here."""
    if settings.hub.public_url is None:
        return [skipped("hub", "hub.public_url is not set, so how connectors come here is not known.")]
    way = Way(
        settings.hub.public_url,
        None,
        "hub.public_url",
        None,
        "the connectors' connector.ca_file (for this doctor in SSL_CERT_FILE)",
    )
    found, info = await examine_way(way, session, clock)
    if info is not None and info.domain != settings.hub.domain:
        fix = "Check hub.public_url, and where the proxy in front passes requests on to."
        found.append(fault("identity", "Another hub answers at hub.public_url.", fix))
    elif info is not None:
        fix = "Have the proxy in front pass on `Upgrade: websocket` and not buffer what follows."
        found.append(await examine_websocket(way, session, fix))
    return found

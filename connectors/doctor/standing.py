# SPDX-License-Identifier: Apache-2.0
"""How the installation stands: directory, certificate, prekey, what waits to go out, what was refused."""

from collections.abc import Mapping, Sequence
from typing import Final

from connectors.config import ConnectorSection
from connectors.doctor.attached import examine_fetching, examine_files
from connectors.doctor.held import examine_held
from connectors.freshness import Freshness, Standing
from connectors.installation import PREKEY_PREFIX, Installation, prekey_name
from connectors.logs import Log
from connectors.parts import make_parts
from connectors.store import contradictions, incoming, moves, progress, quarantine, webhooks
from connectors.store.damage import damaged
from connectors.store.engine import DATABASE_FILE, Store
from connectors.store.webhooks import DeliveryState
from connectors.timing import Clock
from connectors.vault import Vault
from connectors.vouching import TROUBLES, vouching
from connectors.way_out import WayOut
from keys.directory import Directory
from keys.entries import DeviceEntry
from keys.keystore import Keystore
from protocol.diagnosis import REPORT, Finding, fault, fine, starts_connector, warning
from protocol.errors import ClockSkewed, DirectorySplit, Revoked, ThroughcareError
from protocol.ids import KeyId, Kind, MessageId, ThreadId, text
from protocol.limits import DAY, HOUR, PREKEY_MARKED, PREKEY_REFUSED

CERTIFICATE_MARKED: Final = 14 * DAY
"""Rest of the certificate's life below which it should have been renewed long ago (CON-11), in ms."""
AGENCY_MARKED: Final = 60 * DAY
"""Rest of the agency's certificate below which the authority should be asked to renew it, in ms."""
OUTBOX_MARKED: Final = DAY
"""Age of the oldest unsent message above which somebody should look, in ms."""

_NAMED: Final = 5
"""Damaged messages that are named; of the others their number."""

_ENROL: Final = "Ask the authority for a new code, and type throughcare enrol with a new data folder."
_RESTORE: Final = "Restore the newest backup (throughcare restore): it makes a new device. Without one, enrol anew."
_ELSEWHERE: Final = (
    "If an old copy of this machine was put back, let the connector run: it publishes another. If not, somebody else "
    "has its keys: stop it, and type throughcare restore with --revoke."
)
_RENEW: Final = "throughcare key renew --config FILE   (it says what stands in the way)"
_RUN: Final = f"Let the connector run: {starts_connector()}"


async def examine_standing(
    settings: ConnectorSection, installation: Installation, clock: Clock, ahead: int | None = 0
) -> list[Finding]:
    """Replay the stored directory and judge it, and count what waits; nothing is fetched and nothing is changed.

    `ahead` is by how many ms the hub's clock is ahead of this one, None if it told no time.
    """
    store = await Store.open(settings.data_dir / DATABASE_FILE, Vault(installation.storage_key))
    try:
        async with WayOut.of(settings).session() as session:
            parts = make_parts(settings, installation, store, session, clock, Log(level="error"))
            try:
                await parts.directory.load()
            except ThroughcareError as error:
                return [fault("directory", error.detail, "Restore the newest backup.")]
        now, device = clock(), installation.device.key_id
        found = [_directory(parts.directory.standing(), now)]
        found += _own(parts.directory.directory, device, now, installation.keystore)
        async with store.read() as tx:
            found.append(_outbox(await progress.oldest_open(tx), now))
            found += _refused(len(await contradictions.waiting(tx)))
            found.append(_quarantine(await quarantine.count(tx)))
            found += _held(len(await incoming.gap_closed(tx)))
            damage = await damaged(tx)
            found.append(_messages(list(damage.messages)))
            found += _rows(list(damage.others))
            found += _clocks(await moves.failing(tx))
            found += await examine_held(tx, now, ahead)
            found += await examine_fetching(tx, settings.data_dir)
            found.append(_webhooks(await webhooks.counts(tx), await webhooks.disabled(tx)))
        return [*found, *await examine_files(store, settings.data_dir)]
    finally:
        await store.close()


def _directory(standing: Standing, now: int) -> Finding:
    if standing.confirmed_at is None:
        return warning("directory", "The directory was never fetched.", _RUN)
    age = f"{standing.size} statements, confirmed {_age(now - standing.confirmed_at)} ago"
    if standing.error == DirectorySplit.code:
        fix = "Call your authority, and give it the proof: throughcare directory evidence FILE. No agency is at fault."
        return fault("directory", "The hub signed two directories. Nothing is sealed.", fix)
    if standing.freshness is Freshness.INCONSISTENT:
        fix = "Stop, and call your authority first, then the hub's operator: the evidence is in the store."
        return fault("directory", "The hub showed a directory that contradicts an earlier one.", fix)
    if standing.error == ClockSkewed.code:
        found = f"{standing.size} statements; this machine's clock is not that of the directory: nothing is sealed."
        return fault("directory", found, "Set this machine's clock, and keep it set (NTP).")
    if standing.freshness is Freshness.STALE:
        return fault("directory", f"{age}: nothing is sealed by a directory over 72 hours old.", _RUN)
    if standing.freshness is Freshness.MARKED:
        return warning("directory", f"{age}.", _RUN)
    return fine("directory", f"{age}.")


def _refused(heads: int) -> list[Finding]:
    """Judge what the hub signed and did not back: it proves nothing yet (DIR-18)."""
    if heads == 0:
        return []
    what = "a head that it" if heads == 1 else f"{heads} heads that it"
    fix = (
        "If the directory goes on, nothing. If it comes again: throughcare directory evidence FILE, for the authority."
    )
    return [warning("evidence", f"The hub showed {what} signed and what does not add up to it.", fix)]


def _own(directory: Directory, device: KeyId, now: int, keystore: Keystore) -> list[Finding]:
    """Judge our own certificate and prekey as others see them (DIR-6, DIR-7, DIR-8)."""
    entry = directory.device(device)
    if entry is None:
        return [warning("certificate", "The directory that is stored here does not know this device yet.", _RUN)]
    found = [_agency(directory, entry, now), _certificate(directory, entry, now), *_taken(directory, entry)]
    newest = directory.newest_prekey(device)
    if newest is None:
        return [*found, warning("prekey", "No prekey is published: nobody can write to this agency.", _RUN)]
    if prekey_name(newest.epoch) not in keystore.names(PREKEY_PREFIX):
        return [*found, fault("prekey", "The newest prekey of this device was not made on this machine.", _ELSEWHERE)]
    age = now - newest.issued
    if age > PREKEY_REFUSED:
        return [*found, fault("prekey", f"The newest prekey is {_age(age)} old: nobody can write to us.", _RUN)]
    if age > PREKEY_MARKED:
        return [*found, warning("prekey", f"The newest prekey is {_age(age)} old; after 60 days it is refused.", _RUN)]
    return [*found, fine("prekey", f"The newest prekey is {_age(age)} old.")]


def _agency(directory: Directory, entry: DeviceEntry, now: int) -> Finding:
    """Judge what the authority says of us; only it can mend that."""
    trouble = TROUBLES.get(vouching(directory, entry.agency, entry.issuer, now))
    if trouble is not None:
        return fault("agency", trouble.found, trouble.fix)
    rest = directory.agency_line(entry.agency)[-1].not_after - now
    if rest < AGENCY_MARKED:
        fix = "Ask the authority to renew it: throughcare authority renew. Nothing is to be done here."
        return warning("agency", f"The authority vouches for this agency for {_age(rest)} more.", fix)
    return fine("agency", f"The authority vouches for this agency for {_age(rest)} more.")


def _certificate(directory: Directory, entry: DeviceEntry, now: int) -> Finding:
    try:
        directory.device_in_force(entry.key_id, at=now, size=directory.size)
    except Revoked:
        if entry.revoked_index is None:
            return fault("certificate", "What this device stands on was revoked.", _ENROL)
        return fault("certificate", "This device was revoked.", _RESTORE)
    except ThroughcareError:
        return fault("certificate", "This device's certificate does not count (ended, or not begun).", _RENEW)
    if entry.superseded_at is not None:
        fix = (
            "Use that device; what came for this one before can still be opened here. If there is none, somebody has "
            "the agency's keys: ask the authority to revoke the agency."
        )
        return fault("certificate", "A newer device serves this agency's desks.", fix)
    rest = entry.not_after - now
    if rest < CERTIFICATE_MARKED:
        return warning("certificate", f"The device's certificate ends in {_age(rest)}.", _RENEW)
    return fine("certificate", f"The device's certificate counts for {_age(rest)} more.")


def _taken(directory: Directory, entry: DeviceEntry) -> list[Finding]:
    """Name the desks that another device took, while this one goes on with others (CON-21)."""
    taken = directory.taken_from(entry.key_id)
    if not taken or entry.superseded_at is not None:
        return []
    fix = (
        "If that was not you, somebody has the agency's keys: ask the authority to revoke the agency and to invite it "
        "anew (throughcare authority revoke)."
    )
    return [fault("desks", f"Another device serves {', '.join(taken)} now.", fix)]


def _outbox(oldest: int | None, now: int) -> Finding:
    if oldest is None:
        return fine("outbox", "Nothing waits to be sent.")
    age = now - oldest
    if age > OUTBOX_MARKED:
        fix = (
            "throughcare message list --agency NAME and throughcare handover list --agency NAME show it, and show with "
            "its id names the reason at each desk; for a referral: throughcare referral show THREAD."
        )
        return warning("outbox", f"The oldest message has waited for {_age(age)}.", fix)
    return fine("outbox", f"The oldest message has waited for {_age(age)}.")


def _quarantine(count: int) -> Finding:
    if count == 0:
        return fine("quarantine", "Nothing was refused.")
    fix = (
        "throughcare quarantine list --agency NAME names each reason; docs/operations.md, section 6, says whom to "
        "call. Only of some does the sender know by itself."
    )
    return warning("quarantine", f"{count} item{'s' if count > 1 else ''} came and could not be taken in.", fix)


def _held(lines: int) -> list[Finding]:
    """Judge what should have had its effect; their senders know only that it was opened (SEQ-7)."""
    if lines == 0:
        return []
    fix = (
        "Let the connector run. If it stays so: call the sender. Its log says `part-failed` of part `inbox`: please "
        f"{REPORT}."
    )
    threads = "one thread" if lines == 1 else f"{lines} threads"
    return [warning("held", f"In {threads} a message is held although none before it is missing.", fix)]


def _webhooks(unconfirmed: Mapping[DeliveryState, int], known: Mapping[str, int | None]) -> Finding:
    if any(known.values()):
        fix = (
            "throughcare webhook list --agency NAME names it; mend the receiver, then throughcare webhook replay EVENT."
        )
        return warning("webhooks", "A webhook answered 410 and is told nothing more.", fix)
    failed = unconfirmed[DeliveryState.FAILED]
    if failed:
        fix = "throughcare webhook list --agency NAME --state failed, then throughcare webhook replay EVENT for each."
        said = "events were" if failed > 1 else "event was"
        return warning("webhooks", f"{failed} {said} not confirmed after all tries.", fix)
    return fine("webhooks", "No webhook has failed for good.")


def _messages(ids: Sequence[MessageId]) -> Finding:
    if not ids:
        return fine("messages", "Every stored message can be read.")
    named = ", ".join(text(Kind.MESSAGE, one) for one in ids[:_NAMED])
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    fix = (
        "Look at the disk first (dmesg, SMART). Then ask the senders to send these again. Restore the newest backup "
        "only if many are damaged or the disk must go: what this agency sent since is not in it."
    )
    return fault("messages", f"{len(ids)} cannot be read any more: {named}{more}.", fix)


def _rows(names: Sequence[str]) -> list[Finding]:
    """Judge what else of the store cannot be read; each holds up only itself (CON-8)."""
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    fix = (
        "Look at the disk first (dmesg, SMART); all the rest goes on. Restore the newest backup only if it is worth "
        "that: what this agency sent since is not in it."
    )
    return [fault("stored rows", f"{len(names)} cannot be read any more: {', '.join(names[:_NAMED])}{more}.", fix)]


def _clocks(failing: Sequence[tuple[ThreadId, str]]) -> list[Finding]:
    """Judge the threads to which time could not do what was due (CLK-4)."""
    if not failing:
        return []
    named = ", ".join(f"{text(Kind.THREAD, thread)} ({code})" for thread, code in failing[:_NAMED])
    more = f" and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
    fix = (
        "If it is damaged, look at the disk, and restore the newest backup if it is worth that; if the certificate "
        "does not allow it, ask the authority for another. Until then look at these yourself: their reminders and ends "
        "do not come."
    )
    return [fault("clocks", f"Time cannot do what is due in {len(failing)}: {named}{more}.", fix)]


def _age(milliseconds: int) -> str:
    """Return a time for people: `3 days`, `5 hours`, `under an hour`."""
    for unit, name in ((DAY, "day"), (HOUR, "hour")):
        if milliseconds >= unit:
            number = milliseconds // unit
            return f"{number} {name}{'s' if number > 1 else ''}"
    return "under an hour"

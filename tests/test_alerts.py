# SPDX-License-Identifier: Apache-2.0
"""Every alert fires in the situation that it was made for, and at no other time; and is silent once that is mended."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.config import GUARD_NAME
from hub.service.signingkeys import PUBLIC_NAME, SEALED_NAME
from keys.backuprecord import RECORD_NAME, note_backup
from protocol.limits import DAY, HOUR
from tests.alerting import Prometheus, rules
from tests.hub.backups import restore_at
from tests.hub.loss import LATER, Loss
from tests.hub.running import RunningHub, TestClock
from tests.programme import Programme, make_programme

HUB, CONNECTOR = "throughcare-hub", "throughcare-connector"
BEGIN = 1_800_000_000.0
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0

Told = Callable[[float], str | None]
"""What a target tells at so many seconds since its trouble began."""


def lines(**values: float) -> str:
    """Return metrics without labels."""
    return "".join(f"throughcare_{name} {value}\n" for name, value in values.items())


def counted(name: str, labels: str, each_minute: float) -> Told:
    """Return a counter that grows by so much a minute."""
    return lambda since: f"throughcare_{name}{{{labels}}} {each_minute * max(0.0, since) / MINUTE_S}\n"


def requests(failing: float, code: str = "500", seconds: float = 0.02, operation: str = "acknowledge") -> Told:
    """Return a hundred requests a minute, of which so many fail; each takes so long."""

    def told(since: float) -> str:
        name, much = "request_duration_seconds", max(0.0, since) / MINUTE_S
        text = ""
        for status, each in (("200", 100 - failing), (code, failing)):
            for bound in (0.1, 5.0, float("inf")):
                within = each * much if seconds <= bound else 0.0
                le = "+Inf" if bound == float("inf") else bound
                text += f'throughcare_{name}_bucket{{operation="{operation}",code="{status}",le="{le}"}} {within}\n'
            text += f'throughcare_{name}_count{{operation="{operation}",code="{status}"}} {each * much}\n'
        return text

    return told


def always(text: str) -> Told:
    return lambda since: text


def since_trouble(before: str, after: str) -> Told:
    return lambda since: before if since < 0 else after


@dataclass(frozen=True)
class Case:
    """A target in trouble for `lasts` seconds, and what it tells otherwise."""

    job: str
    sick: Told
    well: str = ""
    lasts: float = 2 * HOUR_S
    mended: float = 2 * HOUR_S


def restarts(since: float) -> str:
    return lines(start_time_seconds=BEGIN + since // (10 * MINUTE_S))


CASES = {
    "HubDown": Case(HUB, lambda since: None),
    "HubNotReady": Case(HUB, always('throughcare_ready{check="store"} 0\n'), 'throughcare_ready{check="store"} 1\n'),
    "HubRestartsOften": Case(HUB, restarts, lines(start_time_seconds=BEGIN + 99)),
    "HubErrors": Case(HUB, requests(6)),
    "HubSlow": Case(HUB, requests(0, seconds=2.0)),
    "HubQueueFills": Case(HUB, always(lines(writer_waiting=51, writer_capacity=100))),
    "HubRefusesForLoad": Case(HUB, counted("refusals_total", 'operation="submitEnvelope",code="unavailable"', 70)),
    "HubLimitsCallers": Case(HUB, counted("refusals_total", 'operation="readMailbox",code="too-many-requests"', 10)),
    "HubRefusesCallers": Case(HUB, counted("refusals_total", 'operation="readMailbox",code="not-authenticated"', 1)),
    "HubMailWaits": Case(HUB, always(lines(delivery_age_seconds=8 * DAY_S)), lines(delivery_age_seconds=0)),
    "HubMailAboutToExpire": Case(HUB, always(lines(delivery_age_seconds=26 * DAY_S)), lines(delivery_age_seconds=0)),
    "ConnectorDown": Case(CONNECTOR, lambda since: None),
    "ConnectorRestartsOften": Case(CONNECTOR, restarts, lines(start_time_seconds=BEGIN + 99)),
    "ConnectorCutOff": Case(CONNECTOR, always(lines(hub_connected=0)), lines(hub_connected=1)),
    "DirectoryOld": Case(CONNECTOR, always(lines(directory_age_seconds=90_000)), lines(directory_age_seconds=9)),
    "DirectoryStale": Case(CONNECTOR, always('throughcare_directory_state{state="stale"} 1\n')),
    "DirectoryInconsistent": Case(CONNECTOR, always('throughcare_directory_state{state="inconsistent"} 1\n')),
    "MessagesWait": Case(CONNECTOR, always(lines(outbox_age_seconds=90_000)), lines(outbox_age_seconds=0)),
    "MessagesFailed": Case(
        CONNECTOR,
        always('throughcare_outgoing_messages{state="failed"} 3\n'),
        'throughcare_outgoing_messages{state="failed"} 2\n',
    ),
    "MessageUnanswered": Case(CONNECTOR, always('throughcare_messages_unanswered{by="us"} 1\n')),
    "MessageHeld": Case(CONNECTOR, always(lines(inbox_depth=1)), lines(inbox_depth=0), lasts=25 * HOUR_S),
    "QuarantineGrew": Case(
        CONNECTOR,
        always(lines(quarantine_newest=2_001, quarantine_depth=2_000)),
        lines(quarantine_newest=2_000, quarantine_depth=2_000),
        lasts=30 * MINUTE_S,
    ),
    "WebhookFailing": Case(CONNECTOR, always('throughcare_webhook_deliveries{state="failed"} 1\n')),
    "PrekeyOld": Case(CONNECTOR, always(lines(prekey_age_seconds=15 * DAY_S)), lines(prekey_age_seconds=60)),
    "ConnectorClockOff": Case(
        CONNECTOR, always(lines(clock_difference_seconds=-31)), lines(clock_difference_seconds=0)
    ),
    "ClockOff": Case(HUB, lambda since: lines(clock_seconds=BEGIN + since - 90)),
    "CertificateEndsSoon": Case(HUB, always(f'throughcare_key_expiry_seconds{{key="tls"}} {13 * DAY_S}\n')),
    "CertificateEnded": Case(CONNECTOR, always('throughcare_key_expiry_seconds{key="device"} -1\n')),
    "DiskFills": Case(HUB, lambda since: lines(disk_free_bytes=50e9 - 1e6 * since), lines(disk_free_bytes=50e9)),
    "DiskFull": Case(HUB, always(lines(disk_free_bytes=6e7)), lines(disk_free_bytes=50e9)),
    "BackupRefused": Case(CONNECTOR, always(lines(backup_refused=1)), lines(backup_refused=0)),
    "BackupOld": Case(CONNECTOR, always(lines(backup_age_seconds=3 * DAY_S)), lines(backup_age_seconds=60)),
    "HubLogWentBack": Case(
        HUB,
        always(lines(audit_head_index=5, directory_head_index=9, log_generation=0)),
        lines(audit_head_index=6, directory_head_index=9, log_generation=0),
    ),
}  # fmt: skip


def test_every_rule_has_its_case() -> None:
    assert CASES.keys() == rules().keys()


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_in_its_trouble_and_neither_before_nor_once_it_is_mended(alert: str) -> None:
    case, watched = CASES[alert], Prometheus()
    for other in {HUB, CONNECTOR} - {case.job}:
        watched.run(BEGIN - HOUR_S, BEGIN + case.lasts, other, always(case.well), "other")
    watched.run(BEGIN - HOUR_S, BEGIN - 1, case.job, always(case.well))
    assert watched.firing(alert, BEGIN - 1) == []
    watched.run(BEGIN, BEGIN + case.lasts, case.job, lambda at: case.sick(at - BEGIN))
    fired = watched.firing(alert, BEGIN + case.lasts)
    assert fired
    assert {one["instance"] for one in fired if "instance" in one} <= {"x"}
    mended = case.mended if alert not in ("HubLogWentBack", "MessagesFailed") else 25 * HOUR_S
    end = BEGIN + case.lasts + mended
    watched.run(BEGIN + case.lasts + MINUTE_S, end, case.job, always(case.well))
    assert watched.firing(alert, end) == []


def fired(alert: str, job: str, told: Told, *, lasts: float = 2 * HOUR_S) -> bool:
    watched = Prometheus()
    watched.run(BEGIN - HOUR_S, BEGIN + lasts, job, lambda at: told(at - BEGIN))
    return bool(watched.firing(alert, BEGIN + lasts))


def test_mail_in_the_hubs_mailboxes_is_no_message_that_a_connector_holds() -> None:
    assert not fired("MessageHeld", HUB, always(lines(inbox_depth=7)), lasts=25 * HOUR_S)


def test_a_recipient_that_collects_nothing_is_no_error_of_the_hub() -> None:
    assert not fired("HubErrors", HUB, requests(50, "507"))


def test_an_attachment_over_a_slow_line_does_not_make_the_hub_slow() -> None:
    assert not fired("HubSlow", HUB, requests(0, seconds=2.0, operation="uploadChunk"))


def test_what_is_refused_over_websockets_counts_as_much_as_what_is_over_plain_requests() -> None:
    told = counted("envelopes_total", 'direction="in",outcome="unavailable"', 70)
    assert fired("HubRefusesForLoad", HUB, told)
    told = counted("envelopes_total", 'direction="in",outcome="too-many-requests"', 10)
    assert fired("HubLimitsCallers", HUB, told)


def test_a_message_that_is_given_up_is_told_also_when_an_older_one_is_forgotten_on_the_same_day() -> None:
    state = 'throughcare_outgoing_messages{state="failed"}'

    def told(since: float) -> str:
        return f"{state} {3 if since < -1_800 or since >= 0 else 2}\n"

    assert fired("MessagesFailed", CONNECTOR, told)
    assert not fired("MessagesFailed", CONNECTOR, since_trouble(f"{state} 3\n", f"{state} 2\n"))


def test_a_message_that_nobody_collected_in_time_is_given_up_too_and_told() -> None:
    failed, expired = (f'throughcare_outgoing_messages{{state="{state}"}}' for state in ("failed", "expired"))
    told = since_trouble(f"{failed} 2\n{expired} 0\n", f"{failed} 2\n{expired} 1\n")
    assert fired("MessagesFailed", CONNECTOR, told)
    # That an older one is forgotten on the same day hides none of them.
    told = since_trouble(f"{failed} 2\n{expired} 0\n", f"{failed} 1\n{expired} 1\n")
    assert fired("MessagesFailed", CONNECTOR, told)
    assert not fired("MessagesFailed", CONNECTOR, always(f"{failed} 2\n{expired} 7\n"))


def test_a_quarantine_that_a_restore_has_emptied_is_no_alarm() -> None:
    told = since_trouble(lines(quarantine_newest=9), lines(quarantine_newest=0))
    assert not fired("QuarantineGrew", CONNECTOR, told, lasts=30 * MINUTE_S)


def test_of_several_processes_of_one_hub_one_makes_the_backups() -> None:
    watched = Prometheus()
    for instance, age in (("first", HOUR_S), ("second", 90 * DAY_S)):
        watched.run(BEGIN - 2 * HOUR_S, BEGIN, HUB, always(lines(backup_age_seconds=age)), instance)
    assert watched.firing("BackupOld", BEGIN) == []
    # Of two connectors each makes its own.
    watched.run(BEGIN - 2 * HOUR_S, BEGIN, CONNECTOR, always(lines(backup_age_seconds=HOUR_S)), "first")
    watched.run(BEGIN - 2 * HOUR_S, BEGIN, CONNECTOR, always(lines(backup_age_seconds=3 * DAY_S)), "second")
    assert [one["instance"] for one in watched.firing("BackupOld", BEGIN)] == ["second"]


async def told_by(hub: RunningHub) -> str:
    return (await hub.hub.watch.metrics_text({"store": True})).decode()


@pytest.fixture
def programme() -> Programme:
    return make_programme()


async def test_gen_2_a_restore_that_the_authority_has_signed_is_no_log_that_went_back(
    tmp_path: Path, quick_keys: None
) -> None:
    loss = Loss(tmp_path, make_programme())
    await loss.happen()
    watched = Prometheus()
    async with RunningHub(loss.old, loss.programme) as hub:
        watched.run(BEGIN - HOUR_S, BEGIN, HUB, always(await told_by(hub)))
    shutil.copy(loss.old / GUARD_NAME, tmp_path / "old.guard")
    await restore_at(loss.new, loss.programme, loss.file, tmp_path / "old.guard", now=LATER)
    # As if the backups had been made on this machine.
    note_backup(loss.new, made_at=LATER, size=1)
    await loss.resume()
    assert not (loss.new / RECORD_NAME).exists()  # those from before can never be used again
    async with RunningHub(loss.new, loss.programme) as hub:
        restored = await told_by(hub)
    watched.run(BEGIN + 60, BEGIN + HOUR_S, HUB, always(restored))
    assert watched.firing("HubLogWentBack", BEGIN + HOUR_S) == []
    # Another loss on the same day, which nobody signed, is told.
    sizes = [line for line in restored.splitlines() if line.startswith("throughcare_audit_head_index")]
    assert sizes
    meddled = restored.replace(sizes[0], "throughcare_audit_head_index 1.0")
    watched.run(BEGIN + HOUR_S + 60, BEGIN + 2 * HOUR_S, HUB, always(meddled))
    assert watched.firing("HubLogWentBack", BEGIN + 2 * HOUR_S)


async def test_an_older_copy_of_the_database_without_its_guard_is_a_log_that_went_back(
    tmp_path: Path, programme: Programme
) -> None:
    folder, copy, watched = tmp_path / "hub", tmp_path / "copy", Prometheus()
    folder.mkdir()
    async with RunningHub(folder, programme) as hub:
        watched.run(BEGIN - HOUR_S, BEGIN, HUB, always(await told_by(hub)))
    shutil.copytree(folder, copy)
    async with RunningHub(folder, programme) as hub:
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        await hub.device(programme.members["gora-prison"]).submit(sealed.data)
        watched.run(BEGIN + 60, BEGIN + HOUR_S, HUB, always(await told_by(hub)))
    assert watched.firing("HubLogWentBack", BEGIN + HOUR_S) == []
    async with RunningHub(copy, programme) as hub:
        watched.run(BEGIN + HOUR_S + 60, BEGIN + 2 * HOUR_S, HUB, always(await told_by(hub)))
    assert watched.firing("HubLogWentBack", BEGIN + 2 * HOUR_S)


async def test_a_hub_that_ends_again_and_again_is_told_of_though_it_commits_nothing(
    tmp_path: Path, programme: Programme
) -> None:
    watched = Prometheus()
    for number in range(4):
        async with RunningHub(tmp_path, programme) as hub:
            watched.scrape(BEGIN + number * 300, HUB, await told_by(hub))
    assert watched.firing("HubRestartsOften", BEGIN + 900)


async def test_mail_for_a_device_that_was_replaced_calls_nobody(tmp_path: Path, programme: Programme) -> None:
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme) as hub:
        await hub.device(prison).submit(programme.sender("gora-prison").seal(probation.desk).data)
        hub.clock.advance(8 * DAY)
        late = always(await told_by(hub))
        assert fired("HubMailWaits", HUB, late)
        programme.replace_device(probation, "another machine")
        await hub.catch_up()
        assert not fired("HubMailWaits", HUB, always(await told_by(hub)))


async def test_a_root_that_has_ended_is_told_and_not_forgotten(tmp_path: Path, programme: Programme) -> None:
    async with RunningHub(tmp_path, programme) as hub:
        hub.clock.advance(40 * 365 * DAY)
        ended = {one["key"] for one in _firing_now("CertificateEnded", await told_by(hub))}
        assert ended == {"root", "authority"}


def _firing_now(alert: str, text: str) -> list[dict[str, str]]:
    watched = Prometheus()
    watched.scrape(BEGIN, HUB, text)
    return watched.firing(alert, BEGIN)


async def test_a_hub_that_never_was_backed_up_is_told_of_whatever_was_started_or_copied_since(
    tmp_path: Path, programme: Programme
) -> None:
    """It was silent for two days after each change of the keys' file, or each start where they are a credential."""
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme) as hub:
        hub.clock.advance(DAY)
        assert not fired("BackupOld", HUB, always(await told_by(hub)))
        hub.clock.advance(2 * DAY)
        assert fired("BackupOld", HUB, always(await told_by(hub))), "it has statements"
        await hub.device(prison).submit(programme.sender("gora-prison").seal(probation.desk, now=hub.clock()).data)
        assert not fired("BackupOld", HUB, always(await told_by(hub)))
    async with RunningHub(tmp_path, programme, TestClock(hub.clock() + 3 * DAY)) as hub:
        for name in (SEALED_NAME, PUBLIC_NAME):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, ((hub.clock() - HOUR) / 1_000,) * 2)
        never = await told_by(hub)
        assert fired("BackupOld", HUB, always(never))
        watched = Prometheus()
        watched.run(BEGIN - 2 * HOUR_S, BEGIN, HUB, always(never), "second")
        watched.run(BEGIN - 2 * HOUR_S, BEGIN, HUB, always(lines(backup_age_seconds=2.5 * DAY_S)), "first")
        assert watched.firing("BackupOld", BEGIN), "the one that made backups has made none for over two days"
        note_backup(tmp_path, made_at=hub.clock() - HOUR, size=1)
        assert not fired("BackupOld", HUB, always(await told_by(hub)))

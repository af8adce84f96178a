# SPDX-License-Identifier: Apache-2.0
"""What the doctor says to do is the smaller harm first, names the file that it looked at, and promises nothing."""

from pathlib import Path

from connectors.doctor import _profile, standing
from protocol.diagnosis import Condition, fault, named, starts_connector, starts_hub
from protocol.ids import MessageId, new_id
from tests.connectors.conftest import World
from tests.connectors.test_doctor import settings_of


def test_for_a_damaged_message_the_senders_are_asked_before_a_backup_is_restored() -> None:
    """A restore makes a new device, and what was said since the backup is not in it."""
    for found in (standing._messages([MessageId(new_id())]), *standing._rows(["a row"])):
        fix = str(found.fix)
        assert fix.startswith("Look at the disk first")
        assert "what this agency sent since is not in it" in fix
    fix = str(standing._messages([MessageId(new_id())]).fix)
    assert fix.index("ask the senders") < fix.index("Restore")


def test_of_what_was_refused_nobody_is_told_that_its_senders_know() -> None:
    """CON-10: a hub that shows two directories, or a stranger's bytes, are told to nobody else."""
    assert "the senders were told" not in str(standing._quarantine(1).fix)
    assert "whom to call" in str(standing._quarantine(2).fix)


def test_what_waits_leads_to_the_lists_that_show_it_and_to_what_names_the_reason() -> None:
    fix = str(standing._outbox(0, 2 * standing.OUTBOX_MARKED).fix)
    for command in ("message list", "handover list", "referral show"):
        assert f"throughcare {command}" in fix


def test_a_demo_is_not_made_real_by_a_setting(world: World) -> None:
    """Its hub's keys never open in production, and a new hub knows none of what is enrolled."""
    found = _profile(settings_of(world.prison))
    assert found.condition is Condition.WARNING
    assert "enrol anew" in str(found.fix)
    assert "profile = production" not in str(found.fix)


def test_whoever_starts_a_program_is_told_its_unit_first_and_its_own_file() -> None:
    (one,) = named([fault("store", "Not there.", f"{starts_connector()}; {starts_hub()}")], Path("/etc/own.toml"))
    assert str(one.fix).count("--config /etc/own.toml") == 2
    assert str(one.fix).index("systemctl start throughcare-connector") < str(one.fix).index("connector run")
    assert str(one.fix).index("systemctl start throughcare-hub") < str(one.fix).index("throughcare-hub run")

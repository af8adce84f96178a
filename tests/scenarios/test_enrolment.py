# SPDX-License-Identifier: Apache-2.0
"""From an empty machine to an enrolled agency, typed command by command, and what is refused on the way (attack 59)."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from connectors.cli import main
from connectors.enrolment import application
from connectors.installation import read_enrolment
from keys.sealedfile import SMALL
from protocol.enrolment import parse_code
from protocol.errors import KeystoreError
from protocol.ids import Kind, text
from tests.scenarios.running import Typist
from tests.scenarios.town import Town, approve, enrol, invited, words_in

pytestmark = pytest.mark.usefixtures("quick_keys")


def test_enr_1_to_enr_5_an_agency_is_enrolled_command_by_command(town: Town, type_: Typist, tmp_path: Path) -> None:
    """enr_1 enr_2 enr_3 enr_4 enr_5, with the waiting command interrupted and typed again."""
    code = invited(town, type_, "reka")
    assert code.stat().st_mode & 0o777 == 0o600
    status, _, talk = enrol(type_, tmp_path / "reka", code)
    assert status == 7, "the approvers have not signed yet"
    words = words_in(talk)
    pending = {item["agency"]: item for item in type_("authority", "pending", town.authority, "--json").json["items"]}
    assert pending["reka@hub.example"]["words"] == words.split(), "both sides see the same words"
    assert approve(town, type_, "reka", 1, words)[0] == 0
    assert approve(town, type_, "reka", 1, words)[0] == 6, "one approver counts once"
    assert enrol(type_, tmp_path / "reka")[0] == 7, "one approver is not enough"
    assert approve(town, type_, "reka", 2, words)[0] == 0
    status, out, talk = enrol(type_, tmp_path / "reka")
    assert status == 0, talk
    assert json.loads(out)["desks"] == ["intake.reka@hub.example"]
    assert words_in(talk) == words
    enrolment = read_enrolment(tmp_path / "reka")
    assert enrolment.root_fingerprint == open_office(town.authority).facts.root_fingerprint
    assert [actor.name for actor in enrolment.actors] == ["connector service", "duty officer"]
    assert [actor["name"] for actor in json.loads(out)["actors"]] == ["connector service", "duty officer"]
    assert not (tmp_path / "reka" / application.APPLICATION_FILE).exists(), "the code's secret is gone"
    written = (tmp_path / "reka" / "connector.toml").read_text()
    (tmp_path / "reka" / "connector.toml").unlink()
    assert enrol(type_, tmp_path / "reka")[:2] == (0, out), "typed once more it tells the same, and writes what lacks"
    assert (tmp_path / "reka" / "connector.toml").read_text() == written
    told = type_("enrol", "--data-dir", tmp_path / "reka")
    assert (told.code, "lies in no file yet" in told.err) == (0, False), "nor is a passphrase asked for"
    assert enrol(type_, tmp_path / "reka", code)[0] == 6
    assert type_("config", "check", tmp_path / "reka" / "connector.toml").code == 0
    assert "reka" not in str(type_("authority", "pending", town.authority, "--json").json)
    renewed = type_("key", "renew", "--config", tmp_path / "reka" / "connector.toml", "--json")
    assert renewed.code == 0, renewed.err
    assert renewed.json["device"] == enrolment.device_key_id.hex()
    _officers_come_and_go(type_, tmp_path / "reka" / "connector.toml")


def _officers_come_and_go(type_: Typist, config: Path) -> None:
    """Add, renew and end an officer at the hub."""
    added = type_("officer", "add", "head of release", "--config", config, "--json")
    assert added.code == 0, added.err
    assert type_("officer", "add", "Head of Release", "--config", config).code == 6, "titles tell officers apart"
    assert type_("officer", "add", "two\nlines", "--config", config).code == 2
    renewed = type_("officer", "renew", added.json["id"], "--config", config, "--json")
    assert (renewed.json["id"], renewed.json["title"]) == (added.json["id"], "head of release")
    ended = type_("officer", "end", added.json["id"], "--config", config, "--json")
    assert ended.json == {"id": added.json["id"], "title": "head of release", "ended": True}
    for verb in ("end", "renew"):
        again = type_("officer", verb, added.json["id"], "--config", config)
        assert again.code == 5, "nobody ends twice"
        assert "next:  throughcare officer list --agency reka" in again.err
        mistyped = type_("officer", verb, "off_x", "--config", config)
        assert (mistyped.code, "next:  throughcare officer list " in mistyped.err) == (2, True)
    service = read_enrolment(config.parent).actors[0].officer_id
    assert type_("officer", "end", text(Kind.OFFICER, service), "--config", config).code == 5, "it could do nothing"


def test_enr_3_what_was_cut_off_while_its_file_was_written_goes_on_with_the_keys_that_were_made(
    town: Town, type_: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the keystore took its key, the application's file found no room any more."""

    def full(*_: object) -> None:
        raise KeystoreError("A file cannot be written. Check who owns its folder, and the free space.")

    code, folder = invited(town, type_, "cutoff"), tmp_path / "cutoff"
    with monkeypatch.context() as at_first:
        at_first.setattr(application, "_write", full)
        assert enrol(type_, folder, code)[0] == 8
    unasked = type_("enrol", "--code-file", code, "--data-dir", folder)
    assert (unasked.code, "The passphrase of the keystore is needed" in unasked.err) == (8, True), "once (KEY-6)"
    status, _, talk = enrol(type_, folder, code)
    assert status == 7, talk
    words = words_in(talk)
    for number in (1, 2):
        assert approve(town, type_, "cutoff", number, words)[0] == 0
    with monkeypatch.context() as then:
        then.setattr(application, "_write", full)
        assert enrol(type_, folder)[0] == 8
    status, _, talk = enrol(type_, folder)
    assert status == 0, talk


def test_enr_2_a_code_is_redeemed_once_only(town: Town, type_: Typist, tmp_path: Path) -> None:
    """Attack 59: the same code with other keys."""
    code = invited(town, type_, "once")
    assert enrol(type_, tmp_path / "first", code)[0] == 7
    status, _, talk = enrol(type_, tmp_path / "second", code)
    assert status == 4
    assert "enrolment-refused" in talk
    assert enrol(type_, tmp_path / "first")[0] == 7, "the first one's application stands"


def test_enr_1_a_damaged_code_is_refused_before_anything_is_sent(town: Town, type_: Typist, tmp_path: Path) -> None:
    code = invited(town, type_, "damaged")
    text = code.read_text().strip()
    code.write_text(text[:60] + ("A" if text[60] != "A" else "B") + text[61:])
    status, _, talk = enrol(type_, tmp_path / "damaged", code)
    assert status == 4
    assert "damaged" in talk
    assert not (tmp_path / "damaged").exists()


def test_enr_4_other_words_are_refused_and_nothing_is_signed(town: Town, type_: Typist, tmp_path: Path) -> None:
    code = invited(town, type_, "words")
    words = words_in(enrol(type_, tmp_path / "words", code)[2])
    status, talk = approve(town, type_, "words", 1, " ".join(reversed(words.split())))
    assert status == 4
    assert "Nothing was signed" in talk
    assert not open_office(town.authority).approval_file("words").exists()


def test_enr_2_a_code_that_no_authority_registered_is_refused(town: Town, type_: Typist, tmp_path: Path) -> None:
    """Attack 59: right in all it pins, but made by somebody else."""
    known = parse_code(invited(town, type_, "known").read_text())
    forged = tmp_path / "forged.code"
    forged.write_text(replace(known, secret=b"s" * 16).text())
    forged.chmod(0o600)
    assert enrol(type_, tmp_path / "forged", forged)[0] == 4


def test_enr_1_a_code_for_another_hub_sends_nothing(town: Town, type_: Typist, tmp_path: Path) -> None:
    """Attack 59: the address leads to a hub that is not the one whose keys the code pins."""
    known = parse_code(invited(town, type_, "elsewhere").read_text())
    for number, other in enumerate(
        (
            replace(known, root_fingerprint=b"\0" * 32),
            replace(known, directory=replace(known.directory, key=b"\1" * 32)),
            replace(known, audit=replace(known.audit, origin="other.example/audit")),
        )
    ):
        file = tmp_path / f"other{number}.code"
        file.write_text(other.text())
        file.chmod(0o600)
        status, _, talk = enrol(type_, tmp_path / f"other{number}", file)
        assert status == 4
        assert "Nothing was sent" in talk
    assert enrol(type_, tmp_path / "right", town.folder / "elsewhere.code")[0] == 7, "the code was not used up"


def test_enr_1_a_directory_smaller_than_the_code_says_is_refused(town: Town, type_: Typist, tmp_path: Path) -> None:
    """Attack 15: the hub shows an older directory to a newcomer."""
    known = parse_code(invited(town, type_, "older").read_text())
    file = tmp_path / "older.code"
    file.write_text(replace(known, directory=replace(known.directory, size=10_000)).text())
    file.chmod(0o600)
    status, _, talk = enrol(type_, tmp_path / "older", file)
    assert status == 8
    assert "directory-inconsistent" in talk


def test_enr_3_keys_that_nobody_asked_for_are_noticed_by_the_agency(town: Town, type_: Typist, tmp_path: Path) -> None:
    """The approvers are talked into another application under the same name: the agency's own refuses to go on."""
    mine = invited(town, type_, "twin")
    words = words_in(enrol(type_, tmp_path / "mine", mine)[2])
    approve(town, type_, "twin", 1, words)
    other = invited(town, type_, "twin", "--replace")
    words = words_in(enrol(type_, tmp_path / "other", other)[2])
    for number in (1, 2):
        assert approve(town, type_, "twin", number, words)[0] == 0
    status, _, talk = enrol(type_, tmp_path / "mine")
    assert status == 4
    assert "other keys" in talk
    assert not (tmp_path / "mine" / "enrolment.json").exists()


def test_enr_3_an_agency_that_enrols_anew_waits_for_its_approvers(town: Town, type_: Typist, tmp_path: Path) -> None:
    """As after 90 days: the old certificate counts as none, and a third one is refused."""
    words = words_in(enrol(type_, tmp_path / "old", invited(town, type_, "again"))[2])
    for number in (1, 2):
        assert approve(town, type_, "again", number, words)[0] == 0
    assert enrol(type_, tmp_path / "old")[0] == 0
    status, _, talk = enrol(type_, tmp_path / "new", invited(town, type_, "again", "--replace"))
    assert status == 7, talk
    assert enrol(type_, tmp_path / "new")[0] == 7, "the old certificate is no reason for an alarm"
    for number in (1, 2):
        assert approve(town, type_, "again", number, words_in(talk))[0] == 0
    assert enrol(type_, tmp_path / "new")[0] == 0
    old, new = read_enrolment(tmp_path / "old"), read_enrolment(tmp_path / "new")
    assert old.desks == new.desks
    assert old.device_key_id != new.device_key_id


def test_a_passphrase_file_with_a_blank_line_means_the_same_to_every_command(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """What enrolment sealed under it, the other commands open: they get as far as a store without a contradiction."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"an agency's passphrase\n\n")
    secret.chmod(0o600)
    folder = tmp_path / "blank"

    def go_on(*more: str | Path) -> int:
        return type_("enrol", "--data-dir", folder, "--passphrase-file", secret, "--demo", "--wait", "0", *more).code

    code = invited(town, type_, "blank")
    assert go_on("--code-file", code) == 7
    pending = type_("authority", "pending", town.authority, "--json").json["items"]
    words = next(" ".join(item["words"]) for item in pending if item["agency"].startswith("blank@"))
    for number in (1, 2):
        assert approve(town, type_, "blank", number, words)[0] == 0
    assert go_on() == 0
    assert type_("directory", "evidence", tmp_path / "none", "--config", folder / "connector.toml").code == 5


def test_enr_2_the_command_waits_for_the_approvers(town: Town, type_: Typist, tmp_path: Path) -> None:
    code = parse_code(invited(town, type_, "waits").read_text())
    applied = application.begin(code, tmp_path / "waits", b"an agency's passphrase", SMALL)
    words = " ".join(applied.words)
    hand_in = enrol(type_, tmp_path / "waits")
    assert hand_in[0] == 7
    approve(town, type_, "waits", 1, words)
    office = open_office(town.authority)
    signing = threading.Timer(0.5, lambda: _approve_directly(town, office.folder, words))
    signing.start()
    status, _, talk = enrol(type_, tmp_path / "waits", wait=30)
    signing.join()
    assert (status, "This waits up to 1 min" in talk, "This waits" in hand_in[2]) == (0, True, False)


def _approve_directly(town: Town, folder: Path, words: str) -> None:
    secret = str(town.passphrase("approver-2"))
    main(
        ["authority", "approve", str(folder), "waits", "--approver", "2", "--words", words, "--passphrase-file", secret]
    )


def test_dir_4_a_connector_without_a_pinned_root_does_not_start(type_: Typist, tmp_path: Path) -> None:
    """Attack 59."""
    secret = tmp_path / "passphrase"
    secret.write_text("p\n")
    secret.chmod(0o600)
    config = tmp_path / "connector.toml"
    config.write_text('[connector]\ndata_dir = "."\npassphrase_file = "passphrase"\nprofile = "demo"\nport = 0\n')
    spoken = type_("connector", "run", "--config", config)
    assert spoken.code == 3
    assert "throughcare enrol" in spoken.err


def test_a_hub_of_another_root_is_not_published_to(town: Town, type_: Typist, tmp_path: Path) -> None:
    names = ("--domain", "hub.example", "--programme", "Q", "--jurisdiction", "J", "--root-persons", "1")
    assert type_("authority", "init", tmp_path / "rival", *names).code == 0
    spoken = type_("authority", "publish", tmp_path / "rival", "--hub", town.folder / "hub" / "hub-public.json")
    assert spoken.code == 4
    assert "not the hub that was meant" in spoken.err
    assert "next:  stop, and call the hub's operator on a number you know" in spoken.err, "it may be an impostor"

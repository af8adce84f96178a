# SPDX-License-Identifier: Apache-2.0
"""What each person of an authority reads before a signature, as it is printed at a hub that runs (ENR-11)."""

import base64
import importlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.authority.office import open_office
from keys.privatefile import write_private
from protocol.statements import parse_statement
from protocol.tree import root_of
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.town import Town, enrol, enrolled, invited, words_in

pytestmark = pytest.mark.usefixtures("quick_keys")


def plain(talk: str) -> str:
    """Return what was told without keys and days, which differ each time."""
    talk = re.sub(r"(?:[0-9a-f]{8} ){7}[0-9a-f]{8}", "KEY", talk)
    talk = re.sub(r"\b[0-9a-f]{16}\b", "ID", talk)
    talk = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", talk)
    return re.sub(r"\d{4}-\d\d-\d\d", "DAY", talk)


def block(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def signs(town: Town, type_: Typist, verb: str, who: str, *more: str | Path) -> Spoken:
    role, _, number = who.rpartition("-")
    own = ("--approver" if role == "approver" else "--person", number, "--passphrase-file", town.passphrase(who))
    return type_("authority", verb, town.authority, *more, *own)


def asked(town: Town, type_: Typist, folder: Path, *more: str) -> str:
    """Have an agency ask for a certificate; return its words."""
    return words_in(enrol(type_, folder, invited(town, type_, folder.name, *more))[2])


MAY_SEND = re.compile(r"    may send  \d+ types of messages, all that this version knows\n")
NEW = block(
    "This vouches for fresh@hub.example, Fresh (kind: probation).",
    "    change    NEW: the directory holds no agency of this name",
    "    desk      intake, function probation-intake",
    "    identity  KEY",
    "    device    KEY, for intake",
    "              It asked with these keys. The agency certifies it itself, and may certify others.",
    "    counts    from DAY until DAY",
    "    asked by  the code for it, which counts until DAY",
)


def test_enr_11_each_approver_reads_what_an_agencys_statement_does_before_the_passphrase_is_asked_for(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    words = asked(town, type_, tmp_path / "fresh")
    unasked = type_("authority", "approve", town.authority, "fresh", "--words", words, "--approver", "1")
    told, _, after = plain(unasked.err).partition("error: ")
    told, times = MAY_SEND.subn("", told)
    assert (told, times) == (NEW + "2 must sign, one after another. The last one publishes it.\n", 1)
    assert (unasked.code, "no terminal to ask at" in after) == (8, True), "all of it before the question"
    office = open_office(town.authority)
    assert not office.approval_file("fresh").exists()

    first = signs(town, type_, "approve", "approver-1", "fresh", "--words", words)
    assert MAY_SEND.sub("", plain(first.err)).startswith(NEW + "2 must sign")
    body = parse_statement(office.approval_file("fresh").read_bytes()).body
    key_id = body.subject.identity.key_id.hex()  # type: ignore[union-attr]
    shown = re.search(r"identity {2}((?:[0-9a-f]{8} ?){8})", first.err)
    assert shown, first.err
    assert shown[1].replace(" ", "").strip() == key_id, "the whole fingerprint of what is signed"
    second = signs(town, type_, "approve", "approver-2", "fresh", "--words", words)
    assert NEW + "Signed so far by approver 1, begun on DAY.\n2 must sign" in MAY_SEND.sub("", plain(second.err))
    assert second.code == 0


def test_enr_11_other_words_are_refused_before_anything_is_asked_for(town: Town, type_: Typist, tmp_path: Path) -> None:
    asked(town, type_, tmp_path / "misheard")
    spoken = type_("authority", "approve", town.authority, "misheard", "--words", "very sand bird", "--approver", "1")
    assert (spoken.code, "Nothing was signed" in spoken.err) == (4, True), spoken.err
    # Whoever is told to look at a screen copies the words from it, and the one check against a stranger is gone.
    assert "type what you hear, never what a screen shows" in spoken.err
    assert "authority pending" not in spoken.err
    assert "Do not type these" in type_("authority", "pending", town.authority).out


def test_enr_11_a_stranger_with_new_keys_and_another_desk_for_an_agency_that_is_there_is_seen(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """The first approver was deceived, or deceives: the name is the known one, and all else is not."""
    enrolled(town, type_, tmp_path / "taken")
    target = town.folder / "taken-again.code"
    invite = signs(
        town, type_, "invite", "approver-1", "--agency", "taken", "--name", "Taken Office", "--kind", "health",
        "--desk", "ward=health", "--out", target, "--replace", "--quiet",
    )  # fmt: skip
    assert invite.code == 0, invite.err
    assert "You sign that taken@hub.example (Taken Office, kind: health) may ask" in invite.err
    assert "desk      ward, function health" in invite.err
    words = words_in(enrol(type_, tmp_path / "stranger", target)[2])
    assert signs(town, type_, "approve", "approver-1", "taken", "--words", words).code == 0
    second = type_("authority", "approve", town.authority, "taken", "--words", words, "--approver", "2")
    told = plain(second.err)
    for line in (
        "    change    OTHER KEYS for an agency that is there: those it has are in force, until DAY",
        "    replaces  KEY",
        "              It was called Taken.",
        "              It was of another kind: probation.",
        "    desk      ward, function health, a NEW desk",
        "    no more   desk intake, function probation-intake",
        "    device    ID, for intake, certified until DAY: counts until another serves its desks, it ends, or it is "
        "revoked",
    ):
        assert line + "\n" in told, told


def test_enr_11_a_renewal_says_that_nothing_but_its_days_changes(town: Town, type_: Typist, tmp_path: Path) -> None:
    enrolled(town, type_, tmp_path / "renewed")
    told = MAY_SEND.sub("", plain(signs(town, type_, "renew", "approver-1", "renewed").err))
    assert told.startswith(
        block(
            "This vouches for renewed@hub.example, Renewed (kind: probation).",
            "    change    the SAME keys anew: in force, until DAY so far",
            "    desk      intake, function probation-intake",
            "    identity  KEY",
            "    device    ID, for intake, certified until DAY: goes on",
            "    counts    from DAY until DAY",
            "2 must sign, one after another. The last one publishes it.",
        )
    )
    second = plain(signs(town, type_, "renew", "approver-2", "renewed").err)
    assert "Signed so far by approver 1, begun on DAY.\n" in second
    of_root = plain(type_("authority", "renew", town.authority, "--root", "--person", "1").err)
    assert of_root.startswith(
        block(
            "This is version 2 of the root of P. The root fingerprint stays as it is.",
            "    change    the root anew: version 1 is in force, until DAY so far",
            "    person    1: KEY",
            "    quorum    1 of them sign authorities and the next root",
            "    counts    from DAY until DAY",
            "1 must sign, one after another. The last one publishes it.",
        )
    )
    of_authority = plain(type_("authority", "renew", town.authority, "--authority", "--person", "1").err)
    assert of_authority.startswith(
        block(
            "This vouches for the authority of J, over addresses that end in @hub.example.",
            "    change    the authority's statement anew: in force, until DAY so far",
            "    approver  1: KEY",
            "    approver  2: KEY",
            "    quorum    2 of them sign each agency",
            "    counts    from DAY until DAY",
        )
    )


@pytest.mark.parametrize("verb", ["approve", "renew", "revoke"])
def test_enr_11_what_another_puts_into_the_folder_after_it_was_read_gets_no_signature(
    town: Town, type_: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Told that nobody had signed, the second would have completed and published it at once, with other days."""
    name = f"late-{verb}"
    more: tuple[str, ...]
    if verb == "approve":
        more = (name, "--words", asked(town, type_, tmp_path / name))
    else:
        enrolled(town, type_, tmp_path / name)
        more = (name, "--reason", "ended", "--yes") if verb == "revoke" else (name,)
    assert signs(town, type_, verb, "approver-1", *more).code == 0
    (file,) = [path for path in town.authority.glob("*s/*") if path.stat().st_mtime_ns == _newest(town)]
    raw = file.read_bytes()
    file.unlink()
    module = importlib.import_module(f"connectors.cli.authority_{verb}")
    open_approver = module.open_approver

    def opened_late(*given: Any) -> Any:
        write_private(file, raw)
        return open_approver(*given)

    with monkeypatch.context() as late:
        late.setattr(module, "open_approver", opened_late)
        second = signs(town, type_, verb, "approver-2", *more)
    assert (second.code, "changed since it was shown" in second.err) == (6, True), second.err
    assert "next:  the same command again" in second.err
    assert file.read_bytes() == raw
    again = signs(town, type_, verb, "approver-2", *more)
    assert (again.code, "Signed so far by approver 1" in again.err) == (0, True), again.err


def _newest(town: Town) -> int:
    """Return when the folder's newest file was written."""
    return max(path.stat().st_mtime_ns for path in town.authority.glob("*s/*"))


def test_enr_11_a_revocation_with_another_reason_is_told_as_signed_by_nobody(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    enrolled(town, type_, tmp_path / "ended")
    assert signs(town, type_, "revoke", "approver-1", "ended", "--reason", "ended", "--yes").code == 0
    other = plain(signs(town, type_, "revoke", "approver-2", "ended", "--reason", "key-compromise", "--yes").err)
    assert (
        "This ends the AGENCY, for good:\n    identity  KEY\n    device ID, for intake, certified until DAY\n" in other
    )
    assert "Signed so far" not in other
    assert "It was begun anew" in other
    same = plain(signs(town, type_, "revoke", "approver-1", "ended", "--yes").err)
    assert "The reason, for everybody to read: key-compromise.\nSigned so far by approver 2, begun on DAY.\n" in same


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_enr_11_at_a_terminal_the_agency_is_typed_and_anything_else_signs_nothing(
    town: Town, type_: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = asked(town, type_, tmp_path / "typed")
    file = open_office(town.authority).approval_file("typed")
    for answer, code in (("", 4), ("yes", 4), ("types@hub.example", 4), ("typed@hub.example", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
        spoken = signs(town, type_, "approve", "approver-1", "typed", "--words", words)
        assert (spoken.code, file.exists()) == (code, not code), spoken.err
        assert "Type typed@hub.example to sign" in spoken.out + spoken.err
    monkeypatch.setattr(sys, "stdin", Terminal())
    unasked = signs(town, type_, "approve", "approver-2", "typed", "--words", words, "--yes", "--quiet")
    assert unasked.code == 0
    assert "Signed so far by approver 1" in unasked.err, "whoever wants no talk reads what is signed all the same"


def test_enr_11_what_a_restore_loses_is_read_before_the_question_and_the_operators_words_are_none_of_ours(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    office = open_office(town.authority)
    # More than the folder was ever shown, whatever the tests before this one have published.
    known = 9 if office.facts.seen is None else office.facts.seen.size + 1
    kept = base64.urlsafe_b64encode(root_of([bytes(32)] * 2)).decode().rstrip("=")
    log = {"size": 2, "root": kept, "known_size": known, "known_root": "A" * 43}
    root, authority = (
        [base64.urlsafe_b64encode(parse_statement(path.read_bytes()).digest).decode().rstrip("=")]
        for path in (office.root_file(1), office.authority_file)
    )
    request = {
        "domain": "hub.example", "generation": 1, "backup_at": 1_795_000_000_000, "signed_until": 1_795_000_000_000,
        "directory": log, "leaves": ["A" * 43] * 2, "audit": log, "roots": root, "authorities": authority,
        "authority_at": 1_795_000_000_000,
    }  # fmt: skip
    file = tmp_path / "restore-request.json"
    write_private(file, json.dumps(request).encode())
    told = plain(type_("authority", "restore", town.authority, "--request", file, "--approver", "1").err)
    assert told.startswith(
        block(
            "hub.example was restored from a backup of TIME, and begins generation 1.",
            f"directory  keeps 2 leaves; {known - 2} that were signed are lost",
            "           whose root is ID; what stood behind them ends for every connector",
            f"audit log  keeps 2 leaves; {known - 2} that were signed are lost",
            "           whose root is ID; what stood behind them ends for every connector",
        )
    )
    assert "2 must sign, one after another. The last one gives it to the hub's operator.\nerror: " in told
    spoofed = {**request, "domain": "hub.example was restored\nNothing is lost.\x1b[8m"}
    write_private(file, json.dumps(spoofed).encode())
    refused = type_("authority", "restore", town.authority, "--request", file, "--approver", "1")
    assert (refused.code, "Nothing is lost" in refused.err, "\x1b" in refused.err) == (3, False, False)

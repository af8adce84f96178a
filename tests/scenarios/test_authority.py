# SPDX-License-Identifier: Apache-2.0
"""What an authority does later, typed command by command at a hub that runs."""

import io
import json
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.authority.invitation import keep_code
from connectors.authority.office import Office, open_office
from connectors.enrolment import visit
from keys.privatefile import write_private
from protocol.enrolment import parse_code
from protocol.limits import DAY
from tests.connectors.lyinghub import HEAD, STATEMENTS
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.town import Town, approve, badly_connected, enrol, enrolled, invited, words_in

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.mark.parametrize("case", ["unavailable", "refused", "answer-lost"])
def test_enr_5_the_last_approval_is_published_when_it_is_typed_again(
    case: str, town: Town, type_: Typist, tmp_path: Path
) -> None:
    """The second approver has signed when the line breaks: nobody else is needed, and nothing is begun anew."""
    words = words_in(enrol(type_, tmp_path / case, invited(town, type_, case))[2])
    assert approve(town, type_, case, 1, words)[0] == 0
    with badly_connected(town) as between:
        if case == "answer-lost":
            between.lose_posts.add(STATEMENTS)
        else:
            between.refuse_posts[STATEMENTS] = 503 if case == "unavailable" else 403
        assert approve(town, type_, case, 2, words)[0] != 0
    office = open_office(town.authority)
    signed = office.approval_file(case).read_bytes()
    assert approve(town, type_, case, 2, words)[0] == 0
    assert office.agency_file(case).read_bytes() == signed
    assert not office.approval_file(case).exists()
    assert enrol(type_, tmp_path / case)[0] == 0


def signs(town: Town, type_: Typist, verb: str, number: int, *more: str) -> Spoken:
    """Have an approver type `authority revoke` or `renew`."""
    secret = town.passphrase(f"approver-{number}")
    own = ("--approver", str(number), "--passphrase-file", secret, "--json")
    return type_("authority", verb, town.authority, *more, *own)


def test_enr_8_an_agency_is_revoked_by_two_approvers_and_not_by_one(town: Town, type_: Typist, tmp_path: Path) -> None:
    device = enrolled(town, type_, tmp_path / "leaves")
    first = signs(town, type_, "revoke", 1, "leaves", "--reason", "ended", "--yes")
    assert first.json["signatures_lacking"] == 1
    assert f"device {device[:16]}, for intake" in first.err
    assert "connector service acts for it" in first.err
    assert "duty officer acts for it" in first.err
    listed = {one["agency"]: one for one in type_("authority", "list", town.authority, "--json").json["items"]}
    assert listed["leaves@hub.example"]["state"] == "in force"
    assert signs(town, type_, "revoke", 1, "leaves", "--reason", "ended", "--yes").code == 6, "one counts once"
    begun = type_("authority", "show", town.authority, "--json").json["begun"]
    assert f"revocations/{first.json['key_id']}" in begun, "the second approver sees what waits"
    second = signs(town, type_, "revoke", 2, "leaves", "--yes")
    assert second.json["revoked"], second.err
    assert second.json["reason"] == "ended", "the reason that the first has signed"
    assert "Signed so far by approver 1" in second.err
    listed = {one["agency"]: one for one in type_("authority", "list", town.authority, "--json").json["items"]}
    assert listed["leaves@hub.example"]["state"] == "revoked"
    assert [one["state"] for one in listed["leaves@hub.example"]["devices"]] == ["ended"]
    assert (
        f"revocations/{first.json['key_id']}" not in type_("authority", "show", town.authority, "--json").json["begun"]
    )
    again = signs(town, type_, "revoke", 2, "leaves", "--yes")
    assert (again.code, again.json["revoked"]) == (0, True), "typed again after a lost answer it is done"
    assert signs(town, type_, "renew", 1, "leaves").code == 4, "what is revoked is never renewed"
    enrolled(town, type_, tmp_path / "back" / "leaves")
    listed = {one["agency"]: one for one in type_("authority", "list", town.authority, "--json").json["items"]}
    states = [one["state"] for one in listed["leaves@hub.example"]["devices"]]
    assert (listed["leaves@hub.example"]["state"], states) == ("in force", ["ended", "in force"]), "with new keys only"
    assert signs(town, type_, "revoke", 1, "leaves", "--former", "--yes").json["revoked"], "they are revoked already"


def test_enr_10_a_hub_that_shows_an_older_directory_gets_no_signature_by_it(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """Keys that were replaced, but never revoked, would otherwise be renewed, and the agency be theirs again."""
    enrolled(town, type_, tmp_path / "rolled-back")
    with urllib.request.urlopen(town.hub_url + HEAD) as answer:  # noqa: S310 - the test's own hub
        older = answer.read()
    enrolled(town, type_, tmp_path / "anew" / "rolled-back")
    office = open_office(town.authority)
    with badly_connected(town) as between:
        between.bends[HEAD] = lambda _: older
        refused = signs(town, type_, "renew", 1, "rolled-back")
        assert (refused.code, "directory-inconsistent" in refused.err) == (8, True), refused.err
        assert not list((town.authority / "renewals").glob("*rolled-back*"))
        with pytest.raises(AssertionError, match="directory-inconsistent"):
            invited(town, type_, "newcomer")
        seen = open_office(town.authority)
        Office(town.authority, seen.facts.model_copy(update={"seen": None})).write_facts()
        assert signs(town, type_, "renew", 1, "rolled-back").code == 0, "it is the memory that refused"
    Office(town.authority, office.facts).write_facts()
    (town.authority / "renewals" / "agency-rolled-back.statement").unlink()


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        return True


def test_enr_8_nothing_is_revoked_before_the_agencys_address_was_typed(
    town: Town, type_: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = enrolled(town, type_, tmp_path / "asked")
    office = open_office(town.authority)
    command = ("asked", "--device", device[:8], "--reason", "lost")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    unasked = signs(town, type_, "revoke", 1, *command)
    assert (unasked.code, "--yes" in unasked.err) == (4, True), "nobody was there to be asked"
    for typed in ("", "asked", "other@hub.example"):
        monkeypatch.setattr("sys.stdin", Terminal(f"{typed}\n"))
        refused = signs(town, type_, "revoke", 1, *command)
        assert (refused.code, "Nothing was signed" in refused.err) == (4, True)
        assert "ONE DEVICE" in refused.err
    assert not office.revocation_file(bytes.fromhex(device)).exists()
    for number in (1, 2):
        monkeypatch.setattr("sys.stdin", Terminal("asked@hub.example\n"))
        signed = signs(town, type_, "revoke", number, *command, "--quiet")
        assert signed.code == 0, signed.err
        assert f"device {device[:16]}, for intake" in signed.err, "it is shown also where nothing else is said"
    listed = {one["agency"]: one for one in type_("authority", "list", town.authority, "--json").json["items"]}
    assert listed["asked@hub.example"]["state"] == "in force", "the agency stays"
    assert [one["state"] for one in listed["asked@hub.example"]["devices"]] == ["revoked"]
    assert any(line.startswith(f"    device {device[:16]}") for line in _listed(town, type_))


def _listed(town: Town, type_: Typist) -> list[str]:
    return type_("authority", "list", town.authority).out.splitlines()


def test_enr_8_a_begun_revocation_of_something_else_is_refused(town: Town, type_: Typist, tmp_path: Path) -> None:
    """Somebody exchanges files on the medium between the approvers: the end of a device for that of the agency."""
    office, device = open_office(town.authority), enrolled(town, type_, tmp_path / "mixed-up")
    listed = {one["agency"]: one for one in type_("authority", "list", town.authority, "--json").json["items"]}
    identity = bytes.fromhex(listed["mixed-up@hub.example"]["identity"])
    command = ("mixed-up", "--reason", "mistake", "--yes")
    assert signs(town, type_, "revoke", 1, *command).code == 0
    office.revocation_file(identity).replace(office.revocation_file(bytes.fromhex(device)))
    refused = signs(town, type_, "revoke", 2, "mixed-up", "--device", device, "--yes")
    assert (refused.code, "Nothing was signed" in refused.err) == (4, True)
    nothing = signs(town, type_, "revoke", 2, "mixed-up", "--yes")
    assert (nothing.code, "--reason" in nothing.err) == (2, True), "the begun one is gone"


def test_enr_8_a_publication_whose_answer_is_lost_is_done_when_it_is_typed_again(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    enrolled(town, type_, tmp_path / "unheard")
    for verb, more in (("renew", ()), ("revoke", ("--reason", "ended", "--yes"))):
        command = ("unheard", *more)
        assert signs(town, type_, verb, 1, *command).code == 0
        with badly_connected(town) as between:
            between.refuse[STATEMENTS] = 503
            assert signs(town, type_, verb, 2, *command).code == 7, "the directory cannot be read"
            between.refuse.clear()
            between.lose_posts.add(STATEMENTS)
            assert signs(town, type_, verb, 2, *command).code == 7
        done = signs(town, type_, verb, 2, *command)
        assert (done.code, done.json["signatures_lacking"]) == (0, 0), done.err
    assert not list((town.authority / "renewals").iterdir())


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("renew",), 2, "--approver NUMBER"),
        (("renew", "reka", "--person", "1"), 2, "--approver NUMBER"),
        (("renew", "--root", "--authority", "--person", "1"), 2, "--approver NUMBER"),
        (("renew", "nobody", "--approver", "1"), 5, "authority list"),
        (("renew", "--root", "--person", "9"), 5, "--person 1 to 1"),
        (("revoke", "nobody", "--approver", "1", "--reason", "lost"), 5, "authority list"),
        (("revoke", "a", "--device", "ab", "--former", "--approver", "1"), 2, "with one of both"),
    ],
)
def test_what_cannot_be_signed_says_what_to_type(
    command: tuple[str, ...], code: int, said: str, town: Town, type_: Typist
) -> None:
    verb, *more = command
    spoken = type_("authority", verb, town.authority, *more, "--passphrase-file", town.passphrase("root-1"))
    assert (spoken.code, said in spoken.err) == (code, True), spoken.err


def test_nothing_is_signed_by_a_clock_that_is_wrong(town: Town, type_: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be dated ahead, and refused by hub and second approver alike."""
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + 11 * 60 * 10**9)
    monkeypatch.setattr(visit, "time", ahead)
    spoken = signs(town, type_, "renew", 1, "nobody")
    assert (spoken.code, "clock-skewed" in spoken.err) == (7, True), spoken.err
    assert "set this machine's clock" in spoken.err


def test_a_code_that_ended_unused_is_told_as_ended(
    town: Town, type_: Typist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = parse_code(invited(town, type_, "unused").read_text())
    keep_code(open_office(town.authority), replace(code, terms=replace(code.terms, expires=DAY)), replace=True)
    items = {one["agency"]: one for one in type_("authority", "pending", town.authority, "--json").json["items"]}
    assert items["unused@hub.example"]["state"] == "not used, and ended on 1970-01-02; make a new code (--replace)"
    most = ("--name", "N", "--kind", "probation", "--desk", "intake=probation-intake", "--days")
    for days, status in (("61", 2), ("0", 2), ("60", 0)):
        out = tmp_path / f"{days}.code"
        invite = signs(town, type_, "invite", 1, "--agency", f"days-{days}", *most, days, "--out", str(out))
        assert invite.code == status, invite.err


def test_publishing_to_the_hub_of_another_domain_is_answered_with_what_helps(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    public = json.loads((town.folder / "hub" / "hub-public.json").read_text())
    (tmp_path / "hub-public.json").write_text(json.dumps({**public, "domain": "other.example"}))
    spoken = type_("authority", "publish", town.authority, "--hub", tmp_path / "hub-public.json")
    assert spoken.code == 3
    assert "the hub-public.json of the hub for hub.example" in spoken.err
    assert "throughcare-hub init" not in spoken.err


def test_enr_7_an_approval_that_is_begun_anew_says_so(town: Town, type_: Typist, tmp_path: Path) -> None:
    """The agency's code was replaced between the approvers, or each works on a copy of the folder of their own."""
    words = words_in(enrol(type_, tmp_path / "first", invited(town, type_, "copied"))[2])
    assert approve(town, type_, "copied", 1, words)[0] == 0
    begun = open_office(town.authority).approval_file("copied").read_bytes()
    words = words_in(enrol(type_, tmp_path / "second", invited(town, type_, "copied", "--replace"))[2])
    write_private(open_office(town.authority).approval_file("copied"), begun)
    status, talk = approve(town, type_, "copied", 2, words)
    assert (status, "It was begun anew" in talk) == (0, True), talk
    assert "bring the folder to another approver" in talk

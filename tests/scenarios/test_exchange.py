# SPDX-License-Identifier: Apache-2.0
"""Somebody leaves an authority and another comes, typed command by command at a hub that runs (ENR-12 to ENR-14)."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.authority.invitation import make_code, registration
from connectors.authority.office import Office, open_office
from connectors.authority.turns import body_of
from connectors.enrolment.visit import now_ms
from keys.signing import HybridSigner, sign_statement
from protocol.errors import UntrustedKey
from protocol.http.hub import StatementAccepted
from protocol.limits import DAY, HOUR
from protocol.statements import Agency, Authority, Revocation, parse_statement
from tests.connectors.lyinghub import HEAD, STATEMENTS
from tests.scenarios.newcomers import (
    exchanged,
    exchanges,
    half_exchanged,
    moves_in,
    newcomer,
    signer_of,
    states_past,
    submits,
)
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.test_telling import plain
from tests.scenarios.town import Town, approve, badly_connected, enrol, enrolled, invited, words_in

pytestmark = pytest.mark.usefixtures("quick_keys")

ROOT_PERSONS = 3
"""Of the town's root."""


def signs(town: Town, type_: Typist, verb: str, number: int, *more: str) -> Spoken:
    own = ("--approver", str(number), "--passphrase-file", town.passphrase(f"approver-{number}"), "--json")
    return type_("authority", verb, town.authority, *more, *own)


def states(town: Town, type_: Typist) -> dict[str, str]:
    return {one["agency"]: one["state"] for one in type_("authority", "list", town.authority, "--json").json["items"]}


def test_enr_13_a_newcomer_takes_an_approvers_place_by_two_persons_of_the_root(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    enrolled(town, type_, tmp_path / "before")
    comes = newcomer(town, type_, tmp_path / "comes")
    office, leaver = open_office(town.authority), signer_of(town, "approver-2")
    former = (tmp_path / "former.key", tmp_path / "former.passphrase")
    for kept, lay in zip(former, (office.key_file("approver-2"), town.passphrase("approver-2")), strict=True):
        shutil.copy(lay, kept)
    first = exchanges(town, type_, 1, comes)
    assert first.json == {"exchanged": "approver-2", "signatures_lacking": 1}
    told = plain(first.err)
    for line in (
        "This vouches for the authority of J, over addresses that end in @hub.example.",
        "    change    ANOTHER APPROVER in the place of one who leaves",
        "    approver  1: KEY",
        "    approver  2: KEY, a NEW person",
        "    no more   2: KEY",
        "    quorum    2 of them sign each agency",
        "2 must sign, one after another. The last one publishes it.",
    ):
        assert line + "\n" in told, told
    digits = re.findall(r"(?:[0-9a-f]{8} ){7}[0-9a-f]{8}", first.err)
    subject = parse_statement(office.exchange_file("approver-2").read_bytes()).body.subject
    assert isinstance(subject, Authority)
    new_id = subject.identities[1].key_id
    assert [one.replace(" ", "") for one in digits][1:] == [new_id.hex(), leaver.key_id.hex()]
    assert exchanges(town, type_, 1, comes).code == 6, "one person counts once"
    alone = office.exchange_file("approver-2").read_bytes()
    with pytest.raises(UntrustedKey):
        states_past(town, alone)
    second = exchanges(town, type_, 2, comes)
    assert (second.code, second.json["signatures_lacking"]) == (0, 0), second.err
    assert "Signed so far by person 1" in second.err
    assert "have the hub's operator make a backup" in second.err
    facts = open_office(town.authority).facts
    assert facts.approvers == (office.facts.approvers[0], new_id)
    assert not list((town.authority / "exchanges").iterdir())
    moves_in(town, comes)
    enrolled(town, type_, tmp_path / "after")
    assert states(town, type_)["before@hub.example"] == "in force", "what others have signed stays"
    refused = type_(
        "authority", "renew", town.authority, "before", "--approver", "2", "--key-file", former[0], "--passphrase-file",
        former[1],
    )  # fmt: skip
    assert (refused.code, "belongs to another person" in refused.err) == (8, True), refused.err
    back = newcomer(town, type_, tmp_path / "again")
    assert exchanges(town, type_, 3, back).code == 0, "any two of the three"
    assert exchanges(town, type_, 1, back).json["signatures_lacking"] == 0
    moves_in(town, back)
    known = exchanges(town, type_, 1, comes)
    assert (known.code, "knows this key already" in known.err) == (6, True), "an old public file brings nobody back"


def test_enr_12_a_public_file_that_was_exchanged_on_the_way_is_found_by_the_words(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """A stranger puts his own file, in all right, where the newcomer's was: before the first signature, and after."""
    comes, stranger = (newcomer(town, type_, tmp_path / name) for name in ("comes", "stranger"))
    office = open_office(town.authority)
    own, begun = comes.public.read_bytes(), office.exchange_file("approver-2")
    for person in (1, 2):
        shutil.copy(stranger.public, comes.public)
        refused = exchanges(town, type_, person, comes)
        assert (refused.code, "Nothing was signed" in refused.err) == (4, True), refused.err
        assert "NEW person" not in refused.err, "nothing of a stranger's file is shown"
        assert begun.exists() is (person == 2)
        comes.public.write_bytes(own)
        if person == 1:
            assert exchanges(town, type_, 1, comes).code == 0
    both = exchanges(town, type_, 2, stranger)
    assert (both.json["signatures_lacking"], "It was begun anew" in both.err) == (1, True), "who hears his words alone"
    begun.unlink()


def test_dir_14_whoever_left_signs_nothing_also_with_a_date_of_before(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    enrolled(town, type_, tmp_path / "stays")
    before = now_ms()
    leaver = exchanged(town, type_, newcomer(town, type_, tmp_path / "comes"))
    office, other = open_office(town.authority), signer_of(town, "approver-1")
    agency = parse_statement(office.agency_file("stays").read_bytes()).body.subject
    assert isinstance(agency, Agency)
    ghost = Agency(
        address=office.address_of("ghost"), agency_kind="probation", identity=HybridSigner.generate().public,
        desks=agency.desks, payload_types=agency.payload_types, name="Ghost",
    )  # fmt: skip
    said: tuple[Agency | Revocation, ...] = (ghost, Revocation(agency.identity.key_id, "key-compromise"))
    for subject in said:
        for issued in (now_ms(), before, before - 3 * DAY):
            with pytest.raises(UntrustedKey):
                states_past(town, sign_statement(body_of(subject, issued), [other, leaver]))
    assert "ghost@hub.example" not in states(town, type_)
    code = make_code(
        office, agency="ghost", name="Ghost", kind="probation", desks=(("intake", "probation-intake"),),
        expires=now_ms() + HOUR, directory_size=1,
    )  # fmt: skip
    with pytest.raises(UntrustedKey):
        submits(town, lambda hub: hub.register_code(registration(code, leaver)))
    submits(town, lambda hub: hub.register_code(registration(code, other)))


def test_enr_14_what_the_one_who_left_has_begun_is_begun_anew_and_told(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """An approval, a renewal and a revocation: the newcomer's signature beside the leaver's would be none."""
    enrolled(town, type_, tmp_path / "goes")
    words = words_in(enrol(type_, tmp_path / "asking", invited(town, type_, "asking"))[2])
    assert approve(town, type_, "asking", 2, words)[0] == 0
    assert signs(town, type_, "renew", 2, "goes").code == 0
    assert signs(town, type_, "revoke", 2, "goes", "--reason", "ended", "--yes").code == 0
    comes = newcomer(town, type_, tmp_path / "comes")
    waiting = plain(exchanges(town, type_, 1, comes).err)
    assert "is begun anew: approvals/asking, renewals/agency-goes, revocations/" in waiting, waiting
    exchanged_by_two = exchanges(town, type_, 2, comes)
    assert exchanged_by_two.code == 0, exchanged_by_two.err
    moves_in(town, comes)
    turns: tuple[Callable[[int], tuple[int, str]], ...] = (
        lambda number: approve(town, type_, "asking", number, words),
        lambda number: _told(signs(town, type_, "renew", number, "goes")),
        lambda number: _told(signs(town, type_, "revoke", number, "goes", "--reason", "ended", "--yes")),
    )
    for turn in turns:
        code, talk = turn(1)
        assert (code, "signed by somebody who has been exchanged since" in talk) == (0, True), talk
        assert "Signed so far" not in talk
        code, talk = turn(2)
        assert (code, "Signed so far by approver 1" in talk) == (0, True), talk
    assert states(town, type_)["goes@hub.example"] == "revoked"


def _told(spoken: Spoken) -> tuple[int, str]:
    return spoken.code, spoken.err


def test_enr_14_an_exchange_whose_answer_is_lost_is_done_when_it_is_typed_again(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """Published, and not filed; and a copy of the folder that knows nothing of it follows at its next look."""
    comes = half_exchanged(town, type_, tmp_path / "comes")
    copy, before = tmp_path / "copy", open_office(town.authority).facts
    shutil.copytree(town.authority, copy)
    with badly_connected(town) as between:
        between.lose_posts.add(STATEMENTS)
        lost = exchanges(town, type_, 2, comes)
        assert lost.code == 7, lost.err
    office = open_office(town.authority)
    assert office.facts.approvers == before.approvers, "nothing was filed"
    done = exchanges(town, type_, 2, comes)
    assert (done.code, done.json["signatures_lacking"]) == (0, 0), done.err
    assert not list((town.authority / "exchanges").iterdir())
    moves_in(town, comes)
    for folder in (town.authority, copy):
        assert type_("authority", "list", folder).code == 0
        follows = open_office(folder)
        assert _approvers(follows) == follows.facts.approvers == open_office(town.authority).facts.approvers
        assert follows.facts.approvers != before.approvers


def test_enr_14_a_hub_that_swallows_an_exchange_makes_nobody_believe_that_the_leaver_signs_no_more(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    comes = half_exchanged(town, type_, tmp_path / "comes")
    before = open_office(town.authority).facts.approvers
    with badly_connected(town) as between:
        between.swallow[STATEMENTS] = StatementAccepted(index=9).model_dump_json().encode()
        for _ in range(2):
            refused = exchanges(town, type_, 2, comes)
            assert refused.code == 8, refused.err
            assert "Whoever leaves still signs." in refused.err
            assert "delete no key" in refused.err
    assert open_office(town.authority).facts.approvers == before
    assert exchanges(town, type_, 2, comes).code == 0, "what was signed was not lost"
    moves_in(town, comes)
    assert open_office(town.authority).facts.approvers != before


def test_enr_14_an_exchange_that_is_published_and_not_seen_is_filed_when_it_is_typed_again(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """The line breaks between the hub's answer and the look that would show who the approvers are."""
    comes = half_exchanged(town, type_, tmp_path / "comes")
    before = open_office(town.authority).facts.approvers
    with badly_connected(town) as between:

        def breaks(body: bytes) -> bytes:
            if b'"items"' not in body:
                between.refuse[HEAD] = 503
            return body

        between.bends[STATEMENTS] = breaks
        assert exchanges(town, type_, 2, comes).code == 7
    assert list((town.authority / "exchanges").iterdir()), "what is signed stays until the directory has it"
    assert open_office(town.authority).facts.approvers == before
    assert exchanges(town, type_, 2, comes).code == 0
    assert not list((town.authority / "exchanges").iterdir())
    moves_in(town, comes)
    follows = open_office(town.authority)
    assert _approvers(follows) == follows.facts.approvers != before


def _approvers(office: Office) -> tuple[bytes, ...]:
    """Return who the approvers are by the statement that lies in the folder."""
    return tuple(one.key_id for one in office.quorum.identities)


def test_enr_11_at_a_place_that_nobody_has_nothing_is_signed(town: Town, type_: Typist, tmp_path: Path) -> None:
    nobody = newcomer(town, type_, tmp_path / "nobody", "approver-3")
    refused = exchanges(town, type_, 1, nobody)
    assert (refused.code, "the numbers are 1 to 2" in refused.err) == (5, True), refused.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "--approver NUMBER or --root-person NUMBER"),
        (("--approver", "1", "--root-person", "1", "--person", "1"), "--approver NUMBER or --root-person NUMBER"),
        (("--approver", "1"), "--person NUMBER"),
        (("--root-person", "1", "--person", "1", "--newcomer"), "--person NUMBER"),
        (("--approver", "1", "--newcomer", "--key-file", "a.key"), "--person NUMBER"),
        (("--root-person", "1", "--newcomer"), "--key-file"),
        (("--root-person", "0", "--person", "1"), "a number from 1 to 10"),
    ],
)
def test_an_exchange_that_is_not_said_whole_says_what_to_type(
    given: tuple[str, ...], said: str, town: Town, type_: Typist
) -> None:
    refused = type_("authority", "exchange", town.authority, "--with", "a.pub", "--words", "a", *given)
    assert (refused.code, said in refused.err) == (2, True), refused.err

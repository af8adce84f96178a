# SPDX-License-Identifier: Apache-2.0
"""A person of the root leaves and another comes, typed command by command at a hub that runs (ENR-13, ENR-14)."""

import shutil
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from connectors.authority.turns import body_of
from connectors.enrolment.visit import now_ms
from keys.signing import sign_statement
from protocol.errors import UntrustedKey
from protocol.statements import Authority, parse_statement
from tests.scenarios.newcomers import exchanges, moves_in, newcomer, signer_of, states_past
from tests.scenarios.running import Spoken, Typist
from tests.scenarios.test_telling import plain
from tests.scenarios.town import Town, enrolled

pytestmark = pytest.mark.usefixtures("quick_keys")

ROOT_PERSONS = 3
"""Of the town's root."""


def test_enr_13_a_newcomer_to_the_root_signs_beside_the_persons_before_and_then_in_the_leavers_place(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    """The fingerprint that is pinned everywhere stays, and the one who left makes no authority any more."""
    comes, office = newcomer(town, type_, tmp_path / "comes", "root-3"), open_office(town.authority)
    leaver, other = signer_of(town, "root-3"), signer_of(town, "root-1")
    version = 2 + len(list(office.folder.glob("root-*.statement")))
    first = exchanges(town, type_, 1, comes)
    assert first.json == {"exchanged": "root-3", "signatures_lacking": 2}, first.err
    told = plain(first.err)
    for line in (
        f"This is version {version} of the root of P. The root fingerprint stays as it is.",
        "    change    ANOTHER PERSON in the place of one who leaves",
        "    person    2: KEY",
        "    person    3: KEY, a NEW person",
        "    no more   3: KEY",
        "    quorum    2 of them sign authorities and the next root",
        "2 and the newcomer must sign, one after another. The last one publishes it.",
    ):
        assert line + "\n" in told, told
    assert "or to the newcomer (--newcomer" in first.err
    assert "exchanges/root-3" in type_("authority", "show", town.authority, "--json").json["begun"]
    second = exchanges(town, type_, 2, comes)
    assert (second.json["signatures_lacking"], "another one, the newcomer" in second.err) == (1, True), second.err
    assert "exchanges/root-3" in type_("authority", "show", town.authority, "--json").json["begun"]
    assert exchanges(town, type_, 2, comes).code == 6
    stranger = newcomer(town, type_, tmp_path / "stranger", "root-3")
    wrong = type_(
        "authority", "exchange", town.authority, "--root-person", "3", "--with", comes.public, "--words", comes.words,
        "--newcomer", "--key-file", stranger.key, "--passphrase-file", stranger.secret,
    )  # fmt: skip
    assert (wrong.code, "not the one that" in wrong.err) == (8, True), wrong.err
    copy = tmp_path / "copy"
    shutil.copytree(town.authority, copy)
    last = exchanges(town, type_, 0, comes)
    assert (last.code, last.json["signatures_lacking"]) == (0, 0), last.err
    assert "Signed so far by person 1, 2, begun on" in last.err
    moves_in(town, comes)
    after = open_office(town.authority)
    assert after.facts.root_persons[:2] == office.facts.root_persons[:2]
    assert after.facts.root_persons[2] != leaver.key_id
    assert after.facts.root_fingerprint == office.facts.root_fingerprint
    assert after.root_file(version).exists()
    entry = parse_statement(after.authority_file.read_bytes()).body.subject
    assert isinstance(entry, Authority)
    with pytest.raises(UntrustedKey):
        states_past(town, sign_statement(body_of(entry, now_ms()), [other, leaver]))
    renewal = ("authority", "renew", "--authority", "--person")
    for person, lacking in (("1", 1), ("3", 0)):
        verb, rest = renewal[:2], renewal[2:]
        renewed = type_(
            *verb, town.authority, *rest, person, "--passphrase-file", town.passphrase(f"root-{person}"), "--json"
        )
        assert renewed.json["signatures_lacking"] == lacking, renewed.err
    assert type_("authority", "list", copy).code == 0
    assert open_office(copy).facts.root_persons == after.facts.root_persons
    assert open_office(copy).root_file(version).read_bytes() == after.root_file(version).read_bytes()
    enrolled(town, type_, tmp_path / "under-the-new-root")


def test_enr_14_what_a_person_of_the_root_who_left_has_begun_is_begun_anew(
    town: Town, type_: Typist, tmp_path: Path
) -> None:
    def renews(person: int) -> Spoken:
        own = ("--person", str(person), "--passphrase-file", town.passphrase(f"root-{person}"), "--json")
        return type_("authority", "renew", town.authority, "--authority", *own)

    assert renews(3).json["signatures_lacking"] == 1
    waits = newcomer(town, type_, tmp_path / "waits")
    assert exchanges(town, type_, 3, waits).code == 0
    comes = newcomer(town, type_, tmp_path / "comes", "root-3")
    told = exchanges(town, type_, 1, comes).err
    assert "is begun anew: renewals/authority." in told, told
    for person in (2, 0):
        assert exchanges(town, type_, person, comes).code == 0
    moves_in(town, comes)
    for spoken in (renews(1), exchanges(town, type_, 1, waits)):
        assert (spoken.code, "who has been exchanged since" in spoken.err) == (0, True), spoken.err
    assert renews(2).json["signatures_lacking"] == 0
    assert exchanges(town, type_, 3, waits).json["signatures_lacking"] == 0, "the newcomer to the root signs"
    moves_in(town, waits)

# SPDX-License-Identifier: Apache-2.0
"""One person in another's place and nothing else, whoever signs and in whatever order people come (ENR-13, ENR-14)."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.authority.exchanging import (
    exchange_quorum,
    exchanged_authority,
    exchanged_root,
    keep_statements,
    place_of,
    stands_there,
)
from connectors.authority.founding import create_office
from connectors.authority.newkey import public_half
from connectors.authority.office import Office, open_office
from connectors.authority.renewing import quorum_of, renewed_authority
from connectors.authority.turns import body_of, sign_in_turn
from connectors.enrolment.passphrases import passphrase_in
from keys.directory import Directory
from keys.signing import HybridSigner, sign_statement
from protocol.address import parse_agency
from protocol.errors import Conflict, DirectoryInconsistent, EnrolmentRefused, KeystoreError, NotFound, UntrustedKey
from protocol.limits import DAY
from protocol.newcomer import NewKey
from protocol.statements import Agency, Authority, Root, parse_statement
from tests.connectors.authority.conftest import NOW
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")

DOMAIN = "hub.example"
POOL = [HybridSigner.generate() for _ in range(8)]
"""Newcomers."""


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Return an authority with three approvers under a root of three."""
    folder = tmp_path_factory.mktemp("founded")
    return create_office(
        folder / "office", programme="P", jurisdiction="J", domain=DOMAIN, root_persons=3, approvers=3,
        passphrase_of=lambda name: passphrase_in(folder / "secrets", name), now=NOW,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cast(founded: Office) -> dict[str, HybridSigner]:
    secrets = founded.folder.parent / "secrets"
    persons = {f"root-{n}": founded.root_person(n, passphrase_in(secrets, f"root-{n}")) for n in (1, 2, 3)}
    approvers = {f"approver-{n}": founded.approver(n, passphrase_in(secrets, f"approver-{n}")) for n in (1, 2, 3)}
    return {**persons, **approvers}


@pytest.fixture
def office(founded: Office, tmp_path: Path) -> Office:
    shutil.copytree(founded.folder, tmp_path / "office")
    return open_office(tmp_path / "office")


@pytest.fixture
def directory(founded: Office) -> Directory:
    return begun_log(founded)


def begun_log(office: Office) -> Directory:
    directory = Directory(office.facts.root_fingerprint, DOMAIN)
    for raw in office.statements():
        directory.apply(raw)
    return directory


def new_key(office: Office, signer: HybridSigner, place: str) -> NewKey:
    return public_half(signer, place, office.facts.root_fingerprint)


def agency(name: str, identity: HybridSigner) -> Agency:
    return Agency(
        address=parse_agency(f"{name}@{DOMAIN}"), agency_kind="probation", identity=identity.public,
        desks=(("intake", "probation-intake"),), payload_types=("note",), name=name.title(),
    )  # fmt: skip


@dataclass
class People:
    """Who is in which place by now, and who has left."""

    approvers: list[HybridSigner]
    left: list[HybridSigner] = field(default_factory=list)


@settings(max_examples=8)
@given(data=st.data())
def test_enr_13_only_the_roots_threshold_exchanges_and_only_one_place_changes(
    founded: Office, cast: dict[str, HybridSigner], data: st.DataObject
) -> None:
    """Whoever has left signs nothing, with whatever date; whoever is there signs; what others signed stays."""
    directory, people = begun_log(founded), People([cast[f"approver-{n}"] for n in (1, 2, 3)])
    kept = agency("kept", HybridSigner.generate())
    directory.apply(sign_statement(body_of(kept, NOW), people.approvers[:2]))
    now = NOW
    for step, comes in enumerate(data.draw(st.permutations(POOL))[:3]):
        number = data.draw(st.integers(1, 3), label="place")
        persons = data.draw(st.sets(st.integers(1, 3), min_size=1), label="persons of the root")
        now += data.draw(st.sampled_from([1, 2, 3 * DAY]), label="later")
        before = directory.authority(DOMAIN)
        assert before is not None
        new = new_key(founded, comes, place_of("approver", number))
        subject = exchanged_authority(directory, DOMAIN, new)
        raw = sign_statement(body_of(subject, now), [cast[f"root-{n}"] for n in sorted(persons)])
        if len(persons) < 2:
            with pytest.raises(UntrustedKey):
                directory.apply(raw)
            assert not stands_there(directory, DOMAIN, new)
            continue
        directory.apply(raw)
        assert stands_there(directory, DOMAIN, new)
        assert (subject.threshold, subject.domain, subject.jurisdiction) == (2, DOMAIN, before.jurisdiction)
        changed = [n for n, one in enumerate(subject.identities, 1) if one != before.identities[n - 1]]
        assert changed == [number]
        people.left.append(people.approvers[number - 1])
        people.approvers[number - 1] = comes
        stranger = agency(f"ghost-{step}", HybridSigner.generate())
        for gone in people.left:
            for issued in (now, now - DAY, NOW):
                with pytest.raises(UntrustedKey):
                    directory.apply(sign_statement(body_of(stranger, issued), [gone, people.approvers[0]]))
        directory.apply(sign_statement(body_of(stranger, now), people.approvers[:2]))
        assert directory.agency(kept.address, now) is not None
    assert set(quorum_of(directory, DOMAIN).former) == {one.public for one in people.left}


@pytest.mark.parametrize("times", [1, 2])
def test_enr_14_a_strangers_signature_is_refused_and_a_leavers_begins_anew(
    times: int, office: Office, cast: dict[str, HybridSigner], directory: Directory
) -> None:
    """The leaver's is checked like a stranger's too: one that is forged in his name is not believed."""
    said, path = agency("asking", HybridSigner.generate()), office.approval_file("asking")
    leaver, first, second = cast["approver-1"], cast["approver-2"], cast["approver-3"]
    before = quorum_of(directory, DOMAIN)
    for signer in (leaver, first)[:times]:
        sign_in_turn(before, path, said, signer, NOW)
    own = path.read_bytes()
    new = new_key(office, POOL[0], "approver-1")
    subject = exchanged_authority(directory, DOMAIN, new)
    directory.apply(sign_statement(body_of(subject, NOW + 1), [cast["root-1"], cast["root-2"]]))
    quorum = quorum_of(directory, DOMAIN)
    for forger in (HybridSigner.generate(), POOL[1]):
        path.write_bytes(sign_statement(body_of(said, NOW), [forger]))
        with pytest.raises(EnrolmentRefused):
            sign_in_turn(quorum, path, said, first, NOW)
    mangled = bytearray(own)
    mangled[-1] ^= 1
    path.write_bytes(mangled)
    with pytest.raises(EnrolmentRefused):
        sign_in_turn(quorum, path, said, first, NOW)
    path.write_bytes(own)
    with pytest.raises(KeystoreError):
        sign_in_turn(quorum, path, said, leaver, NOW)
    assert path.read_bytes() == own
    turn = sign_in_turn(quorum, path, said, first, NOW)
    assert (turn.lacking, turn.anew, turn.by_former) == (1, True, True)
    assert [one.signer for one in parse_statement(turn.raw).signatures] == [first.key_id]
    done = sign_in_turn(quorum, path, said, second, NOW)
    assert (done.lacking, done.anew, done.by_former) == (0, False, False)
    directory.apply(done.raw)


def test_enr_13_a_key_that_is_known_and_a_place_that_nobody_has_are_refused(
    office: Office, cast: dict[str, HybridSigner], directory: Directory
) -> None:
    """One approver in two places would be a quorum alone, and a person of the root in an approver's place another."""
    for known in ("approver-1", "approver-2", "root-1"):
        with pytest.raises(Conflict, match="makes a new one"):
            exchanged_authority(directory, DOMAIN, new_key(office, cast[known], "approver-2"))
    with pytest.raises(NotFound, match="1 to 3"):
        exchanged_authority(directory, DOMAIN, new_key(office, POOL[0], "approver-4"))
    with pytest.raises(UntrustedKey):
        exchanged_authority(directory, "other.example", new_key(office, POOL[0], "approver-2"))


def test_dir_7_an_exchange_that_a_renewal_has_overtaken_is_begun_anew(
    office: Office, cast: dict[str, HybridSigner], directory: Directory
) -> None:
    """The directory takes none that was signed before what it would replace: without that nobody gets on for days."""
    new, path = new_key(office, POOL[0], "approver-2"), office.folder / "s"
    subject = exchanged_authority(directory, DOMAIN, new)
    sign_in_turn(exchange_quorum(directory, DOMAIN, new), path, subject, cast["root-1"], NOW + 1)
    renewed = renewed_authority(directory, DOMAIN)
    directory.apply(sign_statement(body_of(renewed, NOW + 2), [cast["root-2"], cast["root-3"]]))
    quorum = exchange_quorum(directory, DOMAIN, new)
    turn = sign_in_turn(quorum, path, subject, cast["root-2"], NOW + 3)
    assert (turn.lacking, turn.anew) == (1, True)
    directory.apply(sign_in_turn(quorum, path, subject, cast["root-1"], NOW + 4).raw)


def test_enr_14_the_folder_follows_the_directory_and_loses_nothing_that_a_restored_hub_has_lost(
    office: Office, cast: dict[str, HybridSigner], directory: Directory
) -> None:
    older = begun_log(office)
    new = new_key(office, POOL[0], "approver-3")
    raw = sign_statement(
        body_of(exchanged_authority(directory, DOMAIN, new), NOW + 1), [cast["root-1"], cast["root-3"]]
    )
    directory.apply(raw)
    follows = office.take_note(directory)
    keep_statements(follows, directory)
    assert follows.facts.approvers[2] == POOL[0].key_id
    assert open_office(office.folder).facts == follows.facts
    assert office.authority_file.read_bytes() == raw
    keep_statements(office, older)
    assert office.authority_file.read_bytes() == raw, "it can be published again"
    office.authority_file.write_bytes(b"damaged")
    keep_statements(office, directory)
    assert office.authority_file.read_bytes() == raw
    assert [type(parse_statement(one).body.subject) for one in directory.statements_above] == [
        Root, Authority, Authority,
    ]  # fmt: skip


@pytest.mark.parametrize(("persons", "said"), [(1, "The one person"), (2, "Both persons"), (3, "")])
def test_a_root_that_no_lost_key_may_befall_is_told_at_init(
    persons: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken = Typist(capsys)(
        "authority", "init", tmp_path / "office", "--domain", DOMAIN, "--programme", "P", "--jurisdiction", "J",
        "--root-persons", str(persons),
    )  # fmt: skip
    assert spoken.code == 0
    assert ("if a root key or its passphrase is lost" in spoken.err) is (persons < 3)
    assert said in spoken.err


@settings(max_examples=15)
@given(
    count=st.integers(1, 4),
    place=st.integers(1, 4),
    order=st.lists(st.integers(0, 4), min_size=1, max_size=6),
)
def test_enr_13_a_root_takes_a_newcomer_by_its_threshold_and_the_newcomer_and_never_by_less(
    tmp_path_factory: pytest.TempPathFactory, count: int, place: int, order: list[int]
) -> None:
    """Whoever signs in whatever order (0 is the newcomer): what lacks nothing is taken, and what lacks something not.

    Of two persons both must, also the one who leaves: nobody is put in place against those before.
    """
    place = min(place, count)
    persons, comes = [HybridSigner.generate() for _ in range(count)], POOL[0]
    root = Root(1, min(2, count), tuple(one.public for one in persons), "P")
    first = sign_statement(body_of(root, NOW), persons[: root.threshold])
    directory = Directory(parse_statement(first).digest, DOMAIN)
    directory.apply(first)
    new = public_half(comes, place_of("root", place), directory.root_fingerprint)
    subject, quorum = exchanged_root(directory, new), exchange_quorum(directory, DOMAIN, new)
    path = tmp_path_factory.mktemp("turns") / "s"
    signed: set[int] = set()
    for number in order:
        signer = comes if number == 0 else persons[min(number, count) - 1]
        who = 0 if number == 0 else min(number, count)
        if who in signed:
            with pytest.raises(Conflict):
                sign_in_turn(quorum, path, subject, signer, NOW)
            continue
        signed.add(who)
        turn = sign_in_turn(quorum, path, subject, signer, NOW)
        before = len(signed - {0})
        assert turn.lacking == max(0, root.threshold - before) + (0 not in signed)
        if not turn.lacking:
            directory.apply(turn.raw)
            assert stands_there(directory, DOMAIN, new)
            newest = directory.newest_root()
            assert newest is not None
            assert (newest.version, newest.threshold) == (2, root.threshold)
            assert [one for one in newest.identities if one not in root.identities] == [comes.public]
            return
        if 0 in signed or before < root.threshold:
            with pytest.raises(DirectoryInconsistent):
                directory.apply(turn.raw)


def test_dir_2_a_root_of_two_never_loses_one_of_them_to_the_other_and_a_newcomer(tmp_path: Path) -> None:
    """One person of the root alone where two must sign, with a friend in the other's place."""
    persons = [HybridSigner.generate() for _ in range(2)]
    first = sign_statement(body_of(Root(1, 2, tuple(one.public for one in persons), "P"), NOW), persons)
    directory = Directory(parse_statement(first).digest, DOMAIN)
    directory.apply(first)
    new = public_half(POOL[0], "root-2", directory.root_fingerprint)
    subject, quorum = exchanged_root(directory, new), exchange_quorum(directory, DOMAIN, new)
    sign_in_turn(quorum, tmp_path / "s", subject, persons[0], NOW)
    turn = sign_in_turn(quorum, tmp_path / "s", subject, POOL[0], NOW)
    assert turn.lacking == 1
    with pytest.raises(DirectoryInconsistent):
        directory.apply(turn.raw)
    whole = sign_in_turn(quorum, tmp_path / "s", subject, persons[1], NOW)
    assert whole.lacking == 0
    directory.apply(whole.raw)

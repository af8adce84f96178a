# SPDX-License-Identifier: Apache-2.0
"""Only the authority says that a hub was restored, of this directory and of no other, each generation once."""

from dataclasses import replace

import pytest

from keys.directory import Directory
from keys.signing import Ed25519Signer, HybridSigner, device_proof, sign_head, sign_receipt, sign_statement
from keys.verifying import head_generation, verify_receipt
from protocol.address import DeskAddress
from protocol.errors import BadSignature, DirectoryInconsistent, DirectoryStale, Revoked, UntrustedKey
from protocol.ids import EnvelopeId
from protocol.limits import DAY, HANDED_BACK
from protocol.receipts import Detail, Head, Leaf, ReceiptBody, ReceiptKind, commitment
from protocol.restoration import Kept, Restoration
from protocol.statements import Authority, Body, Device, Revocation, Root, parse_statement
from tests.keys.world import identity, seed
from tests.programme import NOW, Programme, make_programme

AUDIT = Kept(40, b"a" * 32, 47, b"b" * 32)


@pytest.fixture
def programme() -> Programme:
    return make_programme()


def subject(programme: Programme, generation: int = 1, audit: Kept = AUDIT) -> Restoration:
    directory = programme.directory
    kept = Kept(directory.size, directory.root, directory.size + 2, b"c" * 32)
    return Restoration(programme.domain, generation, kept, audit)


def signed(programme: Programme, one: Restoration, approvers: int = 2) -> bytes:
    return sign_statement(Body(NOW, NOW - DAY, NOW + DAY, one), programme.approvers[:approvers])


def test_gen_2_two_approvers_begin_a_generation(programme: Programme) -> None:
    size = programme.directory.size
    programme.add(signed(programme, subject(programme)))
    directory = programme.directory
    assert (directory.generation, directory.audit_starts, directory.origin) == (1, (40,), "hub.example/directory/1")
    assert directory.restorations[0].index == size
    programme.add_prekey(programme.members["gora-prison"], epoch=2)
    programme.add(signed(programme, subject(programme, 2, Kept(45, b"d" * 32, 45, b"d" * 32))))
    assert programme.directory.audit_starts == (40, 45)
    again = Directory(programme.fingerprint, programme.domain)
    for raw in programme.statements:
        again.apply(raw, verified=True)
    assert again.root == programme.directory.root


def test_gen_2_no_other_says_so(programme: Programme) -> None:
    one = subject(programme)
    body = Body(NOW, NOW - DAY, NOW + DAY, one)
    prison = programme.members["gora-prison"]
    for signers in (programme.approvers[:1], programme.root_persons[:2], [prison.identity], [prison.device]):
        with pytest.raises(UntrustedKey):
            programme.add(sign_statement(body, signers))
    raw = bytearray(signed(programme, one))
    raw[-1] ^= 1
    with pytest.raises(BadSignature):
        programme.add(bytes(raw))
    assert programme.directory.generation == 0


def test_gen_2_what_was_kept_must_be_what_is_there(programme: Programme) -> None:
    right = subject(programme)
    for wrong in (
        replace(right, domain="other.example"),
        replace(right, generation=2),
        replace(right, directory=replace(right.directory, root=b"x" * 32)),
        replace(right, directory=replace(right.directory, size=right.directory.size - 1)),
    ):
        with pytest.raises(UntrustedKey):
            programme.add(signed(programme, wrong))
    programme.add(signed(programme, right))
    # A later restore cannot go back behind what an earlier one kept, nor can a statement count twice.
    with pytest.raises(UntrustedKey):
        programme.add(signed(programme, subject(programme, 2, Kept(39, b"e" * 32, 39, b"e" * 32))))
    with pytest.raises(UntrustedKey):
        programme.add(signed(programme, right))


def restored(programme: Programme) -> list[bytes]:
    """Lose a replaced device and a revocation, ten days old, and have the thief publish a prekey of today first."""
    kept = programme.directory.size
    one = subject(programme)
    probation, social = programme.members["reka-probation"], programme.members["polje-csw"]
    programme.replace_device(social, "a new machine")
    programme.revoke_device(probation)
    programme.now += 10 * DAY
    restoration = sign_statement(
        Body(programme.now, programme.now - DAY, programme.now + DAY, one), programme.approvers[:2]
    )
    lost = programme.lose(kept, restoration)
    programme.add_prekey(probation, epoch=2)
    return lost


def test_dir_14_who_is_faster_after_a_restore_keeps_nothing_out_that_others_hand_back(programme: Programme) -> None:
    replaced, prekey, revocation = restored(programme)
    probation, social = programme.members["reka-probation"], programme.members["polje-csw"]
    directory = programme.directory
    assert directory.device_in_force(probation.device_id, at=programme.now, size=directory.size)
    for raw in (revocation, replaced, prekey):
        programme.add(raw)
    with pytest.raises(Revoked):
        directory.device_in_force(probation.device_id, at=programme.now, size=directory.size)
    assert directory.serves(social.device_id, social.desk, size=directory.size)


def test_dir_14_long_after_a_restore_a_revocation_is_handed_back_and_a_device_is_not(programme: Programme) -> None:
    replaced, _, revocation = restored(programme)
    programme.now += HANDED_BACK + DAY
    with pytest.raises(UntrustedKey):
        # The device's certificate has ended too; what is looked at here is the log's time.
        programme.add_prekey(programme.members["gora-prison"], epoch=2)
    authority = Authority("Demo jurisdiction", 2, tuple(one.public for one in programme.approvers), programme.domain)
    programme.state(authority, programme.root_persons[:2], life=730 * DAY)
    with pytest.raises(UntrustedKey, match="dated over 7 days before"):
        programme.add(replaced)
    programme.add(revocation)


def test_dir_14_who_signs_is_brought_back_however_long_after_a_restore(programme: Programme) -> None:
    """The authority's folder signs nothing before, and no connector that knows of the exchange follows (ENR-15)."""
    people = [*programme.approvers[:1], identity("newcomer"), *programme.approvers[2:]]
    persons = [*programme.root_persons[:2], identity("newcomer to the root")]

    def authority(domain: str, approvers: list[HybridSigner]) -> Authority:
        return Authority("Demo jurisdiction", 2, tuple(one.public for one in approvers), domain)

    kept, one = programme.directory.size, subject(programme)
    programme.state(Root(2, 2, tuple(one.public for one in persons), "Demo programme"), persons, age=0, life=730 * DAY)
    programme.state(authority(programme.domain, people), persons[1:], age=0, life=730 * DAY)
    programme.now += DAY
    body = Body(programme.now, programme.now - DAY, programme.now + DAY, one)
    lost = programme.lose(kept, sign_statement(body, programme.approvers[:2]))
    given_up = Body(
        programme.now + 1, programme.now, programme.now + 730 * DAY, authority(programme.domain, programme.approvers)
    )
    programme.now += HANDED_BACK + DAY
    programme.state(authority("other.example", [identity("x"), identity("y")]), programme.root_persons[:2])
    late = sign_statement(given_up, programme.root_persons[:2])
    with pytest.raises(UntrustedKey, match="dated over 7 days before"):
        programme.add(late)  # of after the restore, which cannot have lost it
    for raw in lost:
        programme.add(raw)
    found = programme.directory.authority(programme.domain)
    assert found is not None
    assert found.identities[1] == people[1].public
    programme.state(authority(programme.domain, people), persons[1:], age=0)
    with pytest.raises(UntrustedKey):
        programme.add(
            sign_statement(replace(body, subject=lost_authority(lost)), persons[1:])
        )  # dated before the newest


def lost_authority(lost: list[bytes]) -> Authority:
    found = parse_statement(lost[1]).body.subject
    assert isinstance(found, Authority)
    return found


def test_dir_14_before_a_restore_nothing_old_is_taken(programme: Programme) -> None:
    kept = programme.directory.size
    revocation = programme.revoke_device(programme.members["reka-probation"])
    whole = programme.statements[:kept]
    programme.statements, programme.directory = [], Directory(programme.fingerprint, programme.domain)
    for raw in whole:
        programme.add(raw)
    programme.now += 10 * DAY
    programme.add_prekey(programme.members["gora-prison"], epoch=2)
    with pytest.raises(UntrustedKey, match="dated over 7 days before"):
        programme.add(revocation)


def test_dir_14_what_is_dated_after_a_restore_has_seven_days_like_any_other(programme: Programme) -> None:
    """Nothing that a restore lost is of after it: a draft that somebody kept must not come true for ever."""
    one = subject(programme)
    programme.add(signed(programme, one))
    programme.now += 2 * DAY
    prison, social = programme.members["gora-prison"], programme.members["polje-csw"]
    begun = programme.now
    revocation = Revocation(prison.identity.key_id, "lost")
    given_up = sign_statement(Body(begun, begun, begun + 80 * DAY, revocation), programme.approvers[:2])
    proof = device_proof(social.address, social.device)
    device = Device(social.address, social.device.public, tuple(social.functions), proof)
    renewed = sign_statement(Body(begun, begun, begun + 80 * DAY, device), [social.identity])
    programme.now += 10 * DAY
    programme.add_prekey(prison, epoch=2)
    for draft in (given_up, renewed):
        with pytest.raises(UntrustedKey, match="dated over 7 days before"):
            programme.add(draft)


DESK = DeskAddress("intake.a@hub.example")
KEY = Ed25519Signer.from_seed(seed("audit log"))


def receipt(origin: str, index: int) -> bytes:
    detail = Detail(ReceiptKind.ACCEPTED, EnvelopeId(bytes(16)), bytes(32), DESK, 1, bytes(32))
    encoded = detail.encode()
    leaf = Leaf(NOW, commitment(bytes(32), encoded), bytes(16)).encode()
    body = ReceiptBody(ReceiptKind.ACCEPTED, origin, index, index + 1, bytes(32), leaf, bytes(32), encoded)
    return sign_receipt(body.encode(), KEY)


def test_gen_4_a_receipt_counts_for_the_leaves_that_its_generation_has_kept() -> None:
    base, key = "hub.example/audit", KEY.public
    assert verify_receipt(receipt(base, 39), base, key, (40,)).place == 39
    assert verify_receipt(receipt(f"{base}/1", 40), base, key, (40,)).place == (1 << 40) + 40
    for lost in (receipt(base, 40), receipt(base, 46), receipt(f"{base}/1", 39)):
        with pytest.raises(BadSignature):
            verify_receipt(lost, base, key, (40,))
    with pytest.raises(DirectoryStale):
        verify_receipt(receipt(f"{base}/1", 40), base, key)
    with pytest.raises(BadSignature):
        verify_receipt(receipt("other.example/audit/1", 40), base, key, (40,))
    with pytest.raises(DirectoryInconsistent):
        head_generation(sign_head(Head("hub.example/directory/1", 1, bytes(32), NOW), KEY), base)

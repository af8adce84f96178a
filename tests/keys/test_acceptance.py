# SPDX-License-Identifier: Apache-2.0
"""What the acceptance receipt decides: whose hub, which envelope, which time, which directory (AUD-6, ENV-17)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keys.signing import Ed25519Signer, sign_statement
from protocol import limits
from protocol.envelope import parse_envelope
from protocol.errors import (
    BadSignature,
    DirectorySplit,
    DirectoryStale,
    Expired,
    MalformedEnvelope,
    Revoked,
    UntrustedKey,
)
from protocol.receipts import ReceiptKind
from protocol.sections import Claims
from protocol.slices import slice_of
from tests.keys.drafts import draft, recipient, seal_for, two_recipients
from tests.keys.forger import Forger, To
from tests.keys.hubside import deliver, open_as, receipt_for
from tests.keys.world import APPROVERS, DAY, NOW, Cast, body, device_of, revocation, seed


@pytest.fixture(scope="module")
def sealed(shared_cast: Cast) -> bytes:
    return two_recipients(shared_cast)


def with_receipt(sealed: bytes, receipt: bytes) -> bytes:
    return slice_of(parse_envelope(sealed), 0, receipt)


def test_aud_6_the_receipt_must_be_the_pinned_hubs(shared_cast: Cast, sealed: bytes) -> None:
    cast, envelope = shared_cast, parse_envelope(sealed)
    other_key = Ed25519Signer.from_seed(seed("another hub's audit log"))
    for receipt in (
        receipt_for(envelope, cast.world, key=other_key),
        receipt_for(envelope, cast.world, origin="other.example/audit"),
    ):
        with pytest.raises(BadSignature):
            open_as(cast.probation, cast.world, with_receipt(sealed, receipt))


def test_aud_6_the_receipt_must_be_of_this_envelope_and_of_kind_accepted(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    another = parse_envelope(two_recipients(cast))
    expired = receipt_for(parse_envelope(sealed), cast.world, kind=ReceiptKind.EXPIRED)
    for receipt in (receipt_for(another, cast.world), expired):
        with pytest.raises(BadSignature):
            open_as(cast.probation, cast.world, with_receipt(sealed, receipt))


def test_aud_5_a_receipt_with_a_flipped_bit_opens_nothing(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    receipt = receipt_for(parse_envelope(sealed), cast.world)
    for position in range(0, len(receipt) * 8, 5):
        spoilt = bytearray(receipt)
        spoilt[position // 8] ^= 1 << position % 8
        with pytest.raises((BadSignature, MalformedEnvelope)):
            open_as(cast.probation, cast.world, with_receipt(sealed, bytes(spoilt)))


@pytest.mark.parametrize(
    ("at", "fine"),
    [
        (NOW - limits.CLOCK_SKEW - 1, False),
        (NOW - limits.CLOCK_SKEW, True),
        (NOW + 29 * DAY, True),
        (NOW + 30 * DAY, False),
    ],
)
def test_env_7_an_envelope_counts_within_its_own_times_only(
    shared_cast: Cast, sealed: bytes, at: int, fine: bool
) -> None:
    """Attack 39: `created` ahead of acceptance by over 10 minutes, acceptance after `expires`."""
    cast = shared_cast
    if fine:
        assert open_as(cast.probation, cast.world, deliver(sealed, 0, cast.world, at=at)).accepted_at == at
    else:
        with pytest.raises(Expired):
            open_as(cast.probation, cast.world, deliver(sealed, 0, cast.world, at=at))


def test_env_7_a_message_is_not_accepted_after_its_claims_end(shared_cast: Cast) -> None:
    class Ended(Forger):
        def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
            return replace(super().claims(header, hashes), not_after=NOW + 500)

    cast = shared_cast
    with pytest.raises(Expired):
        open_as(
            cast.probation,
            cast.world,
            deliver(Ended(cast.world, cast.prison, [To(cast.probation)]).build(), 0, cast.world),
        )


def test_env_17_a_newer_directory_must_be_fetched_first(shared_cast: Cast, sealed: bytes) -> None:
    cast = shared_cast
    newer = (cast.world.directory.size + 1, seed("a root that is not known yet"))
    receipt = receipt_for(parse_envelope(sealed), cast.world, directory=newer)
    with pytest.raises(DirectoryStale):
        open_as(cast.probation, cast.world, with_receipt(sealed, receipt))


def test_dir_18_a_receipt_that_names_another_directory_is_no_agencys_fault(shared_cast: Cast, sealed: bytes) -> None:
    """The hub shows the sender one log and the recipient another."""
    cast = shared_cast
    for size in (0, 3, cast.world.directory.size):
        receipt = receipt_for(parse_envelope(sealed), cast.world, directory=(size, seed("another root")))
        with pytest.raises(DirectorySplit):
            open_as(cast.probation, cast.world, with_receipt(sealed, receipt))


# Time and revocation


def test_env_17_acceptance_decides_whether_a_revocation_counts(cast: Cast) -> None:
    """Attack 35: a thief backdates `created` and the directory; the hub's leaf does not move."""
    world = cast.world
    envelope = two_recipients(cast)
    before = deliver(envelope, 0, world)
    assert not open_as(cast.probation, world, before).revoked_since
    world.revoke(cast.prison.device.key_id, cast.prison.identity)
    opened = open_as(cast.probation, world, before)
    assert opened.revoked_since
    with pytest.raises(Revoked):
        open_as(cast.probation, world, deliver(envelope, 0, world))


@pytest.mark.parametrize("target", ["agency", "delegation"])
def test_env_17_a_revocation_above_counts_alike(cast: Cast, target: str) -> None:
    world, envelope = cast.world, two_recipients(cast)
    before = deliver(envelope, 0, world)
    if target == "agency":
        world.add(revocation(cast.prison.identity.key_id, *APPROVERS[:2]))
    else:
        world.add(revocation(cast.prison.delegation, cast.prison.identity))
    assert open_as(cast.probation, world, before).revoked_since
    with pytest.raises(Revoked):
        open_as(cast.probation, world, deliver(envelope, 0, world))


@pytest.mark.parametrize("ended", ["device", "agency"])
def test_env_17_what_a_sender_signs_afterwards_takes_back_nothing_that_was_accepted(cast: Cast, ended: str) -> None:
    """A newer statement of the same keys that has ended already: less than a revocation, which takes back nothing."""
    world, envelope = cast.world, two_recipients(cast)
    before = deliver(envelope, 0, world)
    if ended == "device":
        over = body(cast.prison.device_subject(), issued=NOW, begin=NOW - 60 * DAY, life=60 * DAY - 1)
        world.add(sign_statement(over, [cast.prison.identity]))
    else:
        agency = replace(cast.prison.agency_subject(), name="Another name")
        over = body(agency, issued=NOW, begin=NOW - 60 * DAY, life=60 * DAY - 1)
        world.add(sign_statement(over, APPROVERS[:2]))
    assert open_as(cast.probation, world, before).revoked_since
    with pytest.raises(UntrustedKey):
        open_as(cast.probation, world, deliver(envelope, 0, world))


def test_env_17_a_certificate_must_cover_the_time_of_acceptance(cast: Cast) -> None:
    """Attack 33: not yet valid, and expired."""
    world = cast.world
    envelope = parse_envelope(
        seal_for(
            world,
            cast.prison,
            draft(cast.prison, expires=NOW + 200 * DAY),
            [recipient(world, cast.probation)],
        )
    )
    late = slice_of(envelope, 0, receipt_for(envelope, world, at=NOW + 71 * DAY))
    with pytest.raises(UntrustedKey):
        open_as(cast.probation, world, late)
    in_time = slice_of(envelope, 0, receipt_for(envelope, world, at=NOW + 69 * DAY))
    open_as(cast.probation, world, in_time)


def test_env_17_a_device_that_was_not_logged_at_acceptance_is_untrusted(cast: Cast) -> None:
    """Attack 33: the hub says that the directory was older than the device."""
    world, envelope = cast.world, parse_envelope(two_recipients(cast))
    root = world.directory.root_at(2)
    assert root is not None
    early = slice_of(envelope, 0, receipt_for(envelope, world, directory=(2, root)))
    with pytest.raises(UntrustedKey):
        open_as(cast.probation, world, early)


def test_dir_7_a_superseded_device_no_longer_speaks_for_its_desk(cast: Cast) -> None:
    world, envelope = cast.world, two_recipients(cast)
    before = deliver(envelope, 0, world)
    replacement = body(cast.prison.device_subject(device_of("replacement")), issued=NOW)
    world.add(sign_statement(replacement, [cast.prison.identity]))
    open_as(cast.probation, world, before)
    with pytest.raises(UntrustedKey):
        open_as(cast.probation, world, deliver(envelope, 0, world))

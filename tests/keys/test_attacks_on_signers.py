# SPDX-License-Identifier: Apache-2.0
"""Attacks on signatures and identities: insiders with good certificates who claim what is not theirs."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor

from keys.opening import VerifiedMessage
from keys.signing import DeviceSigner, sign_statement
from keys.xwing import HPKE_SUITE
from protocol.address import DeskAddress
from protocol.envelope import parse_envelope
from protocol.errors import (
    BadSignature,
    DirectoryDisputed,
    MalformedEnvelope,
    Revoked,
    SenderMismatch,
    UntrustedKey,
)
from protocol.ids import KeyId
from protocol.padding import unpad
from protocol.rows import Box, sha256
from protocol.sections import ActorKind, Claims, SectionZero
from protocol.statements import parse_statement
from tests.keys.forger import Forger, To, content
from tests.keys.hubside import deliver, open_as
from tests.keys.world import APPROVERS, DAY, NOW, Cast, Member, body, device_of, member, revocation, seed


def attempt(forger: Forger, cast: Cast) -> VerifiedMessage:
    """Deliver to the first recipient."""
    return open_as(forger.to[0].member, cast.world, deliver(forger.build(), 0, cast.world))


# Both signatures, in order


SIGNATURES: dict[str, Callable[[list[bytes], list[bytes]], list[bytes]]] = {
    "no ML-DSA": lambda own, other: own[:1],
    "empty ML-DSA": lambda own, other: [own[0], b""],
    "only ML-DSA": lambda own, other: own[1:],
    "empty Ed25519": lambda own, other: [b"", own[1]],
    "none": lambda own, other: [],
    "swapped": lambda own, other: own[::-1],
    "Ed25519 twice": lambda own, other: [own[0], own[0]],
    "another device's Ed25519": lambda own, other: [other[0], own[1]],
    "another device's ML-DSA": lambda own, other: [own[0], other[1]],
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_env_11_one_signature_is_none(shared_cast: Cast, case: str) -> None:
    """Attacks 13 and 14."""

    class Signatures(Forger):
        def sign_claims(self, claims: bytes) -> list[bytes]:
            other = list(shared_cast.social_work.device.sign_hybrid(b"tc/1 claims\0", claims))
            return SIGNATURES[case](super().sign_claims(claims), other)

    with pytest.raises(BadSignature):
        attempt(Signatures(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


def test_env_11_a_signature_under_another_label_is_bad(shared_cast: Cast) -> None:
    """Attack 31."""

    class OtherLabel(Forger):
        def sign_claims(self, claims: bytes) -> list[bytes]:
            return list(self.device.sign_hybrid(b"tc/1 statement\0", claims))

    with pytest.raises(BadSignature):
        attempt(OtherLabel(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


def test_env_8_a_sender_signature_of_another_or_over_another_digest_is_bad(shared_cast: Cast) -> None:
    class OtherDigest(Forger):
        def sender_sig(self, digest: bytes) -> bytes:
            return super().sender_sig(sha256(digest))

    class OtherDevice(Forger):
        def sender_sig(self, digest: bytes) -> bytes:
            return shared_cast.social_work.device.sign_digest(digest)

    class TransportKey(Forger):
        def sender_sig(self, digest: bytes) -> bytes:
            return self.device.transport.sign_raw(digest)

    for kind in (OtherDigest, OtherDevice, TransportKey):
        with pytest.raises(BadSignature):
            attempt(kind(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


# Whose words are they


class Forwarded(Forger):
    """Bob takes Alice's signed claims and payload, as he opened them, and seals them to Carol as his own."""

    def __init__(self, cast: Cast, alice: Forger) -> None:
        super().__init__(cast.world, cast.probation, [To(cast.social_work)])
        self.zero = opened_zero(alice, cast.probation)

    def section_zero(self, header: bytes, hashes: Sequence[bytes]) -> bytes:
        return self.zero


def opened_zero(forger: Forger, reader: Member) -> bytes:
    """Return section 0 as its recipient sees it after opening."""
    envelope = parse_envelope(forger.build())
    info = b"tc/1 keys\0" + envelope.header_hash + reader.device.key_id
    key = HPKE_SUITE.decrypt(envelope.wraps[0], reader.prekeys[1].private(), info)[:32]
    decryptor = Cobblestone256Decryptor(key, b"tc/1 section\0" + envelope.header_hash + bytes(2))
    return unpad(decryptor.update(envelope.sections[0]) + decryptor.finalize())


def test_env_13_a_recipient_cannot_pass_a_message_on_as_sealed_by_its_author(shared_cast: Cast) -> None:
    """Attack 27: surreptitious forwarding."""
    cast = shared_cast
    alice = Forger(cast.world, cast.prison, [To(cast.probation)])
    with pytest.raises(SenderMismatch):
        attempt(Forwarded(cast, alice), cast)


def test_env_13_not_even_with_a_hub_that_helps(shared_cast: Cast) -> None:
    """Attack 27: Bob names Alice's desk, device and actor in his header; only her signature over it is missing."""

    class AsAlice(Forwarded):
        @property
        def device(self) -> DeviceSigner:
            return shared_cast.prison.device

        @property
        def sender_desk(self) -> DeskAddress:
            return shared_cast.prison.desk

        def sender_sig(self, digest: bytes) -> bytes:
            return shared_cast.probation.device.sign_digest(digest)

    class Replayed(AsAlice):
        """The same with a signature that Alice did make, over her own envelope."""

        def sender_sig(self, digest: bytes) -> bytes:
            return shared_cast.prison.device.sign_digest(digest)

    cast = shared_cast
    alice = Forger(cast.world, cast.prison, [To(cast.probation)])
    with pytest.raises(BadSignature):
        attempt(AsAlice(cast, alice), cast)
    # Even if her signature could be had, her claims name the header that she made.
    with pytest.raises(SenderMismatch):
        attempt(Replayed(cast, alice), cast)


def test_env_13_a_stranger_cannot_sign_anothers_payload_under_the_same_header(shared_cast: Cast) -> None:
    """Attack 28: Mallory replaces the inner signature with her own, naming herself or not."""

    class NamingHerself(Forger):
        def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
            mallory = shared_cast.social_work
            return replace(super().claims(header, hashes), device_id=mallory.device.key_id)

        def sign_claims(self, claims: bytes) -> list[bytes]:
            return list(shared_cast.social_work.device.sign_hybrid(b"tc/1 claims\0", claims))

    class NotNamingHerself(Forger):
        def sign_claims(self, claims: bytes) -> list[bytes]:
            return list(shared_cast.social_work.device.sign_hybrid(b"tc/1 claims\0", claims))

    cast = shared_cast
    with pytest.raises(SenderMismatch):
        attempt(NamingHerself(cast.world, cast.prison, [To(cast.probation)]), cast)
    with pytest.raises(BadSignature):
        attempt(NotNamingHerself(cast.world, cast.prison, [To(cast.probation)]), cast)


CLAIMS: dict[str, Callable[[Claims, Cast], Claims]] = {
    "header": lambda claims, cast: replace(claims, header_hash=seed("another header")),
    "device": lambda claims, cast: replace(claims, device_id=cast.probation.device.key_id),
    "agency": lambda claims, cast: replace(claims, agency=cast.probation.address),
    "created": lambda claims, cast: replace(claims, created=claims.created - 1),
    "payload": lambda claims, cast: replace(claims, payload_hash=seed("another payload")),
    "section": lambda claims, cast: replace(claims, section_hashes=(seed("another section"),)),
    "section left out": lambda claims, cast: replace(claims, section_hashes=()),
    "section added": lambda claims, cast: replace(claims, section_hashes=(*claims.section_hashes, seed("more"))),
    "directory root": lambda claims, cast: replace(claims, directory=(claims.directory[0], seed("another root"))),
    "directory size": lambda claims, cast: replace(claims, directory=(claims.directory[0] + 1, claims.directory[1])),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_env_13_claims_that_disagree_with_what_carries_them_are_a_mismatch(shared_cast: Cast, case: str) -> None:
    """Attack 32, and every other disagreement, signed by the sending device itself."""

    class OtherClaims(Forger):
        def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
            return CLAIMS[case](super().claims(header, hashes), shared_cast)

        def sign_claims(self, claims: bytes) -> list[bytes]:
            if Claims.parse(claims).device_id == shared_cast.probation.device.key_id:
                return list(shared_cast.probation.device.sign_hybrid(b"tc/1 claims\0", claims))
            return super().sign_claims(claims)

    cast = shared_cast
    forger = OtherClaims(cast.world, cast.prison, [To(cast.probation, (1,))], [content("identity")])
    # By which directory a sender sealed it does not say, alone, that it was the sender who lied (DIR-19).
    with pytest.raises(DirectoryDisputed if case.startswith("directory") else SenderMismatch):
        attempt(forger, cast)


def test_env_13_a_payload_other_than_the_signed_one_is_a_mismatch(shared_cast: Cast) -> None:
    class OtherPayload(Forger):
        def section_zero(self, header: bytes, hashes: Sequence[bytes]) -> bytes:
            zero = SectionZero.parse(super().section_zero(header, hashes))
            return replace(zero, payload=b"another payload").encode()

    with pytest.raises(SenderMismatch):
        attempt(OtherPayload(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


# Desk, agency, actor


def test_env_14_a_device_speaks_only_for_desks_of_its_certificate(shared_cast: Cast) -> None:
    """Attack 32: the header names a desk of another agency, or one that the device does not serve."""
    for desk in (shared_cast.social_work.desk, DeskAddress("cellar.gora-prison@hub.example")):

        class OtherDesk(Forger):
            chosen = desk

            @property
            def sender_desk(self) -> DeskAddress:
                return self.chosen

        with pytest.raises(SenderMismatch):
            attempt(OtherDesk(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


def test_env_14_an_actor_needs_a_delegation_of_the_sending_agency(shared_cast: Cast) -> None:
    cast = shared_cast

    def with_actor(**changes: object) -> Forger:
        sender = cast.prison

        class OtherActor(Forger):
            def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
                actor = replace(sender.actor, **changes)  # type: ignore[arg-type]
                return replace(super().claims(header, hashes), actor=actor)

        return OtherActor(cast.world, sender, [To(cast.probation)])

    mismatches: list[dict[str, object]] = [
        {"delegation": cast.probation.delegation},
        {"delegation": cast.probation.delegation, "officer": cast.probation.officer},
        {"officer": cast.probation.officer},
        {"kind": ActorKind.OFFICER},
        {"name": "head of release"},
    ]
    for changes in mismatches:
        with pytest.raises(SenderMismatch):
            attempt(with_actor(**changes), cast)
    with pytest.raises(UntrustedKey):
        attempt(with_actor(delegation=seed("no delegation")), cast)
    assert attempt(with_actor(), cast).actor == cast.prison.actor


def test_env_14_a_delegation_must_name_the_desk(cast: Cast) -> None:
    narrow = replace(cast.prison.delegation_subject(), desks=("release",))
    raw = sign_statement(body(narrow, issued=NOW - 1), [cast.prison.identity])
    cast.world.add(raw)
    sender = replace(cast.prison, delegation=parse_statement(raw).digest)
    with pytest.raises(SenderMismatch):
        attempt(Forger(cast.world, sender, [To(cast.probation)]), cast)


def test_env_14_a_revoked_delegation_ends_the_officers_acts(cast: Cast) -> None:
    cast.world.add(revocation(cast.prison.delegation, cast.prison.identity))
    with pytest.raises(Revoked):
        attempt(Forger(cast.world, cast.prison, [To(cast.probation)]), cast)


def test_env_14_a_desk_that_the_agency_lost_speaks_no_more(cast: Cast) -> None:
    """The authority took the desk off the agency's list; device and delegation still name it."""
    one = cast.prison
    before = Forger(cast.world, one, [To(cast.probation)])
    slices = [deliver(before.build(), 0, cast.world)]
    fewer = replace(one.agency_subject(), desks=(("release", "prison-release"),))
    cast.world.add(sign_statement(body(fewer, issued=NOW, life=365 * DAY), APPROVERS[:2]))
    with pytest.raises(UntrustedKey):
        attempt(Forger(cast.world, one, [To(cast.probation)]), cast)
    # What was accepted before opens (ENV-17).
    assert open_as(cast.probation, cast.world, slices[0]).sender_desk == one.desk


def test_env_14_an_unknown_device_is_untrusted(shared_cast: Cast) -> None:
    """Attack 48: a ghost device that never got into the directory."""
    ghost = replace(shared_cast.prison, device=device_of("ghost"))
    with pytest.raises(UntrustedKey):
        attempt(Forger(shared_cast.world, ghost, [To(shared_cast.probation)]), shared_cast)


def test_env_14_an_agency_of_another_programme_is_untrusted(shared_cast: Cast) -> None:
    stranger = replace(member("mallory", "ngo", ("intake", "ngo")), delegation=seed("nothing"))
    with pytest.raises(UntrustedKey):
        attempt(Forger(shared_cast.world, stranger, [To(shared_cast.probation)]), shared_cast)


def test_id_3_the_id_of_one_key_never_names_another(shared_cast: Cast) -> None:
    """Attack 36: an identifier that equals other key bytes, or the id of a key of another use."""
    cast = shared_cast
    candidates = [
        KeyId(cast.prison.device.public.ed25519),
        cast.prison.identity.key_id,
        KeyId(cast.prison.delegation),
        KeyId(cast.prison.device.public.transport),
    ]
    for key_id in candidates:

        class OtherId(Forger):
            chosen = key_id

            def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
                return replace(super().claims(header, hashes), device_id=self.chosen)

        with pytest.raises(UntrustedKey):
            attempt(OtherId(cast.world, cast.prison, [To(cast.probation)]), cast)


# The box


@pytest.mark.parametrize("other", [Box(2, None, bytes(16)), Box(1, None, bytes(16))])
def test_env_16_a_box_other_than_the_committed_one_is_a_mismatch(shared_cast: Cast, other: Box) -> None:
    class OtherBox(Forger):
        def wrap_keys(self, position: int) -> bytes:
            return super().wrap_keys(position)[:-40] + other.encode()

    with pytest.raises(SenderMismatch):
        attempt(OtherBox(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


@pytest.mark.parametrize(
    "box", [bytes(40), Box(1, None, bytes(16)).encode()[:8] + b"\1" * 32, (2).to_bytes(8) + bytes(32)]
)
def test_seq_1_a_box_that_names_no_place_is_malformed(shared_cast: Cast, box: bytes) -> None:
    forger = Forger(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)])
    forger.boxes = [box]
    with pytest.raises(MalformedEnvelope):
        attempt(forger, shared_cast)


# What a malformed inside gives


INSIDES: dict[str, bytes] = {
    "no CBOR": b"not cbor",
    "trailing byte": SectionZero(b"", bytes(64), bytes(3_309), b"").encode() + b"\0",
    "empty claims": SectionZero(b"", bytes(64), bytes(3_309), b"").encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("case", INSIDES)
def test_env_16_a_section_zero_of_another_form_is_malformed(shared_cast: Cast, case: str) -> None:
    class OtherInside(Forger):
        def section_zero(self, header: bytes, hashes: Sequence[bytes]) -> bytes:
            return INSIDES[case]

    with pytest.raises(MalformedEnvelope):
        attempt(OtherInside(shared_cast.world, shared_cast.prison, [To(shared_cast.probation)]), shared_cast)


def test_env_16_a_section_of_another_form_is_malformed(shared_cast: Cast) -> None:
    """The last check of all fails: nothing of the message comes out, machine state included."""
    forger = Forger(shared_cast.world, shared_cast.prison, [To(shared_cast.probation, (1,))], [b"not a section"])
    with pytest.raises(MalformedEnvelope):
        attempt(forger, shared_cast)

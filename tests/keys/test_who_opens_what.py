# SPDX-License-Identifier: Apache-2.0
"""The property behind all of it: whatever is sealed to whomever, each opens exactly its own, a stranger nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.opening import open_slice
from keys.xwing import XWingSecret
from protocol.envelope import parse_envelope
from protocol.errors import CannotOpen, NotARecipient, ThroughcareError
from protocol.rows import sha256
from protocol.slices import parse_slice
from tests.keys.drafts import draft, recipient, seal_for
from tests.keys.hubside import deliver, open_as
from tests.keys.world import AUDIT_KEY, AUDIT_ORIGIN, Cast, Member, World, make_cast, member


@dataclass
class Crowd:
    """A sender, six possible recipients, and a stranger who is an honest member of the programme elsewhere."""

    cast: Cast
    members: list[Member]
    stranger: Member

    @property
    def world(self) -> World:
        return self.cast.world


def crowd() -> Crowd:
    cast = make_cast()
    more = [cast.world.enrol(member(f"agency-{n}", "ngo", ("intake", "ngo"))) for n in range(4)]
    stranger = cast.world.enrol(member("stranger", "ngo", ("intake", "ngo")))
    return Crowd(cast, [cast.probation, cast.social_work, *more], stranger)


CROWD = crowd()


@st.composite
def meant_for(draw: st.DrawFn) -> tuple[list[bytes], dict[int, tuple[int, ...]]]:
    """Draw section bodies and, for some members, the numbers that are meant for each; no section is left over."""
    bodies = draw(st.lists(st.binary(max_size=9_000), max_size=4))
    chosen = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
    numbers = range(1, len(bodies) + 1)
    rights = {one: tuple(n for n in numbers if draw(st.booleans())) for one in chosen}
    left_over = set(numbers) - {n for own in rights.values() for n in own}
    first = chosen[0]
    rights[first] = tuple(sorted({*rights[first], *left_over}))
    return bodies, rights


def pretend(one: Member, prekeys: Callable[[int], XWingSecret | None], as_device: bytes, raw: bytes) -> object:
    """Open with the keys of `one`, whatever device it claims to be."""
    return open_slice(
        raw,
        own_device=as_device,
        prekey=prekeys,
        directory=CROWD.world.directory,
        audit_origin=AUDIT_ORIGIN,
        audit_key=AUDIT_KEY.public,
        seen=lambda _: False,
    )


@settings(max_examples=40, deadline=None)
@given(meant_for())
def test_env_16_each_recipient_opens_exactly_its_sections_and_a_stranger_none(
    meant: tuple[list[bytes], dict[int, tuple[int, ...]]],
) -> None:
    """The decryptable set is the permitted set, for every reader and every slice."""
    bodies, rights = meant
    to = [recipient(CROWD.world, CROWD.members[one], *numbers) for one, numbers in rights.items()]
    envelope = seal_for(CROWD.world, CROWD.cast.prison, draft(CROWD.cast.prison, *bodies), to)
    slices = [deliver(envelope, position, CROWD.world) for position in range(len(to))]
    for position, (one, numbers) in enumerate(rights.items()):
        reader = CROWD.members[one]
        message = open_as(reader, CROWD.world, slices[position])
        assert {n: section.body for n, section in message.sections.items()} == {n: bodies[n - 1] for n in numbers}
        for other, raw in enumerate(slices):
            if other != position:
                with pytest.raises(NotARecipient):
                    open_as(reader, CROWD.world, raw)
                # Not even if it says that it is the other device: the wrap is not for its key.
                with pytest.raises(CannotOpen):
                    pretend(reader, reader.prekeys.get, to[other].device_id, raw)
    for position, raw in enumerate(slices):
        for outsider in (CROWD.stranger, CROWD.cast.prison):
            with pytest.raises(NotARecipient):
                open_as(outsider, CROWD.world, raw)
            with pytest.raises(CannotOpen):
                pretend(outsider, outsider.prekeys.get, to[position].device_id, raw)


@settings(max_examples=25, deadline=None)
@given(meant_for())
def test_env_15_a_slice_carries_the_ciphertext_of_its_own_sections_only(
    meant: tuple[list[bytes], dict[int, tuple[int, ...]]],
) -> None:
    bodies, rights = meant
    to = [recipient(CROWD.world, CROWD.members[one], *numbers) for one, numbers in rights.items()]
    envelope = seal_for(CROWD.world, CROWD.cast.prison, draft(CROWD.cast.prison, *bodies), to)
    whole = parse_envelope(envelope)
    for position, numbers in enumerate(rights.values()):
        raw = deliver(envelope, position, CROWD.world)
        sliced = parse_slice(raw)
        assert tuple(sliced.sections) == (0, *numbers)
        for number, ciphertext in enumerate(whole.sections):
            assert (ciphertext in raw) == (number in sliced.sections)
            assert sliced.section_hashes[number] == sha256(ciphertext)
        for other, wrap in enumerate(whole.wraps):
            assert (wrap in raw) == (other == position)
            assert (whole.row_bytes[other] in raw) == (other == position)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3_000))
def test_env_16_arbitrary_bytes_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(ThroughcareError):
        open_as(CROWD.cast.probation, CROWD.world, data)

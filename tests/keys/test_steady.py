# SPDX-License-Identifier: Apache-2.0
"""What the directory remembers of its answers never differs from what it would work out anew (DIR-6, DIR-7)."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from keys.directory import DeskEntry, DeviceEntry, Directory
from keys.signing import sign_statement
from protocol.address import DeskAddress
from protocol.errors import Revoked, UntrustedKey
from protocol.ids import KeyId
from protocol.statements import parse_statement
from tests.keys.world import APPROVERS, DAY, DOMAIN, NOW, Member, World, body, device_of, make_cast


def _story() -> tuple[World, list[Member]]:
    """Return a world in which certificates begin, end, are renewed, replaced and revoked."""
    cast = make_cast()
    world, members = cast.world, [cast.prison, cast.probation, cast.social_work]
    world.add(sign_statement(body(cast.prison.agency_subject(), issued=NOW, life=5 * DAY), APPROVERS[:2]))
    second = device_of("second")
    renewed = body(cast.probation.device_subject(second), issued=NOW, begin=NOW + 3 * DAY, life=9 * DAY)
    world.add(sign_statement(renewed, [cast.probation.identity]))
    world.revoke(cast.social_work.device.key_id, cast.social_work.identity)
    return world, members


WORLD, MEMBERS = _story()
DESKS = [*(member.desk for member in MEMBERS), DeskAddress("nobody.gora-prison@hub.example")]
DEVICES = [*(member.device.key_id for member in MEMBERS), device_of("second").key_id, device_of("nobody").key_id]
EDGES = [NOW + days * DAY + off for days in (-20, -10, -2, 0, 3, 5, 12, 70, 345) for off in (-1, 0, 1)]


def _replayed(size: int) -> Directory:
    directory = Directory(parse_statement(WORLD.root).digest, DOMAIN)
    for raw in WORLD.statements[:size]:
        directory.apply(raw, verified=True)
    return directory


def _device(directory: Directory, key_id: KeyId, at: int) -> DeviceEntry | str:
    try:
        return directory.device_in_force(key_id, at=at, size=directory.size)
    except (Revoked, UntrustedKey) as error:
        return error.code


def _answers(directory: Directory, at: int) -> tuple[list[DeskEntry | None], list[DeviceEntry | str]]:
    return [directory.desk(desk, at) for desk in DESKS], [_device(directory, device, at) for device in DEVICES]


@given(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(NOW - 40 * DAY, NOW + 400 * DAY)), max_size=12))
def test_dir_6_answers_do_not_depend_on_what_was_asked_before(times: Sequence[int]) -> None:
    for at in times:
        # A directory that was never asked anything works all of it out.
        assert _answers(WORLD.directory, at) == _answers(_replayed(WORLD.directory.size), at)


def test_dir_6_a_new_statement_counts_at_once() -> None:
    """However often was asked before it, at the very same time."""
    directory = _replayed(0)
    seen = set[str]()
    for size, raw in enumerate(WORLD.statements, start=1):
        directory.apply(raw, verified=True)
        found = _answers(directory, NOW)
        assert found == _answers(directory, NOW) == _answers(_replayed(size), NOW)
        seen.add(repr(found))
    assert len(seen) > len(MEMBERS)

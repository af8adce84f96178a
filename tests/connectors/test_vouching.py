# SPDX-License-Identifier: Apache-2.0
"""What an agency is told when its authority does not vouch for it: each time what helps, and never more than needed."""

import pytest

from connectors.vouching import Vouching, vouched, vouching
from keys.signing import sign_statement
from protocol.address import parse_agency
from protocol.diagnosis import Condition
from protocol.errors import Revoked, UntrustedKey
from protocol.limits import DAY
from protocol.statements import Agency, Authority, Body, Revocation, parse_statement
from tests.connectors.conftest import World
from tests.connectors.test_doctor import looked_at
from tests.keys.world import identity
from tests.programme import Programme, make_programme

AGENCY = parse_agency("reka-probation@hub.example")


@pytest.fixture
def programme() -> Programme:
    return make_programme()


def renewed(programme: Programme, name: str, days: int) -> bytes:
    """Return a statement of the agency under the identity of `name`, which counts for some days."""
    old = programme.directory.agency_line(AGENCY)[-1]
    subject = Agency(
        AGENCY, old.agency_kind, identity(name).public if name else old.identity, old.desks, old.payload_types, old.name
    )
    body = Body(programme.now, programme.now - 1, programme.now + days * DAY, subject)
    return sign_statement(body, programme.approvers[:2])


@pytest.mark.parametrize(
    ("case", "expected", "helps"),
    [
        ("as it is", Vouching.FOR, ""),
        ("ended", Vouching.ENDED, "authority renew"),
        ("others", Vouching.OTHERS, "new code"),
        ("revoked", Vouching.REVOKED, "new code"),
        ("above", Vouching.ABOVE, "Do not enrol anew"),
        ("never", Vouching.NEVER, "new code"),
    ],
)
def test_dir_6_an_agency_is_told_what_helps_it(case: str, expected: Vouching, helps: str, programme: Programme) -> None:
    directory, now, address = programme.directory, programme.now, AGENCY
    own = directory.agency_line(AGENCY)[-1].identity.key_id
    if case == "ended":
        directory.apply(renewed(programme, "", 1))
        now += DAY
    elif case == "others":
        directory.apply(renewed(programme, "somebody else", 100))
    elif case == "revoked":
        body = Body(now, now - 1, now + DAY, Revocation(own, "ended"))
        directory.apply(sign_statement(body, programme.approvers[:2]))
    elif case == "above":
        entry = directory.authority("hub.example")
        assert entry is not None
        again = Authority(entry.jurisdiction, entry.threshold, entry.identities, entry.domain)
        directory.apply(sign_statement(Body(now, now - 1, now + 1, again), programme.root_persons[:2]))
        now += 1
    elif case == "never":
        address = parse_agency("nobody@hub.example")
    assert vouching(directory, address, own, now) is expected
    if expected is Vouching.FOR:
        assert vouched(directory, address, own, now).identity.key_id == own
        return
    with pytest.raises(Revoked if expected is Vouching.REVOKED else UntrustedKey, match=helps):
        vouched(directory, address, own, now)


async def test_the_doctor_and_the_numbers_say_until_when_the_authority_vouches(world: World) -> None:
    station, programme = world.probation, world.hub.programme
    ends = station.parts.directory.directory.agency_line(station.installation.enrolment.agency)[-1].not_after
    text = (await station.parts.metrics.text()).decode()
    (line,) = (one for one in text.splitlines() if one.startswith('throughcare_key_expiry_seconds{key="agency"}'))
    assert float(line.split()[-1]) == (ends - world.hub.clock()) / 1_000
    for days, condition in ((61, Condition.OK), (59, Condition.WARNING)):
        programme.now += 1
        world.hub.clock.now = programme.now
        programme.add(renewed(programme, "", days))
        await world.hub.catch_up()
        await station.parts.directory.sync()
        found = (await looked_at(station, world.hub.clock))["agency"]
        assert (found.condition, "authority renew" in (found.fix or "")) == (condition, condition is Condition.WARNING)
    world.hub.clock.advance(59 * DAY)
    found = (await looked_at(station, world.hub.clock))["agency"]
    assert (found.condition, found.found) == (Condition.FAULT, "The agency's certificate has ended.")


async def test_the_hub_counts_down_to_the_end_of_the_root_and_the_authority(world: World) -> None:
    ends = world.hub.hub.watch.certificates.ends()
    root, authority = (parse_statement(raw).body.not_after for raw in world.hub.programme.statements[:2])
    assert (ends["root"], ends["authority"]) == (root, authority)

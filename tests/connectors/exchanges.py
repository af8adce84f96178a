# SPDX-License-Identifier: Apache-2.0
"""Statements by which somebody is exchanged at an authority, and those that former people of it might sign."""

from keys.signing import HybridSigner, sign_statement
from protocol.address import AgencyAddress
from protocol.limits import DAY, HOUR
from protocol.restoration import Kept, Restoration
from protocol.statements import Agency, Authority, Body
from tests.keys.world import identity
from tests.programme import NOW, Programme

NEW = identity("newcomer")


def exchange(programme: Programme, *places: int) -> bytes:
    """Put newcomers into the places of approvers; return the statement."""
    people = [
        identity(f"newcomer {place}") if place in places else one for place, one in enumerate(programme.approvers)
    ]
    return programme.state(authority(programme, people), programme.root_persons[:2], age=0)


def authority(programme: Programme, people: list[HybridSigner]) -> Authority:
    return Authority("Demo jurisdiction", 2, tuple(one.public for one in people), programme.domain)


def restoration(programme: Programme, kept: int, signers: list[HybridSigner]) -> bytes:
    """Return the restoration to the first `kept` statements."""
    root = programme.directory.root_at(kept)
    assert root is not None
    said = Restoration(programme.domain, 1, Kept(kept, root, kept, root), Kept(0, bytes(32), 0, bytes(32)))
    return sign_statement(Body(NOW, NOW - HOUR, NOW + DAY, said), signers)


def ghost(programme: Programme, signers: list[HybridSigner]) -> bytes:
    """Return an agency under a stranger's keys."""
    said = Agency(
        AgencyAddress(f"ghost@{programme.domain}"), "probation", NEW.public, (("intake", "probation-intake"),),
        ("handover.offer",), "Ghost",
    )  # fmt: skip
    return sign_statement(Body(NOW, NOW - HOUR, NOW + 80 * DAY, said), signers)

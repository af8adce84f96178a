# SPDX-License-Identifier: Apache-2.0
"""Statements to try on a directory, and the assertion that a refused one changed nothing."""

import pytest

from keys.signing import DeviceSigner, HybridSigner, sign_statement
from protocol.errors import ThroughcareError
from protocol.statements import Subject
from tests.keys.world import NOW, World, body


def refused(world: World, raw: bytes, error: type[ThroughcareError]) -> None:
    """Assert that `raw` is refused with exactly `error`, twice, and that nothing changed."""
    directory = world.directory
    before = (directory.size, directory.root, directory.desks(NOW))
    for attempt in (directory.check, directory.apply):
        with pytest.raises(error) as caught:
            attempt(raw)
        assert type(caught.value) is error
    assert (directory.size, directory.root, directory.desks(NOW)) == before


def signed(subject: Subject, *signers: HybridSigner | DeviceSigner, issued: int = NOW) -> bytes:
    return sign_statement(body(subject, issued=issued), signers)

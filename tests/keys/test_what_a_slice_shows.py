# SPDX-License-Identifier: Apache-2.0
"""What a recipient can learn of the rows and sections that are not its own (section 5, attack 1)."""

import pytest

from protocol.envelope import parse_envelope
from protocol.errors import ThroughcareError
from protocol.rows import header_hash, sha256
from protocol.slices import parse_slice
from tests.keys.forger import Forger, To, content
from tests.keys.hubside import deliver, open_as, tamper
from tests.keys.world import Cast


def test_env_15_a_slice_holds_nothing_of_sections_that_are_not_its_own(shared_cast: Cast) -> None:
    """Section 5, attack 1: in the bytes of the slice, and in what its recipient can decrypt of it."""
    cast = shared_cast
    secret = [b"RISK-CATEGORY-CANARY", b"RISK-BODY-CANARY"]
    to = [To(cast.probation, (1, 2)), To(cast.social_work, (1,))]
    forger = Forger(cast.world, cast.prison, to, [content("identity"), content(secret[0].decode(), secret[1])])
    envelope = forger.build()
    raw = deliver(envelope, 1, cast.world)
    parsed, whole = parse_slice(raw), parse_envelope(envelope)
    hidden = whole.sections[2]
    for window in range(0, len(hidden) - 32, 512):
        assert hidden[window : window + 32] not in raw
    assert whole.row_bytes[0] not in raw
    assert bytes(whole.rows[0].device_id) not in raw
    assert whole.wraps[0][:64] not in raw
    assert cast.probation.desk.encode() not in raw
    message = open_as(cast.social_work, cast.world, raw)
    shown = repr((message, message.sections, message.payload)).encode() + raw
    for canary in secret:
        assert canary not in shown
    # What stays visible: that there are two rows and three sections, and the ciphertext's length.
    assert len(parsed.row_hashes) == 2
    assert parsed.section_hashes[2] == sha256(hidden)
    assert parsed.common.section_lengths[2] == len(hidden)


def test_env_15_a_row_that_is_not_the_recipients_own_does_not_verify(shared_cast: Cast) -> None:
    """A hub that gives one recipient the row of another: its own wrap opens under neither."""
    cast = shared_cast
    forger = Forger(cast.world, cast.prison, [To(cast.probation), To(cast.social_work)])
    envelope = forger.build()
    whole = parse_envelope(envelope)
    hashes = tuple(sha256(row) for row in whole.row_bytes)
    raw = deliver(envelope, 0, cast.world)
    swapped = tamper(raw, cast.world, position=1)
    assert header_hash(whole.common_bytes, hashes) != parse_slice(swapped).header_hash
    with pytest.raises(ThroughcareError):
        open_as(cast.probation, cast.world, swapped)

# SPDX-License-Identifier: Apache-2.0
"""What the hub makes for each message: encoded without the check of the profile, and strict all the same (CBOR-3)."""

from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor
from protocol.address import DeskAddress
from protocol.frames import Accepted, Deliver, Item, ItemKind, encode_frame
from protocol.ids import EnvelopeId
from protocol.receipts import Detail, Leaf, ReceiptBody, ReceiptKind, encode_signed
from protocol.shapes import MAX_NUMBER
from protocol.slices import encode_slice

DESK = DeskAddress("release.gora-prison@hub.example")
HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=5)


@given(st.integers(0, MAX_NUMBER), st.binary(max_size=300), HASHES)
def test_cbor_3_what_the_hub_makes_for_each_message_is_strict(number: int, some: bytes, hashes: list[bytes]) -> None:
    one = hashes[0]
    made = [
        Detail(ReceiptKind.EXPIRED, EnvelopeId(some), one, DESK, number, one).encode(),
        Leaf(number, one, some).encode(),
        ReceiptBody(ReceiptKind.EXPIRED, "hub.example/audit/2", number, number, one, some, one, some).encode(),
        encode_signed(some, one),
        encode_slice(
            common=some,
            position=1,
            row_hashes=hashes,
            row=some,
            wraps_hash=one,
            wrap=some,
            section_hashes=hashes,
            sections={1: some, 0: some},
            sender_sig=some,
            receipt=some,
        ),
        encode_frame(Accepted(number, some)),
        encode_frame(Deliver((Item(number, ItemKind.SLICE, some), Item(number, ItemKind.NOTICE, one)))),
    ]
    for data in made:
        assert cbor.encode(cbor.decode(data, limit=1 << 20)) == data

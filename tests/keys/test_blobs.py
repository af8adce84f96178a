# SPDX-License-Identifier: Apache-2.0
"""Attachments as streams: the same bytes come out, and whatever was changed on the way is one refusal."""

from dataclasses import replace

import pytest

from keys.blobopening import BlobOpener
from keys.blobsealing import BlobSealer
from protocol import limits
from protocol.blobs import MAX_CIPHERTEXT, blob_context, blob_size, chunk_size
from protocol.errors import CannotOpen, TooLarge
from protocol.ids import BlobId
from protocol.padding import pad, padding_of
from protocol.sections import Attachment
from tests.keys.world import seed

BLOB = BlobId(seed("blob")[:16])
SIZES = [0, 1, 8_190, 8_191, 8_192, 16_383, 16_384, 65_535, 65_536, 100_000, 300_000]


def sealed(
    plaintext: bytes, *, blob_id: BlobId = BLOB, index: int = 0, piece: int = 10_000
) -> tuple[Attachment, bytes]:
    """Seal `plaintext` in pieces and return its manifest entry and the ciphertext."""
    sealer = BlobSealer(blob_id, index)
    parts = [sealer.update(plaintext[at : at + piece]) for at in range(0, len(plaintext), piece)]
    ciphertext = b"".join([*parts, *sealer.finish()])
    return sealer.entry("application/pdf", "scan.pdf"), ciphertext


def opened(entry: Attachment, ciphertext: bytes, *, index: int = 0, piece: int = 10_000) -> bytes:
    """Open `ciphertext` in pieces."""
    opener = BlobOpener(entry, index)
    parts = [opener.update(ciphertext[at : at + piece]) for at in range(0, len(ciphertext), piece)]
    return b"".join([*parts, opener.finish()])


@pytest.mark.parametrize("size", SIZES)
def test_att_2_what_was_sealed_in_pieces_opens_in_others(size: int) -> None:
    plaintext = bytes(number % 251 for number in range(size))
    entry, ciphertext = sealed(plaintext, piece=7_001)
    assert (entry.ciphertext_size, entry.plaintext_size) == (len(ciphertext), size)
    assert len(ciphertext) == blob_size(size)
    for piece in (977, 16_384, 1 << 20):
        assert opened(entry, ciphertext, piece=piece) == plaintext


def test_att_2_plaintext_that_looks_like_padding_comes_back_whole() -> None:
    for plaintext in (b"\x80", b"\x80" + bytes(20_000), bytes(8_191), bytes(70_000) + b"\x80\0"):
        entry, ciphertext = sealed(plaintext)
        assert opened(entry, ciphertext) == plaintext


@pytest.mark.parametrize("size", [*SIZES, 3 << 20])
def test_pad_1_padding_in_pieces_is_the_padding(size: int) -> None:
    pieces = list(padding_of(size))
    assert bytes(size) + b"".join(pieces) == pad(bytes(size))
    assert max(map(len, pieces)) <= 1 << 20


def test_att_2_keys_are_fresh_and_the_context_names_blob_and_place() -> None:
    one, other = sealed(b"the same")[0], sealed(b"the same")[0]
    assert one.key != other.key
    assert one.ciphertext_hash != other.ciphertext_hash
    assert blob_context(BLOB, 3) == b"tc/1 blob\0" + BLOB + b"\0\3"
    for blob_id, index in ((b"short", 0), (BLOB, -1), (BLOB, 64)):
        with pytest.raises(ValueError, match="an attachment has"):
            blob_context(blob_id, index)


def test_att_2_every_lie_of_the_manifest_is_the_same_failure_to_open() -> None:
    """Attack 60: the right hash under another blob's id, another place, another key, wrong sizes."""
    entry, ciphertext = sealed(b"x" * 20_000)
    other, _ = sealed(b"y" * 20_000)
    lies = [
        replace(entry, blob_id=bytes(16)),
        replace(entry, key=other.key),
        replace(entry, ciphertext_hash=other.ciphertext_hash),
        replace(entry, ciphertext_size=entry.ciphertext_size + 1),
        replace(entry, plaintext_size=19_999),
        replace(entry, plaintext_size=20_001),
        replace(entry, plaintext_size=40_000),
    ]
    assert opened(entry, ciphertext) == b"x" * 20_000
    for lie in lies:
        with pytest.raises(CannotOpen) as caught:
            opened(lie, ciphertext)
        assert caught.value.detail == CannotOpen.default
    with pytest.raises(CannotOpen):
        opened(entry, ciphertext, index=1)


def test_att_2_changed_cut_lengthened_or_spliced_ciphertext_does_not_open() -> None:
    """Attack 60: a download that was resumed with another blob's bytes among them."""
    entry, ciphertext = sealed(b"x" * 200_000)
    _, other = sealed(b"x" * 200_000)
    flipped = bytearray(ciphertext)
    flipped[150_000] ^= 1
    for wrong in (
        bytes(flipped),
        ciphertext[:-1],
        ciphertext[: 56 + 16_400 * 3],
        ciphertext + b"\0",
        ciphertext[:100_000] + other[100_000:],
        other,
        b"",
    ):
        with pytest.raises(CannotOpen):
            opened(entry, wrong)


def test_att_2_padding_is_checked_strictly_even_under_the_right_key() -> None:
    """PAD-2: a sender who hides bytes behind the plaintext's end is found, wherever they stand."""

    class Smuggler(BlobSealer):
        def pad_with(self, padding: bytes) -> bytes:
            return self._out(self._encryptor.update(padding)) + self._out(self._encryptor.finalize())

    room = (8 << 10) - 100
    good = b"\x80" + bytes(room - 1)
    for padding in (good, bytes(room), b"\x81" + good[1:], good[:-1] + b"\1", b"\0\x80" + good[2:]):
        sealer = Smuggler(BLOB, 0)
        ciphertext = sealer.update(b"p" * 100) + sealer.pad_with(padding)
        entry = sealer.entry("text/plain", "note.txt")
        if padding == good:
            assert opened(entry, ciphertext) == b"p" * 100
        else:
            with pytest.raises(CannotOpen):
                opened(entry, ciphertext)


def test_an_attachment_has_at_most_one_gibibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BLOB", 1_000)
    sealer = BlobSealer(BLOB, 0)
    sealer.update(bytes(1_000))
    with pytest.raises(TooLarge):
        sealer.update(b"x")


def test_att_3_chunks_have_one_mebibyte_and_the_last_what_remains() -> None:
    assert [chunk_size(at, 2_500_000) for at in (0, 1 << 20, 2 << 20, 3 << 20)] == [1 << 20, 1 << 20, 402_848, 0]
    assert blob_size(1 << 30) == MAX_CIPHERTEXT < 1.04 * (1 << 30)


def test_err_2_sealer_and_opener_show_no_key() -> None:
    entry, _ = sealed(b"secret content")
    for shown in (repr(BlobSealer(BLOB, 0)), repr(BlobOpener(entry, 0)), repr(entry)):
        assert "secret" not in shown.replace(": secret>", "")
        assert repr(entry.key) not in shown

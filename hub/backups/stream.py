# SPDX-License-Identifier: Apache-2.0
r"""What a hub's backup is inside its seal: facts, the rows of every table, the chunks of attachments, an end.

stream = frame…;  frame = length(4) || CBOR
frames: facts, then [1, table, [column…], [[value…]…]]…, then [2, device(32), blob id(16), place, chunk]…, then []
facts  = { 0: 1, 1: made (ms UTC), 2: domain, 3: revision, 4: [[origin, size, root(32)]…], 5: sealed keys|null }
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hub.service.guard import GuardedHead
from hub.store.blobs import BlobKey
from hub.store.copying import Row
from protocol import cbor, limits
from protocol.errors import KeystoreError, MalformedEnvelope
from protocol.ids import ID_SIZE, KEY_ID_SIZE, BlobId, KeyId
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple

PURPOSE: Final = "hub"
VERSION: Final = 1
FRAME_BYTES: Final = 1 << 20
"""About how many bytes of rows one frame has."""

_MAX_FRAME: Final = 4 << 20
_LENGTH: Final = 4
_ROWS: Final = 1
_CHUNK: Final = 2
_CUT: Final = "The backup is not a whole backup of a hub, or of another version of Throughcare."


@dataclass(frozen=True, slots=True)
class Facts:
    """Of which hub and when (ms UTC) a backup is, its database's revision, and the logs' heads in it."""

    made_at: int
    domain: str
    revision: str
    heads: tuple[GuardedHead, ...]
    sealed_keys: bytes | None = field(repr=False)

    def encode(self) -> bytes:
        """Return the frame's content."""
        heads: list[cbor.Value] = [[one.origin, one.size, one.root] for one in self.heads]
        return cbor.encode(
            {0: VERSION, 1: self.made_at, 2: self.domain, 3: self.revision, 4: heads, 5: self.sealed_keys}
        )

    @classmethod
    def parse(cls, data: bytes) -> "Facts":
        """Read them, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=_MAX_FRAME), 6)
        as_int(fields[0], least=VERSION, most=VERSION)
        made_at = as_int(fields[1])
        heads = []
        for item in as_list(fields[4], least=2, most=2):
            origin, size, root = as_tuple(item, 3)
            name = as_text(origin, least=1, most=200)
            heads.append(GuardedHead(name, as_int(size), as_bytes(root, size=limits.HASH), made_at))
        sealed = None if fields[5] is None else as_bytes(fields[5])
        domain, revision = as_text(fields[2], most=100), as_text(fields[3], least=4, most=4)
        return cls(made_at, domain, revision, tuple(heads), sealed)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table."""

    table: str
    columns: tuple[str, ...]
    values: list[Row] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of an attachment's ciphertext; chunks of a blob come in order, `place` from 0."""

    key: BlobKey
    place: int
    data: bytes = field(repr=False)


def framed(data: bytes) -> bytes:
    """Return a frame."""
    return len(data).to_bytes(_LENGTH, "big") + data


def write_rows(write: Callable[[bytes], None], table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write the rows of one table as frames of about a mebibyte."""
    group: list[Row] = []
    size = items = 0
    for row in rows:
        weight = sum(len(value) if isinstance(value, bytes | str) else 9 for value in row)
        if group and (size + weight > FRAME_BYTES or items + len(row) + 1 > cbor.MAX_ITEMS - 100):
            write(framed(_rows(table, columns, group)))
            group, size, items = [], 0, 0
        group.append(row)
        size += weight
        items += len(row) + 1
    if group:
        write(framed(_rows(table, columns, group)))


def _rows(table: str, columns: Sequence[str], group: Sequence[Row]) -> bytes:
    return cbor.encode([_ROWS, table, list(columns), [list(row) for row in group]])


def encode_chunk(chunk: Chunk) -> bytes:
    """Return the frame of a chunk."""
    return framed(cbor.encode([_CHUNK, chunk.key.sender_device, chunk.key.blob_id, chunk.place, chunk.data]))


END: Final = framed(cbor.encode([]))


class Reader:
    """Reads a stream from pieces as they are unsealed. Nothing counts before `contents` has ended without an error."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = bytearray()

    def facts(self) -> Facts:
        """Return the first frame; raises KeystoreError if it is none."""
        try:
            return Facts.parse(self._frame())
        except MalformedEnvelope:
            raise KeystoreError(_CUT) from None

    def contents(self) -> Iterator[Rows | Chunk]:
        """Yield all that follows, to the very end; raises KeystoreError for what is cut, damaged or unknown."""
        try:
            while (frame := _content(self._frame())) is not None:
                yield frame
        except MalformedEnvelope:
            raise KeystoreError(_CUT) from None
        if self._held or any(self._pieces):
            raise KeystoreError(_CUT)

    def _frame(self) -> bytes:
        length = int.from_bytes(self._take(_LENGTH), "big")
        if length > _MAX_FRAME:
            raise KeystoreError(_CUT)
        return self._take(length)

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                raise KeystoreError(_CUT)
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


def _content(data: bytes) -> Rows | Chunk | None:
    kind, *rest = as_list(cbor.decode(data, limit=_MAX_FRAME), most=5) or [None]
    if kind is None:
        return None
    if kind == _ROWS:
        name, columns, values = as_tuple(rest, 3)
        names = tuple(as_text(one, least=1, most=100) for one in as_list(columns, most=100))
        return Rows(as_text(name, least=1, most=100), names, [_row(one) for one in as_list(values, most=4_000)])
    if kind == _CHUNK:
        device, blob_id, place, data = as_tuple(rest, 4)  # type: ignore[assignment] # checked in the next lines
        key = BlobKey(KeyId(as_bytes(device, size=KEY_ID_SIZE)), BlobId(as_bytes(blob_id, size=ID_SIZE)))
        return Chunk(key, as_int(place), as_bytes(data))
    raise MalformedEnvelope


def _row(value: cbor.Value) -> Row:
    row: Row = []
    for one in as_list(value, most=100):
        if isinstance(one, bool | list | dict):
            raise MalformedEnvelope
        row.append(one)
    return row

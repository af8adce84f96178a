# SPDX-License-Identifier: Apache-2.0
r"""What a connector holds of its hub's logs, as a file for an operator whose hub has lost some of them (GEN-5).

    witness = "throughcare witness 1\n" || frame…;  frame = length(4) || bytes
    frames: signed directory head, newest acceptance receipt or nothing, then every statement of the directory

All of it is signed by the hub or by whoever stated it, so the file needs no seal of its own; it holds no content.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from protocol import limits
from protocol.errors import MalformedEnvelope

BEGIN: Final = b"throughcare witness 1\n"
_LENGTH: Final = 4
_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class Witness:
    """A signed head, the newest receipt if there is one, and the directory's statements from the first on."""

    head: bytes = field(repr=False)
    receipt: bytes | None = field(repr=False)
    statements: tuple[bytes, ...] = field(repr=False)


def encode_witness(witness: Witness) -> Iterator[bytes]:
    """Yield the file, piece by piece."""
    yield BEGIN
    for one in (witness.head, witness.receipt or b"", *witness.statements):
        yield len(one).to_bytes(_LENGTH, "big") + one


def read_witness(file: BinaryIO) -> Witness:
    """Read such a file; `MalformedEnvelope` if it is none."""
    if file.read(len(BEGIN)) != BEGIN:
        raise MalformedEnvelope("This is no file that `throughcare witness` wrote.")
    frames = list(_frames(file))
    if len(frames) < _LEAST:
        raise MalformedEnvelope("The witness file is cut or damaged.")
    return Witness(frames[0], frames[1] or None, tuple(frames[2:]))


def _frames(file: BinaryIO) -> Iterable[bytes]:
    while length := file.read(_LENGTH):
        size = int.from_bytes(length, "big")
        data = file.read(size) if len(length) == _LENGTH and size <= limits.MAX_STATEMENT else b""
        if len(length) != _LENGTH or len(data) != size:
            raise MalformedEnvelope("The witness file is cut or damaged.")
        yield data

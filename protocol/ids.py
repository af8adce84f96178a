# SPDX-License-Identifier: Apache-2.0
"""Ids: 16 random bytes inside, a prefix and base32 for people (ID-1)."""

import base64
import re
import secrets
from enum import StrEnum
from typing import NewType

from protocol.errors import InvalidInput

EnvelopeId = NewType("EnvelopeId", bytes)
MessageId = NewType("MessageId", bytes)
ThreadId = NewType("ThreadId", bytes)
OfficerId = NewType("OfficerId", bytes)
SubjectId = NewType("SubjectId", bytes)
CodeId = NewType("CodeId", bytes)
BlobId = NewType("BlobId", bytes)
EventId = NewType("EventId", bytes)
TokenId = NewType("TokenId", bytes)
CaseId = NewType("CaseId", bytes)
DraftId = NewType("DraftId", bytes)
KeyId = NewType("KeyId", bytes)
"""SHA-256 of the typed public parts (ID-3)."""

ID_SIZE = 16
KEY_ID_SIZE = 32

_TEXT = re.compile(r"[a-z2-7]{26}")


class Kind(StrEnum):
    """What an id stands for; the value is its prefix in text."""

    ENVELOPE = "env"
    MESSAGE = "msg"
    THREAD = "thr"
    OFFICER = "off"
    SUBJECT = "sub"
    CODE = "cod"
    BLOB = "blb"
    EVENT = "evt"
    CASE = "cas"
    DRAFT = "dft"
    TOKEN = "tok"  # noqa: S105 # a prefix of ids


def new_id() -> bytes:
    """Return 16 fresh random bytes."""
    return secrets.token_bytes(ID_SIZE)


def text(kind: Kind, raw_id: bytes) -> str:
    """Return the text form of a 16-byte id: prefix, `_`, 26 characters (ID-1)."""
    return f"{kind.value}_{base64.b32encode(raw_id).decode().rstrip('=').lower()}"


def raw(kind: Kind, id_text: str) -> bytes:
    """Return the 16 bytes of an id in text form; `InvalidInput` unless it is the one spelling (ID-1)."""
    prefix, _, body = id_text.partition("_")
    if prefix != kind.value or not _TEXT.fullmatch(body):
        raise InvalidInput(f"An id here is written {kind.value}_ and 26 characters of a-z and 2-7.")
    decoded = base64.b32decode(body.upper() + "======")
    if text(kind, decoded) != id_text:
        raise InvalidInput(f"An id here is written {kind.value}_ and 26 characters of a-z and 2-7.")
    return decoded

# SPDX-License-Identifier: Apache-2.0
"""How values look in JSON: bytes, ids, times and addresses are text at this edge and nowhere else.

Each form has one spelling. A second spelling of the same value is refused, so that what two parties compare
or sign as text can never differ while it means the same.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from protocol.address import MAX_ADDRESS, AgencyAddress, DeskAddress, parse_agency, parse_desk
from protocol.errors import InvalidInput
from protocol.ids import (
    BlobId,
    CaseId,
    CodeId,
    DraftId,
    EnvelopeId,
    EventId,
    KeyId,
    Kind,
    MessageId,
    OfficerId,
    ThreadId,
    TokenId,
)
from protocol.ids import raw as id_raw
from protocol.ids import text as id_text

T = TypeVar("T")

_BASE64URL_PATTERN = "^[A-Za-z0-9_-]*$"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RequestModel(BaseModel):
    """Body of a request: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


class QueryModel(BaseModel):
    """Query or path parameters: numbers arrive as text and are coerced; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class ResponseModel(BaseModel):
    """Body of an answer: unknown fields are ignored, so that a newer server may add some within `/v1`."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


@dataclass(frozen=True, slots=True, eq=False)
class TextForm:
    """Annotation: the field is `inside` in Python and text in JSON."""

    inside: type
    parse: Callable[[str], Any]
    render: Callable[[Any], str]
    schema: Mapping[str, Any]
    fits: Callable[[Any], bool] | None = None
    """Tells whether a Python value can be written as a right text, where that needs no text to be made of it."""

    def _from_text(self, text: str) -> Any:
        try:
            return self.parse(text)
        except (InvalidInput, ValueError):
            raise PydanticCustomError("wrong_form", "not written in the form of this field") from None

    def _from_python(self, value: Any) -> Any:
        """Take the value itself, or its text where a parameter of a URL is text."""
        if type(value) is str:
            return self._from_text(value)
        if not isinstance(value, self.inside) or isinstance(value, bool):
            raise PydanticCustomError("wrong_type", "not of the type of this field")
        if self.fits is None:
            return self._from_text(self.render(value))
        if not self.fits(value):
            raise PydanticCustomError("wrong_form", "not written in the form of this field")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.no_info_after_validator_function(self._from_text, core_schema.str_schema(strict=True))
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.no_info_plain_validator_function(self._from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.render, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", **self.schema}


def encode_base64url(data: bytes) -> str:
    """Return `data` as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Return the bytes of `text`; `InvalidInput` unless it is their one spelling without padding."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise InvalidInput("Bytes are written as base64url without padding.")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        raise InvalidInput("Bytes are written as base64url without padding.")
    return data


def base64url(*, minimum: int = 0, maximum: int) -> TextForm:
    """Return the annotation of a bytes field of `minimum` to `maximum` bytes, base64url in JSON."""

    def fits(data: bytes) -> bool:
        return minimum <= len(data) <= maximum

    def parse(text: str) -> bytes:
        data = decode_base64url(text)
        if not fits(data):
            raise InvalidInput("The bytes are too short or too long for this field.")
        return data

    return TextForm(
        bytes,
        parse,
        encode_base64url,
        {
            "contentEncoding": "base64url",
            "pattern": _BASE64URL_PATTERN,
            "minLength": -(-minimum * 8 // 6),
            "maxLength": -(-maximum * 8 // 6),
        },
        fits,
    )


def format_time(milliseconds: int) -> str:
    """Return a time in ms UTC as RFC 3339 text with milliseconds and `Z`."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_time(text: str) -> int:
    """Return the ms UTC of a time as `format_time` writes it; `InvalidInput` for anything else."""
    if not text.isascii() or not _TIME.fullmatch(text):
        raise InvalidInput("A time reads 2026-11-23T08:09:10.123Z.")
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("A time reads 2026-11-23T08:09:10.123Z.") from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _id_form(kind: Kind) -> TextForm:
    return TextForm(
        bytes,
        lambda text: id_raw(kind, text),
        lambda raw: id_text(kind, raw),
        # 26 characters have two bits more than an id: the last one is one of eight.
        {"pattern": f"^{kind.value}_[a-z2-7]{{25}}[aeimquy4]$"},
    )


def _parse_key_id(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise InvalidInput("A key id reads as 64 characters of 0-9 and a-f.")
    return bytes.fromhex(text)


def _address_form(parse: Callable[[str], str]) -> TextForm:
    return TextForm(str, parse, str, {"maxLength": MAX_ADDRESS})


Base64UrlBytes = Annotated[bytes, base64url(maximum=1 << 20)]
Bytes32 = Annotated[bytes, base64url(minimum=32, maximum=32)]
Time = Annotated[int, TextForm(int, parse_time, format_time, {"format": "date-time"})]
EnvelopeIdText = Annotated[EnvelopeId, _id_form(Kind.ENVELOPE)]
MessageIdText = Annotated[MessageId, _id_form(Kind.MESSAGE)]
ThreadIdText = Annotated[ThreadId, _id_form(Kind.THREAD)]
OfficerIdText = Annotated[OfficerId, _id_form(Kind.OFFICER)]
CodeIdText = Annotated[CodeId, _id_form(Kind.CODE)]
EventIdText = Annotated[EventId, _id_form(Kind.EVENT)]
CaseIdText = Annotated[CaseId, _id_form(Kind.CASE)]
DraftIdText = Annotated[DraftId, _id_form(Kind.DRAFT)]
TokenIdText = Annotated[TokenId, _id_form(Kind.TOKEN)]
BlobIdText = Annotated[BlobId, _id_form(Kind.BLOB)]
CursorText = Annotated[str, Field(max_length=300, pattern=_BASE64URL_PATTERN)]
"""Where a list goes on; only who gave it can read it."""

KeyIdText = Annotated[KeyId, TextForm(bytes, _parse_key_id, bytes.hex, {"pattern": "^[0-9a-f]{64}$"})]
AgencyText = Annotated[AgencyAddress, _address_form(parse_agency)]
DeskText = Annotated[DeskAddress, _address_form(parse_desk)]

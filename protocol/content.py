# SPDX-License-Identifier: Apache-2.0
"""What the content of a section is made of: strict models, bounded clean text, a category on every field.

Content is JSON inside the sealed section. It has one spelling (keys in order, no spaces, absent fields left
out), so that two encoders agree on the bytes and a reader notices anything that a careful sender would not
have written.
"""

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema

from protocol.characters import is_allowed
from protocol.errors import MalformedEnvelope, TooLarge
from protocol.fieldcodes import broken
from protocol.holding import POLICY, Policy

MAX_LINE: Final = 200
"""Characters of a name, a number, a heading."""
MAX_PASSAGE: Final = 20_000
"""Characters of free text: ten printed pages; a longer text is a document and goes as an attachment."""
MAX_ITEMS: Final = 2_000
"""Entries of one list."""
MAX_CONTENT: Final = 1 << 19
"""Bytes of one encoded body."""


class TextForm(StrEnum):
    """How a text field is written; adapters read it from the field's type."""

    LINE = "line"
    PASSAGE = "passage"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Held:
    """What a field holds: its data category, and with it how long it is kept and what the person is told of it.

    `category` is a `Category`, `SAME_AS_SECTION`, or `STATE`; `own` is set where the field needs other promises than
    its category.
    """

    category: str
    own: Policy | None = None

    @property
    def policy(self) -> Policy:
        """Return the promises of this field (KIND-2)."""
        return self.own or POLICY[self.category]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Write all three into the published schema, as `x-category`, `x-retention` and `x-access`."""
        retention, access = self.policy
        return {**handler(schema), "x-category": self.category, "x-retention": retention, "x-access": access}


class Content(BaseModel):
    """Base of all content: strict types, no unknown field, frozen; an error never shows what it refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)

    max_bytes: ClassVar[int] = MAX_CONTENT

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Keep content out of logs and tracebacks: a model shows its class only (ERR-2)."""
        return ()


def is_clean(text: str) -> bool:
    """Tell whether `text` is in normal form C and holds allowed characters only."""
    return unicodedata.is_normalized("NFC", text) and all(map(is_allowed, text))


def _clean(text: str) -> str:
    if not is_clean(text):
        raise broken("not-clean")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise broken("not-one-line")
    return _clean(text)


def _trimmed(text: str) -> str:
    if text != text.strip():
        raise broken("spaces-around")
    return text


Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_LINE),
    AfterValidator(_one_line),
    AfterValidator(_trimmed),
    TextForm.LINE,
]
Passage = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_PASSAGE),
    AfterValidator(_clean),
    AfterValidator(_trimmed),
    TextForm.PASSAGE,
]

ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), TextForm.CLOCK]
"""Hours and minutes as the place's own clock shows them: an appointment is kept by the clock on the wall."""


def held_by(model: type[BaseModel], field: str) -> Held:
    """Return what `field` of `model` declares that it holds; `KeyError` if there is no such field or declaration."""
    info = model.model_fields[field]
    # An optional field of a named type has the declaration inside: (Annotated[str, Held(...)] | None).
    inner = [mark for part in get_args(info.annotation) for mark in getattr(part, "__metadata__", ())]
    for mark in (*info.metadata, *inner):
        if isinstance(mark, Held):
            return mark
    raise KeyError(field)


def category_of(model: type[BaseModel], field: str) -> str:
    """Return the category that `field` of `model` declares; `KeyError` if there is no such field or category."""
    return held_by(model, field).category


def encode_payload(content: Content) -> bytes:
    """Return the one UTF-8 JSON spelling of `content` (CNT-1); `TooLarge` beyond what its kind may have."""
    plain = content.model_dump(mode="json", exclude_none=True)
    encoded = json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(encoded) > content.max_bytes:
        raise TooLarge(f"One section's content is larger than {content.max_bytes} bytes; send part of it later.")
    return encoded


ContentType = TypeVar("ContentType", bound=Content)


def decode_content(
    adapter: TypeAdapter[ContentType], data: bytes, *, what: str, limit: int = MAX_CONTENT
) -> ContentType:
    """Read what `encode_payload` wrote, or raise `MalformedEnvelope`, which names `what` was expected.

    Any other spelling of the same content is refused: a repeated key, a space, a field set to null.
    """
    if len(data) > limit:
        raise MalformedEnvelope(f"The content is larger than {what} may be.")
    try:
        content = adapter.validate_json(data)
    except ValidationError:
        raise MalformedEnvelope(f"The content is not {what}.") from None
    if encode_payload(content) != data:
        raise MalformedEnvelope(f"The content is not {what} in its one spelling.")
    return content

# SPDX-License-Identifier: Apache-2.0
"""A bundle as it was handed in: its resources, each at its place, and where its references lead inside it.

The bytes come from anybody. Their size, depth and spelling are bounded before any model sees them, and no reference is
followed out of the bundle: what is not in it is not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from connectors.adapters.traced import displayed, leaves, step
from connectors.fhir.library import CHECKED, faults
from protocol.errors import FhirUnreadable, MalformedRequest
from protocol.http.strictjson import parse

MAX_BUNDLE: Final = 2 << 20
"""Bytes of a bundle; one referral is a hundredth of that."""
MAX_ENTRIES: Final = 500
MAX_PLACES: Final = 2 * MAX_BUNDLE
"""Characters of the places of all values together: a long name over many values would be spelled out for each."""
_TYPES: Final = frozenset({"batch", "collection", "document", "message", "searchset", "transaction"})
_METHODS: Final = frozenset({"POST", "PUT"})
_FARTHEST: Final = timedelta(hours=14)
"""How far a place's own time can be from UTC: what a date without a zone leaves open."""
_PART: Final = {4: "-01-01", 7: "-01", 10: ""}
_SHOWN: Final = 3
_LONGEST: Final = 120


@dataclass(frozen=True, slots=True)
class Element:
    """A value of the bundle with its place, as a JSON pointer. What is absent, or of another type, reads as nothing."""

    path: str
    value: Any = field(repr=False)

    def get(self, *keys: str) -> "Element":
        """Return what stands under the keys; an element with the value None if nothing does."""
        found = self
        for key in keys:
            value = found.value.get(key) if isinstance(found.value, dict) else None
            found = Element(step(found.path, key), value)
        return found

    def items(self, *keys: str) -> "tuple[Element, ...]":
        """Return the elements of the list under the keys."""
        found = self.get(*keys)
        listed = found.value if isinstance(found.value, list) else ()
        return tuple(Element(step(found.path, place), value) for place, value in enumerate(listed))

    @property
    def text(self) -> str:
        """The value as a text, empty where it is none."""
        return self.value if isinstance(self.value, str) else ""

    def codings(self) -> "tuple[Element, ...]":
        """Return the codings of a concept."""
        return self.items("coding")

    @property
    def coded(self) -> tuple[str, str]:
        """System and code of a coding; system and value of an identifier."""
        code = self.get("code").text or self.get("value").text
        return self.get("system").text, code

    def leaves(self) -> tuple[str, ...]:
        """Return the places of all that is held here."""
        return tuple(leaves(self.value, self.path))

    def plain(self) -> tuple[str, ...]:
        """Return the places of what is held here and not further inside: a coding without its extensions."""
        if not isinstance(self.value, dict):
            return () if isinstance(self.value, list) else (self.path,)
        return tuple(step(self.path, key) for key, value in self.value.items() if not isinstance(value, dict | list))


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry: its element, what kind of resource it is, and the names under which others can mean it."""

    element: Element
    kind: str
    names: frozenset[str]


class Bundle:
    """The resources of a bundle. `read_bundle` makes one."""

    def __init__(self, document: dict[str, Any], resources: tuple[Resource, ...]) -> None:
        """Keep the resources; no two have a name in common."""
        self.document = document
        self.resources = resources
        self._by_name = {name: one for one in resources for name in one.names}

    def of(self, kind: str) -> tuple[Resource, ...]:
        """Return the resources of one kind, in the bundle's order."""
        return tuple(one for one in self.resources if one.kind == kind)

    def resolve(self, reference: Element) -> Resource | None:
        """Return what a reference means in this bundle; None for what is elsewhere, contained, or nowhere."""
        return self._by_name.get(reference.get("reference").text.partition("/_history/")[0])

    def meanings(self, *references: Element) -> frozenset[str]:
        """Return all that references can be known by; two that share none mean something else.

        A role is also the person in it and the organisation that it is held at.
        """
        names, meant = set[str](), dict[str, Resource]()
        for reference in references:
            if text := reference.get("reference").text:
                names.add(text.partition("/_history/")[0])
            if reference.get("identifier").coded[1]:
                names.add("|".join(reference.get("identifier").coded))
            if (found := self.resolve(reference)) is not None:
                # Once, however many references lead to it.
                meant[found.element.path] = found
        for found in meant.values():
            names |= found.names
            names |= {"|".join(one.coded) for one in found.element.items("identifier") if one.coded[1]}
            if found.kind == "PractitionerRole":
                for part in ("organization", "practitioner"):
                    names |= self._plain(found.element.get(part))
        return frozenset(names)

    def _plain(self, reference: Element) -> frozenset[str]:
        text, found = reference.get("reference").text, self.resolve(reference)
        return frozenset({text} if text else ()) | (found.names if found else frozenset())


def read_bundle(data: bytes) -> Bundle:
    """Return the bundle in `data`; `FhirUnreadable` names the places that are not FHIR R4 and never what stands there.

    Only resources that are read later are checked by the library: see `CHECKED`.
    """
    if len(data) > MAX_BUNDLE:
        raise FhirUnreadable("The file is larger than a bundle with one referral can be. Nothing was drafted.")
    try:
        document = parse(data)
    except MalformedRequest as error:
        raise FhirUnreadable(f"The file is not strict JSON. {error.detail} Nothing was drafted.") from None
    if not isinstance(document, dict) or document.get("resourceType") != "Bundle":
        raise FhirUnreadable("The file holds no resource of the type Bundle. Nothing was drafted.")
    if Element("", document).get("type").text not in _TYPES:
        raise _unreadable(["/type"])
    if any(total > MAX_PLACES for total in accumulate(_lengths(document, 0))):
        raise FhirUnreadable("The bundle has more values than a referral has, or longer names. Nothing was drafted.")
    resources = tuple(_resources(Element("", document)))
    wrong = [f"{one.element.path}{place}" for one in resources for place in _faults(one)]
    if wrong:
        raise _unreadable(wrong)
    names = [name for one in resources for name in one.names]
    if len(names) != len(set(names)):
        raise FhirUnreadable("Two resources of the bundle have the same name. Nothing was drafted.")
    return Bundle(document, resources)


def _lengths(value: Any, length: int) -> Iterator[int]:
    """Yield how long the place of each value is; none of them is spelled."""
    match value:
        case dict():
            for key, child in value.items():
                yield from _lengths(child, length + 1 + len(key))
        case list():
            for index, child in enumerate(value):
                yield from _lengths(child, length + 1 + len(str(index)))
        case _:
            pass
    yield length


def _resources(bundle: Element) -> Iterator[Resource]:
    listed = bundle.get("entry").value
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_ENTRIES:
        raise _unreadable(["/entry"])
    for entry in bundle.items("entry"):
        element, method = entry.get("resource"), entry.get("request", "method")
        kind = element.get("resourceType").text
        if not isinstance(element.value, dict) or not kind:
            raise _unreadable([element.path])
        if method.value is not None and method.text not in _METHODS:
            # To delete or to fetch something is no referral.
            raise _unreadable([method.path])
        names = {entry.get("fullUrl").text}
        if own := element.get("id").text:
            names.add(f"{kind}/{own}")
        yield Resource(element, kind, frozenset(names - {""}))


def _faults(resource: Resource) -> tuple[str, ...]:
    value: Mapping[str, Any] = resource.element.value
    return faults(resource.kind, value) if resource.kind in CHECKED else ()


def _unreadable(places: list[str]) -> FhirUnreadable:
    shown = ", ".join(_short(displayed(place)) for place in places[:_SHOWN])
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return FhirUnreadable(f"This is not FHIR R4, at {shown}{more}. Nothing was drafted.")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def span_of(text: str) -> tuple[datetime, datetime] | None:
    """Return the first and the last instant that a FHIR dateTime can mean; None for what is none."""
    try:
        if "T" in text:
            instant = datetime.fromisoformat(text)
            return None if instant.tzinfo is None else (instant.astimezone(UTC), instant.astimezone(UTC))
        first = date.fromisoformat(text + _PART[len(text)])
        after = {
            4: lambda: first.replace(year=first.year + 1),
            7: lambda: (first.replace(day=28) + timedelta(days=4)).replace(day=1),
            10: lambda: first + timedelta(days=1),
        }[len(text)]()
        return _start(first) - _FARTHEST, _start(after) + _FARTHEST
    except (KeyError, OverflowError, ValueError):
        return None


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)

# SPDX-License-Identifier: Apache-2.0
"""Whatever is handed in, it is a draft, a quarantine or an error of ours; nothing is fetched, and nothing is lost."""

import copy
import json
import socket
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir import library
from connectors.fhir.bundle import MAX_BUNDLE
from connectors.fhir.importing import Imported, import_bundle
from connectors.fhir.vocabulary import NUMBERS
from protocol.errors import ExtraMissing, FhirUnreadable
from protocol.http.threads import ReferralRequest
from tests.connectors.fhir.invented import CANARY, CSW, SERVICES, bundle, care, encoded, part, social, whole


@pytest.fixture(autouse=True, scope="module")
def no_network() -> Iterator[None]:
    """Make every attempt to reach anything fail loudly; no error of the importer is of this class."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the importer tried to reach the network")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("socket", "create_connection", "getaddrinfo"):
            patch.setattr(socket, name, refuse)
        yield


def judged(data: bytes) -> Imported | None:
    """Import; None for an error of ours. Nothing that was in the data comes out by a message."""
    found, refused = None, ""
    try:
        found = import_bundle(data, SERVICES)
    except FhirUnreadable as error:
        refused = error.detail
    assert CANARY not in refused
    if found is None:
        return None
    assert (found.draft is None) is bool(found.quarantined)
    assert CANARY not in repr([found.not_understood, found.quarantined, found.missing])
    if found.draft is not None and not found.missing:
        ReferralRequest.model_validate(found.draft)
    return found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + encoded(social()),
        b'{"resourceType": "Bundle", "resourceType": "Bundle"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"resourceType": "Bundle", "type": "collection", "entry": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"resourceType": "Bundle", "type": "collection", "total": 1e999}',
        b'{"resourceType": "Bundle", "type": "collection", "total": ' + b"9" * 5_000 + b"}",
        encoded({"resourceType": "Bundle", "type": "collection", "x": "\ud800"}),
        encoded(social())[:-1],
        b" " * (MAX_BUNDLE + 1),
        json.dumps({**social(), "id": "x" * MAX_BUNDLE}).encode(),
    ],
)
def test_bytes_that_are_no_strict_json_are_refused(data: bytes) -> None:
    with pytest.raises(FhirUnreadable):
        import_bundle(data, SERVICES)


def test_a_bundle_of_the_largest_size_is_judged_and_its_report_is_bounded() -> None:
    document = social()
    document["entry"][1]["resource"]["supportingInfo"] = [{"reference": f"Observation/{n}"} for n in range(18_000)]
    found = judged(encoded(document))
    assert found is not None
    assert 1 <= len(found.not_understood) <= 2_000


@pytest.mark.parametrize("steps", [1, 20])
def test_a_long_name_is_not_spelled_out_for_each_value_below_it(steps: int) -> None:
    below: object = [0] * 1_000
    for _ in range(steps):
        below = {"n" * (6_000 // steps): below}
    # Some kilobytes, and a thousand times as much for their places.
    assert judged(encoded({**social(), "x": below})) is None


def test_many_that_mean_the_same_are_looked_at_once_each() -> None:
    document = social()
    request = part(document, "ServiceRequest")
    others = [{"system": "urn:invented", "value": str(n)} for n in range(6_000)]
    for kind in ("Patient", "Organization"):
        part(document, kind)["identifier"] = others
    request["performer"] = [{"reference": f"Organization/{part(document, 'Organization')['id']}"}] * 3_000
    document["entry"] += [{"resource": {"resourceType": "Patient", "id": f"more-{n}"}} for n in range(300)]
    found = judged(encoded(document))
    assert found is not None
    assert found.quarantined == ()


def test_a_number_that_is_said_twice_is_told_of_once_at_each_place() -> None:
    document = social()
    kind = {"coding": [{"system": NUMBERS, "code": "PLAC"}] * 6_000}
    said = [{"value": value, "type": kind} for value in ("G-17", "G-18")]
    part(document, "ServiceRequest")["identifier"] = said
    found = judged(encoded(document))
    assert found is not None
    assert found.draft is not None
    assert "register_numbers" not in found.draft["fields"]
    (told,) = [one.reason for one in found.not_understood if one.path == "entry/*/resource/identifier/*/value"]
    assert told.endswith("neither is taken (2 places)")


@pytest.mark.parametrize("kind", ["Task", "ServiceRequest", "Patient"])
def test_hundreds_of_one_kind_are_judged_too(kind: str) -> None:
    document = social()
    performers = [{"reference": f"Organization/{n}"} for n in range(2_000)]
    document["entry"][1]["resource"]["performer"] = performers
    one = next(entry["resource"] for entry in document["entry"] if entry["resource"]["resourceType"] == kind)
    more = [{"resource": {**one, "id": f"more-{n}"}} for n in range(400)]
    judged(encoded({**document, "entry": [*document["entry"], *more]}))


def test_references_that_lead_out_are_not_followed() -> None:
    document = social()
    for entry in document["entry"]:
        for key in ("subject", "for", "requester", "owner"):
            if key in entry["resource"]:
                entry["resource"][key] = {"reference": "https://fhir.example/metadata?x=1"}
    found = judged(encoded(document))
    assert found is not None
    assert found.draft is not None


def test_names_that_mean_themselves_come_to_an_end() -> None:
    role = {
        "resourceType": "PractitionerRole",
        "id": "recipient",
        "organization": {"reference": "PractitionerRole/recipient"},
    }
    document = care()
    document["entry"][4]["resource"] = role
    found = judged(encoded(document))
    assert found is not None
    assert found.quarantined == ()


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    library.models.cache_clear()
    monkeypatch.setitem(sys.modules, "fhir.resources.R4B.task", None)
    try:
        with pytest.raises(ExtraMissing, match="extra `fhir`"):
            import_bundle(encoded(social()), SERVICES)
    finally:
        library.models.cache_clear()


_LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["2026-11-26", "urn:x", "Task/task-1", "#x", "completed", CANARY, "https://x.example/"]),
)  # fmt: skip
_KEYS = st.sampled_from(
    [
        "resourceType",
        "extension",
        "url",
        "coding",
        "code",
        "system",
        "reference",
        "identifier",
        "status",
        "_status",
        "id",
    ]
)
_VALUE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def spots(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value of a document."""
    yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from spots(child, (*path, key))


def put(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of the document with another value at one place."""
    if not path:
        return value
    changed: Any = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@settings(max_examples=150)
@given(st.sampled_from([social(), care(), whole()]), st.data())
def test_any_value_at_any_place_is_judged(document: dict[str, Any], data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(spots(document))))
        changed = put(document, place, data.draw(_VALUE))
        document = changed if isinstance(changed, dict) else {"entry": changed}
    judged(json.dumps(document).encode())


@settings(max_examples=100)
@given(_VALUE)
def test_any_resource_is_judged(value: Any) -> None:
    for kind in ("Task", "ServiceRequest", "Patient", "PractitionerRole"):
        inner = {**value, "resourceType": kind} if isinstance(value, dict) else {"resourceType": kind, "id": value}
        judged(json.dumps(bundle(*(one["resource"] for one in social()["entry"]), inner)).encode())


@settings(max_examples=100)
@given(st.sampled_from([social(), care(), whole()]), st.data())
def test_nothing_that_is_added_anywhere_is_passed_over(document: dict[str, Any], data: st.DataObject) -> None:
    """An extension somewhere in a resource that is read is told of, by its place or by a place around it."""
    objects = [
        place
        for place in spots(document)
        if len(place) >= 3 and place[2] == "resource" and isinstance(_at(document, place), dict)
    ]
    place = data.draw(st.sampled_from(objects))
    held = _at(document, place)
    if "url" in held:
        # An extension has a value or extensions of its own, never both.
        return
    added = {**held, "extension": [*held.get("extension", []), {"url": "urn:new", "valueString": CANARY}]}
    found = judged(json.dumps(put(document, place, added)).encode())
    if found is None:
        return
    new = "/".join(map(str, (*place, "extension", len(held.get("extension", [])), "valueString")))
    told = [*(one.path for one in found.not_understood), *(one.path for one in found.quarantined)]
    assert any(new == path or new.startswith(f"{path}/") for path in told), new


def _at(document: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def test_the_whole_bundle_is_the_one_that_needs_nothing_more() -> None:
    found = judged(encoded(whole()))
    assert found is not None
    assert found.missing == ()
    assert found.draft is not None
    assert found.draft["to"] == CSW

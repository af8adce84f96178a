# SPDX-License-Identifier: Apache-2.0
"""From a bundle of another's system to the draft of a referral: what `POST /v1/referrals` takes, as far as it goes.

A draft holds what was understood and nothing else. Words and what is said of the person are not taken: they belong
into sections, whose category, purpose and basis an officer decides.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from connectors.adapters.report import NotUnderstood, Report
from connectors.fhir.bundle import Bundle, Element, Resource, read_bundle
from connectors.fhir.contradictions import Quarantined, Reason, contradictions, of_request, quarantined
from connectors.fhir.reading import Fields, read_authored, read_patient, read_priority, read_request, read_service
from connectors.fhir.services import Services
from connectors.fhir.vocabulary import BSER, DESK, STATE, STATES, SUBJECT, TASK_CODE, UNDECIDED
from protocol.address import parse_desk
from protocol.errors import FhirUnreadable, InvalidInput
from protocol.ids import Kind, text
from protocol.kinds.referral.request import MAX_SERVICES, Request

UNREAD: Final = "a referral has no field for it, or its code is of a list that is not known here"
_PERSON: Final = "what is said of a person goes into a section, whose category and basis an officer decides"
_WORDS: Final = "words go into a section, whose category and basis an officer decides"
_RESOURCE: Final = "resources of this kind are not read"
_CONTAINED: Final = "resources inside others are not read"
_ANSWERED: Final = "the answer that the Task tells is not taken over: a draft begins anew"
_FORM: Final = "the value is not of the form that the field has"
_BOTH: Final = "it says a date of release, and why there is none"
_NAMES: Final = "it names or dates a resource, and says nothing of the referral"
_ANYBODY: Final = text(Kind.SUBJECT, bytes(16))
"""A pseudonym to try fields with; the connector makes the real one."""
_UNDECIDED_CODES: Final = {
    (BSER, "2.0"),
    *((STATE, state.value) for state, told in STATES.items() if told.task in UNDECIDED),
}
_ANSWERS: Final = ("businessStatus", "executionPeriod", "output", "statusReason")
_OWN: Final = frozenset({"resourceType", "id", "language"})
_META: Final = ("versionId", "lastUpdated", "source", "profile")
"""What of a resource's `meta` only names it; its security labels say something, and are told."""
_TEXTS: Final = ("note", "description", "patientInstruction", "reasonCode")
_FRAME: Final = frozenset({"type", "timestamp", "identifier", "id", "meta", "link", "total", "resourceType"})


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a bundle.

    `draft` is the body of `POST /v1/referrals`; it is None where a Task or its ServiceRequest is `quarantined`.
    `missing` are the fields that the body needs and the bundle does not say.
    """

    draft: dict[str, Any] | None
    missing: tuple[str, ...]
    not_understood: tuple[NotUnderstood, ...]
    quarantined: tuple[Quarantined, ...]


def import_bundle(data: bytes, services: Services) -> Imported:
    """Return the draft of the one referral in `data`; `FhirUnreadable` if that is not what it holds.

    The bundle's own word is all there is: nothing is fetched, and no code is read that `services` does not know.
    """
    bundle = read_bundle(data)
    report = Report(bundle.document, unread=UNREAD)
    requests = _one_referral(bundle)
    tasks = tuple(task for task in bundle.of("Task") if not _for_something_else(bundle, task))
    held = _quarantined(bundle, requests, tasks)
    fields = Fields(report)
    wanted = []
    for request in requests:
        read_request(request.element, fields)
        if service := read_service(request.element, services, report):
            wanted.append(service)
    subjects = bundle.meanings(*(one.element.get("subject") for one in requests))
    for patient in bundle.of("Patient"):
        if patient.names & subjects:
            read_patient(patient.element, fields)
    for task in tasks:
        asked = bundle.resolve(task.element.get("focus"))
        _read_task(task.element, asked.element if asked else None, fields)
    _set_aside(bundle, requests, tasks, report)
    if held:
        return Imported(None, (), report.not_understood(), held)
    draft, missing = _draft(fields, wanted)
    return Imported(draft, missing, report.not_understood(), ())


def _one_referral(bundle: Bundle) -> tuple[Resource, ...]:
    """Return the ServiceRequests, which are more than one only as parts of one requisition."""
    requests = bundle.of("ServiceRequest")
    if not requests:
        raise FhirUnreadable("The bundle holds no ServiceRequest. Nothing was drafted.")
    if len(requests) > MAX_SERVICES:
        raise FhirUnreadable(f"The bundle asks for more than {MAX_SERVICES} services. Nothing was drafted.")
    orders = {one.element.get("requisition").coded for one in requests}
    if len(requests) > 1 and (len(orders) > 1 or not orders.pop()[1]):
        raise FhirUnreadable(
            "The bundle holds several ServiceRequests that are not of one requisition. Give each referral a bundle."
        )
    return requests


def _for_something_else(bundle: Bundle, task: Resource) -> bool:
    """Tell whether a Task is for something that is plainly no ServiceRequest, such as a questionnaire to fill in."""
    focus = task.element.get("focus")
    found, kind = bundle.resolve(focus), focus.get("reference").text.partition("/")[0]
    return found.kind != "ServiceRequest" if found else kind.isalpha() and kind != "ServiceRequest"


def _quarantined(
    bundle: Bundle, requests: tuple[Resource, ...], tasks: tuple[Resource, ...]
) -> tuple[Quarantined, ...]:
    rules = Element("", bundle.document).get("implicitRules")
    found = [*quarantined([(rules, Reason.MODIFIED)])] if rules.value else []
    found += [one for request in requests for one in of_request(request.element)]
    seen = set[str]()
    doubled: list[tuple[Element, Reason]] = []
    for task in tasks:
        focus = task.element.get("focus")
        request = bundle.resolve(focus)
        request = request if request in requests else None
        if request and request.element.path in seen:
            doubled.append((focus, Reason.TWO_TASKS))
            continue
        found += contradictions(bundle, task.element, request)
        seen |= {request.element.path} if request else set()
    subject, priority = requests[0].element.get("subject"), requests[0].element.get("priority").text
    for other in requests[1:]:
        if not bundle.meanings(subject) & bundle.meanings(other.element.get("subject")):
            doubled.append((other.element.get("subject"), Reason.OTHER_PERSON))
        if other.element.get("priority").text != priority:
            doubled.append((other.element.get("priority"), Reason.OTHER_PRIORITY))
    return tuple(dict.fromkeys([*found, *quarantined(doubled)]))


def _read_task(task: Element, request: Element | None, fields: Fields) -> None:
    report, status = fields.report, task.get("status")
    if status.text in UNDECIDED:
        report.take([status.path])
        for coding in task.get("businessStatus").codings():
            if coding.coded in _UNDECIDED_CODES:
                report.take(coding.plain())
    else:
        report.doubt([status.path], _ANSWERED)
        _aside(task, set(_ANSWERS), _ANSWERED, report)
    owner = task.get("owner", "identifier")
    if owner.get("system").text == DESK:
        try:
            fields.say("to", parse_desk(owner.get("value").text), owner)
        except InvalidInput:
            report.doubt(owner.leaves(), _FORM)
    for coding in task.get("code").codings():
        if coding.coded == (TASK_CODE, "fulfill"):
            report.take(coding.plain())
    # What both say is the same, or the Task is quarantined: it is read where it stands first.
    for key, read in (("priority", read_priority), ("authoredOn", read_authored)):
        if request is not None and request.get(key).value:
            report.ignore(task.get(key).leaves(), _NAMES)
        else:
            read(task, fields)


def _set_aside(bundle: Bundle, requests: tuple[Resource, ...], tasks: tuple[Resource, ...], report: Report) -> None:
    """Tell once of what is not read at all, and leave out what only names and ties together resources."""
    whole = Element("", bundle.document)
    for key in _FRAME:
        report.ignore(whole.get(key).leaves(), _NAMES)
    for entry in whole.items("entry"):
        for key in ("fullUrl", "request", "search", "response", "link"):
            report.ignore(entry.get(key).leaves(), _NAMES)
    read = {one.element.path for one in (*requests, *tasks)}
    for one in bundle.resources:
        for key in _OWN:
            report.ignore(one.element.get(key).plain(), _NAMES)
        for key in _META:
            report.ignore(one.element.get("meta", key).leaves(), _NAMES)
        if one.element.get("text", "status").text == "generated":
            report.ignore(one.element.get("text").leaves(), _NAMES)
        if one.kind == "Patient":
            for identifier in one.element.items("identifier"):
                if identifier.get("system").text == SUBJECT:
                    report.ignore(identifier.plain(), _NAMES)
            _aside(one.element, set(one.element.value) - {"communication", "extension"}, _PERSON, report)
        elif one.element.path in read:
            _set_parts_aside(one.element, report)
        else:
            report.ignore(one.element.leaves(), _RESOURCE)
            report.doubt_place(one.element.path, _RESOURCE)


def _set_parts_aside(resource: Element, report: Report) -> None:
    for key in ("groupIdentifier", "requisition", "lastModified"):
        report.ignore(resource.get(key).plain(), _NAMES)
    for key in ("focus", "for", "subject"):
        for part in ("reference", "type", "identifier"):
            report.ignore(resource.get(key, part).plain(), _NAMES)
    if resource.get("intent").text.endswith("order"):
        report.take([resource.get("intent").path])
    if resource.get("resourceType").text == "ServiceRequest":
        status = resource.get("status")
        if status.text in ("active", "draft"):
            report.take([status.path])
        else:
            report.doubt([status.path], _ANSWERED)
    for party in (resource.get("requester"), *resource.items("performer")):
        if party.get("identifier", "system").text == DESK:
            report.ignore((*party.plain(), *party.get("identifier").plain()), _NAMES)
    _aside(resource, set(_TEXTS), _WORDS, report)
    _aside(resource, {"contained"}, _CONTAINED, report)


def _aside(resource: Element, keys: set[str], reason: str, report: Report) -> None:
    for key in sorted(keys):
        element = resource.get(key)
        if report.open(element.leaves()):
            report.ignore(element.leaves(), reason)
            report.doubt_place(element.path, reason)


def _draft(fields: Fields, wanted: list[dict[str, str]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the body and what it lacks; a field whose value cannot be is left out and told of."""
    codes = [service["code"] for service in wanted if "code" in service]
    if len(codes) != len(set(codes)):
        raise FhirUnreadable("Two ServiceRequests of the bundle ask for the same service. Nothing was drafted.")
    if {"release_on", "release_unknown"} <= fields.values.keys():
        fields.drop("release_on", _BOTH)
        fields.drop("release_unknown", _BOTH)
    missing = _missing(fields, wanted)
    values = fields.values
    to = values.pop("to", None)
    body = {"to": to} if to else {}
    return {**body, "fields": _nested(values, wanted), "sections": []}, (*(() if to else ("to",)), *missing)


def _missing(fields: Fields, wanted: list[dict[str, str]]) -> tuple[str, ...]:
    """Drop what cannot be, until only that is wrong which is not there; return what that is."""
    faults: list[Any] = []
    while True:
        values = fields.values
        values.pop("to", None)
        whole = {**_nested(values, wanted), "kind": "referral.request", "subject": _ANYBODY}
        try:
            Request.model_validate_json(json.dumps({"occurred_at": 0, **whole}, ensure_ascii=False))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
        else:
            faults = []
        wrong = {name for fault in faults if (name := ".".join(map(str, fault["loc"]))) in values}
        if not wrong:
            break
        for name in wrong:
            fields.drop(name, _FORM)
    found = ["/".join(map(str, fault["loc"])) for fault in faults if fault["type"] == "missing"]
    if not {"release_on", "release_unknown"} & fields.values.keys():
        found.append("release_on")
    return tuple(found)


def _nested(values: dict[str, Any], wanted: list[dict[str, str]]) -> dict[str, Any]:
    """Return the fields as a payload has them; a name with a point is a field inside another."""
    nested: dict[str, Any] = {"services": wanted} if wanted else {}
    for name, value in values.items():
        outer, point, inner = name.partition(".")
        if point:
            nested.setdefault(outer, {})[inner] = value
        else:
            nested[name] = value
    return nested

# SPDX-License-Identifier: Apache-2.0
"""Reads the elements that a referral has a field for. Each field notes the places that it was read from.

What is not read stays in the report as not understood. Nothing is filled in: a field that the bundle does not say is
for an officer to say.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.adapters.report import Report
from connectors.fhir.bundle import Element, span_of
from connectors.fhir.services import Services
from connectors.fhir.vocabulary import (
    INTERPRETER,
    LANGUAGE,
    NUMBERS,
    OUTCOME,
    PATHWAYS,
    PRIORITIES,
    PRIORITY_OF,
    REFERRAL,
    SERVICE,
    SNOMED,
    SOCIAL_SERVICE,
)
from protocol.handover import Priority

EXTENDED: Final[dict[str, str]] = {
    "whereabouts": "valueCode",
    "release_on": "valueDate",
    "release_unknown": "valueCode",
    "person_knows": "valueCode",
    "contact": "valueCode",
    "duplicates": "valueCode",
    "answer_by": "valueDate",
    "priority": "valueCode",
}
"""The parts of our extension: what a referral says and FHIR has no element for."""
_CODE: Final = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
MAX_CODE: Final = 64
_TWICE: Final = "another place of the bundle says something else, so neither is taken"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Fields:
    """The fields of a draft with where each was read; two places that differ leave nothing."""

    def __init__(self, report: Report) -> None:
        """Tell `report` what is taken and what is not."""
        self.report = report
        self._values: dict[str, Any] = {}
        self._places: dict[str, list[str]] = {}
        self._dropped: set[str] = set()

    def say(self, field: str, value: Any, *elements: Element) -> None:
        """Note that `elements` say that `field` is `value`."""
        places = [place for element in elements for place in element.plain()]
        self._places.setdefault(field, []).extend(places)
        if field in self._dropped:
            # What said it before is told of already.
            self.report.doubt(places, _TWICE)
        elif self._values.setdefault(field, value) != value:
            self.drop(field, _TWICE)
        else:
            self.report.take(places)

    def drop(self, field: str, reason: str) -> None:
        """Leave a field out, and tell of every place that it was read from."""
        self._values.pop(field, None)
        self._dropped.add(field)
        self.report.doubt(self._places.get(field, ()), reason)

    @property
    def values(self) -> dict[str, Any]:
        """What was read."""
        return dict(self._values)


def read_request(request: Element, fields: Fields) -> None:
    """Read what a ServiceRequest says of the referral as a whole."""
    for extension in request.items("extension"):
        if extension.get("url").text == REFERRAL:
            _read_extension(extension, fields)
    for identifier in request.items("identifier"):
        _read_number(identifier, fields)
    read_authored(request, fields)
    read_priority(request, fields)


def _read_extension(extension: Element, fields: Fields) -> None:
    fields.report.take([extension.get("url").path])
    for part in extension.items("extension"):
        name = part.get("url").text
        value = part.get(EXTENDED.get(name, ""))
        if value.text and name != "priority":
            fields.say(name, value.text, part)


def _read_number(identifier: Element, fields: Fields) -> None:
    for coding in identifier.get("type").codings():
        side = {"PLAC": "sender", "FILL": "recipient"}.get(coding.get("code").text)
        if side and coding.get("system").text == NUMBERS and (value := identifier.get("value")).text:
            fields.say(f"register_numbers.{side}", value.text, value, coding)


def read_authored(resource: Element, fields: Fields) -> None:
    """Read when a ServiceRequest or a Task was written: the instant at which the referral happened."""
    written = resource.get("authoredOn")
    span = span_of(written.text)
    if span is None or span[0] != span[1]:
        fields.report.doubt(written.leaves(), "it names a day and no instant")
        return
    moment = (span[0] - _EPOCH) // timedelta(milliseconds=1)
    if moment >= 0:
        fields.say("occurred_at", moment, written)


def read_priority(request: Element, fields: Fields) -> None:
    """Read the priority of a ServiceRequest or a Task; our own word for it counts where FHIR's does not contradict."""
    said = request.get("priority")
    own = next((one for one in _extended(request, "priority")), Element("", None))
    word = own.get(EXTENDED["priority"]).text
    if word in set(Priority) and PRIORITIES[Priority(word)] == said.text:
        fields.say("priority", word, said, own)
    elif said.text in PRIORITY_OF:
        fields.say("priority", PRIORITY_OF[said.text].value, said)
    elif said.text == "asap":
        fields.say("priority", Priority.URGENT.value, said)
        fields.report.doubt([said.path], "taken as urgent: there is no step between urgent and emergency")


def _extended(request: Element, name: str) -> list[Element]:
    return [
        part
        for extension in request.items("extension")
        if extension.get("url").text == REFERRAL
        for part in extension.items("extension")
        if part.get("url").text == name
    ]


def read_patient(patient: Element, fields: Fields) -> None:
    """Read in which language to speak with the person, and whether an interpreter is needed; nothing else."""
    spoken = patient.items("communication")
    preferred = [one for one in spoken if one.get("preferred").value is True] or list(spoken)
    if len(preferred) == 1:
        for coding in preferred[0].get("language").codings():
            if coding.get("system").text == LANGUAGE and coding.get("code").text:
                fields.say("language", coding.get("code").text, coding, preferred[0].get("preferred"))
    for extension in patient.items("extension"):
        needed = extension.get("valueBoolean")
        if extension.get("url").text == INTERPRETER and isinstance(needed.value, bool):
            fields.say("interpreter", needed.value, needed, extension.get("url"))


def read_service(request: Element, services: Services, report: Report) -> dict[str, str]:
    """Return the service that a ServiceRequest asks for: code, pathway and outcome, as far as they are understood."""
    found: dict[str, str] = {}
    codings = request.get("code").codings()
    known = {services[name].code: (services[name], coding) for coding in codings if (name := _name(coding)) in services}
    if len(known) == 1:
        ((service, coding),) = known.values()
        found = {"code": service.code, "pathway": service.pathway.value, "outcome": service.outcome}
        report.take(coding.plain())
    elif len(known) > 1:
        for _, coding in known.values():
            report.doubt(coding.plain(), "by the table of services this is another service than its neighbour")
    _one_of(codings, lambda coding: _ours(coding, SERVICE), "code", found, report)
    details = tuple(coding for detail in request.items("orderDetail") for coding in detail.codings())
    _one_of(details, lambda coding: _ours(coding, OUTCOME), "outcome", found, report)
    categories = tuple(coding for category in request.items("category") for coding in category.codings())
    for coding in categories:
        if coding.coded == (SNOMED, SOCIAL_SERVICE):
            report.ignore(coding.plain(), "it says that this is a social service")
    _one_of(categories, _pathway, "pathway", found, report)
    return found


def _one_of(
    codings: tuple[Element, ...], meaning: Callable[[Element], str], key: str, found: dict[str, str], report: Report
) -> None:
    meanings = [(coding, value) for coding in codings if (value := meaning(coding))]
    if len({value for _, value in meanings}) > 1 or (key in found and any(found[key] != v for _, v in meanings)):
        found.pop(key, None)
        for coding, _ in meanings:
            report.doubt(coding.plain(), _TWICE)
        return
    for coding, value in meanings:
        found[key] = value
        report.take(coding.plain())


def _ours(coding: Element, system: str) -> str:
    code = coding.get("code").text
    return code if coding.get("system").text == system and _CODE.fullmatch(code) and len(code) <= MAX_CODE else ""


def _pathway(coding: Element) -> str:
    found = PATHWAYS.get(coding.coded)
    return found.value if found else ""


def _name(coding: Element) -> str:
    return "|".join(coding.coded)

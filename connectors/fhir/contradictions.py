# SPDX-License-Identifier: Apache-2.0
"""Where a Task and its ServiceRequest contradict each other or themselves: quarantined, never guessed at.

What cannot be ignored without turning the meaning round (`doNotPerform`, an unknown modifier) is treated alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connectors.adapters.traced import displayed
from connectors.fhir.bundle import Bundle, Element, Resource, span_of
from connectors.fhir.vocabulary import (
    BSER,
    BSER_STATUSES,
    REQUEST_FOR_TASK,
    REQUEST_STATUSES,
    STATE,
    STATES,
    TASK_STATUSES,
    UNBEGUN,
    WORDS,
)
from protocol.lifecycle.referral import State


class Reason(StrEnum):
    """Why a Task is quarantined."""

    STATUS_UNKNOWN = "status-unknown"
    STATUS_AGAINST_BUSINESS_STATUS = "status-against-business-status"
    STATUS_AGAINST_REASON = "status-against-reason"
    STATUS_AGAINST_REQUEST = "status-against-request"
    OUTPUT_BEFORE_WORK = "output-before-work"
    OWNER_NOT_PERFORMER = "owner-not-performer"
    MODIFIED_BEFORE_AUTHORED = "modified-before-authored"
    PERIOD_REVERSED = "period-reversed"
    NO_REQUEST = "no-request"
    OTHER_REQUEST = "other-request"
    OTHER_PERSON = "other-person"
    OTHER_PRIORITY = "other-priority"
    TWO_TASKS = "two-tasks"
    NOT_TO_BE_DONE = "not-to-be-done"
    MODIFIED = "unknown-modifier"


SENTENCES: Final[dict[Reason, str]] = {
    Reason.STATUS_UNKNOWN: "The status is none that R4 has.",
    Reason.STATUS_AGAINST_BUSINESS_STATUS: "The status and the business status cannot both be true.",
    Reason.STATUS_AGAINST_REASON: "The reason of the status says something else than the status.",
    Reason.STATUS_AGAINST_REQUEST: "The status cannot stand beside that of the ServiceRequest.",
    Reason.OUTPUT_BEFORE_WORK: "There is an output, and by its status no work was done yet.",
    Reason.OWNER_NOT_PERFORMER: "The owner is none of those whom the ServiceRequest asks.",
    Reason.MODIFIED_BEFORE_AUTHORED: "It was modified before it was written.",
    Reason.PERIOD_REVERSED: "A period ends before it begins.",
    Reason.NO_REQUEST: "It names no ServiceRequest.",
    Reason.OTHER_REQUEST: "It is for a ServiceRequest that is not in the bundle.",
    Reason.OTHER_PERSON: "It is for another person than its ServiceRequest.",
    Reason.OTHER_PRIORITY: "Its priority is another than that of its ServiceRequest.",
    Reason.TWO_TASKS: "Another Task is for the same ServiceRequest.",
    Reason.NOT_TO_BE_DONE: "The ServiceRequest says that the service must not be given.",
    Reason.MODIFIED: "A modifier that is not known here changes the meaning.",
}
"""What each reason means, for whoever has to mend the bundle."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A place of the bundle that contradicts something, and why; `path` as reports show it."""

    path: str
    reason: Reason

    @property
    def sentence(self) -> str:
        """What the reason means."""
        return SENTENCES[self.reason]


_Found = Iterator[tuple[Element, Reason]]


def contradictions(bundle: Bundle, task: Element, request: Resource | None) -> tuple[Quarantined, ...]:
    """Return all in which `task` contradicts itself or `request`, which is what it is for; none if all is well."""
    found = [*_task_alone(task)]
    if request is None:
        named = bool(task.get("focus").leaves())
        found.append((task.get("focus"), Reason.OTHER_REQUEST if named else Reason.NO_REQUEST))
    else:
        found += [one for check in _PAIRS for one in check(bundle, task, request.element)]
    return quarantined(found)


def of_request(request: Element) -> tuple[Quarantined, ...]:
    """Return what forbids to read a ServiceRequest at all, whatever Task it has."""
    return quarantined(_request_alone(request))


def quarantined(found: Iterator[tuple[Element, Reason]] | list[tuple[Element, Reason]]) -> tuple[Quarantined, ...]:
    """Return the findings as they are shown, each once."""
    return tuple(dict.fromkeys(Quarantined(displayed(element.path), reason) for element, reason in found))


def _task_alone(task: Element) -> _Found:
    status = task.get("status").text
    if status not in TASK_STATUSES:
        yield task.get("status"), Reason.STATUS_UNKNOWN
    business = task.get("businessStatus")
    for coding in business.codings():
        if status not in _statuses_of(coding, status):
            yield coding, Reason.STATUS_AGAINST_BUSINESS_STATUS
    if status not in _statuses_of_word(business.get("text").text, status):
        yield business.get("text"), Reason.STATUS_AGAINST_BUSINESS_STATUS
    why = task.get("statusReason")
    for said in (*(coding.get("code") for coding in why.codings()), why.get("text")):
        if status not in _statuses_of_word(said.text, status):
            yield said, Reason.STATUS_AGAINST_REASON
    if status in UNBEGUN and task.get("output").value:
        yield task.get("output"), Reason.OUTPUT_BEFORE_WORK
    authored, modified = span_of(task.get("authoredOn").text), span_of(task.get("lastModified").text)
    if authored and modified and authored[0] > modified[1]:
        yield task.get("lastModified"), Reason.MODIFIED_BEFORE_AUTHORED
    for period in (task.get("executionPeriod"), task.get("restriction", "period")):
        yield from _period(period)
    yield from _modifiers(task)


def _request_alone(request: Element) -> _Found:
    if request.get("status").text not in REQUEST_STATUSES:
        yield request.get("status"), Reason.STATUS_UNKNOWN
    if request.get("doNotPerform").value not in (None, False):
        yield request.get("doNotPerform"), Reason.NOT_TO_BE_DONE
    yield from _period(request.get("occurrencePeriod"))
    yield from _modifiers(request)


def _status(_: Bundle, task: Element, request: Element) -> _Found:
    status = task.get("status").text
    if status not in REQUEST_FOR_TASK.get(request.get("status").text, {status}):
        yield task.get("status"), Reason.STATUS_AGAINST_REQUEST


def _owner(bundle: Bundle, task: Element, request: Element) -> _Found:
    owner = bundle.meanings(task.get("owner"))
    asked = bundle.meanings(*request.items("performer"))
    if owner and asked and not owner & asked:
        yield task.get("owner"), Reason.OWNER_NOT_PERFORMER


def _person(bundle: Bundle, task: Element, request: Element) -> _Found:
    meant, subject = bundle.meanings(task.get("for")), bundle.meanings(request.get("subject"))
    if meant and not meant & subject:
        yield task.get("for"), Reason.OTHER_PERSON


def _priority(_: Bundle, task: Element, request: Element) -> _Found:
    of_task, of_request_ = task.get("priority").text, request.get("priority").text
    if of_task and of_request_ and of_task != of_request_:
        yield task.get("priority"), Reason.OTHER_PRIORITY


_PAIRS: Final[tuple[Callable[[Bundle, Element, Element], _Found], ...]] = (_status, _owner, _person, _priority)


def _period(period: Element) -> _Found:
    start, end = span_of(period.get("start").text), span_of(period.get("end").text)
    if start and end and start[0] > end[1]:
        yield period, Reason.PERIOD_REVERSED


def _modifiers(resource: Element) -> _Found:
    if resource.get("implicitRules").value:
        yield resource.get("implicitRules"), Reason.MODIFIED
    for leaf in resource.leaves():
        parts = leaf.removeprefix(resource.path).split("/")[1:]
        if "modifierExtension" in parts and parts[0] != "contained":
            at = parts.index("modifierExtension") + 1
            yield Element("/".join([resource.path, *parts[:at]]), None), Reason.MODIFIED


def _statuses_of(coding: Element, status: str) -> frozenset[str]:
    """Return the statuses that a coding of the business status permits; `status` is among them if it says nothing."""
    system, code = coding.coded
    if system == BSER:
        return BSER_STATUSES.get(code, frozenset({status}))
    if system == STATE:
        try:
            return frozenset({STATES[State(code)].task})
        except ValueError:
            return frozenset({status})
    return _statuses_of_word(code, status)


def _statuses_of_word(word: str, status: str) -> frozenset[str]:
    return WORDS.get(word.strip().casefold(), frozenset({status}))

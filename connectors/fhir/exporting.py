# SPDX-License-Identifier: Apache-2.0
"""How a referral stands, as a bundle: for each service a ServiceRequest and a Task, for each step a Communication.

It is made from the view of the thread alone, so it shows no more than this agency may see; and less: codes, dates and
desks, but no section's words, no officer and no name. The person is the pseudonym of the thread. It is plain JSON
that is R4 by construction, so a connector needs no library for it; tests hold it against the library.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from connectors.fhir.history import Standing, standing_of
from connectors.fhir.vocabulary import (
    BSER,
    CORRECTED,
    DESK,
    EVENT,
    INTERPRETER,
    LANGUAGE,
    MESSAGE,
    NUMBERS,
    OUTCOME,
    OVER,
    PATHWAY,
    PRIORITIES,
    REASON,
    REFERRAL,
    RESULT,
    SERVICE,
    STATE,
    STATES,
    SUBJECT,
    TASK_CODE,
    THREAD,
    Told,
)
from protocol.address import DeskAddress
from protocol.errors import InvalidInput, StoreDamaged
from protocol.handover import Priority
from protocol.http.fields import format_time
from protocol.http.threads import StepView, ThreadView
from protocol.ids import Kind, text
from protocol.lifecycle.history import GIVEN_UP
from protocol.lifecycle.referral import REFERRAL as MACHINE
from protocol.lifecycle.referral import Actor, Event, State

Json = dict[str, Any]
_DATES: Final = ("release_on", "answer_by")
_CODES: Final = ("whereabouts", "release_unknown", "person_knows", "contact", "duplicates")


@dataclass(frozen=True, slots=True)
class _Parties:
    """Who asks whom, as far as this agency knows: an observer does not know who is asked."""

    requester: DeskAddress | None
    recipient: DeskAddress | None

    def sides(self, actor: str) -> tuple[DeskAddress | None, DeskAddress | None]:
        """Return who tells and who is told, where `actor` moves."""
        if actor in (Actor.REQUESTER, Actor.CLOCK):
            return self.requester, self.recipient
        return (self.recipient, self.requester) if actor == Actor.RECIPIENT else (None, None)


def export_thread(view: ThreadView) -> Json:
    """Return how the referral in `view` stands; `InvalidInput` for a thread that is none, or was never there.

    Raises `StoreDamaged` for one that the disk has left without its beginning, or in no state (CON-28).
    """
    sent = next((step for step in view.steps if step.event == Event.SEND and step.refused is None), None)
    given_up = any(step.event == Event.SEND and step.refused == GIVEN_UP for step in view.steps)
    if view.item.machine != MACHINE.name or (sent is None and given_up):
        raise InvalidInput("Only a referral that was sent has a form in FHIR.")
    if sent is None or view.item.state not in set(State):
        raise StoreDamaged
    standing, parties = standing_of(view), _parties(view)
    person = _patient(view, sent.payload)
    requests, tasks = [], []
    for service in sent.payload["services"]:
        state = State.DECLINED if service["code"] in standing.left else State(view.item.state)
        told = STATES[state]
        request = _request(view, sent.payload, service, told, person, parties)
        requests.append(request)
        tasks.append(_task(view, standing, service["code"], state, request, person, parties))
    messages = [_communication(view, step, tasks, person, parties) for step in view.steps]
    return {
        "resourceType": "Bundle",
        "identifier": _identifier(THREAD, text(Kind.THREAD, view.item.thread)),
        "type": "collection",
        "timestamp": format_time(_modified(view)),
        "entry": [
            {"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in (*tasks, *requests, person, *messages)
        ],
    }


def _task(
    view: ThreadView, standing: Standing, service: str, state: State, request: Json, person: Json, parties: _Parties
) -> Json:
    told = STATES[state]
    codings = [{"system": STATE, "code": state.value}, *([{"system": BSER, "code": told.bser}] if told.bser else [])]
    reason = standing.left.get(service) or standing.reason
    outcome = standing.outcomes.get(service) if told.task in OVER else None
    return {
        "resourceType": "Task",
        "id": _name(view, f"Task/{service}"),
        "groupIdentifier": _identifier(THREAD, text(Kind.THREAD, view.item.thread)),
        "status": told.task,
        **({"statusReason": _concept(REASON, reason)} if reason else {}),
        "businessStatus": {"coding": codings},
        "intent": "order",
        "priority": request["priority"],
        "code": _concept(TASK_CODE, "fulfill"),
        "focus": _to(request),
        "for": _to(person),
        "authoredOn": format_time(view.item.begun_at),
        "lastModified": format_time(_modified(view)),
        **_party("requester", parties.requester),
        **_party("owner", parties.recipient),
        **({"output": [_output(outcome)]} if outcome else {}),
    }


def _request(view: ThreadView, said: Json, service: Json, told: Told, person: Json, parties: _Parties) -> Json:
    numbers = said.get("register_numbers", {})
    kept = [("PLAC", numbers.get("sender")), ("FILL", numbers.get("recipient"))]
    identifiers = [{"type": _concept(NUMBERS, role), "value": number} for role, number in kept if number is not None]
    performer = [] if parties.recipient is None else [{"identifier": _identifier(DESK, parties.recipient)}]
    return {
        "resourceType": "ServiceRequest",
        "id": _name(view, f"ServiceRequest/{service['code']}"),
        "extension": [{"url": REFERRAL, "extension": list(_extended(view, said))}],
        **({"identifier": identifiers} if identifiers else {}),
        "requisition": _identifier(THREAD, text(Kind.THREAD, view.item.thread)),
        "status": told.request,
        "intent": "order",
        "category": [_concept(PATHWAY, service["pathway"])],
        "priority": PRIORITIES[Priority(view.item.priority)],
        "code": _concept(SERVICE, service["code"]),
        "orderDetail": [_concept(OUTCOME, service["outcome"])],
        "subject": _to(person),
        "authoredOn": format_time(said["occurred_at"]),
        **_party("requester", parties.requester),
        **({"performer": performer} if performer else {}),
    }


def _is_withheld(view: ThreadView) -> bool:
    """Tell whether the request came here in error: nothing is said of the person any more (CON-26)."""
    return any(step.event == Event.SEND and step.withheld for step in view.steps)


def _extended(view: ThreadView, said: Json) -> Iterator[Json]:
    yield {"url": "priority", "valueCode": view.item.priority}
    if _is_withheld(view):
        return
    yield from ({"url": name, "valueCode": said[name]} for name in _CODES if said.get(name) is not None)
    yield from ({"url": name, "valueDate": said[name]} for name in _DATES if said.get(name) is not None)


def _patient(view: ThreadView, said: Json) -> Json:
    if _is_withheld(view):
        return {
            "resourceType": "Patient",
            "id": _name(view, "Patient"),
            "identifier": [_identifier(SUBJECT, view.subject)],
        }
    interpreter = [{"url": INTERPRETER, "valueBoolean": True}] if said.get("interpreter") else []
    return {
        "resourceType": "Patient",
        "id": _name(view, "Patient"),
        **({"extension": interpreter} if interpreter else {}),
        "identifier": [_identifier(SUBJECT, view.subject)],
        "communication": [{"language": _concept(LANGUAGE, said["language"]), "preferred": True}],
    }


def _communication(view: ThreadView, step: StepView, tasks: list[Json], person: Json, parties: _Parties) -> Json:
    """Return one step: which event, when, from whom to whom. One that had no effect was not done."""
    message = text(Kind.MESSAGE, step.message)
    sender, recipient = parties.sides(step.actor)
    reason = step.payload.get("reason")
    wrong = [
        {"url": CORRECTED, "valueIdentifier": _identifier(MESSAGE, text(Kind.MESSAGE, one.message))}
        for one in step.corrections
    ]
    return {
        "resourceType": "Communication",
        "id": _name(view, f"Communication/{message}"),
        **({"extension": wrong} if wrong else {}),
        "identifier": [_identifier(MESSAGE, message)],
        "status": "completed" if step.refused is None else "not-done",
        **({"statusReason": _concept(REASON, step.refused)} if step.refused else {}),
        "category": [_concept(EVENT, step.event)],
        "subject": _to(person),
        "about": [_to(task) for task in tasks],
        "sent": format_time(step.at),
        **({"recipient": [{"identifier": _identifier(DESK, recipient)}]} if recipient else {}),
        **_party("sender", sender),
        **({"reasonCode": [_concept(REASON, reason)]} if isinstance(reason, str) else {}),
    }


def _parties(view: ThreadView) -> _Parties:
    item = view.item
    match item.side:
        case Actor.REQUESTER:
            return _Parties(item.own_desk, item.peer_desk)
        case Actor.RECIPIENT:
            return _Parties(item.peer_desk, item.own_desk)
        case _:
            return _Parties(item.peer_desk, None)


def _output(outcome: str) -> Json:
    return {"type": _concept(RESULT, "outcome"), "valueCodeableConcept": _concept(RESULT, outcome)}


def _modified(view: ThreadView) -> int:
    """Return when the thread changed last; two clocks are in it, and nothing changes before it begins."""
    return max(view.item.begun_at, view.item.changed_at)


def _name(view: ThreadView, what: str) -> str:
    """Return the id of a resource: always the same for the same thing of the same thread."""
    return str(uuid.uuid5(uuid.UUID(bytes=view.item.thread), what))


def _party(role: str, desk: DeskAddress | None) -> Json:
    return {} if desk is None else {role: {"identifier": _identifier(DESK, desk)}}


def _to(resource: Json) -> Json:
    return {"reference": f"urn:uuid:{resource['id']}"}


def _identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}

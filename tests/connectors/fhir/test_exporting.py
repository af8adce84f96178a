# SPDX-License-Identifier: Apache-2.0
"""How a referral stands, told in FHIR: every state by the table, R4 for the library, the same when it is read again."""

import importlib
import json
import re
import secrets
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir import vocabulary
from connectors.fhir.exporting import export_thread
from connectors.fhir.history import REASONED
from connectors.fhir.importing import import_bundle
from connectors.fhir.library import CHECKED, faults
from connectors.fhir.reading import EXTENDED
from connectors.fhir.vocabulary import BSER_STATUSES, PRIORITIES, REQUEST_STATUSES, STATES, TASK_STATUSES, UNDECIDED
from protocol.bodies.needs import Pathway
from protocol.errors import InvalidInput, NotFound, StoreDamaged
from protocol.handover import Priority
from protocol.http.fields import format_time
from protocol.http.threads import StepRequest, ThreadFilter
from protocol.ids import ThreadId
from protocol.kinds.base import MOST_INSTANT
from protocol.kinds.referral.request import (
    MAX_SERVICES,
    ContactMethod,
    DuplicateCheck,
    PersonKnows,
    ReleaseUnknown,
    Whereabouts,
)
from protocol.lifecycle.history import GIVEN_UP
from protocol.lifecycle.referral import REFERRAL, State
from tests.connectors.cases.test_referral import REQUEST, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.fhir.views import BEGUN, CODES, OFFICER_TITLE, POLJE, SAID, WORDS, view_of, way_to

__all__ = ["csw", "prison"]

Json = dict[str, Any]


def of(bundle: Json, kind: str) -> list[Json]:
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


def checked(bundle: Json) -> Json:
    """Return the bundle, which the library takes whole and resource by resource."""
    importlib.import_module("fhir.resources.R4B.bundle").Bundle.model_validate(bundle)
    for entry in bundle["entry"]:
        assert entry["resource"]["resourceType"] in CHECKED
        assert faults(entry["resource"]["resourceType"], entry["resource"]) == ()
    assert len({entry["fullUrl"] for entry in bundle["entry"]}) == len(bundle["entry"])
    return bundle


def code_of(concept: Json, place: int = 0) -> str:
    return str(concept["coding"][place]["code"])


def test_the_table_has_each_state_once_in_statuses_that_r4_has() -> None:
    assert set(STATES) == set(State) == set(REFERRAL.states)
    for told in STATES.values():
        assert told.task in TASK_STATUSES
        assert told.request in REQUEST_STATUSES
        assert told.bser is None or told.task in BSER_STATUSES[told.bser]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("side", ["requester", "recipient", "observer"])
def test_each_state_is_told_as_the_table_says_and_read_again_without_contradiction(state: State, side: str) -> None:
    bundle = checked(export_thread(view_of(state, side=side)))
    tasks, requests = of(bundle, "Task"), of(bundle, "ServiceRequest")
    assert len(tasks) == len(requests) == len(REQUEST["services"])
    for task, request in zip(tasks, requests, strict=True):
        left = state == State.ACCEPTED_PARTIAL and code_of(request["code"]) == CODES[0]
        told = STATES[State.DECLINED if left else state]
        assert (task["status"], request["status"]) == (told.task, told.request)
        assert code_of(task["businessStatus"]) == (State.DECLINED if left else state)
        assert [one["code"] for one in task["businessStatus"]["coding"][1:]] == ([told.bser] if told.bser else [])
        assert ("statusReason" in task) is (left or state in REASONED)
        assert task["focus"]["reference"] == f"urn:uuid:{request['id']}"
        assert ("owner" in task) is (side != "observer")
    steps = of(bundle, "Communication")
    assert [code_of(one["category"][0]) for one in steps] == [event for event, _ in way_to(state)]
    found = import_bundle(json.dumps(bundle).encode(), {})
    assert found.quarantined == ()
    assert found.draft is not None
    assert found.draft["fields"]["services"] == REQUEST["services"]
    assert found.missing == (("to",) if side == "observer" else ())


def test_what_was_not_taken_is_rejected_with_its_reason_through_all_that_follows() -> None:
    way = (*way_to(State.ACCEPTED_PARTIAL), ("schedule", "recipient"), ("attended", "recipient"))
    first, second = of(export_thread(view_of(State.ACTIVE, way=way)), "Task")
    assert (first["status"], code_of(first["statusReason"])) == ("rejected", "no-capacity")
    assert (second["status"], "statusReason" in second) == ("in-progress", False)
    again = (*way, ("complete", "recipient"), ("reopen", "requester"))
    for task in of(export_thread(view_of(State.ACKNOWLEDGED, way=again)), "Task"):
        assert (task["status"], "output" in task, "statusReason" in task) == ("received", False, False)
    for state, more in [(State.ACCEPTED, "accept"), (State.ACTIVE, "progress")]:
        # What came of the first round is no output of the second.
        again = (*again, (more, "recipient"))
        assert not any("output" in task for task in of(export_thread(view_of(state, way=again)), "Task"))


def test_an_outcome_is_the_output_of_its_services_task() -> None:
    ended = of(export_thread(view_of(State.ENDED_EARLY)), "Task")
    assert ["output" in task for task in ended] == [False, True]
    assert code_of(ended[1]["output"][0]["valueCodeableConcept"]) == "not-started"
    assert code_of(ended[1]["statusReason"]) == SAID["end-early"]["reason"]
    assert all("output" in task for task in of(export_thread(view_of(State.CLOSED)), "Task"))


def test_a_step_without_effect_was_not_done_and_moves_nothing() -> None:
    view = view_of(State.DELIVERED)
    refused = view_of(State.DECLINED).steps[-1].model_copy(update={"refused": "illegal-transition"})
    bundle = checked(export_thread(view.model_copy(update={"steps": [*view.steps, refused]})))
    *_, last = of(bundle, "Communication")
    assert (last["status"], code_of(last["statusReason"])) == ("not-done", "illegal-transition")
    assert {task["status"] for task in of(bundle, "Task")} == {"received"}


@pytest.mark.parametrize("state", State)
def test_no_words_no_officer_and_no_name_go_out(state: State) -> None:
    told = json.dumps(export_thread(view_of(state)))
    assert WORDS not in told
    assert OFFICER_TITLE not in told
    assert "off_" not in told


_FHIRS_OWN = {
    *("Bundle", "Task", "ServiceRequest", "Patient", "Communication", "collection", "order", "fulfill", "outcome"),
    *(
        "completed",
        "not-done",
        "declined",
        "PLAC",
        "FILL",
        *EXTENDED,
        *TASK_STATUSES,
        *REQUEST_STATUSES,
        *BSER_STATUSES,
    ),
    *PRIORITIES.values(),
    *(value for name, value in vars(vocabulary).items() if name.isupper() and isinstance(value, str)),
}
"""What a bundle may say that stands in no view: words of FHIR and its guides, our lists' names, and `declined` for a
service that was not taken."""


def texts(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        return {text for one in (value.values() if isinstance(value, dict) else value) for text in texts(one)}
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("state", State)
def test_nothing_is_told_that_the_view_does_not_show(state: State) -> None:
    view = view_of(
        state, {**REQUEST, "register_numbers": {"sender": "GP-1", "recipient": "CSW-2"}, "priority": "urgent"}
    )
    shown = texts(json.loads(view.model_dump_json())) | {"1970-01-01T00:00:00.000Z", format_time(BEGUN)}
    told = {text for text in texts(export_thread(view)) if not _UUID.search(text)}
    assert told - shown - _FHIRS_OWN == set()


def test_the_same_thread_has_the_same_ids_and_no_time_of_its_own() -> None:
    assert export_thread(view_of(State.ACTIVE)) == export_thread(view_of(State.ACTIVE))
    early = view_of(State.ACTIVE)
    skewed = early.model_copy(update={"item": early.item.model_copy(update={"changed_at": BEGUN - 1})})
    (task, _) = of(export_thread(skewed), "Task")
    assert task["lastModified"] == task["authoredOn"]


def test_what_is_no_referral_has_no_form() -> None:
    view = view_of(State.SENT)
    handover = view.model_copy(update={"item": view.item.model_copy(update={"machine": "handover"})})
    lost = view.model_copy(update={"steps": [one.model_copy(update={"refused": GIVEN_UP}) for one in view.steps]})
    for without in (handover, lost):
        with pytest.raises(InvalidInput, match="Only a referral"):
            export_thread(without)


def test_con_28_a_referral_without_its_beginning_or_in_no_state_is_damaged() -> None:
    view = view_of(State.SENT)
    unnamed = [one.model_copy(update={"event": "damaged"}) for one in view.steps]
    not_begun = [one.model_copy(update={"refused": "illegal-transition"}) for one in view.steps]
    item = view.item.model_copy(update={"state": "damaged"})
    changes: list[Json] = [{"steps": []}, {"steps": unnamed}, {"steps": not_begun}, {"item": item}]
    for changed in changes:
        with pytest.raises(StoreDamaged):
            export_thread(view.model_copy(update=changed))


_UUID = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")
_CODE = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)
_DAY = st.dates().map(lambda day: f"{day:%Y-%m-%d}".zfill(10))
_NUMBER = st.text("abcČćШ0-9/.", min_size=1, max_size=60)


@st.composite
def requests(draw: st.DrawFn) -> Json:
    """Return the payload of any request that a connector would let pass."""
    codes = draw(st.lists(_CODE, min_size=1, max_size=MAX_SERVICES, unique=True))
    services = [
        {"code": code, "pathway": draw(st.sampled_from(Pathway)).value, "outcome": draw(_CODE)} for code in codes
    ]
    fields: Json = {
        "services": services,
        "whereabouts": draw(st.sampled_from(Whereabouts)).value,
        "language": draw(st.from_regex("[a-z]{2,3}(-[A-Z][a-z]{3})?", fullmatch=True)),
        "person_knows": draw(st.sampled_from(PersonKnows)).value,
        "contact": draw(st.sampled_from(ContactMethod)).value,
        "duplicates": draw(st.sampled_from(DuplicateCheck)).value,
        "answer_by": draw(_DAY),
        "occurred_at": draw(st.integers(0, MOST_INSTANT)),
        "priority": draw(st.sampled_from(Priority)).value,
    }
    unknown = draw(st.sampled_from([None, *ReleaseUnknown]))
    fields |= {"release_on": draw(_DAY)} if unknown is None else {"release_unknown": unknown.value}
    if draw(st.booleans()):
        fields["interpreter"] = True
    numbers = draw(st.dictionaries(st.sampled_from(["sender", "recipient"]), _NUMBER, min_size=0))
    return {**fields, **({"register_numbers": numbers} if numbers else {})}


@settings(max_examples=30)
@given(requests(), st.sampled_from(State), st.sampled_from(["requester", "recipient"]))
def test_any_request_in_any_state_is_read_again_as_it_was_written(said: Json, state: State, side: str) -> None:
    way = tuple(step for step in way_to(state) if step[0] != "accept-part")
    bundle = checked(export_thread(view_of(state, said, side=side, way=way)))
    found = import_bundle(json.dumps(bundle).encode(), {})
    assert (found.quarantined, found.missing) == ((), ())
    assert found.draft == {"to": POLJE, "fields": said, "sections": []}
    if STATES[state].task in UNDECIDED:
        # All but the history itself, which a draft does not have.
        assert {one.reason for one in found.not_understood} == {"resources of this kind are not read"}


def test_a_connector_tells_it_without_the_library() -> None:
    script = (
        "import sys, connectors.app\nsys.exit(any(name == 'fhir' or name.startswith('fhir.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def stepped(served: Served, thread: ThreadId, event: str) -> None:
    seen = (await served.client.thread(thread)).item.version
    request = StepRequest(event=event, fields=SAID[event])
    await served.client.step(thread, request, version=seen, idempotency_key=secrets.token_hex(12))


async def test_both_sides_of_a_real_referral_tell_the_same(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    for event in ("acknowledge", "accept-part", "schedule", "attended", "complete"):
        await stepped(csw, thread, event)
        await settle(prison.station, csw.station)
    told = [checked(dict(await side.client.thread_fhir(thread))) for side in (prison, csw)]
    ours, theirs = ([{**task, "lastModified": "", "authoredOn": ""} for task in of(one, "Task")] for one in told)
    assert ours == theirs
    assert [task["status"] for task in ours] == ["rejected", "completed"]
    assert ours[0]["requester"]["identifier"]["value"] == prison.station.desk
    for bundle in told:
        assert "Invented words about an invented need." not in json.dumps(bundle)
        found = import_bundle(json.dumps(bundle).encode(), {})
        assert found.draft is not None
        assert (found.draft["to"], found.missing) == (csw.station.desk, ())
        assert found.draft["fields"]["services"] == REQUEST["services"]
    (item,) = (await prison.client.threads(ThreadFilter())).items
    assert item.thread == thread
    with pytest.raises(NotFound):
        await csw.client.thread_fhir(ThreadId(secrets.token_bytes(16)))

# SPDX-License-Identifier: Apache-2.0
"""`throughcare referral` and `throughcare handover`: see threads as they stand, refer, and look at one whole."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from connectors import home
from connectors.cli.acting import AS_SENDER, officer_named
from connectors.cli.failures import then
from connectors.cli.handover import at_desk, corrected, going_to, ground, withheld
from connectors.cli.local import AGENCY, KEY, connected
from connectors.cli.moments import local_time
from connectors.cli.once import Once
from connectors.cli.shapes import FILLED_IN, example, section
from connectors.cli.voice import Voice, speaks
from protocol.address import parse_desk
from protocol.errors import InvalidInput
from protocol.handover import PackageSection
from protocol.http.handovers import MessageState
from protocol.http.problems import InvalidFields, invalid_fields
from protocol.http.threads import (
    AlertView,
    ReferralRequest,
    Relation,
    StepQueued,
    StepView,
    ThreadView,
)
from protocol.ids import Kind, ThreadId, raw, text
from protocol.kinds.catalogue import KINDS
from protocol.lifecycle.alerts import AlertKind
from protocol.lifecycle.owed import HEARD

_MOST = 2 << 20
_TOP = frozenset({"to", "fields", "sections", "sender", "officer"})
"""What may stand at the top of a file for `--input`: the bodies of the interface have no more."""
_BY_ITSELF = frozenset({"receive"})
"""Steps that a connector makes, for which nobody has a command."""
_CAME_FROM = {
    Relation.SUB_REFERRAL: "a sub-referral of",
    Relation.FORWARD: "forwarded from",
    Relation.RESIDUAL: "for what was not taken of",
    Relation.REOPENED: "reopened from",
}
_WENT_TO = {
    Relation.SUB_REFERRAL: "sub-referral",
    Relation.FORWARD: "forwarded as",
    Relation.RESIDUAL: "the rest as",
    Relation.REOPENED: "reopened as",
}
_ELSEWHERE = FILLED_IN | {"priority", "register_numbers", "officer"}
"""Fields of a step that its line or the line of the thread shows already, or that are for the register."""


@click.command(epilog=example(KINDS["referral.request"]))
@AGENCY
@click.option("--to", required=True, metavar="DESK", help="The desk to refer to.")
@click.option("--input", "file", type=click.Path(path_type=Path), help="A JSON file: fields, sections.")
@click.option("--residual-of", metavar="THREAD", help="Ask for what was not taken of this referral of ours.")
@AS_SENDER
@KEY
@speaks
def send(
    agency: str,
    to: str,
    file: Path | None,
    residual_of: str | None,
    officer: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Refer a person to another agency's desk.

    With --residual-of the fields are those of the draft that the rest became, and --input may change some. Typed again
    on the same day it is not sent twice, unless a --once-key says that it is another.
    """
    if file is None and residual_of is None:
        raise InvalidInput("Say what to refer for: --input FILE, or --residual-of THREAD.")
    asked = read_json(file) if file else {}

    async def ask() -> tuple[StepQueued, Once]:
        async with connected(home.find(agency)) as client:
            fields = asked.get("fields", {})
            if residual_of is not None:
                fields = {**_draft(await client.thread(thread_named(residual_of, agency))), **fields}
            request = ReferralRequest(
                to=parse_desk(to),
                fields=fields,
                sections=sections_of(asked),
                officer=await officer_named(client, officer, agency=agency),
            )
            once = Once(key, "referral send", request)
            return await client.refer(request, idempotency_key=once.key, on_replay=once.was_before), once

    queued, once = asyncio.run(ask())
    tell(queued, agency, voice, once)


@click.command()
@click.argument("thread")
@AGENCY
@speaks
def show(thread: str, agency: str, voice: Voice) -> None:
    """Show one referral or handover: its steps, who acknowledged what, what could be done next."""
    thread_id = thread_named(thread, agency)

    async def ask() -> ThreadView:
        async with connected(home.find(agency)) as client:
            return await client.thread(thread_id)

    view = asyncio.run(ask())
    voice.data(view.model_dump(mode="json"), _lines(view))


def _draft(view: ThreadView) -> dict[str, Any]:
    if view.residual is None or view.residual.draft is None:
        raise InvalidInput("Nothing is left of that referral, or it is not ours to refer on.")
    return view.residual.draft


def _to_be_heard_of(view: ThreadView) -> Iterator[str]:
    for alert in view.alerts:
        yield f"  ALERT {alert.kind} since {local_time(alert.since)}, {_about(alert, view)}"
    for gone in view.lost:
        yield f"  LOST a message of {gone.sender} to {gone.recipient} never arrived; given up {local_time(gone.since)}"
    for one in view.forgotten:
        yield (
            f"  FORGOTTEN {one.sender} does not know {one.count} of its messages that {one.recipient} has, its machine "
            f"was lost; since {local_time(one.since)}"
        )


def _lines(view: ThreadView) -> Iterator[str]:
    item = view.item
    yield f"{item.machine} {text(Kind.THREAD, item.thread)} is {item.state}"
    yield f"  we are the {item.side}, at {item.own_desk}, with {item.peer_desk}"
    if view.lead:
        since = f" since {local_time(view.lead_since)}" if view.lead_since else ""
        yield f"  the coordination lead is {view.lead}{since}"
        yield f"  the legal supervisor is {view.supervisor or f'nobody: {view.no_supervisor}'}"
    if view.goes_on_from:
        yield f"  {_CAME_FROM[view.goes_on_from.relation]} {text(Kind.THREAD, view.goes_on_from.thread)}"
    for child in view.children:
        open_ = "" if child.live else ", over"
        yield f"  {_WENT_TO[child.relation]} {text(Kind.THREAD, child.thread)} to {child.to} is {child.state}{open_}"
    if view.residual:
        left = ", ".join(f"{one.code} ({one.reason})" for one in view.residual.services)
        yield f"  not taken: {left}"
    if item.due_at:
        yield f"  the next thing is due by {local_time(item.due_at)}"
    yield from _to_be_heard_of(view)
    for other in item.similar:
        yield f"  {text(Kind.THREAD, other)} came before it, about the same person"
    if item.similar_more:
        yield "  more came before these; throughcare case show tells them"
    for rung in view.ladder:
        yield f"  {rung.ack} {local_time(rung.at)} by {rung.signer}"
    for step in view.steps:
        yield from _step(step)
    yield f"  next could be: {', '.join(one for one in view.possible if one not in _BY_ITSELF) or 'nothing'}"


def _step(step: StepView) -> Iterator[str]:
    refused = f"  refused: {step.refused}" if step.refused else ""
    yield f"  {local_time(step.at)}  {step.event} by the {step.actor} ({step.signer}) -> {step.state}{refused}"
    if said := ", ".join(_said(step.payload)):
        yield f"      {said}"
    if step.damaged:
        yield "      DAMAGED: what is stored of its message can no longer be read"
    for one in step.sections if step.recipients else ():
        yield f"      section {one.number}: {one.category} for {one.purpose}{ground(one)}"
    yield from (f"      {line}" for line in (*withheld(step.withheld), *corrected(step.corrections)))
    for desk in step.recipients if "kind" in step.payload else ():
        if desk.state is not MessageState.OPENED or desk.sections or desk.withheld:
            yield from (f"      {line}" for line in at_desk(desk))


def _about(alert: AlertView, view: ThreadView) -> str:
    thread = text(Kind.THREAD, view.item.thread)
    if alert.what == HEARD:
        return "the other side has not opened the message that the lead has moved, and does not know of it: call them"
    if alert.kind == AlertKind.LEAD_RETURNED:
        return f"note it: throughcare message answer {text(Kind.MESSAGE, alert.message)} noted --as TITLE"
    if alert.kind == AlertKind.STEP_REFUSED:
        note = f"throughcare message answer {text(Kind.MESSAGE, alert.message)} noted --as TITLE"
        return f"our step came after the other side's and had no effect: call them, and note it: {note}"
    if alert.kind == AlertKind.BROUGHT_FORWARD and alert.by != view.item.side:
        return "nobody at the other side has looked at the earlier day: call them"
    if alert.kind == AlertKind.BROUGHT_FORWARD:
        return f"the person comes sooner than you knew: look at it, and say so: throughcare handover review {thread}"
    if alert.kind == AlertKind.HANDED_OVER_TWICE:
        case = f"throughcare case show {text(Kind.CASE, view.case)}" if view.case else "throughcare case list"
        other = ", ".join(text(Kind.THREAD, one) for one in alert.threads) or case
        return (
            f"call both agencies, then end one: throughcare handover withdraw {thread} (before it takes effect) or "
            f"fail (afterwards); the other: {other}; one that is completed goes on, so end this one then"
        )
    if alert.kind == AlertKind.FORWARD_PROPOSED:
        return (
            f"approve it: throughcare referral approve-forward {thread} --to DESK; or call that desk and say that it "
            "stays: its next step (accept, decline) ends this alert"
        )
    if alert.appointment is None:
        return f"waiting for the {alert.by}: {alert.what}"
    return f"about the appointment of {local_time(alert.appointment)}"


def _said(payload: dict[str, Any]) -> Iterator[str]:
    """Yield what a step says in codes, days and numbers; a receipt says nothing of its own."""
    for name, value in payload.items() if "kind" in payload else ():
        if name in _ELSEWHERE or value is None or value == []:
            continue
        moment = isinstance(value, int) and not isinstance(value, bool) and value > 1 << 32
        yield f"{name.replace('_', ' ')} {local_time(value) if moment else _words(value)}"


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(map(_words, value))
    if isinstance(value, dict):
        told = [
            f"{name.replace('_', ' ')}{'' if one else ': no'}" if isinstance(one, bool) else _words(one)
            for name, one in value.items()
            if one is not None and name != "code"
        ]
        return f"{_words(value['code'])} ({', '.join(told)})" if "code" in value else " ".join(told)
    if isinstance(value, bool):
        return "yes" if value else "no"
    said = str(value)
    # Another agency wrote it, and a terminal obeys more than letters.
    return said if said.isprintable() else json.dumps(said)


def tell(queued: StepQueued, agency: str, voice: Voice, once: Once | None = None) -> None:
    """Print what was stored, and what to type to look at it; of a command that may have been typed before, whether."""
    thread = text(Kind.THREAD, queued.thread)
    before = once is not None and once.before
    sent_before = {} if once is None else {"sent_before": before}
    voice.data(
        {**queued.model_dump(mode="json"), **sent_before},
        [f"{thread} was sent before" if before else f"{thread} is {queued.state}", *going_to(queued.recipients)],
    )
    if once is not None:
        once.tell(voice)
    tell_past(queued.in_the_past, voice)
    for code in queued.unknown_services:
        known = ", ".join(queued.known_services)
        voice.warn(f"{code} is no service of the connector's table, which has {known}; it was sent all the same")
    for one in queued.open_sub_referrals:
        voice.warn(f"{text(Kind.THREAD, one)} is a sub-referral of it and is not over")
    for alert in queued.unnoted_alerts:
        voice.warn(f"{text(Kind.MESSAGE, alert)} is an alert in it that nobody has noted: call those who have to know")
    voice.say(f"next:  throughcare referral show {thread} --agency {agency}")


def tell_past(fields: Sequence[str], voice: Voice) -> None:
    """Warn of dates that were over when they were written; what they stand in was sent all the same."""
    for name in fields:
        voice.warn(f"{name} lies in the past; it was sent all the same")


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`; `InvalidInput` for any other file, which never repeats what stands there."""
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(_MOST))
    except OSError:
        error = InvalidInput("The file cannot be read. Check its path, and that you may read it.")
        raise then(error, "the same command with the path of a file that is there") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The file is not JSON from line {error.lineno}, column {error.colno} on.") from None
    except (ValueError, RecursionError):
        raise InvalidInput("The file is not JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise InvalidInput("The file must hold one JSON object.")
    if not isinstance(found.get("fields", {}), dict) or not isinstance(found.get("sections", []), list):
        raise InvalidInput("In the file `fields` must be one JSON object, and `sections` a list of them.")
    if not found.keys() <= _TOP:
        raise InvalidInput(
            "At the top of the file stand `fields` and `sections`, and in that of a draft `to`; what is asked for "
            "stands inside `fields`."
        )
    return found


def sections_of(asked: dict[str, Any]) -> list[PackageSection]:
    """Return the sections that a file names; `InvalidFields` for the first that cannot be, with each rule it breaks."""
    return [_section(one, f"/sections/{place}") for place, one in enumerate(asked.get("sections", []))]


def _section(given: Any, at: str) -> PackageSection:
    try:
        return PackageSection.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise InvalidFields(
            invalid_fields(error, PackageSection, given, at=at).fields,
            f"A section in the file has not the form of one. One looks so: {' '.join(map(str.strip, section()))}. "
            "GET /v1/schemas shows the other bodies.",
        ) from None


def thread_named(thread: str, agency: str) -> ThreadId:
    """Return a thread's id from its text; whoever gives the id of a message is told where that of its thread stands."""
    try:
        return ThreadId(raw(Kind.THREAD, thread))
    except InvalidInput as error:
        if thread.startswith(f"{Kind.MESSAGE.value}_"):
            raise then(error, f"throughcare handover show {Kind.MESSAGE.value}_…   (names its thread)") from None
        raise then(error, f"throughcare referral list --agency {agency}") from None

# SPDX-License-Identifier: Apache-2.0
"""`throughcare message`: send messages that are no step of a life cycle, see them, and answer them."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from connectors import home
from connectors.cli.acting import AS, BY_SERVICE, officer_named
from connectors.cli.failures import advising
from connectors.cli.handover import at_desk, corrected, going_to, ground, withheld
from connectors.cli.journey import come
from connectors.cli.local import AGENCY, CURSOR, KEY, LIMIT, RECIPIENT, SENDER, connected, named_desk
from connectors.cli.moments import local_time, with_moments
from connectors.cli.shapes import example, moments
from connectors.cli.threads import read_json, sections_of, tell_past, thread_named
from connectors.cli.voice import Voice, speaks, table
from protocol.address import parse_desk
from protocol.clocks import Ack
from protocol.errors import InvalidInput, ThreadNeeded
from protocol.http.handovers import Direction
from protocol.http.messages import (
    HandoverEffect,
    MessageFilter,
    MessagePage,
    MessageQueued,
    MessageRequest,
    MessageView,
)
from protocol.http.problems import InvalidFields
from protocol.ids import Kind, MessageId, raw, text
from protocol.kinds.catalogue import KINDS, NEEDS_THREAD, SENT_HERE
from protocol.kinds.thread import Answer

_KINDS = sorted(SENT_HERE)
_SAID: Final[Mapping[str, str]] = {Ack.A2: "noted", Ack.A3: "answered"}
_INPUT = click.option("--input", "file", type=click.Path(path_type=Path), help="A JSON file: fields, sections.")


@click.command(epilog=f"Kinds: {', '.join(_KINDS)}. Only with --thread: {', '.join(sorted(NEEDS_THREAD))}.")
@click.argument("kind", type=click.Choice(_KINDS), metavar="KIND")
@AGENCY
@click.option("--to", required=True, multiple=True, metavar="DESK", help="The desk to write to; may be repeated.")
@click.option(
    "--thread",
    metavar="THREAD",
    help="The referral, handover or conversation that it belongs to; else it begins a conversation of its own.",
)
@_INPUT
@AS
@KEY
@speaks
def send(
    kind: str,
    agency: str,
    to: tuple[str, ...],
    thread: str | None,
    file: Path | None,
    acting: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Send a message of a kind, such as contact.area-notice.

    Like a letter it is sent each time that it is typed; with the same --once-key it is sent once.

    What tells of a release, of its day or of a consent counts in the handover or referral that --thread names.

    Where a field is missing or wrong, it is shown how the fields of that kind are written.
    """
    asked = read_json(file) if file else {}
    desks, sections = [parse_desk(one) for one in to], sections_of(asked)
    fields = with_moments(asked.get("fields", {}), moments(KINDS[kind]))
    thread_id = None if thread is None else thread_named(thread, agency)

    async def ask() -> MessageQueued:
        async with connected(home.find(agency)) as client:
            request = MessageRequest(
                kind=kind,
                to=desks,
                fields=fields,
                sections=sections,
                thread=thread_id,
                officer=await officer_named(client, acting, agency=agency),
            )
            return await client.send_message(request, idempotency_key=key or secrets.token_urlsafe(24))

    shown = f"throughcare handover standing --agency {agency}, or referral list"
    try:
        with advising({ThreadNeeded: f"the same command with --thread THREAD   ({shown}, shows them)"}):
            queued = asyncio.run(ask())
    except InvalidFields:
        voice.say(example(KINDS[kind]).removeprefix("\b\n"))
        raise
    _tell(queued, agency, voice)


@click.command()
@click.argument("message")
@click.argument("answer", type=click.Choice([one.value for one in Answer]))
@AGENCY
@click.option("--officer", "named", metavar="OFFICER", help="Who answers, by title or id; else who acts (--as).")
@SENDER
@click.option("--desk", metavar="DESK", help="Which of our desks answers, where the message came to several.")
@_INPUT
@AS
@KEY
@speaks
def answer(
    message: str,
    answer: str,
    agency: str,
    named: str | None,
    sender: str | None,
    desk: str | None,
    file: Path | None,
    acting: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Answer a message that came: noted, agreed, in-part or not-possible.

    Where it came to several of our desks, each answers for itself (--desk).
    """
    answers = named or acting
    if answers is None:
        raise InvalidInput("Say who answers: --as OFFICER, with the title as `throughcare officer list` shows it.")
    asked = read_json(file) if file else {}
    message_id, whose, ours = MessageId(raw(Kind.MESSAGE, message)), named_desk(sender), named_desk(desk)

    async def ask() -> MessageQueued:
        async with connected(home.find(agency)) as client:
            item = (await client.message(message_id, sender=whose, recipient=ours)).item
            if item.direction is not Direction.RECEIVED:
                raise InvalidInput("This message is one of ours; others answer it.")
            who = await officer_named(client, answers, agency=agency)
            request = MessageRequest(
                kind="message.answer",
                to=[item.sender],
                fields={"answers": message, "answer": answer, "officer": text(Kind.OFFICER, who) if who else answers},
                sections=sections_of(asked),
                sender=ours,
                officer=await officer_named(client, acting, agency=agency),
            )
            return await client.send_message(request, idempotency_key=key or secrets.token_urlsafe(24))

    queued = asyncio.run(ask())
    if acting is None:
        voice.warn(BY_SERVICE)
    _tell(queued, agency, voice)


@click.command("list")
@AGENCY
@click.option("--kind", help="Only those of one kind.")
@LIMIT
@CURSOR
@speaks
def list_(agency: str, kind: str | None, limit: int, cursor: str | None, voice: Voice) -> None:
    """List messages sent and received, newest first."""
    query = MessageFilter(kind=kind, limit=limit, cursor=cursor)

    async def ask() -> MessagePage:
        async with connected(home.find(agency)) as client:
            return await client.messages(query)

    found = asyncio.run(ask())
    rows = [
        [
            text(Kind.MESSAGE, one.id),
            local_time(one.at),
            one.kind,
            one.direction,
            come(one.state),
            one.sender,
            one.alert or "",
            "OVERDUE" if one.overdue else "",
        ]
        for one in found.items
    ]
    head = ["MESSAGE", "AT", "KIND", "DIRECTION", "HOW FAR", "FROM", "ALERT", "OVERDUE"]
    voice.data(found.model_dump(mode="json"), table(head, rows))
    if not found.items:
        voice.say("There are none.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


@click.command()
@click.argument("message")
@AGENCY
@SENDER
@RECIPIENT
@speaks
def show(message: str, agency: str, sender: str | None, recipient: str | None, voice: Voice) -> None:
    """Show one message: what it says in codes, which sections came, and who answered."""
    message_id = MessageId(raw(Kind.MESSAGE, message))
    desk, ours = named_desk(sender), named_desk(recipient)

    async def ask() -> MessageView:
        async with connected(home.find(agency)) as client:
            return await client.message(message_id, sender=desk, recipient=ours)

    view = asyncio.run(ask())
    voice.data(view.model_dump(mode="json"), _lines(view))


def _lines(view: MessageView) -> Iterator[str]:
    item = view.item
    yield f"{item.kind} {text(Kind.MESSAGE, item.id)} is {come(item.state)}"
    yield f"  from {item.sender} ({view.signer}) to {', '.join(item.recipients)}, {local_time(item.at)}"
    if item.alert:
        yield f"  ALERT {item.alert}"
    if view.in_error:
        yield "  IN ERROR: its thread is, so ask who is meant; it is shown until you have noted it (message answer)"
    for late in item.overdue:
        yield f"  OVERDUE since {local_time(late.since)}: {late.desk} has not {_SAID[late.ack]} it"
    for name, value in view.payload.items():
        yield f"  {name}: {value}"
    for one in view.sections:
        yield f"  section {one.number}: {one.category} for {one.purpose}{ground(one)}"
    yield from (f"  {line}" for line in (*withheld(view.withheld), *corrected(view.corrections)))
    for desk in view.recipients:
        yield from (f"  {line}" for line in at_desk(desk))
    for given in view.answers:
        yield f"  {given.ack} {local_time(given.at)} by {given.desk} ({given.signer}): {given.answer}"


_EFFECTS: Final = {
    HandoverEffect.MOVED: "The handover moved with it.",
    HandoverEffect.ONCE_ACCEPTED: "Nothing moved: nobody has accepted the handover. It takes effect once that is done.",
    HandoverEffect.STILL_WAITS: "Nothing moved: the handover waits for a release again.",
    HandoverEffect.IF_OFFERED_AGAIN: "Nothing moved: nobody took the handover over. Offer it again (offer-again).",
    HandoverEffect.ON_ITS_DAY: "Nothing moved: the handover takes effect on its day, whatever is told of the release.",
    HandoverEffect.STILL_ITS_DAY: "Nothing moved: the handover keeps the day it has. Move it too (change-date).",
    HandoverEffect.NOTHING: "Nothing moved, and nothing will: the handover took effect before, or is over.",
}
"""What the word of a release does, for people."""


def _tell(queued: MessageQueued, agency: str, voice: Voice) -> None:
    message = text(Kind.MESSAGE, queued.id)
    voice.data(queued.model_dump(mode="json"), [f"{message} is {come('queued')}", *going_to(queued.recipients)])
    tell_past(queued.in_the_past, voice)
    if queued.handover is not None:
        voice.say(_EFFECTS[queued.handover])
    for thread in queued.blocked_referrals:
        voice.warn(f"{text(Kind.THREAD, thread)} is blocked: its recipient is told once it goes on")
    for desk in queued.missed:
        voice.warn(f"{desk} has what this corrects, and does not get the correction: send it there too")
    voice.say(f"next:  throughcare message show {message} --agency {agency}")

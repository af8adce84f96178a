# SPDX-License-Identifier: Apache-2.0
"""`throughcare handover show`, and what `handover list` says: what this agency sent and received, and how it stands.

`show ID` without `--agency` asks every connector of this machine that has a profile, and prints each
agency's own view of the handover under that agency's name: in a sandbox sender and recipients are all here,
and each still shows only what it holds. With `--json` the answer is then `{"items": [...]}`, and with
`--agency` it is that one item; each item names its `agency`. Where several handovers stand under an id, all
are shown, and the answer is a list also with `--agency`.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import click

from connectors import home
from connectors.api_client import ApiClient
from connectors.cli.attachments import printable
from connectors.cli.failures import then
from connectors.cli.journey import come
from connectors.cli.local import connected
from connectors.cli.moments import local_time
from connectors.cli.voice import Voice, speaks, table
from protocol.address import DeskAddress
from protocol.diagnosis import starts_connector
from protocol.errors import Conflict, InvalidInput, NotFound, Unavailable
from protocol.handover import WithheldReason
from protocol.http.handovers import (
    MAX_PAGE,
    CorrectionView,
    Direction,
    HandoverItem,
    HandoverPage,
    HandoverView,
    MessageState,
    RecipientPlan,
    RecipientView,
    SealingView,
    SectionView,
    SectionWithheld,
)
from protocol.ids import Kind, MessageId, raw, text

_WHY_WITHHELD: Final = {
    WithheldReason.NOT_MEANT.value: "not meant for this desk's function",
    WithheldReason.NEVER.value: "never for this desk's function",
    WithheldReason.NO_BASIS.value: "its basis in law is not named",
    WithheldReason.BLOCKED.value: "blocked before it was sent, since no basis stands",
    WithheldReason.IN_ERROR.value: "entered in error before it was sent",
    WithheldReason.WITHDRAWN.value: "withdrawn before it was sent",
    WithheldReason.CONSENT_OVER.value: "the person's consent was over before it was sent",
    "unknown-function": "this desk's function is not known here",
}


def tell_page(found: HandoverPage, voice: Voice) -> None:
    """Print what was sent and received."""
    rows = [
        [
            text(Kind.MESSAGE, item.id),
            item.direction.value,
            come(item.state),
            item.sender if item.direction is Direction.RECEIVED else ", ".join(item.recipients),
            local_time(item.at),
            text(Kind.THREAD, item.thread),
        ]
        for item in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["ID", "DIRECTION", "HOW FAR", "FROM OR TO", "AT", "THREAD"], rows))
    if not found.items:
        voice.say("There are no handovers.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--agency", help="Whose view to show; without it, that of every agency of this machine that has it.")
@speaks
def show(id_: str, agency: str | None, voice: Voice) -> None:
    """Show one handover: own sections, receipts, what was withheld."""
    message_id = _message_named(id_, agency)
    profiles = [home.find(agency)] if agency else home.profiles()
    found, silent = asyncio.run(_views(message_id, profiles))
    for profile in silent:
        voice.warn(f"the connector of {profile.name} does not answer")
    if not found:
        raise _nowhere(agency, silent)
    if len(found) > len({profile.name for profile, _ in found}):
        voice.warn("several handovers stand under this id; trust the sender that each names, not the id")
    items = [{"agency": profile.name, **view.model_dump(mode="json")} for profile, view in found]
    lines = (line for profile, view in found for line in describe(profile.name, view))
    voice.data(items[0] if agency and len(items) == 1 else {"items": items}, lines)


def _message_named(id_: str, agency: str | None) -> MessageId:
    try:
        return MessageId(raw(Kind.MESSAGE, id_))
    except InvalidInput as error:
        whose = agency or "NAME"
        if id_.startswith(f"{Kind.THREAD.value}_"):
            step = f"throughcare referral show {Kind.THREAD.value}_… --agency {whose}   (shows any thread)"
            raise then(error, step) from None
        raise then(error, f"throughcare handover list --agency {whose}") from None


async def _views(
    message_id: MessageId, profiles: list[home.Profile]
) -> tuple[list[tuple[home.Profile, HandoverView]], list[home.Profile]]:
    """Return what each connector that has the handover says of it, and the connectors that did not answer."""
    found, silent = [], []
    for profile in profiles:
        try:
            async with connected(profile) as client:
                found += [(profile, view) for view in await _all_under(client, message_id)]
        except NotFound:
            continue
        except Unavailable:
            silent.append(profile)
    return found, silent


async def _all_under(client: ApiClient, message_id: MessageId) -> list[HandoverView]:
    """Return every handover that stands under the id: one, unless somebody has sent under another's id."""
    try:
        return [await client.handover(message_id)]
    except Conflict:
        listed = (await client.handovers(message_id=message_id, limit=MAX_PAGE)).items
        which = dict.fromkeys((item.sender, item.direction) for item in listed)
        return [
            view for sender, direction in which for view in await _of(client, message_id, sender, direction, listed)
        ]


async def _of(
    client: ApiClient, message_id: MessageId, sender: DeskAddress, direction: Direction, listed: Sequence[HandoverItem]
) -> list[HandoverView]:
    """Return what one desk sent under the id: one, unless it sent another to each desk of ours."""
    try:
        return [await client.handover(message_id, sender=sender, direction=direction)]
    except Conflict:
        ours = dict.fromkeys(
            desk for item in listed if (item.sender, item.direction) == (sender, direction) for desk in item.recipients
        )
        return [await client.handover(message_id, sender=sender, recipient=desk) for desk in ours]


def _nowhere(agency: str | None, silent: list[home.Profile]) -> Exception:
    if silent:
        error: Exception = Unavailable("Who answered has no such handover, and not every connector answered.")
        start = starts_connector(silent[0].config_file or "FILE")
        return then(error, f"start it: {start}; then the same command again")
    whose = agency or "NAME"
    return then(NotFound("No handover with this id is known here."), f"throughcare handover list --agency {whose}")


def describe(agency: str, view: HandoverView) -> Iterator[str]:
    """Yield one agency's view of a handover for people."""
    yield f"{text(Kind.MESSAGE, view.id)}"
    yield f"  thread {text(Kind.THREAD, view.thread)}"
    states = dict.fromkeys((view.direction.value, come(view.state)))
    yield f"  at {agency}: {', '.join(states)}, {local_time(view.at)}"
    if view.origin:
        origin = view.origin
        yield f"  from {origin.desk}, signed by {origin.officer} ({origin.officer_kind}), leaf {origin.leaf_index}"
        for mark in origin.marks:
            yield f"  mark: {mark}"
    yield from offered(view.offer)
    for recipient in view.recipients:
        yield from _recipient(recipient, sender=view.direction is Direction.SENT)
    several = len({desk for section in view.sections for desk in section.desks}) > 1
    for section in view.sections:
        whose = f" (to {', '.join(section.desks)})" if several else ""
        what = f"{section.category}, for {section.purpose}, {section.label}{ground(section)}"
        yield f"  section {section.number}{whose}: {what}"
        yield from (f"    {line}" for line in outline(section.body))
        for one in section.attachments:
            what = f"{printable(one.name)} ({printable(one.media_type)}, {one.size} bytes)"
            yield f"    attachment {one.place + 1}: {what}, {one.state}"
    yield from (f"  {line}" for line in (*withheld(view.withheld), *corrected(view.corrections)))
    if view.not_understood:
        yield f"  not understood by the mapping as it stands: {len(view.not_understood)} places"
        yield from (f"    {item.path}: {item.reason}" for item in view.not_understood)
    yield ""


def offered(offer: dict[str, Any]) -> Iterator[str]:
    """Yield what is handed over, to whom and by when; what an offer of another version lacks is left out."""
    terms, parties = offer.get("terms"), offer.get("parties")
    if not isinstance(terms, dict) or not isinstance(parties, dict):
        return
    trigger = terms.get("trigger") or {}
    when = [f"on {trigger['expected_on']}"] if trigger.get("expected_on") else []
    when += [f"at the event {trigger['event']}"] if trigger.get("event") else []
    supervisor = parties.get("legal_supervisor") or f"nobody ({parties.get('no_supervisor')})"
    lines = {
        "moves": ", ".join(terms.get("what_moves", ())),
        "takes effect": ", ".join(when),
        "next responsible": parties.get("next_responsible"),
        "leads until then": parties.get("coordination_lead"),
        "supervises": supervisor,
        "acknowledge by": terms.get("acknowledge_by"),
        "answer by": terms.get("answer_by"),
        "priority": terms.get("priority"),
    }
    yield from (f"  {name + ':':<18}{value}" for name, value in lines.items() if value)


def _recipient(recipient: RecipientView, *, sender: bool) -> Iterator[str]:
    yield f"  to {recipient.desk}: {come(recipient.state)}"
    if not sender:
        return
    for what, at in (("at the hub", recipient.accepted_at), (come(MessageState.OPENED), recipient.opened_at)):
        if at is not None:
            yield f"    {what} {local_time(at)}"
    if recipient.error:
        yield f"    {recipient.error}: {recipient.detail or ''}"
    yield from (f"    mark: {mark}" for mark in recipient.marks)
    sections = ", ".join(f"{section.number} {section.category}" for section in recipient.sections)
    yield f"    sections {sections}"
    yield from (f"    {line}" for line in kept_back(recipient.withheld))
    yield from (f"    {line}" for line in _sealings(recipient))


def _sealings(recipient: RecipientView) -> Iterator[str]:
    """Yield what each of several sealings held, and whether the desk opened it (CON-17)."""
    if len(recipient.sealings) > 1:
        for number, one in enumerate(recipient.sealings, start=1):
            yield from _sealing(number, one)


def _sealing(number: int, one: SealingView) -> Iterator[str]:
    yield f"envelope {number} {text(Kind.ENVELOPE, one.envelope_id)}" + (", taken in" if one.taken_in else "")
    for what, at in (("sealed", one.sealed_at), ("at the hub", one.accepted_at), ("opened there", one.opened_at)):
        if at is not None:
            yield f"  {what} {local_time(at)}"
    if one.function is not None:
        yield f"  for a desk of function {one.function}, by {printable(one.signer or '')}"
    yield from (f"  mark: {mark}" for mark in one.marks)
    yield f"  sections {', '.join(f'{section.number} {section.category}' for section in one.sections)}"
    yield from (f"  {line}" for line in kept_back(one.withheld))


def withheld(why: str | None) -> Iterator[str]:
    """Yield why nothing of what came in sections is shown."""
    if why is not None:
        yield f"WITHHELD: it was {why.replace('-', ' ')}; what came in its sections is kept as evidence, and not shown"


def corrected(found: Sequence[CorrectionView]) -> Iterator[str]:
    """Yield what its sender has said since is wrong in a message."""
    for one in found:
        yield f"CORRECTED {local_time(one.at)} by {text(Kind.MESSAGE, one.message)} of {one.sender} ({one.signer})"
        for section in one.sections:
            yield f"  right is section {section.number} of it: {section.category} for {section.purpose}"
            yield from (f"    {line}" for line in outline(section.body))


def at_desk(recipient: RecipientView) -> Iterator[str]:
    """Yield how a message of ours stands at a desk, in short: why it waits, what goes there and what does not."""
    yield f"to {recipient.desk}: {come(recipient.state)}"
    if recipient.error:
        yield f"  {recipient.error}: {recipient.detail or ''}"
    yield from (f"  {line}" for line in (*_share(recipient), *_sealings(recipient)))


def going_to(plans: Iterable[RecipientPlan]) -> Iterator[str]:
    """Yield what each desk will get of a message with sections, and what is withheld from it."""
    for one in plans:
        if lines := list(_share(one)):
            yield f"  to {one.desk}"
            yield from (f"    {line}" for line in lines)


def _share(one: RecipientPlan | RecipientView) -> Iterator[str]:
    if one.sections:
        yield f"sections {', '.join(f'{section.number} {section.category}' for section in one.sections)}"
    yield from kept_back(one.withheld)


def ground(section: SectionView) -> str:
    """Return on which ground in law a section of ours went, as the end of its line; nothing for one that came."""
    if section.basis is None:
        return ""
    return f", on {section.basis}" + (f" ({printable(section.citation)})" if section.citation else "")


def kept_back(sections: Iterable[SectionWithheld]) -> Iterator[str]:
    """Yield one line for each section that a desk does not get, in words; a reason without words as its code."""
    for one in sections:
        why = _WHY_WITHHELD.get(one.reason, one.reason)
        yield f"withheld {one.number} {one.category}, for {one.purpose}: {why}"


def outline(value: Any, name: str = "") -> Iterator[str]:
    """Yield JSON as indented lines without brackets, for reading; absent values are left out."""
    if isinstance(value, dict):
        if name:
            yield f"{name}:"
        for key, inner in value.items():
            yield from (f"  {line}" if name else line for line in outline(inner, key))
    elif isinstance(value, list):
        yield from ([f"{name}:"] if value and name else [])
        for inner in value:
            lines = list(outline(inner))
            yield from (f"  {'- ' if number == 0 else '  '}{line}" for number, line in enumerate(lines))
    elif value is not None:
        first, *rest = _plain(value).splitlines() or [""]
        yield f"{name}: {first}" if name else first
        yield from (f"  {line}" for line in rest)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

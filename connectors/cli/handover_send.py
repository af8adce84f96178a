# SPDX-License-Identifier: Apache-2.0
"""`throughcare handover send`: an agency's own export, mapped, shown where it was not understood, and sent.

Nothing leaves before everything is known: a broken file, an incomplete package or a desk that may get no
section ends the command with an error and nothing sent.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from connectors import home
from connectors.adapters import Mapped, find_mapping, load_mapping, read_export, transform
from connectors.api_client import ApiClient
from connectors.cli.acting import AS_SENDER, officer_named
from connectors.cli.attachments import attached, digests, store
from connectors.cli.connector import not_read
from connectors.cli.failures import then
from connectors.cli.handover import kept_back
from connectors.cli.journey import come
from connectors.cli.local import AGENCY, KEY, connected
from connectors.cli.once import Once
from connectors.cli.threads import tell_past
from connectors.cli.voice import Voice, speaks
from connectors.enrolment.visit import now_ms
from protocol.address import DeskAddress, agency_of, domain_of, parse_desk
from protocol.clearance import DeskFunction
from protocol.errors import InvalidInput, NotFound, NothingToSend, Unavailable
from protocol.handover import sections_for
from protocol.http.handovers import MAX_NOT_UNDERSTOOD, HandoverQueued, HandoverRequest, HandoverView, MessageState
from protocol.http.handovers import NotUnderstood as Place
from protocol.ids import Kind, OfficerId, text

_SHOWN: Final = 12
"""Places that the mapping did not understand, as many as are shown on a terminal; --json has all of them."""
_LOOK_EVERY_S: Final = 0.2
_MAX_PATH: Final = 500
_MAX_REASON: Final = 200
_UNDER_WAY = (MessageState.QUEUED,)


@click.command()
@AGENCY
@click.option("--mapping", required=True, help="A mapping file, or the name of a shipped one (resettlement).")
@click.option(
    "--input",
    "export_path",
    required=True,
    type=click.Path(path_type=Path),
    help="The export: a folder of JSON files, or one JSON file.",
)
@click.option("--to", "desks", required=True, multiple=True, help="A desk to send to; may be given several times.")
@click.option(
    "--attach",
    multiple=True,
    metavar="FILE:CATEGORY",
    help="A file to go with the section of that category, to whoever gets the section; may be given several times.",
)
@AS_SENDER
@click.option(
    "--wait", default=5.0, show_default=True, help="Seconds to wait for the hub's receipt; sending goes on anyway."
)
@click.option("--check-only", is_flag=True, help="Map and show what was not understood; send nothing.")
@KEY
@speaks
def send(
    agency: str,
    mapping: str,
    export_path: Path,
    desks: tuple[str, ...],
    attach: tuple[str, ...],
    officer: str | None,
    wait: float,
    check_only: bool,
    key: str | None,
    voice: Voice,
) -> None:
    """Map an export and send it, sealed, to one or more desks.

    Typed again on the same day it is not sent twice, unless a --once-key says that it is another.
    """
    profile = home.find(agency)
    to = [full_address(desk, profile) for desk in desks]
    acting, zone = asyncio.run(_acting(profile, officer))
    mapped = transform(load_mapping(find_mapping(mapping)), read_export(export_path), now_ms=now_ms(), zone=zone)
    for line in understanding(mapped):
        voice.say(line)
    files = attached(attach, mapped.package)
    not_understood = [{"path": item.path, "reason": item.reason} for item in mapped.not_understood]
    planned = asyncio.run(_planned(profile, mapped, to))
    if check_only:
        shown_plans = [{"desk": desk, "sections": going, "withheld": withheld} for desk, going, withheld in planned]
        lines = [f"  to {desk}: {len(going)} sections, {len(withheld)} withheld" for desk, going, withheld in planned]
        voice.data(
            {"sent": False, "recipients": shown_plans, "not_understood": not_understood},
            [*lines, "Nothing was sent (--check-only)."],
        )
        return
    request = HandoverRequest(
        to=to,
        package=mapped.package,
        not_understood=places(mapped),
        officer=acting,
    )
    known = digests(files)
    once = Once(key, f"handover send {b''.join(known).hex()}", request)
    queued, view = asyncio.run(_send(profile, request, files, known, once, wait))
    shown = {**queued.model_dump(mode="json"), "state": view.state.value, "not_understood": not_understood}
    voice.data({**shown, "sent_before": once.before}, describe(queued, view))
    once.tell(voice)
    tell_past(queued.in_the_past, voice)
    for one in queued.other_handovers:
        voice.warn(
            f"{text(Kind.THREAD, one)} hands over the same person, and its receiver can still accept it or has: "
            f"throughcare referral show {text(Kind.THREAD, one)} --agency {profile.name}"
        )
    voice.say(f"next:  throughcare handover show {text(Kind.MESSAGE, queued.id)} --agency {profile.name}")


async def _planned(
    profile: home.Profile, mapped: Mapped, to: list[DeskAddress]
) -> list[tuple[DeskAddress, list[str], list[str]]]:
    """Return which categories would go to each desk and which would not, or raise and name the desk that cannot be."""
    async with connected(profile) as client:
        status = await client.status()
        if not status.directory.size:
            error = Unavailable(f"The directory {not_read(status)}. Nothing was sent.")
            raise then(error, f"throughcare connector status --agency {profile.name}")
        known = {item.address: item.function for item in (await client.desks()).items}
    there = f"throughcare directory list --agency {profile.name}"
    for desk in to:
        if to.count(desk) > 1:
            raise then(InvalidInput(f"The desk {desk} is named twice. Nothing was sent."), "name each desk once")
        if agency_of(desk) == agency_of(parse_desk(profile.desk)):
            raise then(InvalidInput(f"The desk {desk} is the sender's own. Nothing was sent."), there)
        if desk not in known:
            raise then(NotFound(f"The directory has no desk {desk}. Nothing was sent."), there)
    plans = []
    for desk in to:
        disposition = sections_for(mapped.package, DeskFunction(known[desk]))
        going = [str(mapped.package.sections[place].category) for place in disposition.included]
        if not going:
            raise then(NothingToSend(f"No section of the package may go to {desk}. Nothing was sent."), there)
        plans.append((desk, going, [str(held.category) for held in disposition.withheld]))
    return plans


async def _send(
    profile: home.Profile,
    request: HandoverRequest,
    files: Sequence[tuple[Path, int]],
    known: Sequence[bytes],
    once: Once,
    wait_s: float,
) -> tuple[HandoverQueued, HandoverView]:
    async with connected(profile) as client:
        request = request.model_copy(update={"attachments": await store(client, files, known, once.key)})
        queued = await client.send(request, idempotency_key=once.key, on_replay=once.was_before)
        return queued, await _settled(client, queued, wait_s)


async def _settled(client: ApiClient, queued: HandoverQueued, wait_s: float) -> HandoverView:
    """Return the handover when no recipient's part is queued any more, or when the time is over."""
    deadline = time.monotonic() + wait_s
    while True:
        view = await client.handover(queued.id)
        waiting = any(recipient.state in _UNDER_WAY for recipient in view.recipients)
        if not waiting or time.monotonic() >= deadline:
            return view
        await asyncio.sleep(_LOOK_EVERY_S)


def full_address(desk: str, sender: home.Profile) -> DeskAddress:
    """Return the desk's address; `desk.agency` without a domain is one at the sender's own hub."""
    if "@" not in desk:
        desk = f"{desk}@{domain_of(parse_desk(sender.desk))}"
    try:
        return parse_desk(desk)
    except InvalidInput as error:
        raise then(error, f"throughcare directory list --agency {sender.name}") from None


async def _acting(profile: home.Profile, named: str | None) -> tuple[OfficerId | None, ZoneInfo]:
    """Return who acts, and the zone of the agency's clocks, by which its export is read (CNT-7)."""
    async with connected(profile) as client:
        zone = ZoneInfo((await client.status()).zone)
        return await officer_named(client, named, agency=profile.name), zone


def places(mapped: Mapped) -> list[Place]:
    """Return what was not understood as the connector keeps it; beyond what it keeps, how many more there were."""
    found = [Place(path=item.path[:_MAX_PATH], reason=item.reason[:_MAX_REASON]) for item in mapped.not_understood]
    if len(found) <= MAX_NOT_UNDERSTOOD:
        return found
    kept = found[: MAX_NOT_UNDERSTOOD - 1]
    return [*kept, Place(path="…", reason=f"{len(found) - len(kept)} more places were not understood")]


def understanding(mapped: Mapped) -> Iterator[str]:
    """Yield what the mapping made of the export, and what it did not understand."""
    sections = mapped.package.sections
    yield f"mapped: {len(sections)} sections ({', '.join(sorted({section.category for section in sections}))})"
    if mapped.ignored_count:
        yield f"left out on purpose: {mapped.ignored_count} values"
        yield from (f"    {item.count} × {item.reason}" for item in mapped.ignored)
    if not mapped.not_understood:
        return
    yield f"not understood as it stands: {len(mapped.not_understood)} places"
    yield from (f"    {item.path}: {item.reason}" for item in mapped.not_understood[:_SHOWN])
    if len(mapped.not_understood) > _SHOWN:
        by_file = Counter(item.path.split("/")[0] for item in mapped.not_understood[_SHOWN:])
        yield from (f"    … {count} more in {name}" for name, count in by_file.items())


def describe(queued: HandoverQueued, view: HandoverView) -> Iterator[str]:
    """Yield for people what was sent to whom, and what was withheld."""
    yield text(Kind.MESSAGE, queued.id)
    states: dict[str, Any] = {recipient.desk: recipient for recipient in view.recipients}
    for recipient in queued.recipients:
        yield f"  to {recipient.desk}: {come(states[recipient.desk].state)}"
        yield f"    sections {', '.join(f'{one.number} {one.category}' for one in recipient.sections)}"
        yield from (f"    {line}" for line in kept_back(recipient.withheld))

# SPDX-License-Identifier: Apache-2.0
"""The order of events of the demo. Each step is done for real and checked; the first that fails ends the story."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiohttp

from connectors.adapters import Mapped, load_mapping, read_export, transform
from connectors.demo import attacks, proof
from connectors.demo.export_copy import PlantedExport, mapping_file, plant
from connectors.demo.release import DAYS_TO_RELEASE, Release
from connectors.demo.stage import Stage
from connectors.demo.telling import Teller, WentWrong
from connectors.enrolment.visit import now_ms
from connectors.installation import Installation
from connectors.sandbox.cast import DOLINA, GORA, OBALA, POLJE, REKA, Part
from connectors.sandbox.world import Sandbox
from protocol.address import DeskAddress
from protocol.clearance import DeskFunction
from protocol.handover import Trigger, sections_for
from protocol.http.calling import new_session
from protocol.http.fields import format_time
from protocol.http.handovers import (
    Direction,
    HandoverQueued,
    HandoverRequest,
    HandoverView,
    MessageState,
    NotUnderstood,
)

IN_FLIGHT: Final = 4
"""Handovers under way when the hub is killed."""
_LONG_AFTER: Final = 10 * DAYS_TO_RELEASE
"""In how many working days the others are due: nothing of them comes into the story."""
_GLIMPSE: Final = 52
"""Characters of each section that are shown at the end."""
_BOTH: Final = [DeskAddress(REKA.address), DeskAddress(POLJE.address)]


class Story:
    """One telling, in one sandbox."""

    def __init__(self, teller: Teller, sandbox: Sandbox, folder: Path) -> None:
        """Nothing happens before `tell`."""
        self._teller = teller
        self._sandbox = sandbox
        self._folder = folder
        self._stage = Stage(teller, sandbox, folder)

    async def tell(self) -> None:
        """Tell it from beginning to end; raises what went wrong."""
        async with self._stage as stage:
            await self._raise_everything()
            export, mapped = self._map()
            began = self._sandbox.now()
            first = await self._send(mapped)
            await self._opens(POLJE, first, mapped)
            seen = proof.seen_by_hub(self._sandbox.hub_data, await self._envelope_of(first))
            await self._attack()
            others = await self._kill_the_hub(mapped, first)
            await self._catch_up(first, others, mapped)
            await self._nothing_lost(first, others)
            self._teller.title("From pre-release start to a closed loop: two months in a few seconds")
            await Release(stage, first, began).tell()
            self._teller.title("And what the hub knows of it")
            await self._search(export, first)
            await self._what_was_seen(seen, first)

    # Setting up

    async def _raise_everything(self) -> None:
        tell, box = self._teller, self._sandbox
        with tell.step("An authority with two approvers, and a hub, are up.") as step:
            founding, applied = await box.found()
            step.detail(f"{box.hub_url}   root fingerprint {founding.root_fingerprint.hex()[:16]}…")
        with tell.step("Five agencies are enrolled, each after comparing eight words by voice.") as step:
            for part, one in applied.items():
                words = await box.enrol(founding, part, one)
                step.detail(f"{part.title}: {' '.join(words)}")
        with tell.step("Four agencies are connected; probation is offline."):
            await asyncio.gather(*(self._stage.start(part) for part in (GORA, POLJE, DOLINA, OBALA)))
            await box.stand_by(REKA)

    # Sending

    def _map(self) -> tuple[PlantedExport, Mapped]:
        with self._teller.step("The prison's own export about an invented person is mapped.") as step:
            export = plant(self._folder / "export")
            mapped = transform(
                load_mapping(mapping_file()),
                read_export(export.folder),
                now_ms=now_ms(),
                zone=self._stage.calendar.zone,
            )
            mapped = self._due(mapped, days=DAYS_TO_RELEASE)
            step.detail(
                f"{len(mapped.package.sections)} sections; {mapped.ignored_count} values left out on purpose; "
                f"not understood, and said so: {', '.join(item.path for item in mapped.not_understood)}"
            )
        return export, mapped

    def _due(self, mapped: Mapped, days: int) -> Mapped:
        """Return the same with days that lie ahead, whenever the story is told: the release in `days` working days."""
        calendar = self._stage.calendar
        first = calendar.first_day(self._sandbox.now())
        terms = mapped.package.terms.model_copy(
            update={
                "trigger": Trigger(expected_on=calendar.add(first, days)),
                "acknowledge_by": calendar.add(first, days // 2),
                "answer_by": calendar.add(first, days // 2 + 2),
            }
        )
        return replace(mapped, package=mapped.package.model_copy(update={"terms": terms}))

    async def _send(self, mapped: Mapped) -> HandoverQueued:
        with self._teller.step("It is sealed once for two desks, and accepted by the hub with a receipt.") as step:
            queued = await self._stage.clients[GORA.name].send(_request(mapped), idempotency_key=_key(0))
            for plan in queued.recipients:
                step.detail(f"to {plan.desk}: {len(plan.sections)} sections, {len(plan.withheld)} withheld")
            view = await self._stage.handover(GORA, queued, lambda view: all(one.receipt for one in view.recipients))
            accepted = view.recipients[0].accepted_at
            step.detail(f"accepted {format_time(accepted) if accepted else ''}, receipt signed by the hub's log")
        return queued

    async def _opens(self, part: Part, queued: HandoverQueued, mapped: Mapped) -> None:
        with self._teller.step(f"{part.title} opens exactly its sections.") as step:
            view = await self._stage.handover(part, queued, lambda view: view.state is MessageState.RECEIVED)
            step.detail(_exactly(view, mapped, part.function))
            await self._stage.handover(GORA, queued, lambda view: _state_at(view, part) is MessageState.OPENED)
            step.detail("the prison has its signed receipt: opened")

    # What must fail

    async def _attack(self) -> None:
        prison = await self._stage.installation(GORA)
        to = DeskAddress(POLJE.address)
        async with new_session() as session:
            await self._attack_by(session, prison, to)

    async def _attack_by(self, session: aiohttp.ClientSession, prison: Installation, to: DeskAddress) -> None:
        url = self._sandbox.hub_url
        with self._teller.step("A tampered envelope is refused.") as step:
            refusal = await attacks.tampered(session, url, prison, to)
            step.detail(f"one bit changed on the way, sent with the prison's own keys: {refusal.code}")
        with self._teller.step("A replay is refused.") as step:
            refusal = await attacks.replayed(session, url, prison)
            step.detail(f"a recorded, correctly signed request, sent a second time: {refusal.code}")
        with self._teller.step("A stranger is refused.") as step:
            codes = [refusal.code for refusal in await attacks.stranger(session, url, prison, to)]
            step.detail(f"submitting, reading mail, inventing an enrolment code: {', '.join(codes)}")

    # Losing nothing

    async def _kill_the_hub(self, mapped: Mapped, first: HandoverQueued) -> list[HandoverQueued]:
        box, prison = self._sandbox, self._stage.clients[GORA.name]
        with self._teller.step("The hub is killed (-9) in mid-send, and its operator turns out dishonest.") as step:
            others, later = list[HandoverQueued](), self._due(mapped, days=_LONG_AFTER)
            for number in range(1, IN_FLIGHT + 1):
                others.append(await prison.send(_request(later), idempotency_key=_key(number)))
                if number == IN_FLIGHT // 2:
                    await self._stage.handover(GORA, others[0], lambda view: view.state is not MessageState.QUEUED)
                elif number == IN_FLIGHT // 2 + 1 and box.hub is not None:
                    await box.hub.kill()
            views = [await prison.handover(one.id) for one in others]
            queued = sum(view.state is MessageState.QUEUED for view in views)
            step.detail(f"{IN_FLIGHT} more handovers were under way: {IN_FLIGHT - queued} accepted, {queued} waiting")
            proof.flip_stored_bit(box.hub_data, await self._envelope_of(first))
            step.detail("while it is down, one bit of what waits there for probation is changed on its disk")
        return others

    async def _catch_up(self, first: HandoverQueued, others: list[HandoverQueued], mapped: Mapped) -> None:
        with self._teller.step("The hub is back; probation comes online and catches up.") as step:
            await asyncio.gather(self._sandbox.start_hub(), self._stage.start(REKA))
            reka = self._stage.clients[REKA.name]
            view = await self._stage.handover(REKA, first, lambda view: view.state is MessageState.RECEIVED)
            refused = (await reka.quarantine()).items
            if not refused:
                raise WentWrong(f"{REKA.title} has taken what the hub had changed")
            step.detail(f"what the hub had changed was refused ({refused[-1].code}), reported, and sealed anew")
            step.detail(f"{REKA.title} opens exactly its sections: {_exactly(view, mapped, REKA.function)}")
            for one in others:
                await self._stage.handover(REKA, one, lambda view: view.state is MessageState.RECEIVED)

    async def _nothing_lost(self, first: HandoverQueued, others: list[HandoverQueued]) -> None:
        sent = {one.id for one in (first, *others)}
        with self._teller.step("Nothing was lost, and nothing came twice.") as step:
            for one in others:
                await self._stage.handover(GORA, one, lambda view: view.state is MessageState.OPENED)
            for part in (REKA, POLJE):
                page = await self._stage.clients[part.name].handovers(direction=Direction.RECEIVED, limit=200)
                received = [item.id for item in page.items]
                if sorted(received) != sorted(sent):
                    raise WentWrong(
                        f"{part.title} has {len(received)} handovers and not the {len(sent)} that were sent"
                    )
            step.detail(f"{len(sent)} handovers sent; {len(sent)} at each of the two, all confirmed as opened")

    # What can be known

    async def _search(self, export: PlantedExport, first: HandoverQueued) -> None:
        box = self._sandbox
        with self._teller.step("Planted phrases are searched in the hub's whole data directory: 0 matches.") as step:
            files, size, found = await asyncio.to_thread(proof.search, box.hub_data, export.phrases.values())
            log_found = (await asyncio.to_thread(proof.search, box.folder / "logs", export.phrases.values()))[2]
            if found or log_found:
                raise WentWrong(f"a planted phrase was found in {found[0] if found else log_found[0]}")
            step.detail(f"{len(export.phrases)} phrases as text, hex and base64; {files} files, {size // 1024} KiB")
            for part in (REKA, POLJE):
                view = await self._stage.clients[part.name].handover(first.id)
                shown = view.model_dump_json()
                known = [category for category, phrase in export.phrases.items() if phrase in shown]
                due = _planted_for(part.function)
                if set(known) != due & set(export.phrases):
                    raise WentWrong(f"{part.title} sees the phrases of {known}")
                step.detail(f"at {part.title} they are where they belong: {', '.join(known)}")

    async def _what_was_seen(self, seen: proof.Seen, first: HandoverQueued) -> None:
        columns: list[tuple[str, list[str]]] = [
            (
                "The hub saw",
                [
                    f"from {seen.sender}",
                    *(f"to {plan.desk}" for plan in first.recipients),
                    f"class {seen.klass}",
                    f"accepted {format_time(seen.accepted_at)}",
                    f"{len(seen.section_sizes)} sealed parts, {sum(seen.section_sizes) // 1024} KiB",
                    "no name, no category, no word of it",
                    f"and of the two months {proof.envelopes_at_hub(self._sandbox.hub_data)} envelopes like it",
                ],
            )
        ]
        for part in (REKA, POLJE):
            view = await self._stage.clients[part.name].handover(first.id)
            columns.append(
                (
                    f"{part.name} saw",
                    [f"{one.category}: {_glimpse(one.body)}" for one in view.sections],
                )
            )
        self._teller.title("What was seen of the first handover")
        self._teller.side_by_side(columns)

    async def _envelope_of(self, queued: HandoverQueued) -> bytes:
        view = await self._stage.clients[GORA.name].handover(queued.id)
        envelope_id = view.recipients[0].envelope_id
        if envelope_id is None:
            raise WentWrong("the first handover has no envelope")
        return envelope_id


def _request(mapped: Mapped) -> HandoverRequest:
    places = [NotUnderstood(path=item.path, reason=item.reason) for item in mapped.not_understood]
    return HandoverRequest(to=list(_BOTH), package=mapped.package, not_understood=places)


def _key(number: int) -> str:
    return f"demo-handover-{number:04d}"


def _state_at(view: HandoverView, part: Part) -> MessageState:
    return next(one.state for one in view.recipients if one.desk == part.address)


def _exactly(view: HandoverView, mapped: Mapped, function: DeskFunction) -> str:
    """Check that a view holds the sections due to a function and no other; return their categories."""
    due = sorted(
        mapped.package.sections[position].category.value for position in sections_for(mapped.package, function)[0]
    )
    held = sorted(section.category for section in view.sections)
    if held != due:
        raise WentWrong(f"sections {held} were opened where {due} were due")
    return f"{len(held)} of {len(mapped.package.sections)}: {', '.join(section.category for section in view.sections)}"


def _planted_for(function: DeskFunction) -> set[str]:
    """Return the categories among those with a planted phrase that the function is to see."""
    return {"needs"} if function is DeskFunction.SOCIAL_WORK else {"needs", "offence", "risk", "medical"}


def _glimpse(body: Any) -> str:
    """Return the longest text in a section's body, shortened."""
    longest = max(_texts(body), key=len, default="…")
    return longest if len(longest) <= _GLIMPSE else f"{longest[: _GLIMPSE - 1]}…"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner) if key != "kind" else ()
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)

# SPDX-License-Identifier: Apache-2.0
"""`throughcare case`: one person in the agency's own register; who is involved, what is due, what happened."""

import asyncio
import sys
from collections.abc import Iterator

import click

from connectors import home
from connectors.cli.journey import come
from connectors.cli.local import AGENCY, CURSOR, LIMIT, connected
from connectors.cli.moments import local_time
from connectors.cli.renamed import RenamedChoice
from connectors.cli.voice import Voice, speaks, table
from protocol.errors import InvalidInput
from protocol.http.cases import CaseFilter, CaseItem, CaseList, CasePage, CaseSearch, CaseView, DueItem
from protocol.ids import CaseId, Kind, raw
from protocol.ids import text as id_text
from protocol.limits import MAX_NAME


@click.command("list")
@AGENCY
@click.option(
    "--list",
    "which",
    type=RenamedChoice([one.value for one in CaseList], {"answer-due": CaseList.DUE.value}),
    default="all",
    show_default=True,
    help="Which of the lists.",
)
@LIMIT
@CURSOR
@speaks
def list_(agency: str, which: str, limit: int, cursor: str | None, voice: Voice) -> None:
    """List cases: all, open, with something due, closed."""
    query = CaseFilter(list=CaseList(which), limit=limit, cursor=cursor)

    async def ask() -> CasePage:
        async with connected(home.find(agency)) as client:
            return await client.cases(query)

    _listed(asyncio.run(ask()), voice)


@click.command()
@click.argument("text")
@AGENCY
@LIMIT
@CURSOR
@speaks
def search(text: str, agency: str, limit: int, cursor: str | None, voice: Voice) -> None:
    """Find cases by names, numbers or a date of birth; TEXT of - reads it from standard input.

    A date of birth is written 14.2.1991 or 1991-02-14.
    """
    looked_for = sys.stdin.readline().strip() if text == "-" else text
    if not looked_for or len(looked_for) > MAX_NAME:
        raise InvalidInput("Look for a name, a number, or the beginning of one.")
    asked = CaseSearch(text=looked_for, limit=limit, cursor=cursor)

    async def ask() -> CasePage:
        async with connected(home.find(agency)) as client:
            return await client.search(asked)

    _listed(asyncio.run(ask()), voice)


def _listed(found: CasePage, voice: Voice) -> None:
    voice.data(found.model_dump(mode="json"), outline(found.items))
    if not found.items:
        voice.say("There are none.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


def outline(items: list[CaseItem]) -> list[str]:
    """Return cases as a table."""
    rows = [
        [
            id_text(Kind.CASE, item.id),
            person_of(item),
            ", ".join(item.register_numbers),
            f"{item.live} of {item.threads}",
            local_time(item.due_at) if item.due_at else "",
        ]
        for item in items
    ]
    return table(["CASE", "PERSON", "OUR NUMBER", "OPEN", "NEXT DUE"], rows)


def person_of(item: CaseItem) -> str:
    """Return who a case is about, as far as anybody said."""
    if item.person is None:
        return "(no name)"
    return ", ".join(one for one in (item.person.family_name, item.person.given_names) if one)


@click.command()
@click.argument("case")
@AGENCY
@speaks
def show(case: str, agency: str, voice: Voice) -> None:
    """Show one case: who is involved, what is due, what happened, what is missing."""
    case_id = CaseId(raw(Kind.CASE, case))

    async def ask() -> CaseView:
        async with connected(home.find(agency)) as client:
            return await client.case(case_id)

    view = asyncio.run(ask())
    voice.data(view.model_dump(mode="json"), _lines(view))


def _lines(view: CaseView) -> Iterator[str]:
    item = view.item
    number = f", our number {', '.join(item.register_numbers)}" if item.register_numbers else ""
    yield f"{id_text(Kind.CASE, item.id)}: {person_of(item)}{number}"
    yield "involved"
    for part in view.participants:
        sides = [*part.sides, *(["has the lead"] if part.leads else [])] or ["wrote or was written to"]
        signers = f": {', '.join(part.signers)}" if part.signers else ""
        yield f"  {part.agency} ({', '.join(sides)}){signers}"
    yield "due"
    for one in view.due:
        yield f"  {_when(one)}  {one.what} by {one.by}{'  OVERDUE' if one.late else ''}"
    if not view.due:
        yield "  nothing"
    for gap in view.gaps:
        since = local_time(gap.since)
        yield f"missing  message {gap.missing} of {gap.sender}; {gap.waiting} wait for it since {since}"
    for open_ in view.undelivered:
        yield f"not opened  by {open_.desk}: {come(open_.state)} since {local_time(open_.since)}"
    for gone in view.lost:
        yield f"LOST  a message of {gone.sender} to {gone.recipient} never arrived and was given up"
    yield "threads"
    for thread in view.threads:
        what = f"{thread.machine} {thread.state}" if thread.machine else "messages"
        what = "damaged: what is stored of it cannot be read any more" if thread.damaged else what
        alert = f"  ALERT {thread.alert}" if thread.alert else ""
        alert += "  WITHHELD, with the name and the words that came in it" if thread.withheld else ""
        yield f"  {id_text(Kind.THREAD, thread.thread)}  {what}, with {', '.join(thread.peer)}{alert}"
    yield "history, newest first"
    for entry in view.history:
        refused = f"  refused: {entry.refused}" if entry.refused else ""
        yield f"  {local_time(entry.at)}  {entry.what} by {entry.agency} ({entry.signer}){refused}"
        if entry.corrected is not None:
            yield f"      CORRECTED by {id_text(Kind.MESSAGE, entry.corrected.message)}"
    if view.older:
        yield f"  … {view.older} more; each thread has its own whole"


def _when(one: DueItem) -> str:
    if one.at is not None:
        return local_time(one.at)
    return one.on.isoformat() if one.on is not None else "no date set"

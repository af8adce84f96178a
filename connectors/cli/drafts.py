# SPDX-License-Identifier: Apache-2.0
"""`throughcare draft`: referrals that are not sent yet, kept by the connector."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from connectors import home
from connectors.api_client import ApiClient
from connectors.cli.acting import officer_named
from connectors.cli.local import AGENCY, CURSOR, KEY, LIMIT, connected
from connectors.cli.moments import local_time
from connectors.cli.renamed import RenamedOption
from connectors.cli.shapes import example
from connectors.cli.threads import read_json, sections_of, tell
from connectors.cli.voice import Voice, speaks, table
from protocol.address import parse_desk
from protocol.errors import InvalidInput
from protocol.http.drafts import DraftContent, DraftPage, DraftRequest, DraftView
from protocol.http.threads import StepQueued
from protocol.ids import DraftId, Kind, raw, text
from protocol.kinds.catalogue import KINDS

_KNOWN: Final = KINDS["referral.request"].payload.model_fields.keys()
_SHAPE: Final = example(KINDS["referral.request"])
_SOURCES: Final = {"hand": "typed", "residual": "not taken", "fhir": "FHIR"}
_INPUT = click.option("--input", "file", type=click.Path(path_type=Path), help="A JSON file: to, fields, sections.")
_TO = click.option("--to", metavar="DESK", help="The desk to refer to, instead of the file's.")
_OFFICER = click.option(
    "--as",
    "officer",
    cls=RenamedOption,
    older=("--officer",),
    metavar="OFFICER",
    help="Who acts when it is sent, by title or id; without it the service account.",
)


@click.command(epilog=_SHAPE)
@_INPUT
@_TO
@AGENCY
@_OFFICER
@KEY
@speaks
def make(file: Path | None, to: str | None, agency: str, officer: str | None, key: str | None, voice: Voice) -> None:
    """Keep the draft of a referral; anything may be missing."""

    async def ask() -> DraftView:
        async with connected(home.find(agency)) as client:
            content = await _content(client, file, to, officer, agency)
            request = DraftRequest(**{name: getattr(content, name) for name in DraftContent.model_fields})
            return await client.make_draft(request, idempotency_key=key or secrets.token_urlsafe(24))

    tell_draft(asyncio.run(ask()), agency, voice)


@click.command("list")
@AGENCY
@LIMIT
@CURSOR
@speaks
def list_(agency: str, limit: int, cursor: str | None, voice: Voice) -> None:
    """List the drafts of referrals, the one that changed last first."""

    async def ask() -> DraftPage:
        async with connected(home.find(agency)) as client:
            return await client.drafts(limit=limit, cursor=cursor)

    found = asyncio.run(ask())
    rows = [
        [
            text(Kind.DRAFT, one.id),
            _SOURCES.get(one.source, one.source),
            one.to or "",
            local_time(one.changed_at),
            local_time(one.ends_at),
            "" if one.thread is None else text(Kind.THREAD, one.thread),
        ]
        for one in found.items
    ]
    voice.data(found.model_dump(mode="json"), table(["DRAFT", "FROM", "TO", "CHANGED", "ENDS", "REST OF"], rows))
    if not found.items:
        voice.say("There are no drafts.")
    if found.next_cursor:
        voice.say(f"more:  the same command with --cursor {found.next_cursor}")


@click.command()
@click.argument("draft")
@AGENCY
@speaks
def show(draft: str, agency: str, voice: Voice) -> None:
    """Show one draft whole, and what it still lacks."""
    draft_id = DraftId(raw(Kind.DRAFT, draft))

    async def ask() -> DraftView:
        async with connected(home.find(agency)) as client:
            return await client.draft(draft_id)

    view = asyncio.run(ask())
    voice.data(view.model_dump(mode="json"), _lines(view))


@click.command(epilog=_SHAPE)
@click.argument("draft")
@_INPUT
@_TO
@AGENCY
@_OFFICER
@speaks
def change(draft: str, file: Path | None, to: str | None, agency: str, officer: str | None, voice: Voice) -> None:
    """Change a draft: what the file names takes the place of what stands there.

    A field that is null in the file is taken out, and a list of sections takes the place of all that are there.
    """
    if file is None and to is None and officer is None:
        raise InvalidInput("Say what to change: --input FILE, --to DESK or --as OFFICER.")
    draft_id = DraftId(raw(Kind.DRAFT, draft))

    async def ask() -> DraftView:
        async with connected(home.find(agency)) as client:
            view = await client.draft(draft_id)
            new = await _content(client, file, to, officer, agency)
            asked = read_json(file) if file else {}
            content = DraftContent(
                to=new.to or view.item.to,
                fields={name: one for name, one in {**view.fields, **new.fields}.items() if one is not None},
                sections=new.sections if "sections" in asked else sections_of({"sections": view.sections}),
                sender=view.sender,
                officer=new.officer or view.officer,
            )
            return await client.change_draft(draft_id, content, version=view.item.version)

    tell_draft(asyncio.run(ask()), agency, voice)


@click.command()
@click.argument("draft")
@AGENCY
@KEY
@speaks
def send(draft: str, agency: str, key: str | None, voice: Voice) -> None:
    """Send a draft as a referral; it is a draft no longer."""
    draft_id = DraftId(raw(Kind.DRAFT, draft))

    async def ask() -> StepQueued:
        async with connected(home.find(agency)) as client:
            version = (await client.draft(draft_id)).item.version
            return await client.send_draft(draft_id, version=version, idempotency_key=key or secrets.token_urlsafe(24))

    tell(asyncio.run(ask()), agency, voice)


@click.command()
@click.argument("draft")
@AGENCY
@speaks
def delete(draft: str, agency: str, voice: Voice) -> None:
    """Delete a draft for good."""
    draft_id = DraftId(raw(Kind.DRAFT, draft))

    async def ask() -> None:
        async with connected(home.find(agency)) as client:
            version = (await client.draft(draft_id)).item.version
            await client.delete_draft(draft_id, version=version)

    asyncio.run(ask())
    voice.data({"deleted": draft}, [f"{draft} is deleted"])


async def _content(
    client: ApiClient, file: Path | None, to: str | None, officer: str | None, agency: str
) -> DraftContent:
    asked = read_json(file) if file else {}
    desk = to or asked.get("to")
    return DraftContent(
        to=parse_desk(desk) if isinstance(desk, str) else None,
        fields=asked.get("fields", {}),
        sections=sections_of(asked),
        officer=await officer_named(client, officer, agency=agency),
    )


def _lines(view: DraftView) -> Iterator[str]:
    item = view.item
    yield f"{text(Kind.DRAFT, item.id)} ({_SOURCES.get(item.source, item.source)}) to {item.to or 'nobody yet'}"
    if item.thread is not None:
        yield f"  what was not taken of {text(Kind.THREAD, item.thread)}"
    yield f"  changed {local_time(item.changed_at)}, forgotten {local_time(item.ends_at)} unless changed before"
    yield from (f"  {line}" for line in json.dumps(view.fields, ensure_ascii=False, indent=2).splitlines())
    yield from (f"  section {number}: {one['category']}" for number, one in enumerate(view.sections, start=1))
    yield from _lacking(view)


def _lacking(view: DraftView) -> Iterator[str]:
    """Yield what keeps a draft from being sent: what is not there, and what is there and not as it must be."""
    for place in view.missing:
        if place == "fields":
            unknown = ", ".join(one for one in view.fields if one not in _KNOWN) or "one of them"
            yield f"  no field of a referral: {unknown}   (to take it out, change it to null)"
        elif _is_there(view.fields, place):
            yield f"  not right yet: {place}"
        else:
            yield f"  missing: {place}"


def _is_there(fields: Any, place: str) -> bool:
    for part in place.split("/"):
        if isinstance(fields, list) and part.isdigit() and int(part) < len(fields):
            fields = fields[int(part)]
        elif isinstance(fields, dict) and part in fields:
            fields = fields[part]
        else:
            return False
    return True


def tell_draft(view: DraftView, agency: str, voice: Voice) -> None:
    """Print that a draft is kept, what it lacks, and what to type next."""
    draft = text(Kind.DRAFT, view.item.id)
    voice.data(view.model_dump(mode="json"), [f"{draft} is kept", *_lacking(view)])
    step = "change" if view.missing else "send"
    given = " --input FILE   (with what is missing; --to for the desk)" if view.missing else ""
    voice.say(f"next:  throughcare draft {step} {draft} --agency {agency}{given}")

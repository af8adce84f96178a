# SPDX-License-Identifier: Apache-2.0
"""`throughcare referral approve-forward` and `sub-refer`: a referral goes on to another agency, each in one action."""

import asyncio
import secrets
from pathlib import Path

import click

from connectors import home
from connectors.cli.acting import AS, officer_named
from connectors.cli.failures import advising
from connectors.cli.handover import going_to
from connectors.cli.local import AGENCY, KEY, connected
from connectors.cli.moments import day
from connectors.cli.once import Once
from connectors.cli.threads import read_json, sections_of, tell, tell_past, thread_named
from connectors.cli.voice import Voice, speaks
from protocol.address import parse_desk
from protocol.errors import NotCovered, SectionCorrected
from protocol.http.onward import ForwardQueued, ForwardRequest, SubReferralRequest
from protocol.http.threads import StepQueued
from protocol.ids import Kind, text

_TO = click.option("--to", required=True, metavar="DESK", help="The desk that the new referral goes to.")
_ANSWER_BY = click.option("--answer-by", callback=day, metavar="DATE", help="By when an answer is needed.")


@click.command("approve-forward")
@click.argument("thread")
@AGENCY
@_TO
@_ANSWER_BY
@click.option("--input", "file", type=click.Path(path_type=Path), help="A JSON file: fields to change, sections.")
@click.option("--consent-covers", is_flag=True, help="The consent on which sections went names the new agency too.")
@AS
@KEY
@speaks
def approve_forward(
    thread: str,
    agency: str,
    to: str,
    answer_by: str | None,
    file: Path | None,
    consent_covers: bool,
    acting: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Approve the agency that the recipient proposed, and refer there: both or neither.

    What the referral asks for and its sections go along, as far as they may; with sections in --input only those do.
    """
    asked = read_json(file) if file else {}
    thread_id = thread_named(thread, agency)

    async def ask() -> ForwardQueued:
        async with connected(home.find(agency)) as client:
            seen = (await client.thread(thread_id)).item
            request = ForwardRequest(
                to=parse_desk(to),
                fields={**asked.get("fields", {}), **_said(answer_by)},
                sections=sections_of(asked) if "sections" in asked else None,
                consent_covers=consent_covers,
                officer=await officer_named(client, acting, agency=agency),
            )
            return await client.forward(
                thread_id, request, version=seen.version, idempotency_key=key or secrets.token_urlsafe(24)
            )

    anew = "the same command with --input FILE, whose sections"
    advice: dict[type[Exception], str] = {
        NotCovered: f"{anew} name a basis for the new agency; or with --consent-covers, if the consent names it",
        SectionCorrected: f"{anew} are right now",
    }
    with advising(advice):
        queued = asyncio.run(ask())
    new = text(Kind.THREAD, queued.new_thread)
    voice.data(
        queued.model_dump(mode="json"),
        [
            f"{text(Kind.THREAD, queued.thread)} is {queued.state}",
            f"{new} goes on from it",
            *going_to(queued.recipients),
        ],
    )
    for category in queued.withheld:
        voice.warn(f"{category} does not go along")
    tell_past(queued.in_the_past, voice)
    voice.say(f"next:  throughcare referral show {new} --agency {agency}")


@click.command("sub-refer")
@click.argument("thread")
@AGENCY
@_TO
@click.option("--service", "services", multiple=True, required=True, metavar="CODE", help="Which; may be repeated.")
@_ANSWER_BY
@click.option("--input", "file", type=click.Path(path_type=Path), help="A JSON file: further fields, sections.")
@AS
@KEY
@speaks
def sub_refer(
    thread: str,
    agency: str,
    to: str,
    services: tuple[str, ...],
    answer_by: str | None,
    file: Path | None,
    acting: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Refer on some of the services that were accepted here; the first requester stays responsible.

    Nothing that came in sections goes along by itself: say in --input what the other agency is to know. Typed again on
    the same day it is not sent twice, unless a --once-key says that it is another.
    """
    asked = read_json(file) if file else {}
    thread_id = thread_named(thread, agency)

    async def ask() -> tuple[StepQueued, Once]:
        async with connected(home.find(agency)) as client:
            request = SubReferralRequest(
                to=parse_desk(to),
                services=list(services),
                fields={**asked.get("fields", {}), **_said(answer_by)},
                sections=sections_of(asked),
                officer=await officer_named(client, acting, agency=agency),
            )
            once = Once(key, f"sub-refer {thread_id.hex()}", request)
            queued = await client.sub_refer(thread_id, request, idempotency_key=once.key, on_replay=once.was_before)
            return queued, once

    queued, once = asyncio.run(ask())
    tell(queued, agency, voice, once)


def _said(answer_by: str | None) -> dict[str, str]:
    return {} if answer_by is None else {"answer_by": answer_by}

# SPDX-License-Identifier: Apache-2.0
"""`throughcare fhir`: the draft of a referral from a FHIR bundle, and how a referral stands as a FHIR bundle."""

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from connectors import home
from connectors.cli.acting import officer_named
from connectors.cli.drafts import tell_draft
from connectors.cli.failures import then
from connectors.cli.local import AGENCY, KEY, connected, only_agency
from connectors.cli.once import Once
from connectors.cli.outfile import REPLACE, must_be_writable, write_out
from connectors.cli.renamed import RenamedOption
from connectors.cli.threads import read_json, sections_of, tell
from connectors.cli.voice import Voice, speaks
from connectors.fhir.bundle import MAX_BUNDLE
from connectors.fhir.importing import Imported, import_bundle
from connectors.fhir.services import read_services
from protocol.address import parse_desk
from protocol.errors import FhirContradiction, FhirUnreadable, InvalidInput
from protocol.http.drafts import DraftRequest, DraftSource, DraftView
from protocol.http.threads import ReferralRequest, StepQueued
from protocol.ids import Kind, ThreadId, raw

_SHOWN = 20


def _out(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--out", "output", cls=RenamedOption, older=["--output"], type=kind, help=what)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--services", type=click.Path(path_type=Path), help="A TOML table: which code is which service of ours.")
@click.option("--with", "more", type=click.Path(path_type=Path), help="A JSON file that adds to it: fields, sections.")
@click.option("--to", metavar="DESK", help="The desk to refer to, where the bundle names none of ours.")
@_out("Write the draft there, for us alone.")
@REPLACE
@click.option(
    "--quarantine",
    "aside",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder for a copy of a bundle that contradicts itself, with the reasons.",
)
@click.option("--send", "sends", is_flag=True, help="Send it as a referral; nothing may be missing then.")
@click.option("--keep", "keeps", is_flag=True, help="Keep it as a draft; `throughcare draft` changes and sends it.")
@click.option(
    "--agency",
    metavar="NAME",
    help="With --send or --keep: which agency's connector, by its name; where this machine has only one, that one.",
)
@click.option(
    "--as",
    "officer",
    cls=RenamedOption,
    older=("--officer",),
    metavar="OFFICER",
    help="With --send or --keep: who acts, by title or id; else the service account.",
)
@KEY
@speaks
def import_(
    file: Path,
    services: Path | None,
    more: Path | None,
    to: str | None,
    output: Path | None,
    replace: bool,
    aside: Path | None,
    sends: bool,
    keeps: bool,
    agency: str | None,
    officer: str | None,
    key: str | None,
    voice: Voice,
) -> None:
    """Make the draft of a referral from a FHIR bundle of ServiceRequest and Task.

    What was not understood, what is missing and what contradicts itself is told, by place. Nothing is fetched.
    """
    if sends and keeps:
        raise InvalidInput("A draft is kept or sent, not both.")
    whose = (agency or only_agency()) if sends or keeps else ""
    if output:
        must_be_writable(output, replace=replace)
    data = _read(file)
    imported = import_bundle(data, read_services(services) if services else {})
    for line in told(imported):
        voice.say(line)
    if imported.draft is None:
        _refuse(data, imported, aside, voice)
    draft, missing = completed(imported, read_json(more) if more else {}, to)
    for place in missing:
        voice.say(f"missing: {place}")
    if output:
        write_out(output, json.dumps(draft, ensure_ascii=False, indent=2).encode() + b"\n", replace=replace)
    if sends:
        queued, once = _send(draft, missing, whose, officer, key)
        tell(queued, whose, voice, once)
        return
    if keeps:
        tell_draft(_keep(draft, whose, officer, key), whose, voice)
        return
    lines = [f"the draft is in {output}"] if output else json.dumps(draft, ensure_ascii=False, indent=2).splitlines()
    voice.data(_result(imported, draft, missing), lines)


@click.command()
@click.argument("thread")
@AGENCY
@_out("Write the bundle there, for us alone.")
@REPLACE
@speaks
def export(thread: str, agency: str, output: Path | None, replace: bool, voice: Voice) -> None:
    """Show how a referral stands, as a FHIR bundle.

    It holds what the thread's own view shows in codes, dates and desks; no words, no officer and no name.
    """
    thread_id = ThreadId(raw(Kind.THREAD, thread))
    if output:
        must_be_writable(output, replace=replace)

    async def ask() -> dict[str, Any]:
        async with connected(home.find(agency)) as client:
            return await client.thread_fhir(thread_id)

    bundle = asyncio.run(ask())
    shown = json.dumps(bundle, ensure_ascii=False, indent=2)
    if output:
        write_out(output, shown.encode() + b"\n", replace=replace)
    voice.data(bundle, [f"the bundle is in {output}"] if output else shown.splitlines())


def completed(imported: Imported, more: dict[str, Any], to: str | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the draft with what an officer adds, which counts more than the bundle's word, and what still lacks."""
    draft = dict(imported.draft or {})
    given = more.get("fields", {})
    if not isinstance(given, dict):
        raise InvalidInput("`fields` in the file must be one JSON object.")
    desk = to or more.get("to")
    if isinstance(desk, str):
        draft["to"] = parse_desk(desk)
    draft["fields"] = {**draft.get("fields", {}), **given}
    draft["sections"] = [one.model_dump(mode="json", exclude_none=True) for one in sections_of(more)]
    if "release_unknown" in given and "release_on" not in given:
        draft["fields"].pop("release_on", None)
    there = {*given, *(("to",) if "to" in draft else ()), *(("release_on",) if "release_unknown" in given else ())}
    return draft, tuple(place for place in imported.missing if place.partition("/")[0] not in there)


def told(imported: Imported) -> list[str]:
    """Return for people what contradicts itself and what was not understood."""
    lines = [f"quarantined: {one.path}: {one.reason}: {one.sentence}" for one in imported.quarantined]
    if imported.not_understood:
        lines.append(f"not understood as it stands: {len(imported.not_understood)} places")
        lines += [f"    {one.path}: {one.reason}" for one in imported.not_understood[:_SHOWN]]
    rest = Counter(one.reason for one in imported.not_understood[_SHOWN:])
    return [*lines, *(f"    … {count} more: {reason}" for reason, count in rest.items())]


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BUNDLE + 1)
    except OSError:
        raise FhirUnreadable("The file cannot be read. Check its path.") from None


def _refuse(data: bytes, imported: Imported, aside: Path | None, voice: Voice) -> None:
    """Put the bundle aside with its reasons, where a folder is named for that, and raise `FhirContradiction`."""
    result = _result(imported, None, ())
    if voice.as_json:
        voice.data(result, [])
    if aside:
        name = hashlib.sha256(data).hexdigest()[:32]
        write_out(aside / f"{name}.json", data, replace=True)  # the name is that of its content
        reason = json.dumps(result, ensure_ascii=False, indent=2).encode() + b"\n"
        write_out(aside / f"{name}.reason.json", reason, replace=True)
    first = imported.quarantined[0]
    raise FhirContradiction(f"{first.sentence} (At {first.path}.) Nothing was drafted.")


def _result(imported: Imported, draft: dict[str, Any] | None, missing: tuple[str, ...]) -> dict[str, Any]:
    return {
        "draft": draft,
        "missing": list(missing),
        "not_understood": [{"path": one.path, "reason": one.reason} for one in imported.not_understood],
        "quarantined": [{"path": one.path, "reason": one.reason} for one in imported.quarantined],
    }


def _send(
    draft: dict[str, Any], missing: tuple[str, ...], agency: str, officer: str | None, key: str | None
) -> tuple[StepQueued, Once]:
    if missing:
        again = then(
            InvalidInput(f"The draft lacks {', '.join(missing)}. Nothing was sent."),
            "put them into a JSON file under `fields`, then the same command with --with FILE (and --to DESK)",
        )
        raise again
    to, sections = parse_desk(draft["to"]), sections_of(draft)

    async def ask() -> tuple[StepQueued, Once]:
        async with connected(home.find(agency)) as client:
            acting = await officer_named(client, officer, agency=agency)
            request = ReferralRequest(to=to, fields=draft["fields"], sections=sections, officer=acting)
            once = Once(key, "referral send", request)
            return await client.refer(request, idempotency_key=once.key, on_replay=once.was_before), once

    return asyncio.run(ask())


def _keep(draft: dict[str, Any], agency: str, officer: str | None, key: str | None) -> DraftView:
    async def ask() -> DraftView:
        async with connected(home.find(agency)) as client:
            request = DraftRequest(
                to=parse_desk(draft["to"]) if draft.get("to") else None,
                fields=draft["fields"],
                sections=sections_of(draft),
                officer=await officer_named(client, officer, agency=agency),
                source=DraftSource.FHIR,
            )
            return await client.make_draft(request, idempotency_key=key or secrets.token_urlsafe(24))

    return asyncio.run(ask())

# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority`: vouching for agencies, from the programme's root to the second approver's signature."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from connectors.authority import approval, invitation
from connectors.authority.founding import create_office
from connectors.authority.lost import must_show
from connectors.authority.office import AUTHORITY_THRESHOLD, Office, read_hub_facts
from connectors.authority.unfiled import lost_unfiled
from connectors.cli.failures import advising, then
from connectors.cli.office import (
    APPROVER,
    FOLDER,
    KEY_FILE,
    PASSPHRASE_FILE,
    at_hub_of,
    directory_of,
    must_be_approver,
    noted,
    open_approver,
    opened,
    pins_of,
)
from connectors.cli.outfile import must_be_writable, write_out
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment.passphrases import passphrase_in
from connectors.enrolment.pins import replay
from connectors.enrolment.visit import now_ms
from connectors.hub_client import HubClient
from connectors.hub_signers import lacking
from connectors.way_out import WayOut
from protocol.enrolment import EnrolmentCode
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused, InvalidInput, NotFound, UntrustedKey
from protocol.http.fields import format_time
from protocol.ids import Kind, text
from protocol.limits import CLOCK_SKEW, DAY

MOST_DAYS: Final = 60
"""For how many days a code can be used at most: the hub registers none for longer (ENR-2)."""


@click.command()
@FOLDER
@click.option("--domain", required=True, help="The hub's domain, in which all addresses end: hub.example.")
@click.option("--programme", required=True, help="Name of the whole federation.")
@click.option("--jurisdiction", required=True, help="Whose authority this is.")
@click.option("--approvers", default=2, show_default=True, help="How many people may approve agencies.")
@click.option("--root-persons", default=2, show_default=True, help="How many people hold the programme's root.")
@click.option(
    "--passphrases",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of NAME.passphrase files; what is missing there is made.  [default: DIR/passphrases]",
)
@speaks
def init(
    folder: Path,
    domain: str,
    programme: str,
    jurisdiction: str,
    approvers: int,
    root_persons: int,
    passphrases: Path | None,
    voice: Voice,
) -> None:
    """Make the keys and first statements of a programme."""
    where = passphrases or folder / "passphrases"
    with advising({Conflict: f"throughcare authority show {folder}   (or the same command with a new folder)"}):
        office = create_office(
            folder,
            programme=programme,
            jurisdiction=jurisdiction,
            domain=domain,
            root_persons=root_persons,
            approvers=approvers,
            passphrase_of=lambda name: passphrase_in(where, name),
            now=now_ms(),
        )
    voice.data(facts(office), describe(office))
    voice.say(
        f"Each key in {folder / 'keys'} and its passphrase in {where} belong to one person: take them away.\n"
        + _at_risk(root_persons)
        + "Read the root fingerprint to the hub's operator, who puts it into the hub's configuration and brings you\n"
        "the hub-public.json that throughcare-hub init wrote.\n"
        f"next:  throughcare authority publish {folder} --hub hub-public.json"
    )


def _at_risk(root_persons: int) -> str:
    """Return what no command mends later, where every person of the root must sign."""
    if root_persons > AUTHORITY_THRESHOLD:
        return ""
    all_ = "The one person of the root signs alone" if root_persons == 1 else "Both persons of the root must sign"
    return (
        f"{all_}: if a root key or its passphrase is lost, nobody can renew the root, or exchange an approver or a\n"
        "person of the root, ever after. Keep copies apart, or begin anew with --root-persons 3.\n"
    )


@click.command()
@FOLDER
@click.option(
    "--hub",
    "hub_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The hub-public.json that `throughcare-hub init` wrote.",
)
@goes_out
@speaks
def publish(folder: Path, hub_file: Path, way_out: WayOut, voice: Voice) -> None:
    """Bring root and authority into the hub's directory."""
    office = opened(folder)
    with advising({ConfigurationError: "throughcare-hub init --config FILE   (writes hub-public.json; bring that)"}):
        read = read_hub_facts(hub_file)
    own = f"the hub-public.json of the hub for {office.facts.domain}, or throughcare authority init with a new folder"
    with advising({ConfigurationError: own}):
        office = office.connect(read)
    placed = asyncio.run(_publish(office, way_out))
    voice.data(placed, ["Root and authority are in the hub's directory."])
    voice.say(f"next:  throughcare authority invite {folder} --agency NAME …")


async def _lacking(hub: HubClient, office: Office) -> list[bytes]:
    """Return what the directory needs. What was replaced by something newer it would refuse, and all behind it wait."""
    try:
        directory = await replay(hub, pins_of(office))
    except NotFound:
        return list(office.statements())  # a new hub
    return list(lacking(directory, (*office.statements(), *lost_unfiled(office, directory))))


async def _publish(office: Office, way_out: WayOut) -> dict[str, Any]:
    async with at_hub_of(office, way_out) as hub:
        for raw in await _lacking(hub, office):
            await hub.submit_statement(raw)
        directory = await replay(hub, pins_of(office))
        must_show(office, directory)
        await noted(hub, office)
        found = [directory.index_of(raw) for raw in office.statements()]
        return {"indexes": [index for index in found if index is not None]}


@click.command()
@FOLDER
@click.option("--agency", required=True, help="The agency's name in its address: reka-probation.")
@click.option("--name", required=True, help='How people call it: "Reka Probation Office".')
@click.option("--kind", required=True, help="What it is: prison, probation, csw, …")
@click.option("--desk", "desks", required=True, multiple=True, help="A desk and its function: intake=probation-intake.")
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=14,
    show_default=True,
    help="For how many days the code can be used.",
)
@click.option("--replace", is_flag=True, help="Make a new code in place of one that is out, and of its file.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the code.  [default: AGENCY.code]"
)
@APPROVER
@KEY_FILE
@PASSPHRASE_FILE
@goes_out
@speaks
def invite(
    folder: Path,
    agency: str,
    name: str,
    kind: str,
    desks: tuple[str, ...],
    days: int,
    replace: bool,
    out: Path | None,
    approver: int,
    key_file: Path | None,
    passphrase_file: Path | None,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Write an enrolment code for one agency."""
    office = opened(folder)
    must_be_approver(office, approver)
    pairs = tuple(_desk(desk) for desk in desks)
    invitation.check_functions(kind, pairs)
    if office.code_file(agency).exists() and not replace:
        error = Conflict("A code is out for that agency already. Use --replace to make a new one in its place.")
        raise then(error, f"throughcare authority pending {folder}   (shows whether it was used)")
    target = out or Path(f"{agency}.code")
    # Before the hub knows of a code that could be written nowhere.
    must_be_writable(target, replace=replace)
    address = office.address_of(agency)
    told = [
        f"You sign that {address} ({name}, kind: {kind}) may ask for a certificate with this code, once, until "
        f"{format_time(now_ms() + days * DAY)[:10]}.",
        *(f"    desk      {desk}, function {function}" for desk, function in pairs),
        "Nothing counts before approvers have signed the keys that it asks with.",
    ]
    voice.show("\n".join(told))
    # Before the key is opened: who the approvers are is the directory's to say (ENR-14).
    office, directory = directory_of(office, way_out)
    signer = open_approver(office, approver, key_file, passphrase_file)

    async def register() -> EnrolmentCode:
        async with at_hub_of(office, way_out) as hub:
            code = invitation.make_code(
                office,
                agency=agency,
                name=name,
                kind=kind,
                desks=pairs,
                # A code that ends later than that by the hub's clock is refused.
                expires=now_ms() + min(days * DAY, MOST_DAYS * DAY - CLOCK_SKEW),
                directory_size=directory.size,
            )
            await hub.register_code(invitation.registration(code, signer))
            return code

    steps: dict[type[Exception], str] = {
        EnrolmentRefused: "the same command again   (it makes another code)",
        UntrustedKey: f"throughcare authority list {folder}   (shows until when the authority counts)",
    }
    with advising(steps):
        code = asyncio.run(register())
    invitation.keep_code(office, code, replace=replace)
    write_out(target, code.text().encode() + b"\n", replace=replace)
    voice.data(
        {"agency": code.terms.agency, "code_id": text(Kind.CODE, code.code_id), "code_file": str(target)},
        [f"{code.terms.agency}: the code is in {target}"],
    )
    voice.say(
        "Bring the file to the agency by hand or another way that does not pass the hub.\n"
        f"next:  throughcare authority pending {folder}   (when the agency has used it)"
    )


@click.command()
@FOLDER
@goes_out
@speaks
def pending(folder: Path, way_out: WayOut, voice: Voice) -> None:
    """Show who asks for a certificate, and the words to compare."""
    office = opened(folder)
    waiting = asyncio.run(_pending(office, way_out))
    items = [
        {
            "agency": code.terms.agency,
            "kind": code.terms.agency_kind,
            "name": code.name,
            "desks": [{"desk": desk, "function": function} for desk, function in code.terms.desks],
            "state": state,
            "words": list(words),
        }
        for code, state, words in waiting
    ]
    voice.data({"items": items}, _pending_lines(items))


async def _pending(office: Office, way_out: WayOut) -> list[tuple[EnrolmentCode, str, tuple[str, ...]]]:
    found: list[tuple[EnrolmentCode, str, tuple[str, ...]]] = []
    async with at_hub_of(office, way_out) as hub:
        for code in office.codes():
            try:
                checked = await fetch_checked(hub, code)
            except NotFound:
                found.append((code, _unused(code, now_ms()), ()))
            except EnrolmentRefused:
                # One bad request must not hide the others.
                found.append((code, "used with other keys or a wrong secret; make a new code", ()))
            else:
                found.append((code, "waits for approval", checked.words))
    return found


def _unused(code: EnrolmentCode, now: int) -> str:
    ends = code.terms.expires
    if now < ends:
        return "not used yet"
    return f"not used, and ended on {format_time(ends)[:10]}; make a new code (--replace)"


def _pending_lines(items: list[dict[str, Any]]) -> Iterable[str]:
    if not items:
        yield "No code is out."
    for item in items:
        yield f"{item['agency']}  ({item['name']}, {item['kind']}): {item['state']}"
        for desk in item["desks"]:
            yield f"    desk {desk['desk']}, {desk['function']}"
        if item["words"]:
            yield f"    words: {' '.join(item['words'])}"
            yield "    Call the agency on a number you know, and let it read its words to you. Do not type these: type"
            yield "    what you hear (authority approve --words)."


async def fetch_checked(hub: HubClient, code: EnrolmentCode) -> approval.CheckedRequest:
    """Return the key request that the hub holds under `code`, checked; `NotFound` if there is none yet."""
    view = await hub.key_request(code.code_id)
    return approval.check_request(code, view.request, view.mac, view.received_at)


@click.command()
@FOLDER
@speaks
def show(folder: Path, voice: Voice) -> None:
    """Show the programme, its hub and its root fingerprint."""
    office = opened(folder)
    voice.data(facts(office), describe(office))


def facts(office: Office) -> dict[str, Any]:
    """Return what `--json` shows of an authority."""
    own = office.facts
    return {
        "programme": own.programme,
        "jurisdiction": own.jurisdiction,
        "domain": own.domain,
        "root_fingerprint": own.root_fingerprint.hex(),
        "approvers": len(own.approvers),
        "threshold": own.threshold,
        "hub": own.hub.url if own.hub else None,
        "codes": [code.terms.agency for code in office.codes()],
        "begun": list(office.begun()),
    }


def describe(office: Office) -> Iterable[str]:
    """Yield the same for people."""
    own = facts(office)
    yield f"programme         {own['programme']}"
    yield f"jurisdiction      {own['jurisdiction']}, addresses end in @{own['domain']}"
    yield f"root fingerprint  {own['root_fingerprint']}"
    yield f"approvers         {own['approvers']}, of whom {own['threshold']} must sign each agency"
    yield f"hub               {own['hub'] or 'none yet'}"
    yield f"codes out         {', '.join(own['codes']) or 'none'}"
    yield f"still to sign     {', '.join(own['begun']) or 'nothing'}"


def _desk(text_: str) -> tuple[str, str]:
    desk, separator, function = text_.partition("=")
    if not separator:
        raise then(InvalidInput("A desk is given as NAME=FUNCTION."), "--desk intake=probation-intake")
    return desk, function

# SPDX-License-Identifier: Apache-2.0
"""Files on the command line: `handover send --attach` brings them to the connector, `handover save` takes them out.

A file has no name until it is whole, and what a sender calls a file never decides where it
lies: only letters, digits and a few signs of its name are kept, behind the section's number and its own.
"""

import asyncio
import hashlib
import mimetypes
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from connectors import home
from connectors.api_client import ApiClient
from connectors.cli.failures import exit_code, then
from connectors.cli.local import AGENCY, RECIPIENT, SENDER, connected, named_desk
from connectors.cli.renamed import RenamedOption
from connectors.cli.voice import Voice, speaks
from keys.folderowner import make_folder
from keys.privatefile import new_private_file
from protocol.address import DeskAddress, desk_name
from protocol.characters import is_line
from protocol.errors import Conflict, InvalidInput, StoreDamaged
from protocol.handover import HandoverPackage
from protocol.http.handovers import AttachmentView, HandoverView, NamedAttachment
from protocol.ids import Kind, MessageId, raw
from protocol.limits import MAX_BLOB, MAX_NAME

_PIECE: Final = 1 << 20
_KEPT: Final = frozenset(" ._-()")
_MAX_KEPT: Final = 100
DAMAGED: Final = "damaged"
"""The state of one of which the row or the file cannot be read any more (CON-28)."""
_ASK_AGAIN: Final = "ask its sender to send it again. throughcare doctor names the file."


def attached(given: Sequence[str], package: HandoverPackage) -> list[tuple[Path, int]]:
    """Return the files of `FILE:category` and the number of the first section of that category, from 1.

    Raises `InvalidInput` before anything is stored for a category that the package does not have, or no such file.
    """
    numbers: dict[str, int] = {}
    for number, section in enumerate(package.sections, start=1):
        numbers.setdefault(section.category.value, number)
    found = []
    for one in given:
        name, _, category = one.rpartition(":")
        path = Path(name)
        if category not in numbers:
            raise InvalidInput(f"--attach reads FILE:category; this package has: {', '.join(numbers)}.")
        if not path.is_file():
            raise InvalidInput("--attach names a file that is not there.")
        if path.stat().st_size > MAX_BLOB:
            raise InvalidInput("An attachment has at most 1 GiB.")
        found.append((path, numbers[category]))
    return found


def digests(files: Sequence[tuple[Path, int]]) -> list[bytes]:
    """Return a hash of each file's content, name and section, by which it is known again."""
    found = []
    for path, section in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        found.append(hashlib.sha256(f"{section}\0{path.name}\0".encode() + content).digest())
    return found


async def store(
    client: ApiClient, files: Sequence[tuple[Path, int]], known: Sequence[bytes], key: str
) -> list[NamedAttachment]:
    """Bring the files to the connector and return how the handover under `key` names them, every time alike.

    `known` are their digests.
    """
    places, named = Counter[int](), []
    for number, ((path, section), digest) in enumerate(zip(files, known, strict=True)):
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        stored = await client.store_attachment(
            _pieces(path),
            name=sendable(path.name),
            media_type=media_type.lower(),
            place=places[section],
            idempotency_key=hashlib.sha256(f"{key}\0{number}\0".encode() + digest).hexdigest(),
        )
        places[section] += 1
        named.append(NamedAttachment(id=stored.id, section=section))
    return named


def sendable(name: str) -> str:
    """Return a file's name as it can travel: in normal form C, which no Mac writes, and one line (CBOR-5)."""
    kept = "".join(sign for sign in unicodedata.normalize("NFC", name) if is_line(sign))
    return unicodedata.normalize("NFC", kept)[-MAX_NAME:] or "attachment"


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


@click.command()
@click.argument("id_", metavar="ID")
@AGENCY
@click.option(
    "--out",
    "folder",
    cls=RenamedOption,
    older=["--to"],
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to save into.",
)
@SENDER
@RECIPIENT
@speaks
def save(id_: str, agency: str, folder: Path, sender: str | None, recipient: str | None, voice: Voice) -> int:
    """Save the attachments that came with a handover into a folder.

    One that the disk has damaged is named, and the others are saved all the same; the exit code is then 8.
    """
    message_id, whose, ours = MessageId(raw(Kind.MESSAGE, id_)), named_desk(sender), named_desk(recipient)
    found = asyncio.run(_save(home.find(agency), message_id, folder, whose, ours))
    voice.data({"items": found}, (f"{item['path'] or printable(item['name'])}: {item['state']}" for item in found))
    if not found:
        voice.say("No attachments came with this handover.")
    for item in found:
        which = f"section {item['section']}, attachment {item['place'] + 1}"
        if item["state"] == DAMAGED:
            voice.warn(f"{which}{_called(item['name'])} is damaged on this machine, and was not saved: {_ASK_AGAIN}")
        elif item["path"] is None:
            voice.warn(f"{which} is not here: {item['state']}")
    return exit_code(StoreDamaged()) if any(item["state"] == DAMAGED for item in found) else 0


async def _save(
    profile: home.Profile,
    message_id: MessageId,
    folder: Path,
    from_desk: DeskAddress | None = None,
    at_desk: DeskAddress | None = None,
) -> list[dict[str, Any]]:
    async with connected(profile) as client:
        view: HandoverView = await client.handover(message_id, sender=from_desk, recipient=at_desk)
        sender = None if view.origin is None else view.origin.desk
        several = len({desk for section in view.sections for desk in section.desks}) > 1
        found: list[dict[str, Any]] = []
        for section in view.sections:
            desk = next(iter(section.desks), None)
            for one in section.attachments:
                path, state = None, one.state
                if one.state == "stored" and desk is not None:
                    name = safe_name(section.number, one)
                    # Each desk's sections have numbers of their own.
                    path = folder / (f"{desk_name(desk)}-{name}" if several else name)
                    pieces = client.attachment(message_id, section.number, one.place, sender=sender, recipient=desk)
                    try:
                        await _take(pieces, path)
                    except StoreDamaged:
                        # The others are whole: who needs them need not wait for this one (CON-28).
                        path, state = None, DAMAGED
                whose = {"desk": desk, "section": section.number, "place": one.place}
                shown = {"name": one.name, "state": state}
                found.append({**whose, **shown, "size": one.size, "path": None if path is None else str(path)})
        return found


def safe_name(section: int, one: AttachmentView) -> str:
    """Return the name of the file for one attachment, of harmless signs whatever its sender called it."""
    kept = "".join(sign for sign in one.name if sign.isalnum() or sign in _KEPT)
    return f"{section}-{one.place + 1}-{kept[-_MAX_KEPT:].strip(' .') or 'attachment'}"


async def _take(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Write what comes into a file that gets its name once all has come; `Conflict` if there is one of that name."""
    await asyncio.to_thread(_begin, path)
    # Beside a connector under systemd root types this, and the folder may be an officer's. It is content in clear: of a
    # command that was killed nothing may stay (BAK-9).
    with new_private_file(path) as file:
        async for piece in pieces:
            await asyncio.to_thread(file.write, piece)


def _begin(path: Path) -> None:
    if path.exists():
        error = Conflict("A file of that name is there already; choose another folder.")
        raise then(error, "the same command with another folder")
    make_folder(path.parent, parents=True, exist_ok=True)


def _called(name: str) -> str:
    return f" ({printable(name)})" if name else ""


def printable(name: str) -> str:
    """Return a name as it may be shown: a sender's signs that steer a terminal are shown as question marks."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)

# SPDX-License-Identifier: Apache-2.0
"""What the hub's operator can find: a search of everything the hub stored, and a look into its database.

The hub's database is opened here as its operator could, read-only and without any code of the hub.
"""

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from protocol.rows import Common

DATABASE = "hub.db"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the hub's database holds of one envelope."""

    sender: str
    klass: str
    section_sizes: tuple[int, ...]
    accepted_at: int


def disguises(phrase: str) -> Iterator[bytes]:
    """Yield the bytes under which a phrase might lie in a file: as text, as wide text, in hex, in base64."""
    plain = phrase.encode()
    yield plain
    yield phrase.encode("utf-16-le")
    yield plain.hex().encode()
    for shift in range(3):  # base64 differs by where in a group of three bytes the phrase begins
        encoded = base64.b64encode(b"\0" * shift + plain)
        yield encoded[(4 if shift else 0) : len(encoded) // 4 * 4 - 4]


def search(folder: Path, phrases: Iterable[str]) -> tuple[int, int, list[Path]]:
    """Search every file under `folder` for the phrases; return files and bytes searched, and the files that match."""
    wanted = [disguise for phrase in phrases for disguise in disguises(phrase)]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size, found = 0, []
    for path in files:
        content = path.read_bytes()
        size += len(content)
        if any(disguise in content for disguise in wanted):
            found.append(path)
    return len(files), size, found


def seen_by_hub(hub_data: Path, envelope_id: bytes) -> Seen:
    """Return what stands in the hub's database about an envelope, beside its sealed parts."""
    with closing(_open(hub_data, "ro")) as database:
        common, accepted_at = database.execute(
            "SELECT common, accepted_at FROM envelope WHERE envelope_id = ?", (envelope_id,)
        ).fetchone()
    parsed = Common.parse(common)
    return Seen(
        sender=parsed.sender_desk,
        klass=parsed.klass.name.lower(),
        section_sizes=tuple(parsed.section_lengths),
        accepted_at=accepted_at,
    )


def envelopes_at_hub(hub_data: Path) -> int:
    """Return how many envelopes the hub has accepted in all."""
    with closing(_open(hub_data, "ro")) as database:
        return int(database.execute("SELECT count(*) FROM envelope").fetchone()[0])


def flip_stored_bit(hub_data: Path, envelope_id: bytes) -> None:
    """Change one bit of the wrapped keys that wait at the hub for a recipient of an envelope.

    What a dishonest operator could do, or a bad disk, while the hub does not run.
    """
    with closing(_open(hub_data, "rw")) as database, database:
        device, index, wrap = database.execute(
            "SELECT d.device_id, d.idx, d.wrap FROM delivery d JOIN envelope e ON e.idx = d.idx "
            "WHERE e.envelope_id = ? AND d.wrap IS NOT NULL LIMIT 1",
            (envelope_id,),
        ).fetchone()
        changed = bytes([wrap[0] ^ 1]) + wrap[1:]
        database.execute("UPDATE delivery SET wrap = ? WHERE device_id = ? AND idx = ?", (changed, device, index))


def _open(hub_data: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{hub_data / DATABASE}?mode={mode}", uri=True)

# SPDX-License-Identifier: Apache-2.0
"""How a backup stands to what its hub has signed since, as guard files and connectors show it (BAK-5, GEN-5)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.stream import Facts
from hub.config import GUARD_NAME
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_log
from hub.service.signingkeys import SigningKeys
from hub.store import trees
from hub.store.trees import Log
from keys.directory import Directory
from keys.verifying import head_generation, verify_head, verify_receipt
from protocol.errors import ConfigurationError, StoreBehind, ThroughcareError
from protocol.generations import generation_in, origin_of
from protocol.receipts import Head, ReceiptBody
from protocol.witness import Witness, read_witness

_OLDER = (
    "This backup is of before an earlier restore of this hub. Going on from it would contradict what was signed since: "
    "take a backup that was made after that restore."
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a backup holds once all of it was verified: of when it is, both logs' heads, and the directory."""

    facts: Facts
    heads: dict[Log, GuardedHead]
    directory: Directory
    attachments: int = 0
    """How many attachments are here, each with the bytes and the hash that its row says."""
    left_out: int = 0
    """How many rows of attachments were deleted, since their bytes were not in the backup or not right."""

    @property
    def origins(self) -> dict[Log, str]:
        """The logs' origins."""
        return {log: head.origin for log, head in self.heads.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a backup stands to what was signed; `known` are the newest heads that anybody showed."""

    found: Found
    known: dict[Log, GuardedHead]
    certain: bool
    """Whether a guard shows that nothing newer was ever signed."""
    shown: bool
    """Whether any guard or connector shows how far the logs had come."""
    before: GuardedHead | None = None
    """The directory's head before the authority's folder brought back who signs, if it did (GEN-10)."""
    leaves: tuple[bytes, ...] = ()
    """The leaf hashes of the whole directory that is kept, with what was brought back (ENR-10)."""
    digests: tuple[bytes, ...] = ()
    """The digests of the statements that were brought back, in the directory's order."""

    @property
    def brought(self) -> int:
        """How many statements the authority's folder brought back."""
        return len(self.digests)

    @property
    def signed_until(self) -> int:
        """The newest time that anything known was signed at, in ms UTC."""
        return max(head.at for head in (*self.known.values(), *self.found.heads.values()))

    @property
    def lacks_statements(self) -> bool:
        """Whether the directory had statements that are not here, or may have had since nobody shows its end."""
        return bool(self.lost(Log.DIRECTORY)) or not self.shown

    def lost(self, log: Log) -> range:
        """Return which leaves are known to be signed and are not here; as they stand in the log that was lost."""
        known, head = self.known[log], self.found.heads[log]
        if log == Log.DIRECTORY and self.found.directory.root_at(known.size) == known.root:
            return range(0)
        before = self.before if log == Log.DIRECTORY and self.before is not None else head
        return range(before.size, known.size)


@dataclass(frozen=True, slots=True)
class Shown:
    """What one connector showed, its hub's signatures verified."""

    head: Head
    receipt: ReceiptBody | None
    statements: tuple[bytes, ...]


def read_guards(folder: Path, more: Sequence[Path]) -> list[Guard]:
    """Return the guards that survived: one in the data folder and those in `more`."""
    guards = []
    for path in (folder / GUARD_NAME, *more):
        guard = Guard(path)
        guard.read()
        if guard.heads:
            guards.append(guard)
        elif path != folder / GUARD_NAME:
            raise ConfigurationError(f"{path} is no guard file of a hub.")
    return guards


def read_shown(path: Path, found: Found, keys: SigningKeys) -> Shown:
    """Return what the connector's file `path` shows; ConfigurationError if this hub did not sign it."""
    domain, generation = found.facts.domain, found.directory.generation
    try:
        with path.open("rb") as file:
            witness: Witness = read_witness(file)
        base = f"{domain}/directory"
        own = head_generation(witness.head, base)
        if own > generation:
            raise StoreBehind(_OLDER)
        head = verify_head(witness.head, origin_of(base, own), keys.directory.public)
        receipt = None
        if witness.receipt is not None:
            receipt = verify_receipt(
                witness.receipt, f"{domain}/audit", keys.audit.public, found.directory.audit_starts
            )
    except StoreBehind:
        raise
    except (OSError, ThroughcareError):
        raise ConfigurationError(f"{path} is no witness of this hub's logs; `throughcare witness` makes one.") from None
    # A connector that has not heard of an earlier restore hands its statements back by itself once it has (GEN-4).
    return Shown(head, receipt, witness.statements if own == generation else ())


def complete(connection: Connection, found: Found, shown: Sequence[Shown]) -> Found:
    """Append the statements that connectors hold beyond the backup, each verified, up to the newest head (GEN-5).

    Raises StoreBehind when a head does not continue the backup, or its statements do not lead to it.
    """
    directory, tree = found.directory, trees.load_trees(connection)[Log.DIRECTORY]
    rows: list[dict[str, object]] = []
    for one in sorted(shown, key=lambda each: each.head.size):
        try:
            for raw in one.statements[directory.size : one.head.size]:
                directory.apply(raw)
                rows.append(trees.leaf_row(Log.DIRECTORY, directory.size - 1, raw))
        except ThroughcareError as error:
            raise StoreBehind("A connector shows statements that do not continue the backup's directory.") from error
        if one.head.origin == directory.origin and directory.root_at(one.head.size) != one.head.root:
            raise StoreBehind("A connector shows a head that the backup and its own statements do not lead to.")
    if not rows:
        return found
    trees.append_leaves(connection, rows)
    for row in rows:
        tree.state.append(row["hash"])  # type: ignore[arg-type] # a row's values are objects to the database
    tree.at = max(one.head.at for one in shown)
    trees.save_trees(connection, [tree])
    head = GuardedHead(directory.origin, directory.size, directory.root, tree.at)
    return replace(found, heads={**found.heads, Log.DIRECTORY: head})


def compare(
    connection: Connection, found: Found, guards: Sequence[Guard], shown: Sequence[Shown], *, shared: bool
) -> Standing:
    """Compare what the backup holds, completed, with all that is known to be signed.

    With a `shared` database no guard is enough, since other processes have guards of their own. Raises StoreBehind
    for guards and receipts of another history or hub.
    """
    known = dict(found.heads)
    for guard in guards:
        _take_guard(connection, found, guard, known)
    for one in shown:
        if one.receipt is not None and one.receipt.origin == found.origins[Log.AUDIT]:
            body = one.receipt
            _take(connection, found, known, Log.AUDIT, GuardedHead(body.origin, body.size, body.root, body.leaf.at))
    newer = any(known[log].size > head.size for log, head in found.heads.items())
    same = all(
        guard.heads[head.origin].size == head.size for guard in guards for head in found.heads.values()
    )  # a guard without a log is of before its first leaf, and `_take_guard` refuses that
    certain = not shared and bool(guards) and same and not newer
    return Standing(found, known, certain=certain, shown=bool(guards or shown))


def check_statements(standing: Standing) -> None:
    """Raise ConfigurationError while statements are lacking that some connector may hold (GEN-8)."""
    if standing.lacks_statements:
        error = ConfigurationError(
            "Statements of the directory are lost, or may be: revocations and replaced devices among them. Until "
            "connectors hand them back, a device that was revoked could read and send again. Ask agencies for what "
            "`throughcare witness` writes and name each file with --witness; if nobody holds more, type the command "
            "with --without-statements. Nothing was changed."
        )
        error.add_note("next: the same command with --witness FILE   (one from each agency that was busy last)")
        raise error


def _take_guard(connection: Connection, found: Found, guard: Guard, known: dict[Log, GuardedHead]) -> None:
    if set(guard.heads) != set(found.origins.values()):
        base = f"{found.facts.domain}/audit"
        generations = [generation_in(base, origin) for origin in guard.heads]
        if any(one is not None and one > found.directory.generation for one in generations):
            raise StoreBehind(_OLDER)
        raise StoreBehind("A guard file is of another hub, or of before an earlier restore. Leave it out.")
    for log, origin in found.origins.items():
        _take(connection, found, known, log, guard.heads[origin])


def _take(connection: Connection, found: Found, known: dict[Log, GuardedHead], log: Log, head: GuardedHead) -> None:
    if head.size <= found.heads[log].size:
        # It may be of before the backup; but what it knows must be in the backup.
        check_log(connection, log, head.origin, head)
    elif head.size > known[log].size:
        known[log] = head

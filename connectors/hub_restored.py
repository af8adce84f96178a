# SPDX-License-Identifier: Apache-2.0
"""Following a hub that was restored from a backup: its directory goes on from what was kept (GEN-4).

The hub's word decides nothing here. A later generation is believed only when the statement that follows what was kept
is the authority's restoration of it; what this connector holds beyond is handed back to the hub, before anything of it
is let go here.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from connectors.hub_signers import Signing, replaced
from connectors.logs import Log
from keys.directory import Directory
from protocol.errors import DirectoryError, DirectoryInconsistent, EnvelopeError, PolicyDenied
from protocol.http.hub import HubInfo
from protocol.restoration import Restoration
from protocol.statements import Authority, Root, parse_statement


class StatementTaker(Protocol):
    """Who takes statements: the hub."""

    async def submit_statement(self, statement: bytes) -> int:
        """Append a statement and return its index."""


class StatementSource(Protocol):
    """Who gives statements: the hub."""

    async def directory_statements(self, from_index: int) -> list[bytes]:
        """Return some of the statements from `from_index` on; none if there are none now."""


_MOST_BROUGHT: Final = 64
"""How many statements a restore brings back at most, as far as is looked for them."""


def kept_of(info: HubInfo, known: int, size: int) -> int:
    """Return how many of `size` statements the first restore that is unknown here kept, as the hub says it.

    `known` generations are known already. Raises `DirectoryInconsistent` if the hub does not say.
    """
    if len(info.kept_statements) <= known:
        raise DirectoryInconsistent("The hub's head is of a generation that the hub itself does not speak of.")
    return min(info.kept_statements[known], size)


async def agreed(hub: StatementSource, held: Sequence[bytes], kept: int) -> int:
    """Return how many of the first `kept` statements `held` here a restored hub shows as they are.

    Behind them it may have brought back statements of the root and the authority (GEN-10), where others stand here.
    Whether it may, its restoration decides (`check_restored`).
    """
    for size in range(kept, max(0, kept - _MOST_BROUGHT), -1):
        page = await hub.directory_statements(size - 1)
        if (
            not page
            or page[0] == held[size - 1]
            or not isinstance(parse_statement(page[0]).body.subject, Root | Authority)
        ):
            return size
    return max(0, kept - _MOST_BROUGHT)


def check_restored(
    directory: Directory,
    known: int,
    generation: int,
    kept: int | None,
    signing: Signing | None = None,
    new: Sequence[bytes] = (),
    lost: Sequence[bytes] = (),
    behind: Sequence[bytes] = (),
) -> None:
    """Raise `DirectoryInconsistent` unless `directory` came to `generation` by restorations that the authority signed.

    With `kept` the first of those unknown so far must follow that statement at once, but for statements of the root and
    the authority that the restore brought back (GEN-10): otherwise the hub would have put others in the place of some
    that this connector holds. `signing` is who signed for it as far as was known, `new` what the directory shows behind
    what was kept, and `lost` what was held there instead: of what is new former people have signed nothing (GEN-9).
    `behind` was held behind something that the disk has damaged: what the restore kept may be that.
    """
    if directory.generation != generation:
        raise DirectoryInconsistent("The hub began a generation of its logs without its authority's word.")
    if kept is not None and not directory.restorations[known].kept <= kept <= directory.restorations[known].index:
        raise DirectoryInconsistent("The hub left out statements that the restore had kept.")
    if signing is not None and generation > known:
        held = {parse_statement(raw).digest for raw in (*lost, *behind)}
        unheld = [raw for raw in new if parse_statement(raw).digest not in held] if held else new
        signing.check(directory, known, unheld, held, damaged=bool(behind))


def check_minimum(directory: Directory, minimum: int) -> None:
    """Raise `DirectoryInconsistent` for a directory smaller than enrolment pinned (ENR-1).

    Sizes that a restore lost cannot be compared with those after it.
    """
    lost = any(
        one.subject.directory.size < minimum <= one.subject.directory.known_size for one in directory.restorations
    )
    if directory.size < minimum and not lost:
        raise DirectoryInconsistent("The hub shows an older directory than it showed before.")


async def hand_back(hub: StatementTaker, directory: Directory, lost: Sequence[bytes], log: Log) -> int:
    """Give the hub every statement of `lost` that its restored directory lacks, in their order; return how many.

    One that is refused now is told and left: it does not count in this directory any more. Raises
    `DirectoryInconsistent` where that says who signs for the authority (GEN-9), and `HubUnreachable` and the like; then
    nothing was let go here, and all is done again.
    """
    handed = 0
    for raw in lost:
        statement = parse_statement(raw)
        if isinstance(statement.body.subject, Restoration) or directory.index_of(raw) is not None:
            continue
        try:
            await hub.submit_statement(raw)
            handed += 1
        except (DirectoryError, EnvelopeError, PolicyDenied) as error:
            log.event("statement-refused", code=error.code)
            if not replaced(directory, statement):
                raise DirectoryInconsistent(
                    "The hub was restored, and refuses to take back who signs for its authority."
                ) from error
    log.event("hub-restored", count=handed, size=directory.size)
    return handed

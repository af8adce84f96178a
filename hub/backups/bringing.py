# SPDX-License-Identifier: Apache-2.0
"""Who signs, brought back by a restore from the authority's folder, where a backup is of before an exchange (GEN-10).

The statements of root and authority are signed by the root, and judged like all others: nothing is believed of who
brings them. They are appended before the restoration, so that those sign it who are approvers by now.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.standing import Standing
from hub.service.guard import GuardedHead
from hub.service.restorerequest import read_request
from hub.store import trees
from hub.store.trees import Log
from keys.directory import Directory
from keys.rootorder import in_order
from protocol.errors import ConfigurationError, ThroughcareError
from protocol.statements import Authority, Root, parse_statement
from protocol.tree import CompactRange, leaf_hash


def read_stated(paths: Sequence[Path], domain: str, before: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Return the statements of a root, and the newest of the authority over `domain`, in the order of a directory.

    Of those in `paths`, and those that were brought `before`. Raises ConfigurationError for what is none.
    """
    statements = {one.digest: one for one in map(parse_statement, (*before, *(_stated(one, domain) for one in paths)))}
    authorities = [one for one in statements.values() if isinstance(one.body.subject, Authority)]
    newest = max((one.body.issued for one in authorities), default=0)
    # The authority's folder holds its newest alone, and signs nothing behind another (ENR-10).
    return in_order(one.raw for one in statements.values() if one not in authorities or one.body.issued == newest)


def take_off(connection: Connection, folder: Path) -> tuple[bytes, ...]:
    """Cut off what a restore that waits in `folder` has brought back, and return it, to be brought anew (GEN-10).

    So a witness that is found now comes before it, and what the directory was without it is still known. Nobody has
    seen it there: a hub signs and serves nothing while a restore waits. A database that is not as the request says is
    left as it is.
    """
    try:
        request = read_request(folder)
    except ConfigurationError:
        return ()
    before, tree = request.before, trees.load_trees(connection)[Log.DIRECTORY]
    if before is None or (tree.state.size, tree.state.root) != (request.directory.size, request.directory.root):
        return ()
    brought = trees.leaves(connection, Log.DIRECTORY, before.size, tree.state.size - before.size)
    state = CompactRange()
    state.extend(request.leaves[: before.size])
    whole = state.copy()
    whole.extend([leaf_hash(raw) for raw in brought])
    if (whole.size, whole.root) != (tree.state.size, tree.state.root):
        return ()
    tree.state = state
    trees.cut_leaves(connection, Log.DIRECTORY, before.size)
    trees.save_trees(connection, [tree])
    return tuple(brought)


def _stated(path: Path, domain: str) -> bytes:
    other = ConfigurationError(
        f"{path} is no root.statement or authority.statement of this hub's authority. Nothing was changed."
    )
    try:
        statement = parse_statement(path.read_bytes())
    except (OSError, ThroughcareError):
        raise other from None
    subject = statement.body.subject
    if not isinstance(subject, Root) and not (isinstance(subject, Authority) and subject.domain == domain):
        raise other
    return statement.raw


def bring_back(connection: Connection, standing: Standing, stated: Sequence[bytes]) -> Standing:
    """Append the statements that the restored directory lacks; return how the backup stands then.

    Where a guard shows that nothing newer was ever signed, none is lacking. Raises ConfigurationError for one that the
    directory does not take.
    """
    found, directory = standing.found, standing.found.directory
    if standing.certain:
        return standing
    rows, digests, before = list[dict[str, object]](), list[bytes](), found.heads[Log.DIRECTORY]
    for raw in stated:
        if directory.index_of(raw) is not None or _replaced(directory, raw):
            continue
        try:
            directory.apply(raw)
        except ThroughcareError as error:
            refused = ConfigurationError(
                "The directory of the backup does not take a statement of the authority's folder: it was not signed by "
                "the persons of the root before. Nothing was changed."
            )
            refused.add_note(
                "next: the same command with --authority for each root-2.statement, root-3.statement … of the folder "
                "too; only if all are named, call the authority"
            )
            raise refused from error
        digests.append(parse_statement(raw).digest)
        rows.append(trees.leaf_row(Log.DIRECTORY, directory.size - 1, raw))
    if not rows:
        return standing
    tree = trees.load_trees(connection)[Log.DIRECTORY]
    trees.append_leaves(connection, rows)
    for row in rows:
        tree.state.append(row["hash"])  # type: ignore[arg-type] # a row's values are objects to the database
    trees.save_trees(connection, [tree])
    head = GuardedHead(directory.origin, directory.size, directory.root, before.at)
    found = replace(found, heads={**found.heads, Log.DIRECTORY: head})
    return replace(standing, found=found, before=before, digests=tuple(digests))


def _replaced(directory: Directory, raw: bytes) -> bool:
    """Tell whether the directory holds a newer statement of that authority: a connector has shown it."""
    body = parse_statement(raw).body
    line = directory.authority_line(body.subject.domain) if isinstance(body.subject, Authority) else ()
    return any(one.issued > body.issued for one in line)

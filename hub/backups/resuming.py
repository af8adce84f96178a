# SPDX-License-Identifier: Apache-2.0
"""Going on after a restore that lost something: a new generation of both logs, by the authority's word (GEN-2).

In one transaction the statement becomes the directory's next leaf, and the audit log gets a leaf that commits to it;
then the guard is written, and only then may the hub sign again. Typed again after a crash it finishes what was begun;
typed in a copy of the folder it writes the same leaf, for two would be two histories of one generation (GEN-7).
"""

import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from hub.config import GUARD_NAME, HubSettings
from hub.migrations import revision_of
from hub.service.behind import forget_behind
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import origins_in
from hub.service.replaying import replay
from hub.service.restorerequest import REQUEST_NAME, read_request
from hub.service.signingkeys import open_keys, write_public
from hub.store import enrolments, envelopes, restorations, trees
from hub.store.envelopes import Entry
from hub.store.opening import open_store
from hub.store.restorations import Restored
from hub.store.trees import Log
from keys.backuprecord import forget_backups
from keys.directory import Directory
from keys.privatefile import remove_private
from keys.signing import Ed25519Signer
from protocol import labels
from protocol.errors import ConfigurationError, MalformedEnvelope, StoreBehind, UntrustedKey
from protocol.http.restoring import RestoreRequest
from protocol.ids import ID_SIZE
from protocol.limits import CLOCK_SKEW, SIGNATURE_WINDOW
from protocol.receipts import SALT_SIZE, Leaf, RestoredDetail, commitment
from protocol.statements import UnverifiedStatement, parse_statement

_WHO: Final = "(by the authority, with its newest folder: it says who can sign, or what this hub has to be given first)"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The generation that began, and how many enrolment codes nobody had used and nobody can use any more."""

    generation: int
    voided_codes: int


async def resume(settings: HubSettings, raw: bytes, now: int) -> Resumed:
    """Begin the new generation with the authority's statement `raw`; then the hub may be run.

    Raises ConfigurationError for a statement of something else or when no restore waits, UntrustedKey or
    BadSignature for one that the authority did not sign, and StoreBehind for a database that is not the restored one.
    """
    folder = settings.hub.data_dir
    request = read_request(folder)
    statement = _fitting(raw, request, now)
    keys = open_keys(settings)
    store = await open_store(folder, settings.store, attended=True)

    def work(connection: Connection) -> tuple[int, list[GuardedHead]]:
        store.alone(connection)
        if revision_of(connection) is None:
            # A restore that was cut off before its commit has left no more than its request.
            raise StoreBehind("The database is empty. Restore the backup again.")
        directory = replay(connection, settings, verified=False)
        voided = 0
        if directory.index_of(raw) is None:
            voided = _begin(connection, directory, statement, request, keys.audit, now)
        heads, times = trees.stored_heads(connection), trees.stored_times(connection)
        origins = origins_in(connection, settings.hub.domain)
        return voided, [GuardedHead(origin, *heads[log], times[log]) for log, origin in origins.items()]

    try:
        voided, heads = await store.write(work)
    finally:
        await store.close()
    guard = Guard(folder / GUARD_NAME)
    guard.start(heads)
    guard.close()
    forget_backups(folder)
    forget_behind(folder)
    remove_private(folder / REQUEST_NAME)
    write_public(settings, keys)
    return Resumed(request.generation, voided)


def _fitting(raw: bytes, request: RestoreRequest, now: int) -> UnverifiedStatement:
    try:
        statement = parse_statement(raw)
    except MalformedEnvelope:
        raise ConfigurationError("The file is no statement of the authority.") from None
    if statement.body.subject != request.subject():
        raise ConfigurationError("The statement answers another request than the one that waits in the data folder.")
    if statement.body.issued > now + CLOCK_SKEW:
        # The log's time would be ahead of every clock, and the hub would sign nothing until then (AUD-7).
        raise ConfigurationError(
            "The statement is dated over 10 minutes ahead of this machine's clock. Set whichever clock is wrong; the "
            "statement is good once its time has come."
        )
    return statement


def _begin(
    connection: Connection,
    directory: Directory,
    statement: UnverifiedStatement,
    request: RestoreRequest,
    key: Ed25519Signer,
    now: int,
) -> int:
    both = trees.load_trees(connection)
    kept = {Log.DIRECTORY: request.directory, Log.AUDIT: request.audit}
    if any((both[log].state.size, both[log].state.root) != (one.size, one.root) for log, one in kept.items()):
        raise StoreBehind("The database is not the one that was restored. Restore the backup again.")
    try:
        directory.apply(statement.raw)
    except UntrustedKey as error:
        error.add_note(f"next: throughcare authority restore DIR --request {REQUEST_NAME} --approver NUMBER   {_WHO}")
        raise
    # The log's time goes on behind all that is known to be signed. Nothing here is of this machine or moment (GEN-7).
    at = max(statement.body.issued, request.signed_until + SIGNATURE_WINDOW)
    detail = RestoredDetail(statement.digest, directory.size, directory.root).encode()
    drawn = hmac.digest(key.seed, labels.RESUMED + statement.digest, "sha512")
    salt, entry_id = drawn[:SALT_SIZE], drawn[SALT_SIZE : SALT_SIZE + ID_SIZE]
    leaf = Leaf(at, commitment(salt, detail), entry_id).encode()
    index = both[Log.AUDIT].state.size
    rows = []
    for log, data in ((Log.DIRECTORY, statement.raw), (Log.AUDIT, leaf)):
        rows.append(trees.leaf_row(log, both[log].state.size, data))
        both[log].state.append(rows[-1]["hash"])  # type: ignore[arg-type] # a row's values are objects
        both[log].at = at
    trees.append_leaves(connection, rows)
    trees.save_trees(connection, list(both.values()))
    tree = both[Log.AUDIT].state
    entry = Entry(index, leaf, salt, detail, tree.size, tree.root)
    envelopes.NEW_DETAILS.run(connection, [entry.row()])
    # No signature from before this moment counts: another copy may have served until now (BAK-6).
    sizes = request.directory.size, request.audit.size
    restorations.note(connection, Restored(max(now, at), request.backup_at, request.generation, *sizes))
    return enrolments.void_unused(connection)

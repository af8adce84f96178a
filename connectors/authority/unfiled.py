# SPDX-License-Identifier: Apache-2.0
"""What enough have signed of root and authority, and the folder does not know whether the hub has it (ENR-16).

The last signature publishes it. If the hub dies before it answers, the statement lies where it was begun, and an agency
may have seen it: who was exchanged must not sign that the hub goes back to before. It is filed once the hub has it.
"""

from pathlib import Path

from connectors.authority.office import Office
from connectors.authority.turns import BEGUN_WITHIN
from keys.directory import Directory
from keys.privatefile import write_private
from keys.rootorder import in_order
from protocol.errors import MalformedEnvelope, ThroughcareError
from protocol.http.restoring import RestoreRequest
from protocol.limits import CLOCK_SKEW
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement


def unfiled(office: Office, backup_at: int) -> dict[Path, UnverifiedStatement]:
    """Return by their files what of root and authority is complete in the folder, and may have been published.

    Judged as the hub does, behind what is filed. What was begun so long before `backup_at`, ms UTC, that it cannot have
    been published after that (ENR-7) is left out: it is in the backup, or nowhere.
    """
    begun, filed = {}, office.statements()
    for path in (*office.folder.glob("exchanges/*.statement"), *office.folder.glob("renewals/*.statement")):
        statement = _read(path)
        if statement is None or statement.raw in filed:
            continue
        if statement.body.issued >= backup_at - BEGUN_WITHIN - CLOCK_SKEW:
            begun[statement.raw] = path
    if not begun:
        return {}
    directory, found = Directory(office.facts.root_fingerprint, office.facts.domain), {}
    for raw in in_order((*filed, *begun)):
        try:
            directory.apply(raw)
        except ThroughcareError:
            continue
        if raw in begun:
            found[begun[raw]] = parse_statement(raw)
    return found


def lost_unfiled(office: Office, directory: Directory) -> tuple[bytes, ...]:
    """Return what of this may have been published before a restore of the hub, and have been lost by that (ENR-15)."""
    found = {}
    for one in directory.restorations:
        for statement in unfiled(office, one.log_time).values():
            if statement.body.issued <= one.issued:
                found[statement.digest] = statement.raw
    return in_order(found.values())


def take_in(office: Office, request: RestoreRequest) -> Office:
    """File what is complete and stands in the directory that was kept; return the office with who signs by that.

    That it stands there is the operator's word. But the persons of the root have signed it all, and whoever lies gets a
    restoration that the hub refuses.
    """
    update: dict[str, object] = {}
    for statement in unfiled(office, request.backup_at).values():
        subject = statement.body.subject
        if statement.digest not in {*request.roots, *request.authorities}:
            continue
        if isinstance(subject, Root):
            write_private(office.root_file(subject.version), statement.raw)
            update["root_persons"] = tuple(one.key_id for one in subject.identities)
        elif isinstance(subject, Authority):
            write_private(office.authority_file, statement.raw)
            update["approvers"] = tuple(one.key_id for one in subject.identities)
    if update:
        office = Office(office.folder, office.facts.model_copy(update=update))
        office.write_facts()
    return office


def _read(path: Path) -> UnverifiedStatement | None:
    """Return a statement of the root or an authority; None for any other, and for a damaged one."""
    try:
        statement = parse_statement(path.read_bytes())
    except (OSError, MalformedEnvelope):
        return None
    return statement if isinstance(statement.body.subject, Root | Authority) else None

# SPDX-License-Identifier: Apache-2.0
"""Signing what a restored hub has kept of its logs, each generation once and no other way (GEN-2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from connectors.authority.lost import check_sound
from connectors.authority.office import Office, Seen
from connectors.authority.turns import BEGUN_WITHIN, Shown, begun_in, sign_in_turn
from connectors.authority.unfiled import take_in, unfiled
from keys.privatefile import read_private
from keys.signing import HybridSigner
from protocol import limits
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.fields import format_time
from protocol.http.restoring import KeptLog, RestoreRequest
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement
from protocol.tree import CompactRange, leaf_hash

FOLDER: Final = "restorations"


def read_restore_request(path: Path) -> RestoreRequest:
    """Return what the hub's operator brought; `ConfigurationError` if the file is not that."""
    try:
        return RestoreRequest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(
            "The file is no restore-request.json as `throughcare-hub restore` of this version writes it."
        ) from error


def _check_domain(office: Office, request: RestoreRequest) -> None:
    """Raise `ConfigurationError` for the request of another hub than this authority's."""
    if request.domain != office.facts.domain:
        raise ConfigurationError("The request is of a hub of another domain than this authority's.")


def check_request(office: Office, request: RestoreRequest, *, accept_loss: bool) -> Office:
    """Return the office that can sign what a request asks for; nothing of the file is to be shown before.

    It is another one where the hub was given what is complete in the folder, and not filed yet (`take_in`).

    `ConfigurationError` for another hub's; `EnrolmentRefused` if its leaves are not those of what was kept, if it does
    not go on from the newest directory that the hub showed to this authority, or loses statements of it that nobody has
    shown, unless `accept_loss` says that this is known, or if what it says was brought back does not lead to what was
    kept (ENR-10); `Conflict` if others sign by now than this folder knows of, or than the hub does (ENR-16).
    """
    _check_domain(office, request)
    check_sound(office)
    _check_leaves(request)
    office = take_in(office, request)
    _check_brought(office, request)
    _check_signing(office, request)
    _check_seen(office.facts.seen, request, accept_loss=accept_loss)
    return office


def _check_leaves(request: RestoreRequest) -> None:
    """Raise unless the leaves of a request make up the directory that is signed: all else is judged by them."""
    if not _is_tree(request.leaves, request.directory):
        raise EnrolmentRefused(
            "The leaves in the request are not those of the directory that was kept. Nothing was signed."
        )


def _is_tree(leaves: Sequence[bytes], log: KeptLog | Seen) -> bool:
    """Tell whether the first of these leaf hashes make up a tree of the size and root of `log`."""
    tree = CompactRange()
    tree.extend(leaves[: log.size])
    return (tree.size, tree.root) == (log.size, log.root)


def _check_brought(office: Office, request: RestoreRequest) -> None:
    """Raise unless what was kept is the directory before, and behind it this folder's own statements (ENR-10).

    What stands before is compared with what this authority has seen, and shown as what is kept. It is not in what is
    signed, so the operator's word for it must not be enough: else they could show the directory that the authority
    has seen, and have one signed that lacks revocations.
    """
    before = request.before
    if before is None:
        return
    own = {parse_statement(raw).digest: raw for raw in office.statements()}
    if not own.keys() >= set(before.brought):
        error = Conflict("The hub was given statements of who signs that this folder lacks. Nothing was signed.")
        error.add_note(
            "next: the same command with the newest folder of this authority; if this is it, have the operator restore "
            "from the backup file again, with the files of this folder and no others (--authority)"
        )
        raise error
    brought = [leaf_hash(own[digest]) for digest in before.brought]
    known = _is_tree(request.leaves, before) and before.size <= before.known_size
    if not known or request.leaves[before.size :] != brought:
        raise EnrolmentRefused(
            "What the request says was brought back from this folder does not lead from the directory before to that "
            "which was kept. Nothing was signed."
        )


def _check_signing(office: Office, request: RestoreRequest) -> None:
    """Raise `Conflict` unless the directory that was kept names who signs just as this folder does (ENR-16).

    Its hub would refuse what others have signed, and whoever was exchanged would count again by it. What the hub lacks,
    the folder has.
    """
    known = {*request.roots, *request.authorities}
    root, authority = _newest(office, Root), _newest(office, Authority)
    behind = request.authority_at > authority.body.issued or len(request.roots) > len(office.statement_files()) - 1
    lacks = [path.name for path in office.statement_files() if _digest(path) not in known]
    lacks += [path.relative_to(office.folder).as_posix() for path in unfiled(office, request.backup_at)]
    if lacks and not behind:
        error = Conflict(
            "The hub was restored from a backup of before somebody was exchanged here: it does not know who signs by "
            "now, and would refuse what is signed. Nothing was signed."
        )
        named = " ".join(f"--authority {name}" for name in sorted(lacks))
        error.add_note(
            f"next: give the operator these files of {office.folder}, who types the same restore with --in-place for "
            f"the backup: throughcare-hub restore --in-place --config hub.toml {named}; with all --guard, --witness or "
            "--without-statements of then; then sign the request anew"
        )
        raise error
    if behind or (request.roots[-1:], request.authorities[-1:]) != ([root.digest], [authority.digest]):
        error = Conflict(
            "The hub knows of a later exchange than this folder, which is an old copy. Nothing was signed."
        )
        error.add_note("next: the same command with the newest folder of this authority")
        raise error


def _newest(office: Office, kind: type[Root | Authority]) -> UnverifiedStatement:
    """Return the folder's newest statement of a kind."""
    statements = [parse_statement(raw) for raw in office.statements()]
    return [one for one in statements if isinstance(one.body.subject, kind)][-1]


def _digest(path: Path) -> bytes:
    return parse_statement(read_private(path, limits.MAX_STATEMENT, "file")).digest


def begun_restoration(office: Office, request: RestoreRequest, now: int) -> UnverifiedStatement | None:
    """Return what others have begun of this very restoration, every signature verified; raises as `begun_in`."""
    begun = begun_in(office.quorum, _file(office, request), now)
    return begun if begun is not None and begun.body.subject == request.subject() else None


def _file(office: Office, request: RestoreRequest) -> Path:
    folder = office.folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{request.generation}.statement"


def sign_restoration(
    office: Office,
    request: RestoreRequest,
    approver: HybridSigner,
    now: int,
    *,
    accept_loss: bool = False,
    shown: Shown | None = None,
) -> tuple[Path, int]:
    """Add one approver's signature; return where the statement is, and how many signatures it lacks.

    Raises as `check_request`; `EnrolmentRefused` if another restoration of the same generation was signed before: two
    would be two histories of one hub (GEN-2). Otherwise as `approval.approve`. What is complete is given out as it
    is, however old.
    """
    office = check_request(office, request, accept_loss=accept_loss)
    path = _file(office, request)
    if path.exists():
        signed = parse_statement(read_private(path, limits.MAX_STATEMENT, "file"))
        complete = len(signed.signatures) >= office.quorum.threshold
        if signed.body.subject != request.subject():
            _check_given_up(path, signed, now, complete=complete)
        elif complete and not office.quorum.lacking(signed.raw):
            return path, 0
    return path, sign_in_turn(office.quorum, path, request.subject(), approver, now, shown).lacking


def _check_seen(seen: Seen | None, request: RestoreRequest, *, accept_loss: bool) -> None:
    """Go by what this authority has seen itself, not by what the operator says of what was signed."""
    if seen is None or seen.generation < request.generation - 1:
        return
    if seen.generation >= request.generation:
        raise EnrolmentRefused(
            f"The hub has shown generation {seen.generation} of its directory already. Nothing was signed."
        )
    if _is_tree(request.leaves, seen):
        return
    # What this folder brought back stands in the place of leaves that are lost; it is not what the hub has shown.
    log = request.before or request.directory
    if seen.size <= log.size or (seen.size == log.known_size and seen.root != log.known_root):
        # A shortened directory can be made longer again, by statements that are right: its size shows nothing.
        error = EnrolmentRefused(
            "The hub showed another directory to this authority than was kept. Nothing was signed."
        )
        error.add_note(
            "next: sign nothing; call the hub's operator and the other approvers on numbers you know. What was kept "
            "lacks statements that this hub has shown, whatever else stands there: only a restore from another backup "
            "helps"
        )
        raise error
    if seen.size > log.known_size and not accept_loss:
        error = EnrolmentRefused(
            f"The hub showed {seen.size} statements to this authority, and the request knows of {log.known_size}: "
            "revocations may be lost. Nothing was signed."
        )
        error.add_note(
            "next: have the operator type the same restore with --in-place for the backup, and with what agencies show "
            "(throughcare witness) as --witness; then sign the request anew. Only if nobody holds them: the same "
            "command with --accept-loss, and state them anew"
        )
        raise error


def _check_given_up(path: Path, signed: UnverifiedStatement, now: int, *, complete: bool) -> None:
    """Raise `EnrolmentRefused` unless another restoration of this generation can never be completed any more (GEN-2).

    One that lacks signatures gets none when it is over 5 days old (ENR-7). One that is complete counts for good: the
    hub may have gone on with it. Nothing is lost by that, for what a witness holds its connector hands back (GEN-4).
    """
    ends = signed.body.issued + BEGUN_WITHIN
    if not complete and ends < now:
        return
    lacks = "is complete" if complete else "was begun, and may be completed with another copy of this folder"
    error = EnrolmentRefused(
        f"Another restoration of that generation {lacks}. Two would be two histories of one hub. Nothing was signed."
    )
    given_up = "" if complete else f" Only if nobody goes on with it: the same command after {format_time(ends)}."
    error.add_note(
        "next: sign nothing; call the hub's operator and the other approvers on numbers you know. Have the operator "
        "restore with the backup, guards, witnesses and --authority files of then, and go on with "
        f"{path.name}: a witness that was found later is not needed, since its connector hands back what it "
        f"holds.{given_up}"
    )
    raise error

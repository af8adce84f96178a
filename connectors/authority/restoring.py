# SPDX-License-Identifier: Apache-2.0
"""Signing what a restored hub has kept of its logs, each generation once and no other way (GEN-2)."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from connectors.authority.office import Office, Seen
from connectors.authority.turns import Shown, begun_in, sign_in_turn
from keys.privatefile import read_private
from keys.signing import HybridSigner
from protocol import limits
from protocol.errors import ConfigurationError, EnrolmentRefused
from protocol.http.restoring import RestoreRequest
from protocol.statements import Subject, UnverifiedStatement, parse_statement

FOLDER: Final = "restorations"


def read_restore_request(path: Path) -> RestoreRequest:
    """Return what the hub's operator brought; `ConfigurationError` if the file is not that."""
    try:
        return RestoreRequest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError("The file is no restore-request.json of `throughcare-hub restore`.") from error


def check_domain(office: Office, request: RestoreRequest) -> None:
    """Raise `ConfigurationError` for the request of another hub than this authority's."""
    if request.domain != office.facts.domain:
        raise ConfigurationError("The request is of a hub of another domain than this authority's.")


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

    Raises `EnrolmentRefused` if another restoration of the same generation was signed before: two would be two
    histories of one hub; and if it contradicts the newest directory that the hub showed to this authority, or loses
    statements of it that nobody has shown, unless `accept_loss` says that this is known (ENR-10). Otherwise as
    `approval.approve`.
    """
    check_domain(office, request)
    path = _file(office, request)
    if path.exists() and _signed(path) != request.subject():
        raise EnrolmentRefused(
            f"This authority has signed another restoration as generation {request.generation}. The hub's backup is of "
            "before that restore: its operator must take one that was made after it. Nothing was signed."
        )
    _check_seen(office.facts.seen, request, accept_loss=accept_loss)
    return path, sign_in_turn(office.quorum, path, request.subject(), approver, now, shown).lacking


def _check_seen(seen: Seen | None, request: RestoreRequest, *, accept_loss: bool) -> None:
    """Go by what this authority has seen itself, not by what the operator says of what was signed."""
    if seen is None or seen.generation < request.generation - 1:
        return
    if seen.generation >= request.generation:
        raise EnrolmentRefused(
            f"The hub has shown generation {seen.generation} of its directory already. Nothing was signed."
        )
    log = request.directory
    named = {(log.size, log.root), (log.known_size, log.known_root)}
    if seen.size in (log.size, log.known_size) and (seen.size, seen.root) not in named:
        raise EnrolmentRefused("The hub showed another directory to this authority than was kept. Nothing was signed.")
    if seen.size > log.known_size and not accept_loss:
        error = EnrolmentRefused(
            f"The hub showed {seen.size} statements to this authority, and the request knows of {log.known_size}: "
            "revocations may be lost. Nothing was signed."
        )
        error.add_note(
            "next: have the operator restore with what agencies show (throughcare witness); only if nobody holds "
            "them: the same command with --accept-loss, and state them anew"
        )
        raise error


def _signed(path: Path) -> Subject:
    return parse_statement(read_private(path, limits.MAX_STATEMENT, "file")).body.subject

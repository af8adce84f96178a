# SPDX-License-Identifier: Apache-2.0
"""Signing what a restored hub has kept of its logs, each generation once and no other way (GEN-2)."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.authority.approval import sign_in_turn
from connectors.authority.office import Office
from keys.privatefile import read_private, write_private
from keys.signing import HybridSigner
from protocol import limits
from protocol.errors import ConfigurationError, EnrolmentRefused
from protocol.http.fields import Bytes32
from protocol.restoration import Kept, Restoration
from protocol.statements import Subject, parse_statement

FOLDER: Final = "restorations"


class KeptLog(BaseModel):
    """What a hub's operator says was kept of one log, and the newest of it that anybody has shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int
    root: Bytes32
    known_size: int
    known_root: Bytes32

    def kept(self) -> Kept:
        """Return it as it stands in the statement."""
        return Kept(self.size, self.root, self.known_size, self.known_root)


class RestoreFacts(BaseModel):
    """What `throughcare-hub restore` wrote for the authority; times in ms UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    domain: str
    generation: int
    backup_at: int
    signed_until: int
    directory: KeptLog
    audit: KeptLog

    def subject(self) -> Restoration:
        """Return what is to be signed."""
        return Restoration(self.domain, self.generation, self.directory.kept(), self.audit.kept())


def read_restore_facts(path: Path) -> RestoreFacts:
    """Return what the hub's operator brought; `ConfigurationError` if the file is not that."""
    try:
        return RestoreFacts.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError("The file is no restore-request.json of `throughcare-hub restore`.") from error


def sign_restoration(office: Office, facts: RestoreFacts, approver: HybridSigner, now: int) -> tuple[Path, int]:
    """Add one approver's signature; return where the statement is, and how many signatures it lacks.

    Raises `EnrolmentRefused` if another restoration of the same generation was signed before: two would be two
    histories of one hub. Otherwise as `approval.approve`.
    """
    if facts.domain != office.facts.domain:
        raise ConfigurationError("The request is of a hub of another domain than this authority's.")
    folder = office.folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{facts.generation}.statement"
    if path.exists() and _signed(path) != facts.subject():
        raise EnrolmentRefused(
            f"This authority has signed another restoration as generation {facts.generation}. The hub's backup is of "
            "before that restore: its operator must take one that was made after it. Nothing was signed."
        )
    raw, lacking = sign_in_turn(office, path, facts.subject(), approver, now)
    write_private(path, raw)
    return path, lacking


def _signed(path: Path) -> Subject:
    return parse_statement(read_private(path, limits.MAX_STATEMENT, "file")).body.subject

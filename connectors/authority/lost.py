# SPDX-License-Identifier: Apache-2.0
"""What the authority's folder holds of who signs, and a hub that was restored does not (ENR-15, GEN-9).

The statements of root and authority in the folder are signed by the root: whoever was exchanged in them stays so, also
where the hub has lost them. They are brought back first, and nothing is signed before.
"""

from pathlib import Path

from connectors.authority.office import Office
from connectors.authority.unfiled import lost_unfiled
from connectors.hub_signers import Signing, lacking
from keys.directory import Directory
from keys.rootorder import in_order
from protocol.errors import ConfigurationError, Conflict, DirectoryInconsistent, MalformedEnvelope
from protocol.statements import Authority, Root, UnverifiedStatement, parse_statement


def held(office: Office) -> tuple[bytes, ...]:
    """Return the statements of root and authority that the folder holds, in the order in which a directory takes them.

    One that is damaged is left out: it is filed anew from the directory (ENR-14).
    """
    return in_order(path.read_bytes() for path in office.statement_files() if _sound(path))


def _sound(path: Path) -> bool:
    try:
        parse_statement(path.read_bytes())
    except (OSError, MalformedEnvelope):
        return False
    return True


def check_sound(office: Office) -> None:
    """Raise `ConfigurationError` if a statement of who signs cannot be read: after a restore nothing else says it."""
    for path in office.statement_files():
        if not _sound(path):
            error = ConfigurationError(
                f"{path.name} is damaged or missing, which alone says who signs since a hub was restored. Nothing was "
                "signed."
            )
            error.add_note(
                f"next: put {path.name} into {office.folder} from a copy of this folder, then the same again"
            )
            raise error


def check_signers(office: Office, directory: Directory) -> None:
    """Raise unless a directory that goes on after a restore still names all who sign, as the folder knows them.

    `ConfigurationError` where a file of the folder that says so is damaged; `DirectoryInconsistent` where former
    approvers have signed the restoration (GEN-9); `Conflict` where the directory lacks what the folder holds: somebody
    who was exchanged would sign again (ENR-15).
    """
    if not directory.generation:
        return
    seen, said = office.check_shown(directory).seen, held(office)
    if directory.generation > (seen.generation if seen else 0):
        check_sound(office)
    statements = [parse_statement(raw) for raw in said]
    root, authority = _newest(statements, Root), _newest(statements, Authority)
    signing = Signing.said(root, authority) if root and authority else None
    if signing is not None:
        signing.check(directory, seen.generation if seen else 0)
    if any(lacking(directory, (*said, *lost_unfiled(office, directory)))):
        error = Conflict(
            "The hub was restored, and its directory has lost who signs for this authority or its root: somebody who "
            "was exchanged would sign again. Nothing was signed."
        )
        error.add_note(
            f"next: throughcare authority publish {office.folder} --hub hub-public.json   (brings the exchange back)"
        )
        raise error


def must_show(office: Office, directory: Directory) -> None:
    """Raise `DirectoryInconsistent` unless the directory shows what was handed to the hub: an answer proves nothing."""
    if any(lacking(directory, office.statements())):
        raise DirectoryInconsistent("Root and authority were handed to the hub, which does not show them.")


def _newest(statements: list[UnverifiedStatement], kind: type[Root | Authority]) -> UnverifiedStatement | None:
    """Return the last of a kind: of the root the newest version."""
    found = [one for one in statements if isinstance(one.body.subject, kind)]
    return found[-1] if found else None

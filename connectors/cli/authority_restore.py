# SPDX-License-Identifier: Apache-2.0
"""`throughcare authority restore`: approvers sign what a hub kept when it was restored, after reading what it lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from connectors.authority.office import Office
from connectors.authority.restoring import (
    begun_restoration,
    check_request,
    read_restore_request,
    sign_restoration,
)
from connectors.authority.telling import told_signatures
from connectors.authority.turns import Shown
from connectors.cli.agreeing import YES, agree
from connectors.cli.failures import advising
from connectors.cli.office import APPROVER, FOLDER, KEY_FILE, PASSPHRASE_FILE, open_approver, opened
from connectors.cli.voice import Voice, speaks
from connectors.enrolment.visit import now_ms
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.fields import format_time
from protocol.http.restoring import KeptLog, RestoreRequest

_STEPS: Final[dict[type[Exception], str]] = {
    EnrolmentRefused: "sign nothing; call the hub's operator and the other approvers on numbers you know",
    Conflict: "the same command by another approver: --approver NUMBER",
    ConfigurationError: "the same command with the restore-request.json that throughcare-hub restore wrote",
}
"""What to type, or to do, after what stops the signing of a restored hub."""


@click.command()
@FOLDER
@click.option(
    "--request",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The restore-request.json that the hub's operator brought.",
)
@APPROVER
@KEY_FILE
@PASSPHRASE_FILE
@YES
@click.option("--accept-loss", is_flag=True, help="Sign although statements that this authority has seen are lost.")
@speaks
def restore(
    folder: Path,
    request: Path,
    approver: int,
    key_file: Path | None,
    passphrase_file: Path | None,
    accept_loss: bool,
    yes: bool,
    voice: Voice,
) -> None:
    """Sign what a hub kept when it was restored from a backup.

    The hub's own key cannot rewrite its history; with this it may go on, and every connector learns of it. Make sure
    that the operator asks for it, and that the old hub is stopped for good.
    """
    office = opened(folder)
    with advising(_STEPS):
        facts = read_restore_request(request)
        # Before anything of the file is shown: it is the operator's, and no word in it may look like one of ours.
        office = check_request(office, facts, accept_loss=accept_loss)
        begun = begun_restoration(office, facts, now_ms())
    signed = told_signatures(office, office.quorum, begun, "The last one gives it to the hub's operator.")
    agree([*_told(office, facts), *signed], facts.domain, voice, yes=yes)
    signer = open_approver(office, approver, key_file, passphrase_file)
    with advising(_STEPS):
        path, lacking = sign_restoration(office, facts, signer, now_ms(), accept_loss=accept_loss, shown=Shown(begun))
    line = f"Signed; {lacking} more approver must sign." if lacking else f"{path} is complete."
    voice.data({"statement": str(path), "signatures_lacking": lacking}, [line])
    if lacking:
        voice.say("next:  bring the folder to another approver, who types the same command within 5 days")
    else:
        voice.say("Give it to the hub's operator.\nnext:  throughcare-hub resume --config FILE --statement FILE")


def _told(office: Office, facts: RestoreRequest) -> Iterator[str]:
    """Yield what the restoration does, by the very file that is signed."""
    made, seen = format_time(facts.backup_at), office.facts.seen
    yield f"{facts.domain} was restored from a backup of {made}, and begins generation {facts.generation}."
    for name, log in (("directory", facts.before or facts.directory), ("audit log", facts.audit)):
        yield f"{name}  {_kept(log)}"
        yield f"           whose root is {log.root.hex()[:16]}; what stood behind them ends for every connector"
        if log is facts.before:
            brought, root = facts.directory.size - log.size, facts.directory.root.hex()[:16]
            yield f"           brought back from this folder, of who signs: {brought}; its root is {root} then"
    if seen is not None:
        yield f"The hub has shown {seen.size} statements to this authority, in generation {seen.generation}."
    yield (
        f"What was stated after {made} may not count any more: a device that was revoked since could read again.\n"
        "Ask the operator whether agencies showed what they hold (throughcare witness). What the hub still lacks\n"
        "when it serves, state anew: throughcare authority list shows it; revoke and approve as before."
    )


def _kept(log: KeptLog) -> str:
    if log.known_size == log.size:
        return f"keeps {log.size} leaves; nobody has shown more"
    return f"keeps {log.size} leaves; {log.known_size - log.size} that were signed are lost"

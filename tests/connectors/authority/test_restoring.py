# SPDX-License-Identifier: Apache-2.0
"""What approvers sign after a hub was restored: one for each generation, and after reading what it may undo."""

from contextlib import suppress
from pathlib import Path

import pytest

from connectors.authority.office import Office, Seen
from connectors.authority.restoring import sign_restoration
from keys.signing import HybridSigner
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.restoring import KeptLog, RestoreRequest
from protocol.statements import parse_statement
from tests.connectors.authority.conftest import NOW
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")


def request(generation: int, *, kept: int = 14, domain: str = "hub.example") -> RestoreRequest:
    log = KeptLog(size=kept, root=b"k" * 32, known_size=kept + 2, known_root=b"n" * 32)
    return RestoreRequest(
        domain=domain, generation=generation, backup_at=NOW, signed_until=NOW, directory=log, audit=log
    )


def test_gen_2_two_approvers_sign_one_restoration_of_a_generation_and_no_other(
    office: Office, approvers: list[HybridSigner]
) -> None:
    path, lacking = sign_restoration(office, request(1), approvers[0], NOW)
    assert lacking == 1
    with pytest.raises(Conflict):
        sign_restoration(office, request(1), approvers[0], NOW)
    assert sign_restoration(office, request(1), approvers[1], NOW + 1) == (path, 0)
    signed = path.read_bytes()
    assert parse_statement(signed).body.subject == request(1).subject()
    with pytest.raises(EnrolmentRefused, match="has signed another restoration as generation 1"):
        sign_restoration(office, request(1, kept=13), approvers[2], NOW)
    with pytest.raises(ConfigurationError, match="another domain"):
        sign_restoration(office, request(2, domain="other.example"), approvers[0], NOW)
    assert path.read_bytes() == signed


def test_enr_10_nothing_is_signed_that_loses_what_this_authority_has_seen_itself(
    office: Office, approvers: list[HybridSigner]
) -> None:
    """A backup of before a revocation, restored as if nobody had seen more: the revoked would be in force again."""

    def having_seen(generation: int, size: int, root: bytes = b"s" * 32) -> Office:
        seen = Seen(generation=generation, size=size, root=root)
        return Office(office.folder, office.facts.model_copy(update={"seen": seen}))

    for seen in (
        having_seen(0, 17),  # one more than the 16 that anybody has shown
        having_seen(0, 14),  # another directory than the one that was kept
        having_seen(0, 16),
        having_seen(1, 3),  # the hub serves this generation already
    ):
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(seen, request(1), approvers[0], NOW)
    for seen in (having_seen(0, 17), having_seen(0, 16, b"n" * 32), having_seen(0, 14, b"k" * 32), having_seen(0, 5)):
        with suppress(Conflict):  # signed by this approver before
            sign_restoration(seen, request(1), approvers[0], NOW, accept_loss=True)
    with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
        sign_restoration(having_seen(0, 14), request(1), approvers[1], NOW, accept_loss=True)
    assert sign_restoration(having_seen(0, 16, b"n" * 32), request(1), approvers[1], NOW)[1] == 0


def test_gen_8_an_approver_reads_what_is_lost_and_what_that_may_undo(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "restore-request.json"
    file.write_text(request(7).model_dump_json())
    secret = tmp_path / "approver-1.passphrase"
    secret.touch(mode=0o600)
    secret.write_bytes((office.folder / "passphrases" / "approver-1.passphrase").read_bytes())
    spoken = Typist(capsys)(
        "authority", "restore", office.folder, "--request", file, "--approver", "1", "--passphrase-file", secret
    )
    assert spoken.code == 0, spoken.err
    assert "directory  keeps 14 leaves; 2 that were signed are lost" in spoken.err
    assert "a device that was revoked since could read again" in spoken.err
    assert "throughcare witness" in spoken.err

# SPDX-License-Identifier: Apache-2.0
"""What approvers sign after a hub was restored: one for each generation, and after reading what it may undo."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from connectors.authority.office import Office, Seen, open_office
from connectors.authority.restoring import sign_restoration
from keys.signing import HybridSigner
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.restoring import KeptBefore, KeptLog, RestoreRequest
from protocol.limits import DAY
from protocol.statements import parse_statement
from protocol.tree import CompactRange, leaf_hash
from tests.connectors.authority.conftest import NOW
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")


def request(office: Office, generation: int, *, kept: int = 14, domain: str = "hub.example") -> RestoreRequest:
    log = KeptLog(size=kept, root=b"k" * 32, known_size=kept + 2, known_root=b"n" * 32)
    return RestoreRequest(
        domain=domain, generation=generation, backup_at=NOW, signed_until=NOW, directory=log, audit=log,
        roots=[parse_statement(office.root_file(1).read_bytes()).digest],
        authorities=[parse_statement(office.authority_file.read_bytes()).digest], authority_at=NOW,
    )  # fmt: skip


def brought(office: Office, generation: int) -> RestoreRequest:
    """Ask for a directory of 12 statements, of 13 that are known, with the folder's two behind them."""
    tree = CompactRange()
    tree.extend([leaf_hash(bytes([number])) for number in range(12)])
    before = KeptBefore(
        size=12, root=tree.root, known_size=13, known_root=b"n" * 32, peaks=list(tree.peaks),
        brought=[parse_statement(raw).digest for raw in office.statements()],
    )  # fmt: skip
    tree.extend([leaf_hash(raw) for raw in office.statements()])
    kept = KeptLog(size=14, root=tree.root, known_size=14, known_root=tree.root)
    return request(office, generation).model_copy(update={"before": before, "directory": kept})


def test_gen_2_two_approvers_sign_one_restoration_of_a_generation_and_no_other(
    office: Office, approvers: list[HybridSigner]
) -> None:
    path, lacking = sign_restoration(office, request(office, 1), approvers[0], NOW)
    assert lacking == 1
    with pytest.raises(Conflict):
        sign_restoration(office, request(office, 1), approvers[0], NOW)
    assert sign_restoration(office, request(office, 1), approvers[1], NOW + 1) == (path, 0)
    signed = path.read_bytes()
    assert parse_statement(signed).body.subject == request(office, 1).subject()
    for later in (0, 30 * DAY):
        with pytest.raises(EnrolmentRefused, match="Another restoration of that generation is complete") as told:
            sign_restoration(office, request(office, 1, kept=13), approvers[2], NOW + later)
        assert "go on with 1.statement" in told.value.__notes__[0]
        assert sign_restoration(office, request(office, 1), approvers[2], NOW + later) == (path, 0)
    with pytest.raises(ConfigurationError, match="another domain"):
        sign_restoration(office, request(office, 2, domain="other.example"), approvers[0], NOW)
    assert path.read_bytes() == signed


def test_gen_2_one_that_lacks_signatures_makes_room_once_nobody_can_complete_it(
    office: Office, approvers: list[HybridSigner]
) -> None:
    """Signed for a request that is given up: with a copy of the folder somebody may have completed it within 5 days."""
    wrong, right = request(office, 3, kept=13), request(office, 3)
    path, _ = sign_restoration(office, wrong, approvers[0], NOW)
    for number in (0, 1):
        with pytest.raises(EnrolmentRefused, match="may be completed with another copy") as told:
            sign_restoration(office, right, approvers[number], NOW + 5 * DAY)
        assert "Only if nobody goes on with it: the same command after" in told.value.__notes__[0]
    later = NOW + 5 * DAY + 1
    assert sign_restoration(office, right, approvers[0], later) == (path, 1)
    with pytest.raises(EnrolmentRefused):
        sign_restoration(office, wrong, approvers[1], later)
    assert sign_restoration(office, right, approvers[1], later) == (path, 0)


def test_enr_16_nothing_is_signed_that_the_hub_refuses_since_others_sign_by_now(
    office: Office, approvers: list[HybridSigner]
) -> None:
    right = request(office, 4)
    newer = b"a newer one".ljust(32)
    for wrong, said in (
        (right.model_copy(update={"authorities": [newer]}), "throughcare-hub restore --in-place"),
        (right.model_copy(update={"roots": []}), "--authority root.statement"),
        (right.model_copy(update={"roots": [], "authorities": []}), "--authority authority.statement --authority root"),
        # The hub has a later statement than this folder, and lacks this one's own: to bring that would not help.
        (right.model_copy(update={"authorities": [newer], "authority_at": NOW + 1}), "with the newest folder"),
        (right.model_copy(update={"authorities": [], "roots": [*right.roots, newer]}), "with the newest folder"),
        (right.model_copy(update={"authorities": [*right.authorities, newer]}), "with the newest folder"),
        (right.model_copy(update={"roots": [*right.roots, newer]}), "with the newest folder"),
        (right.model_copy(update={"roots": [], "authorities": right.roots + right.authorities}), "the newest folder"),
    ):
        with pytest.raises(Conflict, match="Nothing was signed") as told:
            sign_restoration(office, wrong, approvers[0], NOW)
        assert said in told.value.__notes__[0]
    assert not (office.folder / "restorations" / "4.statement").exists()


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
            sign_restoration(seen, request(office, 1), approvers[0], NOW)
    back = brought(office, 8)
    assert back.before is not None
    for size in (12, 13, 14):  # the last of them as large as what was kept and brought back, with another root
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(having_seen(7, size), back, approvers[0], NOW)
    assert sign_restoration(having_seen(7, 12, back.before.root), back, approvers[0], NOW)[1] == 1
    assert sign_restoration(having_seen(7, 13, b"n" * 32), back, approvers[1], NOW)[1] == 0
    assert sign_restoration(having_seen(7, 14, back.directory.root), back, approvers[1], NOW)[1] == 0
    for seen in (having_seen(0, 17), having_seen(0, 16, b"n" * 32), having_seen(0, 14, b"k" * 32), having_seen(0, 5)):
        with suppress(Conflict):  # signed by this approver before
            sign_restoration(seen, request(office, 1), approvers[0], NOW, accept_loss=True)
    with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
        sign_restoration(having_seen(0, 14), request(office, 1), approvers[1], NOW, accept_loss=True)
    assert sign_restoration(having_seen(0, 16, b"n" * 32), request(office, 1), approvers[1], NOW)[1] == 0


def test_enr_10_what_is_said_to_be_the_directory_before_is_followed_to_what_is_signed(
    office: Office, approvers: list[HybridSigner]
) -> None:
    """An operator shows the directory that the folder has seen, and asks for one that lacks what stood in it."""
    honest = brought(office, 9)
    before = honest.before
    assert before is not None
    all_seen = CompactRange()
    all_seen.extend([leaf_hash(bytes([number])) for number in range(100)])
    padded = all_seen.copy()
    padded.extend([leaf_hash(raw) for raw in office.statements()])
    told = before.model_copy(
        update={"size": 100, "root": all_seen.root, "known_size": 100, "known_root": all_seen.root}
    )
    told = told.model_copy(update={"peaks": list(all_seen.peaks)})
    longer = honest.directory.model_copy(update={"size": 102, "known_size": 102})
    ours = [parse_statement(raw).digest for raw in office.statements()]
    seen = Seen(generation=8, size=100, root=all_seen.root)
    office = Office(office.folder, office.facts.model_copy(update={"seen": seen}))
    for changes in (
        {"before": told},  # 90 statements fewer than it says were there before
        {"before": told.model_copy(update={"brought": []})},
        {"before": told.model_copy(update={"peaks": before.peaks})},
        {"before": told.model_copy(update={"size": 12, "peaks": before.peaks})},
        {"before": told, "directory": longer},  # padded to a size that fits
        {"before": told.model_copy(update={"brought": ours[:1]}), "directory": longer},
        {"before": told.model_copy(update={"brought": ours[::-1]}), "directory": longer},
        {"before": told.model_copy(update={"known_size": 99}), "directory": longer},
        {"before": None},
        {},
    ):
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(office, honest.model_copy(update=changes), approvers[0], NOW)
    stranger = told.model_copy(update={"brought": [*ours, b"s" * 32]})
    with pytest.raises(Conflict, match="this folder lacks") as refused:
        sign_restoration(office, honest.model_copy(update={"before": stranger}), approvers[0], NOW, accept_loss=True)
    assert "with the newest folder of this authority; if this is it, have" in refused.value.__notes__[0]
    assert not (office.folder / "restorations" / "9.statement").exists()
    right = longer.model_copy(update={"root": padded.root, "known_root": padded.root})
    whole = honest.model_copy(update={"before": told, "directory": right})
    assert sign_restoration(office, whole, approvers[0], NOW)[1] == 1


def test_enr_16_a_folder_that_cannot_say_who_signs_signs_nothing(
    office: Office, approvers: list[HybridSigner], tmp_path: Path
) -> None:
    right, own = request(office, 11), open_office(Path(shutil.copytree(office.folder, tmp_path / "authority")))
    for damage in (lambda path: path.write_bytes(b"damaged"), Path.unlink):
        damage(own.authority_file)
        with pytest.raises(ConfigurationError, match="is damaged or missing") as told:
            sign_restoration(own, right, approvers[0], NOW)
        assert "put authority.statement into" in told.value.__notes__[0]


def test_gen_8_an_approver_reads_what_is_lost_and_what_that_may_undo(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "restore-request.json"
    file.write_text(request(office, 7).model_dump_json())
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

# SPDX-License-Identifier: Apache-2.0
"""What approvers sign after a hub was restored: one for each generation, and after reading what it may undo."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.authority.office import Office, Seen, open_office
from connectors.authority.restoring import check_request, sign_restoration
from keys.signing import HybridSigner
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.restoring import KeptBefore, KeptLog, RestoreRequest
from protocol.limits import DAY
from protocol.statements import parse_statement
from protocol.tree import leaf_hash, root_of
from tests.connectors.authority.conftest import NOW
from tests.scenarios.running import Typist

pytestmark = pytest.mark.usefixtures("quick_keys")


LEAVES = [leaf_hash(bytes([number])) for number in range(100)]
"""Of the directory that this authority's hub has shown."""


def request(office: Office, generation: int, *, kept: int = 14, domain: str = "hub.example") -> RestoreRequest:
    log = KeptLog(size=kept, root=root_of(LEAVES[:kept]), known_size=kept + 2, known_root=b"n" * 32)
    return RestoreRequest(
        domain=domain, generation=generation, backup_at=NOW, signed_until=NOW, directory=log, audit=log,
        leaves=LEAVES[:kept],
        roots=[parse_statement(office.root_file(1).read_bytes()).digest],
        authorities=[parse_statement(office.authority_file.read_bytes()).digest], authority_at=NOW,
    )  # fmt: skip


def brought(office: Office, generation: int) -> RestoreRequest:
    """Ask for a directory of 12 statements, of 13 that are known, with the folder's two behind them."""
    before = KeptBefore(
        size=12, root=root_of(LEAVES[:12]), known_size=13, known_root=b"n" * 32,
        brought=[parse_statement(raw).digest for raw in office.statements()],
    )  # fmt: skip
    return with_leaves(request(office, generation), [*LEAVES[:12], *own(office)]).model_copy(update={"before": before})


def own(office: Office) -> list[bytes]:
    return [leaf_hash(raw) for raw in office.statements()]


def with_leaves(asked: RestoreRequest, leaves: list[bytes], *, lost: int = 0) -> RestoreRequest:
    """Ask for these leaves, of so many more that are known."""
    size, root = len(leaves), root_of(leaves)
    kept = KeptLog(size=size, root=root, known_size=size + lost, known_root=b"n" * 32 if lost else root)
    return asked.model_copy(update={"leaves": leaves, "directory": kept})


def having_seen(office: Office, generation: int, size: int, root: bytes | None = None) -> Office:
    """Return the office that was shown so many statements."""
    seen = Seen(generation=generation, size=size, root=root or root_of(LEAVES[:size]))
    return Office(office.folder, office.facts.model_copy(update={"seen": seen}))


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
    for seen in (
        having_seen(office, 0, 17),  # one more than the 16 that anybody has shown
        having_seen(office, 0, 14, b"s" * 32),  # another directory than the one that was kept
        having_seen(office, 0, 16),
        having_seen(office, 1, 3),  # the hub serves this generation already
    ):
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(seen, request(office, 1), approvers[0], NOW)
    back = brought(office, 8)
    assert back.before is not None
    for size in (12, 13, 14):  # the last of them as large as what was kept and brought back, with another root
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(having_seen(office, 7, size, b"s" * 32), back, approvers[0], NOW)
    assert sign_restoration(having_seen(office, 7, 12), back, approvers[0], NOW)[1] == 1
    assert sign_restoration(having_seen(office, 7, 13, b"n" * 32), back, approvers[1], NOW)[1] == 0
    assert sign_restoration(having_seen(office, 7, 13, root_of(back.leaves[:13])), back, approvers[1], NOW)[1] == 0
    assert sign_restoration(having_seen(office, 7, 14, back.directory.root), back, approvers[1], NOW)[1] == 0
    for seen in (
        having_seen(office, 0, 17),
        having_seen(office, 0, 16, b"n" * 32),
        having_seen(office, 0, 14),
        having_seen(office, 0, 5),
    ):
        with suppress(Conflict):  # signed by this approver before
            sign_restoration(seen, request(office, 1), approvers[0], NOW, accept_loss=True)
    with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
        sign_restoration(having_seen(office, 0, 14, b"s" * 32), request(office, 1), approvers[1], NOW, accept_loss=True)
    assert sign_restoration(having_seen(office, 0, 16, b"n" * 32), request(office, 1), approvers[1], NOW)[1] == 0


@given(kept=st.integers(0, 40), padding=st.integers(0, 40), shown=st.integers(1, 60), lost=st.integers(0, 3))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_enr_10_a_shortened_directory_that_was_made_longer_again_is_not_signed(
    office: Office, kept: int, padding: int, shown: int, lost: int
) -> None:
    """An operator cuts off a revocation, and pads what is left with statements that are right."""
    asked = with_leaves(request(office, 5), [*LEAVES[:kept], *[b"p" * 32] * padding], lost=lost)
    seen = having_seen(office, 4, shown)
    if shown <= kept:
        assert check_request(seen, asked, accept_loss=False) == seen
    elif shown <= kept + padding:
        for accept_loss in (False, True):
            with pytest.raises(EnrolmentRefused, match="showed another directory") as told:
                check_request(seen, asked, accept_loss=accept_loss)
            assert "only a restore from another backup" in told.value.__notes__[0]


def test_enr_10_leaves_that_are_not_those_of_what_is_signed_show_nothing(
    office: Office, approvers: list[HybridSigner]
) -> None:
    """An operator shows the leaves that the folder has seen, and has others signed."""
    seen, asked = having_seen(office, 5, 14), request(office, 6)
    other = with_leaves(asked, [*LEAVES[:12], b"p" * 32, b"q" * 32])
    for wrong in (
        other.model_copy(update={"leaves": LEAVES[:14]}),
        other.model_copy(update={"leaves": LEAVES[:15]}),
        other.model_copy(update={"leaves": [*other.leaves, b"r" * 32]}),
        asked.model_copy(update={"leaves": LEAVES[:13]}),
        asked.model_copy(update={"leaves": []}),
    ):
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(seen, wrong, approvers[0], NOW, accept_loss=True)
    assert not (office.folder / "restorations" / "6.statement").exists()


def test_enr_10_what_is_said_to_be_the_directory_before_is_followed_to_what_is_signed(
    office: Office, approvers: list[HybridSigner]
) -> None:
    """An operator shows the directory that the folder has seen, and asks for one that lacks what stood in it."""
    honest = brought(office, 9)
    before = honest.before
    assert before is not None
    root = root_of(LEAVES)
    told = before.model_copy(update={"size": 100, "root": root, "known_size": 100, "known_root": root})
    padded = with_leaves(honest, [*LEAVES[:12], *[b"p" * 32] * 88, *own(office)])  # to a size that fits
    other = with_leaves(honest, [*LEAVES, *own(office)[:1], b"p" * 32])
    whole = with_leaves(honest, [*LEAVES, *own(office)])
    ours = [parse_statement(raw).digest for raw in office.statements()]
    office = having_seen(office, 8, 100)
    for asked, said in (
        (honest, told),  # 90 statements fewer than it says were there before
        (honest, told.model_copy(update={"brought": []})),
        (honest, told.model_copy(update={"size": 12})),
        (honest, before),
        (honest, None),
        (padded, told),
        (padded, None),
        (padded.model_copy(update={"leaves": whole.leaves}), told),
        (other, told),
        (whole, told.model_copy(update={"brought": ours[:1]})),
        (whole, told.model_copy(update={"brought": ours[::-1]})),
        (whole, told.model_copy(update={"known_size": 99})),
        (whole, told.model_copy(update={"size": 101})),
    ):
        with pytest.raises(EnrolmentRefused, match="Nothing was signed"):
            sign_restoration(office, asked.model_copy(update={"before": said}), approvers[0], NOW)
    stranger = told.model_copy(update={"brought": [*ours, b"s" * 32]})
    with pytest.raises(Conflict, match="this folder lacks") as refused:
        sign_restoration(office, honest.model_copy(update={"before": stranger}), approvers[0], NOW, accept_loss=True)
    assert "with the newest folder of this authority; if this is it, have" in refused.value.__notes__[0]
    assert not (office.folder / "restorations" / "9.statement").exists()
    assert sign_restoration(office, whole.model_copy(update={"before": told}), approvers[0], NOW)[1] == 1


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
    assert "next:  bring the folder to another approver" in spoken.err

# SPDX-License-Identifier: Apache-2.0
"""What an approver signs, and what is never signed, published or listed (ENR-4, ENR-5, ENR-7)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.authority import approval, invitation
from connectors.authority.office import Office
from connectors.authority.turns import BEGUN_WITHIN
from connectors.cli import authority as authority_commands
from connectors.enrolment import application
from connectors.enrolment.publication import PUBLISHED_WITHIN, make_publication, renew_publication
from connectors.enrolment.visit import DIRECT
from keys.directory import Directory
from keys.privatefile import write_private
from keys.sealedfile import SMALL
from keys.signing import HybridSigner, sign_statement
from protocol.enrolment import EnrolmentCode
from protocol.errors import Conflict, EnrolmentRefused, NotFound
from protocol.http.hub import KeyRequestView
from protocol.ids import CodeId
from protocol.limits import DAY, MINUTE
from protocol.statements import encode_statement, parse_statement
from tests.connectors.authority.conftest import NOW, checked

pytestmark = pytest.mark.usefixtures("quick_keys")


def test_enr_4_other_words_sign_nothing(
    office: Office, code: EnrolmentCode, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    words = list(applied.words)
    spoken = " ".join([*words[:7], "zebra" if words[7] != "zebra" else "zoo"])
    for said in (spoken, "", " ".join(words[:7]), " ".join(reversed(words))):
        with pytest.raises(EnrolmentRefused):
            approval.approve(office, checked(code, applied.request), approvers[0], said, NOW)
    assert not office.approval_file("reka-probation").exists()


def test_enr_5_two_different_approvers_make_a_certificate(
    office: Office, code: EnrolmentCode, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    request = checked(code, applied.request)
    spoken = ", ".join(word.upper() for word in applied.words)
    half = approval.approve(office, request, approvers[0], spoken, NOW)
    assert half.lacking == 1
    with pytest.raises(Conflict):
        approval.approve(office, request, approvers[0], spoken, NOW)
    turn = approval.approve(office, request, approvers[2], spoken, NOW + 1)
    whole = turn.raw
    assert (turn.lacking, turn.anew) == (0, False)
    assert parse_statement(half.raw).body_bytes == parse_statement(whole).body_bytes
    for approver in approvers:
        # It may never have been published, so whoever types the command again gets it as it is.
        assert approval.approve(office, request, approver, spoken, NOW + 2) == turn
    directory = Directory(office.facts.root_fingerprint, "hub.example")
    for raw in office.statements():
        directory.apply(raw)
    directory.apply(whole)
    entry = directory.agency(code.terms.agency, NOW)
    assert entry is not None
    assert entry.identity == applied.agency.public
    approval.conclude(office, request, whole)
    assert not office.code_file("reka-probation").exists()
    assert list(office.codes()) == []


def test_enr_5_a_signature_for_other_keys_is_not_built_upon(
    office: Office, code: EnrolmentCode, approvers: list[HybridSigner], tmp_path: Path
) -> None:
    """Between two approvals the hub shows another key request: the first signature does not count for it."""
    first = application.begin(code, tmp_path / "one", b"p", SMALL)
    second = application.begin(code, tmp_path / "two", b"p", SMALL)
    approval.approve(office, checked(code, first.request), approvers[0], " ".join(first.words), NOW)
    turn = approval.approve(office, checked(code, second.request), approvers[1], " ".join(second.words), NOW)
    assert (turn.lacking, turn.anew) == (1, True)
    assert len(parse_statement(turn.raw).signatures) == 1


@pytest.mark.parametrize("case", ["years", "from the beginning", "ahead", "a forged signature", "a stranger's"])
def test_enr_7_an_approver_signs_nothing_that_another_has_prepared_otherwise(
    case: str,
    office: Office,
    code: EnrolmentCode,
    applied: application.Application,
    approvers: list[HybridSigner],
) -> None:
    """The first approver, or whoever reaches the folder, leaves a statement for the second to complete."""
    request = checked(code, applied.request)
    spoken = " ".join(applied.words)
    good = parse_statement(approval.approve(office, request, approvers[0], spoken, NOW).raw)
    (signature,) = good.signatures
    bodies = {
        "years": replace(good.body, not_after=NOW + 3000 * 366 * DAY),
        "from the beginning": replace(good.body, not_before=0),
        "ahead": replace(
            good.body,
            issued=NOW + DAY,
            not_before=good.body.not_before + DAY,
            not_after=good.body.not_after + DAY,
        ),
    }
    if case in bodies:
        evil = sign_statement(bodies[case], approvers[:1])
    elif case == "a stranger's":
        evil = sign_statement(good.body, [HybridSigner.generate()])
    else:
        evil = encode_statement(good.body_bytes, [replace(signature, ed25519=bytes(64))])
    path = office.approval_file("reka-probation")
    write_private(path, evil)
    with pytest.raises(EnrolmentRefused):
        approval.approve(office, request, approvers[1], spoken, NOW)
    assert path.read_bytes() == evil


def test_enr_7_an_approval_that_waited_too_long_is_begun_anew(
    office: Office, code: EnrolmentCode, applied: application.Application, approvers: list[HybridSigner]
) -> None:
    """The log takes nothing that is dated over seven days before it (DIR-14); five days are left to the second."""
    request, spoken = checked(code, applied.request), " ".join(applied.words)
    approval.approve(office, request, approvers[0], spoken, NOW)
    late = NOW + BEGUN_WITHIN + 1
    turn = approval.approve(office, request, approvers[1], spoken, late)
    assert (parse_statement(turn.raw).body.issued, turn.lacking, turn.anew) == (late, 1, True)
    assert approval.approve(office, request, approvers[0], spoken, late + BEGUN_WITHIN).lacking == 0


def test_dir_14_what_was_not_published_in_time_is_signed_anew(
    code: EnrolmentCode, applied: application.Application
) -> None:
    """An enrolment that was interrupted for weeks between two statements."""
    agency, device = applied.agency, applied.device
    made = make_publication(code.terms, agency, device, applied.keystore, officers=["Coordinator"], now=NOW)
    soon = NOW + PUBLISHED_WITHIN - 1
    assert renew_publication(made, lambda _: False, agency, device, now=soon) == made
    late = NOW + 30 * DAY
    assert renew_publication(made, lambda _: True, agency, device, now=late) == made
    first = made.statements[0]
    again = renew_publication(made, lambda raw: raw == first, agency, device, now=late)
    before, after = ([parse_statement(raw) for raw in one.statements] for one in (made, again))
    assert again.statements[0] == first
    assert [one.body.subject for one in after] == [one.body.subject for one in before]
    assert [one.body.issued for one in after] == [NOW, late, late, late]
    assert [actor.delegation for actor in again.actors] == [one.digest for one in after[1:3]]


def test_dir_14_what_was_signed_while_the_clock_was_ahead_is_signed_anew(
    code: EnrolmentCode, applied: application.Application
) -> None:
    """The log takes nothing that is dated over ten minutes ahead of it."""
    agency, device = applied.agency, applied.device
    made = make_publication(code.terms, agency, device, applied.keystore, officers=(), now=NOW)
    right = NOW - 11 * MINUTE
    assert renew_publication(made, lambda _: True, agency, device, now=right) == made
    again = renew_publication(made, lambda _: False, agency, device, now=right)
    assert [parse_statement(raw).body.issued for raw in again.statements] == [right] * 3


async def test_enr_3_one_bad_request_does_not_hide_the_others(
    office: Office, code: EnrolmentCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub holds under one code was not made with it; the other codes are listed all the same."""
    other = invitation.make_code(
        office,
        agency="zeta-ngo",
        name="Zeta",
        kind="ngo",
        desks=(("intake", "ngo"),),
        expires=NOW + DAY,
        directory_size=2,
    )
    invitation.keep_code(office, other, replace=True)

    class Hub:
        async def key_request(self, code_id: CodeId) -> KeyRequestView:
            if code_id == code.code_id:
                return KeyRequestView(request=b"x", mac=bytes(32), received_at=NOW)
            raise NotFound

    @asynccontextmanager
    async def at_hub_of(*_: object) -> AsyncIterator[Hub]:
        yield Hub()

    monkeypatch.setattr(authority_commands, "at_hub_of", at_hub_of)
    monkeypatch.setattr(authority_commands, "now_ms", lambda: NOW)
    found = {
        one.terms.agency: (state, words) for one, state, words in await authority_commands._pending(office, DIRECT)
    }
    assert found[other.terms.agency] == ("not used yet", ())
    state, words = found[code.terms.agency]
    assert "make a new code" in state
    assert words == ()
    office.code_file("zeta-ngo").unlink()

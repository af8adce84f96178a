# SPDX-License-Identifier: Apache-2.0
"""An exchange was published when the hub died, and its answer was lost: who left signs no restore to before it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.authority.office import Office, open_office
from connectors.authority.restoring import sign_restoration
from connectors.authority.turns import body_of
from connectors.enrolment.passphrases import passphrase_in
from keys.signing import HybridSigner, sign_statement
from protocol.errors import Conflict, KeystoreError
from protocol.limits import DAY, HOUR
from protocol.statements import Authority, Root, parse_statement
from tests.connectors.authority.conftest import NOW
from tests.connectors.authority.test_restoring import request
from tests.keys.world import identity

pytestmark = pytest.mark.usefixtures("quick_keys")

NEW = identity("newcomer")
LATER = NOW + 2 * DAY


@pytest.fixture
def own(office: Office, tmp_path: Path) -> Office:
    """Give a folder that the test may write into."""
    return open_office(Path(shutil.copytree(office.folder, tmp_path / "authority")))


@pytest.fixture
def person(office: Office) -> HybridSigner:
    return office.root_person(1, passphrase_in(office.folder / "passphrases", "root-1"))


def exchanged(office: Office) -> Authority:
    found = parse_statement(office.authority_file.read_bytes()).body.subject
    assert isinstance(found, Authority)
    first, _, third = found.identities
    return replace(found, identities=(first, NEW.public, third))


def complete(office: Office, person: HybridSigner, issued: int = LATER) -> bytes:
    """Put the exchange of approver 2 where its last signature left it; return it."""
    raw = sign_statement(body_of(exchanged(office), issued), [person])
    office.exchange_file("approver-2").write_bytes(raw)
    return raw


def test_enr_16_an_exchange_that_may_be_published_is_brought_to_the_hub_first(
    own: Office, person: HybridSigner, approvers: list[HybridSigner]
) -> None:
    raw, asked = complete(own, person), request(own, 1)
    filed = own.authority_file.read_bytes()
    for one in approvers[:2]:
        with pytest.raises(Conflict, match="Nothing was signed") as told:
            sign_restoration(own, asked, one, LATER + HOUR)
        assert "--authority exchanges/approver-2.statement" in told.value.__notes__[0]
    assert own.authority_file.read_bytes() == filed, "nobody has shown that the hub has it"
    brought = asked.model_copy(update={"authorities": [*asked.authorities, parse_statement(raw).digest]})
    with pytest.raises(KeystoreError):
        sign_restoration(own, brought, approvers[1], LATER + HOUR)
    assert sign_restoration(own, brought, approvers[0], LATER + HOUR)[1] == 1
    assert sign_restoration(open_office(own.folder), brought, NEW, LATER + HOUR)[1] == 0
    assert own.authority_file.read_bytes() == raw
    assert open_office(own.folder).facts.approvers[1] == NEW.key_id


def test_enr_16_a_newer_root_and_what_its_newcomer_has_signed_are_brought_too(
    own: Office, person: HybridSigner, approvers: list[HybridSigner]
) -> None:
    newcomer = identity("newcomer to the root")
    root = body_of(Root(2, 1, (newcomer.public,), "Test programme"), LATER)
    own.exchange_file("root-1").write_bytes(sign_statement(root, [person, newcomer]))
    raw = complete(own, newcomer, LATER + HOUR)
    with pytest.raises(Conflict) as told:
        sign_restoration(own, request(own, 1), approvers[0], LATER + DAY)
    assert "exchanges/approver-2.statement --authority exchanges/root-1.statement;" in told.value.__notes__[0]
    digests = [parse_statement(one).digest for one in (own.exchange_file("root-1").read_bytes(), raw)]
    asked = request(own, 1)
    asked = asked.model_copy(update={"roots": [*asked.roots, digests[0]], "authorities": digests[1:]})
    assert sign_restoration(own, asked, approvers[0], LATER + DAY)[1] == 1
    found = open_office(own.folder)
    assert found.facts.root_persons == (newcomer.key_id,)
    assert found.statements()[1:] == (own.exchange_file("root-1").read_bytes(), raw)


def test_enr_16_what_the_root_has_not_signed_or_was_given_up_long_ago_binds_nobody(
    own: Office, person: HybridSigner, approvers: list[HybridSigner]
) -> None:
    """Whoever can write into the folder, or give a request to it, exchanges nobody by that."""
    subject, path, asked = exchanged(own), own.exchange_file("approver-2"), request(own, 1)
    asked = asked.model_copy(update={"backup_at": LATER})
    for raw in (
        b"x",
        sign_statement(body_of(subject, LATER), [NEW]),
        sign_statement(body_of(subject, LATER), approvers[:2]),
        sign_statement(body_of(replace(subject, domain="other.example"), LATER), [person]),
        sign_statement(body_of(Root(2, 1, (NEW.public,), "Test programme"), LATER), [NEW]),
        sign_statement(body_of(subject, NOW - HOUR), [person]),  # older than what is filed
        sign_statement(body_of(subject, LATER - 6 * DAY), [person]),  # too old to be published after the backup
    ):
        path.write_bytes(raw)
        if raw != b"x":
            forged = asked.model_copy(update={"authorities": [*asked.authorities, parse_statement(raw).digest]})
            with pytest.raises(Conflict, match="old copy"):
                sign_restoration(own, forged, approvers[0], LATER)
        assert open_office(own.folder).facts == own.facts
    assert sign_restoration(own, asked, approvers[1], LATER)[1] == 1

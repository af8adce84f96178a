# SPDX-License-Identifier: Apache-2.0
"""An authority with three approvers, a code that is out, and an application made with it."""

from pathlib import Path

import pytest

from connectors.authority import approval, invitation
from connectors.authority.founding import create_office
from connectors.authority.office import HubFacts, Log, Office
from connectors.enrolment import application
from connectors.enrolment.passphrases import passphrase_in
from keys.sealedfile import SMALL
from keys.signing import Ed25519Signer, HybridSigner
from protocol.enrolment import EnrolmentCode, request_mac
from protocol.ids import KeyId
from protocol.limits import DAY

NOW = 1_795_000_000_000


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("authority")
    made = create_office(
        folder,
        programme="Test programme",
        jurisdiction="Test",
        domain="hub.example",
        root_persons=1,
        approvers=3,
        passphrase_of=lambda name: passphrase_in(folder / "passphrases", name),
        now=NOW,
    )
    return made.connect(
        HubFacts(
            domain="hub.example",
            url="http://localhost:8440",
            directory=Log(origin="hub.example/directory", key=KeyId(Ed25519Signer.from_seed(b"d" * 32).public)),
            audit=Log(origin="hub.example/audit", key=KeyId(Ed25519Signer.from_seed(b"a" * 32).public)),
        )
    )


@pytest.fixture(scope="module")
def approvers(office: Office) -> list[HybridSigner]:
    return [office.approver(n, passphrase_in(office.folder / "passphrases", f"approver-{n}")) for n in (1, 2, 3)]


@pytest.fixture
def code(office: Office) -> EnrolmentCode:
    made = invitation.make_code(
        office,
        agency="reka-probation",
        name="Reka Probation Office",
        kind="probation",
        desks=(("intake", "probation-intake"),),
        expires=NOW + DAY,
        directory_size=2,
    )
    invitation.keep_code(office, made, replace=True)
    return made


@pytest.fixture
def applied(code: EnrolmentCode, tmp_path: Path) -> application.Application:
    return application.begin(code, tmp_path / "reka", b"a passphrase", SMALL)


def checked(code: EnrolmentCode, request: bytes, received_at: int = NOW) -> approval.CheckedRequest:
    return approval.check_request(code, request, request_mac(code.secret, request), received_at)

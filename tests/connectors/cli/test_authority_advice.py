# SPDX-License-Identifier: Apache-2.0
"""What an authority's people are told to do next where something is wrong: never to sign what they have not checked."""

from pathlib import Path

import pytest

from connectors.authority.founding import create_office
from connectors.authority.office import Office
from connectors.cli import main
from connectors.enrolment.passphrases import passphrase_in, passphrase_path
from tests.connectors.authority.conftest import NOW, office
from tests.connectors.authority.test_restoring import request

__all__ = ["office"]

pytestmark = pytest.mark.usefixtures("quick_keys")

Capture = pytest.CaptureFixture[str]


def told(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Type a command of an authority; return its exit code, why it failed, and the `next:` line."""
    status = main(["authority", *(str(one) for one in arguments)])
    why, _, step = capsys.readouterr().err.rpartition("next:  ")
    return status, why, step.strip()


def test_an_authority_that_knows_no_hub_yet_is_told_to_publish_and_no_second_thing(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "authority"
    create_office(
        folder, programme="P", jurisdiction="J", domain="hub.example", root_persons=1, approvers=2,
        passphrase_of=lambda name: passphrase_in(folder / "passphrases", name), now=NOW,
    )  # fmt: skip
    (file := tmp_path / "evidence").write_bytes(b"")
    for words in (["list", folder], ["pending", folder], ["check", folder, file]):
        status, why, step = told(capsys, *words)
        assert (status, step) == (3, f"throughcare authority publish {folder} --hub hub-public.json")
        assert "throughcare" not in why, "one order, not two that contradict each other"


def test_gen_2_what_stops_the_signing_of_a_restored_hub_leads_to_people_and_never_to_a_new_code(
    office: Office, tmp_path: Path, capsys: Capture
) -> None:
    folder, file = office.folder, tmp_path / "restore-request.json"

    def signs(number: int, *, kept: int = 14, domain: str = "hub.example") -> tuple[int, str]:
        file.write_text(request(office, 9, kept=kept, domain=domain).model_dump_json(), encoding="utf-8")
        secret = passphrase_path(folder / "passphrases", f"approver-{number}")
        own = ("--approver", number, "--passphrase-file", secret)
        status, _, step = told(capsys, "restore", folder, "--request", file, *own)
        return status, step

    assert signs(1)[0] == 0
    assert signs(1) == (6, "the same command by another approver: --approver NUMBER")
    status, step = signs(2, kept=13)
    assert (status, step.startswith("sign nothing; call the hub's operator and the other approvers")) == (4, True)
    status, step = signs(2, domain="other.example")
    assert (status, step) == (3, "the same command with the restore-request.json that throughcare-hub restore wrote")
    file.write_text("{}")
    status, _, step = told(capsys, "restore", folder, "--request", file, "--approver", 2)
    assert (status, "restore-request.json" in step) == (3, True)
    assert signs(2)[0] == 0

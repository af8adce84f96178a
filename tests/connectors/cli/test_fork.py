# SPDX-License-Identifier: Apache-2.0
"""A connector whose hub contradicted itself: the proof is taken out, and sealing begins again, by typed commands."""

import asyncio
import json
from pathlib import Path

import pytest

from connectors import fork
from connectors.authority.office import HubFacts, OfficeFacts
from connectors.cli import main
from connectors.installation import open_installation
from connectors.store import facts
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, Store
from connectors.store.lock import InstallationLock
from connectors.vault import Vault
from keys.signing import Ed25519Signer, sign_head
from protocol.contradiction import Contradiction, Form, encode_file, parse_file
from protocol.receipts import Head
from tests.connectors.stations import PASSPHRASE, install
from tests.hub.running import KEYS
from tests.programme import make_programme

_HEAD = Head("hub.example/directory", 7, b"\7" * 32, 1_795_420_000_000)


async def _keep(folder: Path, raw: bytes) -> None:
    store = await Store.open(folder / DATABASE_FILE, Vault(open_installation(folder, PASSPHRASE).storage_key))
    async with store.write() as tx:
        await fork.keep(tx, Form.HEAD, raw, 1_795_420_000_001, stops=True)
    await store.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    programme = make_programme()
    install(tmp_path, programme.members["gora-prison"], programme, "http://localhost:1")
    (tmp_path / "passphrase").write_bytes(PASSPHRASE + b"\n\n")
    (tmp_path / "passphrase").chmod(0o600)
    file = tmp_path / "connector.toml"
    file.write_text('[connector]\ndata_dir = "."\npassphrase_file = "passphrase"\nprofile = "demo"\nport = 0\n')
    return file


def test_dir_19_the_evidence_is_written_and_dismissed_by_the_agencys_name_and_stays(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = sign_head(_HEAD, Ed25519Signer.from_seed(b"\1" * 32))
    asyncio.run(_keep(config.parent, raw))
    target = config.parent / "proof"
    assert main(["directory", "evidence", str(target), "--config", str(config), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["items"]
    assert (told["root"], told["dismissed_at"]) == (_HEAD.root.hex(), None)
    domain, (kept,) = parse_file(target.read_bytes())
    assert (domain, kept.form, kept.signed) == ("hub.example", Form.HEAD, raw)
    target.write_bytes(b"something else")
    assert main(["directory", "evidence", str(target), "--config", str(config)]) == 6
    assert target.read_bytes() == b"something else"
    assert main(["directory", "evidence", str(target), "--config", str(config), "--replace", "--quiet"]) == 0
    assert parse_file(target.read_bytes())[1] == [kept]
    capsys.readouterr()
    assert main(["directory", "dismiss", "reka-probation", "--config", str(config)]) == 4
    assert main(["directory", "dismiss", "gora-prison", "--config", str(config)]) == 0
    assert "fork-dismissed" in capsys.readouterr().err
    assert main(["directory", "dismiss", "gora-prison", "--config", str(config)]) == 5
    # What was dismissed stays, and says when it was.
    assert main(["directory", "evidence", str(target), "--config", str(config), "--replace", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["items"]
    assert (told["root"], told["dismissed_at"] is not None) == (_HEAD.root.hex(), True)


def test_what_a_version_before_kept_stops_sealing_and_is_evidence_too(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = sign_head(_HEAD, Ed25519Signer.from_seed(b"\1" * 32))

    async def keep_as_before() -> None:
        folder = config.parent
        store = await Store.open(folder / DATABASE_FILE, Vault(open_installation(folder, PASSPHRASE).storage_key))
        async with store.write() as tx:
            await facts.put(tx, "directory-fork", raw)
            assert await fork.is_kept(tx)
        await store.close()

    asyncio.run(keep_as_before())
    target = config.parent / "proof"
    for _ in ("kept", "dismissed"):
        assert main(["directory", "evidence", str(target), "--config", str(config), "--replace"]) == 0
        assert [one.signed for one in parse_file(target.read_bytes())[1]] == [raw]
        main(["directory", "dismiss", "gora-prison", "--config", str(config)])
    assert main(["directory", "dismiss", "gora-prison", "--config", str(config)]) == 5


def test_an_agency_without_evidence_is_told_so(config: Path) -> None:
    for command in ("dismiss", "evidence"):
        assert main(["directory", command, "gora-prison", "--config", str(config)]) == 5


def test_a_running_connectors_contradiction_is_not_dismissed_under_it(config: Path) -> None:
    with InstallationLock(config.parent / LOCK_FILE):
        assert main(["directory", "dismiss", "gora-prison", "--config", str(config)]) == 6


def test_a_damaged_store_is_told_with_its_own_exit_code(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / DATABASE_FILE).write_bytes(b"no database at all" * 1_000)
    (config.parent / DATABASE_FILE).chmod(0o600)
    assert main(["directory", "evidence", "proof", "--config", str(config)]) == 8
    assert main(["connector", "run", "--config", str(config)]) == 8
    assert "Restore the newest backup" in capsys.readouterr().err


def test_a_connector_without_its_folder_is_sent_to_enrolment(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace('"."', '"elsewhere"'))
    assert main(["connector", "run", "--config", str(config)]) == 3
    assert "Enrol first" in capsys.readouterr().err


def test_dir_19_a_file_that_proves_nothing_or_is_of_another_hub_is_told_so(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.parent / "evidence"
    for raw, verdict in (
        (sign_head(_HEAD, Ed25519Signer.from_seed(b"\1" * 32)), "not-signed-by-this-hub"),
        (sign_head(_HEAD, KEYS.directory), "nothing"),
    ):
        file.write_bytes(encode_file("hub.example", [Contradiction(Form.HEAD, raw, None, b"", (), 5)]))
        assert main(["directory", "check", str(file), "--config", str(config), "--json"]) == 1
        out = capsys.readouterr()
        assert [one["verdict"] for one in json.loads(out.out)["items"]] == [verdict]
        assert "nothing in this file proves" in out.err
        assert main(["directory", "check", str(file), "--config", str(config)]) == 1
        capsys.readouterr()
    file.write_bytes(b"something else")
    assert main(["directory", "check", str(file), "--config", str(config)]) != 0
    assert "throughcare directory evidence" in capsys.readouterr().err


def test_dir_19_an_authority_judges_by_the_keys_that_it_knows_of_its_hub(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = {"origin": "hub.example/directory", "key": KEYS.directory.public.hex()}
    audit = {"origin": "hub.example/audit", "key": KEYS.audit.public.hex()}
    facts_ = OfficeFacts(
        programme="Demo programme",
        jurisdiction="Demo jurisdiction",
        domain="hub.example",
        root_fingerprint=b"\0" * 32,
        root_persons=(),
        approvers=(),
        threshold=2,
        hub=HubFacts.model_validate_json(
            json.dumps({"domain": "hub.example", "url": "http://localhost:1", "directory": log, "audit": audit})
        ),
    )
    folder = config.parent / "authority"
    folder.mkdir()
    (folder / "office.json").write_text(facts_.model_dump_json())
    (folder / "office.json").chmod(0o600)
    lie, genuine = (
        sign_head(Head(_HEAD.origin, 1, root, _HEAD.at), KEYS.directory) for root in (bytes(32), b"\1" * 32)
    )
    file = config.parent / "evidence"
    file.write_bytes(encode_file("hub.example", [Contradiction(Form.HEAD, lie, genuine, b"\1" * 32, (), 5)]))
    assert main(["authority", "check", str(folder), str(file)]) == 0
    assert "PROVES that the hub signed two different directories" in capsys.readouterr().out

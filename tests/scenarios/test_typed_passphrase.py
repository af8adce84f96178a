# SPDX-License-Identifier: Apache-2.0
"""Passphrases that people type at a terminal: a new one twice, and nothing of it is shown (KEY-6).

The hub of these agencies is away: what is asked for and made before it is needed is all that counts here.
"""

import os
import sys
from pathlib import Path

import pytest

from connectors.backup import make_backup
from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65, KEYSTORE_FOLDER
from connectors.timing import system_clock
from keys.backupopening import make_backup_key, open_backup_key
from keys.keystore import Keystore
from keys.sealedfile import SMALL
from protocol.enrolment import EnrolmentCode, EnrolmentTerms, LogAnchor
from protocol.errors import KeystoreError
from protocol.limits import DAY
from tests.connectors.stations import install
from tests.hub.running import KEYS
from tests.programme import make_programme
from tests.scenarios.running import BIN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

OLD, NEW, MISTYPED = b"an invented passphrase", b"what the officer who left never saw", b"what the officer who lfet"
NOBODY = "http://localhost:9"
UNREACHABLE = 7


def typed(*command: str, answers: list[bytes], code: int = 0) -> bytes:
    """Run the program at a terminal, answer what it asks, and return what the terminal showed."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(BIN / "throughcare", ["throughcare", *command])  # noqa: S606
    told, left = b"", list(answers)
    while True:
        try:
            more = os.read(terminal, 1_024)
        except OSError:
            break  # the program has ended
        if not more:
            break
        told += more
        if told.endswith(b": ") and left:
            os.write(terminal, left.pop(0) + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code, told
    os.close(terminal)
    assert left == []
    assert not any(answer in told for answer in answers)
    return told


def test_key_6_a_new_passphrase_is_asked_for_twice_and_none_is_shown(tmp_path: Path) -> None:
    made = typed("backup-key", str(tmp_path), "--demo", answers=[OLD, MISTYPED, OLD, OLD])
    assert made.count(b"New passphrase of the backup key") == 2, made
    kept = tmp_path / "backup.key"
    seed = open_backup_key(kept, OLD).seed
    told = typed("key", "change-passphrase", str(kept), answers=[OLD, NEW, MISTYPED, NEW, NEW])
    assert told.startswith(b"Passphrase of "), told
    assert told.count(b"New passphrase of ") == 2, told
    assert b"do not match" in told
    assert open_backup_key(kept, NEW).seed == seed


def test_key_6_an_agency_that_mistypes_its_passphrase_when_it_enrols_is_not_locked_out(tmp_path: Path) -> None:
    programme = make_programme(now=system_clock())
    office = programme.members["reka-probation"]
    directory = LogAnchor("hub.example/directory", KEYS.directory.public, 2)
    audit = LogAnchor("hub.example/audit", KEYS.audit.public, 0)
    terms = EnrolmentTerms(office.address, office.kind, tuple(office.functions.items()), system_clock() + DAY)
    code = EnrolmentCode(bytes(16), bytes(32), NOBODY, directory, audit, terms, "Reka (DEMO)")
    file, folder = tmp_path / "reka.code", tmp_path / "reka"
    file.touch(mode=0o600)
    file.write_text(code.text())

    command = ("enrol", "--data-dir", str(folder), "--demo")
    told = typed(*command, "--code-file", str(file), answers=[NEW, MISTYPED, NEW, NEW], code=UNREACHABLE)
    assert told.count(b"New passphrase of the keystore: ") == 2, told
    with pytest.raises(KeystoreError):
        Keystore.open(folder / KEYSTORE_FOLDER, MISTYPED)
    assert Keystore.open(folder / KEYSTORE_FOLDER, NEW).unreadable() == []

    again = typed(*command, answers=[NEW], code=UNREACHABLE)
    assert again.startswith(b"Passphrase of the keystore: "), "it is there, so one that is wrong does no harm"


def test_key_6_a_restore_asks_twice_for_the_new_keystores_passphrase_and_once_for_that_of_its_backup(
    tmp_path: Path,
) -> None:
    programme = make_programme(now=system_clock())
    office, old = programme.members["reka-probation"], tmp_path / "old"
    installation = install(old, office, programme, NOBODY)
    for name, seed in zip((AGENCY_ED25519, AGENCY_MLDSA65), office.identity.seeds, strict=True):
        installation.keystore.put(name, name, seed)
    kept, public = make_backup_key(tmp_path / "offline", OLD, SMALL)
    make_backup(old, installation, tmp_path / "backup", bytes.fromhex(public.read_text()), system_clock())
    told = typed(
        "restore", str(tmp_path / "backup"), "--key", str(kept), "--data-dir", str(tmp_path / "new"), "--demo",
        answers=[OLD, NEW, MISTYPED, NEW, NEW], code=UNREACHABLE,
    )  # fmt: skip
    assert told.startswith(b"Passphrase of the backup key: "), told
    assert told.count(b"New passphrase of the keystore: ") == 2, told
    assert b"do not match" in told

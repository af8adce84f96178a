# SPDX-License-Identifier: Apache-2.0
"""A passphrase file is one line, and means the same to every program."""

from pathlib import Path

import pytest

from keys.passphrasefile import read_passphrase_file
from protocol.errors import ConfigurationError


def kept(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "passphrase"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])
def test_line_ends_after_the_passphrase_are_not_part_of_it(tmp_path: Path, end: bytes) -> None:
    assert read_passphrase_file(kept(tmp_path, b" two words " + end)) == b" two words "


@pytest.mark.parametrize("data", [b"", b"\n", b"one\ntwo\n", bytes(5_000)])
def test_a_file_that_is_no_single_line_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=str(tmp_path / "passphrase")):
        read_passphrase_file(kept(tmp_path, data))


def test_key_3_a_passphrase_file_that_others_can_read_or_that_is_missing_is_a_fault_of_configuration(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_passphrase_file(kept(tmp_path, b"secret\n", 0o644))
    with pytest.raises(ConfigurationError, match=r"no passphrase file .*missing"):
        read_passphrase_file(tmp_path / "missing")

# SPDX-License-Identifier: Apache-2.0
"""The script by which docs/auditing.md has an auditor check a receipt does what is said there."""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.errors import BadSignature, ThroughcareError

ROOT: Final = Path(__file__).parents[1]
VECTOR: Final[Any] = json.loads((ROOT / "tests" / "vectors" / "receipt.json").read_text(encoding="utf-8"))
RECEIPT: Final = bytes.fromhex(VECTOR["good"][0]["bytes"])


def checked(receipt: bytes, monkeypatch: pytest.MonkeyPatch, folder: Path, *, key: str = VECTOR["key"]) -> None:
    """Run the document's script as an auditor does; it raises what is wrong."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "auditing.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    public = folder / "hub-public.json"
    public.write_text(json.dumps({"audit": {"origin": VECTOR["origin"], "key": key}}), encoding="utf-8")
    text = base64.urlsafe_b64encode(receipt).decode().rstrip("=")
    monkeypatch.setattr(sys, "argv", ["check_receipt.py", str(public), text])
    exec(compile(found[1], "check_receipt.py", "exec"), {})  # noqa: S102 - the text is our own documentation


def test_aud_6_the_documents_script_shows_what_a_receipt_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked(RECEIPT, monkeypatch, tmp_path)
    body = VECTOR["good"][0]["value"]["body"]
    accepted, sender, digest, place = capsys.readouterr().out.splitlines()
    assert accepted.startswith("accepted 20")
    assert accepted.endswith("+00:00")
    assert sender.split()[1].endswith("@hub.example")
    assert digest.split()[1] in body["detail_bytes"]
    assert place.endswith(f"leaves and the root {body['root']}")


def test_aud_6_it_refuses_each_receipt_in_which_one_bit_is_another_and_a_strangers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in range(0, len(RECEIPT), 7):
        forged = bytearray(RECEIPT)
        forged[place] ^= 1
        with pytest.raises(ThroughcareError):
            checked(bytes(forged), monkeypatch, tmp_path)
    with pytest.raises(BadSignature):
        checked(RECEIPT, monkeypatch, tmp_path, key="3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29")
    assert capsys.readouterr().out == "", "nothing is said of what is not proven"

# SPDX-License-Identifier: Apache-2.0
"""The search for planted phrases would find them, in whatever disguise they lay."""

import base64
from pathlib import Path

import pytest

from connectors.demo.proof import search

PHRASE = "very-sand-bird-embody"


@pytest.mark.parametrize(
    "disguised",
    [
        PHRASE.encode(),
        PHRASE.encode("utf-16"),
        PHRASE.encode().hex().encode(),
        base64.b64encode(f"{PHRASE} and more".encode()),
        base64.b64encode(f"x{PHRASE} and more".encode()),
        base64.b64encode(f"xy{PHRASE} and more".encode()),
        base64.b64encode(f"xyz{PHRASE} and more".encode()),
    ],
)
def test_a_phrase_is_found_in_every_disguise_that_is_searched_for(disguised: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\0" * 1_000 + disguised + b"\0" * 1_000)
    (tmp_path / "other").write_bytes(b"nothing")
    files, size, found = search(tmp_path, [PHRASE])
    assert (files, found) == (2, [tmp_path / "deep" / "file"])
    assert size == len(disguised) + 2_007


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"very sand bird embody")
    assert search(tmp_path, [PHRASE])[2] == []

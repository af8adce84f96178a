# SPDX-License-Identifier: Apache-2.0
"""What a sender calls a file decides neither where it lies nor what a terminal does."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cli.attachments import attached, printable, safe_name, sendable
from protocol.errors import InvalidInput
from protocol.http.handovers import AttachmentToStore, AttachmentView
from tests.connectors.stations import package


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("scan.pdf", "2-1-scan.pdf"),
        ("../../etc/passwd", "2-1-etcpasswd"),
        ("C:\\Windows\\evil.exe", "2-1-CWindowsevil.exe"),
        (".bashrc", "2-1-bashrc"),
        ("\x1b]0;title\x07a\u202egpj.exe", "2-1-0titleagpj.exe"),
        ("čitanje 1.pdf", "2-1-čitanje 1.pdf"),
        ("//", "2-1-attachment"),
        ("x" * 200, "2-1-" + "x" * 100),
    ],
)
def test_a_file_is_saved_under_a_name_of_harmless_signs(name: str, kept: str) -> None:
    view = AttachmentView(place=0, name=name, media_type="text/plain", size=1, state="stored")
    assert safe_name(2, view) == kept


@given(st.text(max_size=300))
def test_a_file_of_any_name_can_be_sent_and_its_name_is_told_apart_by_no_spelling(name: str) -> None:
    sent = sendable(name)
    assert AttachmentToStore(name=sent).name == sent
    assert sendable(unicodedata.normalize("NFD", name)) == sendable(unicodedata.normalize("NFC", name))


def test_a_file_of_a_mac_is_sent_under_the_name_that_people_read() -> None:
    assert sendable("c\u030citanje.pdf") == "\u010ditanje.pdf"
    assert sendable("\x1b\n") == "attachment"


def test_what_steers_a_terminal_is_shown_as_question_marks() -> None:
    assert printable("a\x1b[2Jb\u202ec") == "a?[2Jb?c"


def test_a_file_goes_with_the_first_section_of_its_category(tmp_path: Path) -> None:
    file = tmp_path / "a:b.txt"
    file.touch()
    assert attached([f"{file}:identity", f"{file}:risk-summary"], package()) == [(file, 1), (file, 2)]
    for wrong in (f"{file}:medical", str(file), f"{tmp_path}:identity", f"{tmp_path / 'none'}:identity"):
        with pytest.raises(InvalidInput):
            attached([wrong], package())

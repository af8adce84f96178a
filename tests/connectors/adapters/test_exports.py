# SPDX-License-Identifier: Apache-2.0
"""Reading an export: what is damaged, hostile or unclear is refused, and no error shows a value."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adapters import exports
from connectors.adapters.exports import read_export
from protocol.errors import ExportUnreadable

SECRET = "plantedvalue"


def _folder(tmp_path: Path, **files: bytes) -> Path:
    for stem, data in files.items():
        (tmp_path / f"{stem}.json").write_bytes(data)
    return tmp_path


def test_a_folder_becomes_one_object_keyed_by_file_stem(tmp_path: Path) -> None:
    export = read_export(_folder(tmp_path, a=b'{"x": 1}', b=b"[1, 2]"))
    assert export.document == {"a": {"x": 1}, "b": [1, 2]}
    assert export.stems == {"a", "b"}


def test_a_single_file_is_the_object_itself(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_bytes('\ufeff{"x": "ž"}'.encode())
    assert read_export(file).document == {"x": "ž"}


def test_other_files_are_named_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    _folder(tmp_path, a=b"{}")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    (tmp_path / ".hidden.json").write_bytes(b"not json")
    (tmp_path / "more").mkdir()
    assert read_export(tmp_path).unread == ("more", "photo.jpg")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": "plantedvalue"', "ends too early"),
        (b'{"a": "plantedval', "line 1"),
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"a": plantedvalue}', "not JSON (line 1"),
        (b'{"plantedvalue": 1, "plantedvalue": 2}', "a key stands twice"),
        (b'{"a": NaN, "b": "plantedvalue"}', "NaN"),
        (b'{"a": -Infinity}', "NaN"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "too large"),
        (b"[" * 100 + b"]" * 100, "nested deeper"),
        (b"[" * 200_000, "nested deeper"),
        ('{"a": "plantedvalue"}'.encode("utf-16"), "UTF-16"),
        ('{"a": "pläntedvalue"}'.encode("latin-1"), "not UTF-8 (byte"),
        (b'{"' + b"k" * 300 + b'": 1}', "key is longer"),
        (b'{"a\\u001b": 1}', "cannot be shown"),
        (b'{"a\\ud800": 1}', "cannot be shown"),
    ],
    ids=range(17),
)
def test_a_broken_file_is_named_with_what_is_wrong_and_without_its_content(
    tmp_path: Path, data: bytes, says: str
) -> None:
    with pytest.raises(ExportUnreadable) as refusal:
        read_export(_folder(tmp_path, good=b"{}", person=data))
    assert "person.json" in str(refusal.value)
    assert says in str(refusal.value)
    assert "Nothing was sent" in str(refusal.value)
    assert "planted" not in str(refusal.value)


def test_a_list_alone_is_no_export(tmp_path: Path) -> None:
    file = tmp_path / "person.json"
    file.write_bytes(b'["plantedvalue"]')
    with pytest.raises(ExportUnreadable, match="one JSON object"):
        read_export(file)


def test_a_folder_without_json_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportUnreadable, match=r"no \.json file"):
        read_export(tmp_path)
    with pytest.raises(ExportUnreadable, match="No such file"):
        read_export(tmp_path / "absent")


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (tmp_path / "outside.json").write_text('{"a": "plantedvalue"}', encoding="utf-8")
    (folder / "in.json").write_text("{}", encoding="utf-8")
    (folder / "same.json").symlink_to(folder / "in.json")
    assert set(read_export(folder).document) == {"in", "same"}
    (folder / "out.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(ExportUnreadable, match=r"out\.json cannot be used: it is a link"):
        read_export(folder)


def test_links_in_a_circle_and_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    with pytest.raises(ExportUnreadable):
        read_export(tmp_path)
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    os.mkfifo(pipes / "a.json")
    with pytest.raises(ExportUnreadable, match="not an ordinary file"):
        read_export(pipes)


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    (tmp_path / "a.JSON").write_text("{}", encoding="utf-8")
    with pytest.raises(ExportUnreadable, match="same name"):
        read_export(tmp_path)


def test_sizes_and_counts_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_FILE", 100)
    monkeypatch.setattr(exports, "MAX_EXPORT", 150)
    monkeypatch.setattr(exports, "MAX_FILES", 3)
    monkeypatch.setattr(exports, "MAX_VALUES", 20)
    with pytest.raises(ExportUnreadable, match="larger than"):
        read_export(_folder(tmp_path / _made(tmp_path, "one"), a=b'"' + b"x" * 99 + b'"'))
    with pytest.raises(ExportUnreadable, match="with it the export is larger"):
        read_export(_folder(tmp_path / _made(tmp_path, "two"), a=b'"' + b"x" * 90 + b'"', b=b'"' + b"x" * 90 + b'"'))
    with pytest.raises(ExportUnreadable, match="more than 3"):
        read_export(_folder(tmp_path / _made(tmp_path, "three"), a=b"1", b=b"1", c=b"1", d=b"1"))
    with pytest.raises(ExportUnreadable, match="more than 20 values"):
        read_export(_folder(tmp_path / _made(tmp_path, "four"), a=b"[" + b"1," * 30 + b"1]"))
    with pytest.raises(ExportUnreadable, match="more than 20 values"):
        read_export(_folder(tmp_path / _made(tmp_path, "five"), a=b"[" + b"{}," * 30 + b"{}]"))
    with pytest.raises(ExportUnreadable, match="with it the export holds more than 20 values"):
        read_export(
            _folder(tmp_path / _made(tmp_path, "six"), a=b"[" + b"1," * 11 + b"1]", b=b"[" + b"1," * 11 + b"1]")
        )


def test_a_text_that_piles_marks_on_one_letter_is_refused(tmp_path: Path) -> None:
    """Putting endless combining marks into order takes quadratic time, so nobody begins to."""
    piled = '["a' + "\u0316\u0301" * 100_000 + '"]'
    with pytest.raises(ExportUnreadable, match="piles more than 30 marks"):
        read_export(_folder(tmp_path, a=piled.encode()))
    letters = "Nguyễn Ćić Ёлка"
    assert read_export(_folder(tmp_path, a=f'["{letters}"]'.encode())).document["a"] == [letters]


def _made(tmp_path: Path, name: str) -> str:
    (tmp_path / name).mkdir()
    return name


def test_err_2_the_repr_of_an_export_shows_nothing_of_it(tmp_path: Path) -> None:
    assert SECRET not in repr(read_export(_folder(tmp_path, a=b'{"x": "plantedvalue"}')))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_one_error(data: bytes) -> None:
    with contextlib.suppress(exports._Wrong):
        exports.parse(data)

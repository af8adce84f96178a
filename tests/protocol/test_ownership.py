# SPDX-License-Identifier: Apache-2.0
"""No second owner of a package name goes unnoticed."""

from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from protocol.ownership import PACKAGES, check_ownership, owners_among


@pytest.mark.parametrize("package", PACKAGES)
def test_a_second_owner_of_a_package_name_is_named_and_refused(package: str) -> None:
    with pytest.raises(ConfigurationError, match="foreign-thing"):
        check_ownership({package: ["throughcare", "foreign-thing"]})


def test_our_own_distribution_may_own_its_packages() -> None:
    check_ownership({package: ["throughcare"] for package in PACKAGES})


def test_this_environment_is_clean() -> None:
    check_ownership()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "RECORD",
            "aa/hub/x.py,sha256=e,3\nprotocol/__init__.py,sha256=abc,12\nforeign_thing-1.dist-info/METADATA,,\n",
        ),
        ("RECORD", "protocol.py,sha256=abc,12\n"),
        ("top_level.txt", "other\nprotocol\n"),
        ("top_level.txt", "protocol"),
    ],
)
def test_an_installed_distribution_is_found_by_the_files_it_lists(tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "foreign_thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-thing\nVersion: 1\n")
    (folder / name).write_text(text)
    assert owners_among(distributions(path=[str(tmp_path)])) == {"protocol": ["foreign-thing"]}


def test_what_is_found_here_is_what_python_itself_finds() -> None:
    known = packages_distributions()
    expected = {name: sorted(set(known[name])) for name in PACKAGES if name in known}
    assert {name: sorted(set(found)) for name, found in owners_among(distributions()).items()} == expected

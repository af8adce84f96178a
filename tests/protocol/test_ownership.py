# SPDX-License-Identifier: Apache-2.0
"""No second owner of a package name goes unnoticed."""

import pytest

from protocol.errors import ConfigurationError
from protocol.ownership import PACKAGES, check_ownership


@pytest.mark.parametrize("package", PACKAGES)
def test_a_second_owner_of_a_package_name_is_named_and_refused(package: str) -> None:
    with pytest.raises(ConfigurationError, match="foreign-thing"):
        check_ownership({package: ["throughcare", "foreign-thing"]})


def test_our_own_distribution_may_own_its_packages() -> None:
    check_ownership({package: ["throughcare"] for package in PACKAGES})


def test_this_environment_is_clean() -> None:
    check_ownership()

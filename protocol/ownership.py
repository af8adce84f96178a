# SPDX-License-Identifier: Apache-2.0
"""Refuse to run where another installed distribution owns one of our package names.

`hub`, `connectors` and `protocol` are names that unrelated packages on PyPI bear too. Throughcare is an
application in an environment of its own; in a shared one the wrong `protocol` could be imported.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions

from protocol.errors import ConfigurationError

OURS = "throughcare"
PACKAGES = ("hub", "connectors", "protocol", "keys")


def check_ownership(owners: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise `ConfigurationError` naming the first second owner of a package name of ours.

    `owners` maps top-level package names to distributions; by default what is installed here.
    """
    installed = packages_distributions() if owners is None else owners
    for package in PACKAGES:
        for distribution in installed.get(package, ()):
            if distribution.lower() != OURS:
                raise ConfigurationError(
                    f"The installed distribution {distribution} also brings a package named {package}, "
                    "and it is not certain which one runs. Install Throughcare in an environment of its own."
                )

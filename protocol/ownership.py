# SPDX-License-Identifier: Apache-2.0
"""Refuse to run where another installed distribution owns one of our package names.

`hub`, `connectors` and `protocol` are names that unrelated packages on PyPI bear too. Throughcare is an
application in an environment of its own; in a shared one the wrong `protocol` could be imported.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions

from protocol.errors import ConfigurationError

OURS = "throughcare"
PACKAGES = ("hub", "connectors", "protocol", "keys")


def check_ownership(owners: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise `ConfigurationError` naming the first second owner of a package name of ours.

    `owners` maps top-level package names to distributions; by default what is installed here.
    """
    installed = owners_among(distributions()) if owners is None else owners
    for package in PACKAGES:
        for distribution in installed.get(package, ()):
            if distribution.lower() != OURS:
                raise ConfigurationError(
                    f"The installed distribution {distribution} also brings a package named {package}, "
                    "and it is not certain which one runs. Install Throughcare in an environment of its own."
                )


def owners_among(installed: Iterable[Distribution]) -> dict[str, list[str]]:
    """Return which of `installed` bring which of our package names.

    `importlib.metadata.packages_distributions` says the same of all names; that takes long for a program that starts,
    because it reads every line of every list of files.
    """
    found: dict[str, list[str]] = {}
    for one in installed:
        # What pip installed has RECORD, whose lines begin with a path; the older form lists names.
        lines = [f"\n{one.read_text(name) or ''}\n" for name in ("RECORD", "top_level.txt")]
        for package in PACKAGES:
            if any(f"\n{package}{end}" in text for text in lines for end in ("/", ".py,", "\n")):
                found.setdefault(package, []).append(one.name)
    return found

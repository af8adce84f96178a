# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: no settings of the person who runs them, and the same Hypothesis profile."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "throughcare",
    # A busy machine is no fault of the code: time limits would make tests fail by chance.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("throughcare")


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide THROUGHCARE_… variables and give profiles a home of their own, also in started processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("THROUGHCARE_")]:
            patch.delenv(name)
        patch.setenv("THROUGHCARE_HOME", str(tmp_path_factory.mktemp("home")))
        yield

# SPDX-License-Identifier: Apache-2.0
"""What most stories of an authority begin with: somebody who types, and a town whose hub runs."""

from collections.abc import Iterator

import pytest

from tests.scenarios.running import Typist
from tests.scenarios.town import Town, opened_town


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str]) -> Typist:
    """Return who types commands."""
    return Typist(capsys)


@pytest.fixture(scope="module")
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Give one town to all tests of a module; its root has as many persons as `ROOT_PERSONS` of that module, or one."""
    persons: int = getattr(request.module, "ROOT_PERSONS", 1)
    with opened_town(tmp_path_factory.mktemp("town"), root_persons=persons) as place:
        yield place

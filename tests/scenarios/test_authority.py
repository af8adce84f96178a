# SPDX-License-Identifier: Apache-2.0
"""What an authority does later, typed command by command at a hub that runs."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.authority.office import open_office
from tests.connectors.lyinghub import LyingHub
from tests.scenarios.running import Typist
from tests.scenarios.town import Town, approve, enrol, invited, opened_town, words_in

pytestmark = pytest.mark.usefixtures("quick_keys")

STATEMENTS = "/v1/directory/statements"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with opened_town(tmp_path_factory.mktemp("town")) as place:
        yield place


@contextmanager
def badly_connected(town: Town) -> Iterator[LyingHub]:
    """Let the authority reach its hub only through what stands in between."""
    office, between = open_office(town.authority), LyingHub()
    between.target = town.hub_url
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        running = threading.Thread(target=loop.run_forever)
        running.start()
        try:
            asyncio.run_coroutine_threadsafe(between.__aenter__(), loop).result(timeout=20)
            office.connect(office.hub.model_copy(update={"url": between.url}))
            yield between
        finally:
            office.connect(office.hub)
            asyncio.run_coroutine_threadsafe(between.__aexit__(None, None, None), loop).result(timeout=20)
            loop.call_soon_threadsafe(loop.stop)
            running.join()


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str]) -> Typist:
    return Typist(capsys)


@pytest.mark.parametrize("case", ["unavailable", "refused", "answer-lost"])
def test_enr_5_the_last_approval_is_published_when_it_is_typed_again(
    case: str, town: Town, type_: Typist, tmp_path: Path
) -> None:
    """The second approver has signed when the line breaks: nobody else is needed, and nothing is begun anew."""
    words = words_in(enrol(type_, tmp_path / case, invited(town, type_, case))[2])
    assert approve(town, type_, case, 1, words)[0] == 0
    with badly_connected(town) as between:
        if case == "answer-lost":
            between.lose_answers.add(STATEMENTS)
        else:
            between.refuse[STATEMENTS] = 503 if case == "unavailable" else 403
        assert approve(town, type_, case, 2, words)[0] != 0
    office = open_office(town.authority)
    signed = office.approval_file(case).read_bytes()
    assert approve(town, type_, case, 2, words)[0] == 0
    assert office.agency_file(case).read_bytes() == signed
    assert not office.approval_file(case).exists()
    assert enrol(type_, tmp_path / case)[0] == 0

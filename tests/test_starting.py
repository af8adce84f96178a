# SPDX-License-Identifier: Apache-2.0
"""The programs that serve load only what they need, and look for garbage again once they serve."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.starting import SELDOM, starting
from tests.hub.process import ROOT, environment
from tests.tlsnames import certificate


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_no_garbage_is_looked_for_until_the_program_has_started() -> None:
    before = gc.get_freeze_count()
    with starting() as started:
        assert not gc.isenabled()
        started()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert gc.get_threshold() == SELDOM


def test_a_program_that_does_not_start_collects_garbage_as_before() -> None:
    with pytest.raises(ZeroDivisionError), starting():
        _ = 1 / 0
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("programs", "unwanted"),
    [
        (
            "hub.cli, hub.serving",
            ["alembic", "asyncpg", "keys.opening", "holidays", "sqlalchemy.orm", "cryptography.x509"],
        ),
        ("hub.cli", ["asyncio", "aiohttp", "sqlalchemy", "cryptography", "pydantic", "structlog", "keys"]),
        ("connectors.cli.connector, connectors.app", ["alembic", "holidays", "hub", "connectors.demo"]),
    ],
)
def test_what_only_some_starts_need_is_not_loaded_by_all(programs: str, unwanted: list[str]) -> None:
    look = f"import sys, {programs}; print(*[name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


AUTHORITIES = """
import os, ssl
os.environ["SSL_CERT_FILE"] = {file!r}
before = dict(os.environ)
{program}
from aiohttp.connector import TCPConnector, _SSL_CONTEXT_VERIFIED as asked
now = ssl.create_default_context()
print(len(asked.get_ca_certs()), asked.verify_mode.name, len(now.get_ca_certs()), before == dict(os.environ))
"""
RUN = """
from hub.cli import main
try:
    main(["run", "--config", "absent.toml"])
except SystemExit:
    pass
"""


@pytest.mark.parametrize(("program", "asked"), [("import hub.serving", 1), (RUN, 0)])
def test_a_hub_that_starts_reads_no_authorities_for_a_client_that_it_is_not(
    tmp_path: Path, program: str, asked: int
) -> None:
    """And it would believe nobody, while what makes a context afterwards believes whom it is told to."""
    file, _ = certificate(tmp_path, "localhost", 1)
    look = AUTHORITIES.format(file=str(file), program=program)
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(asked), "CERT_REQUIRED", "1", "True"]

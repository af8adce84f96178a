# SPDX-License-Identifier: Apache-2.0
"""The shape of the whole: which part may know which, how large a file may grow, what no file may say.

The import contracts stand in pyproject.toml; here they are shown to hold and to bite. A dynamic import
would pass every contract, hence the hub is also loaded with what opens envelopes made unimportable.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("protocol", "keys", "hub", "connectors")
FOLDERS = (*PACKAGES, "tests", "docs", "requirements", ".ci")
MAX_LINES = 400
BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
# The folders of whoever wrote a file must not get into the project (written so that this line passes).
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|farm)/")


def files() -> Iterator[Path]:
    """Yield every file of the project that people write."""
    # In a second working tree of one clone .git is a file.
    written = (path for path in sorted(ROOT.iterdir()) if path.name not in {".coverage", ".git"})
    yield from (path for path in written if path.is_file())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def name_of(path: Path) -> str:
    """Return the path as people write it."""
    return path.relative_to(ROOT).as_posix()


MODULES = [path for path in files() if path.suffix == ".py"]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml against the packages in `folder`, and against no others."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


# A small tree of the same shape in which each line breaks one contract.
SOUND = {
    "protocol/envelope.py": "",
    "protocol/http/problems.py": "import aiohttp\n",
    "keys/opening.py": "",
    "keys/blobopening.py": "",
    "keys/keystore.py": "",
    "keys/backupopening.py": "",
    "hub/backups.py": "",
    "hub/app.py": "import hub.web\n",
    "hub/web.py": "import hub.service\nimport protocol.http.problems\n",
    "hub/service.py": "import hub.store\n",
    "hub/store.py": "import sqlalchemy\nimport protocol.envelope\n",
    "connectors/inbox.py": "import keys.opening\n",
}
VIOLATIONS = [
    ("connectors/inbox.py", "import hub.store\n", "Arrows point one way"),
    ("protocol/envelope.py", "import keys.opening\n", "Arrows point one way"),
    ("hub/service.py", "import keys.opening\n", "The hub never holds"),
    ("keys/signing.py", "import keys.keystore\n", "The hub never holds"),
    ("hub/service.py", "import keys.backupopening\n", "Only a restore opens"),
    ("protocol/envelope.py", "import asyncio\n", "do no input or output"),
    ("keys/opening.py", "from urllib.request import urlopen\n", "do no input or output"),
    ("keys/opening.py", "import protocol.http.problems\n", "Only the hub and the connectors"),
    ("hub/store.py", "import hub.web\n", "Inside the hub"),
    ("hub/unplaced.py", "", "Inside the hub"),
    ("connectors/outbox.py", "import connectors.inbox\n", "No cycles"),
]


def plant(folder: Path, changes: dict[str, str]) -> None:
    """Write the sound tree with some files changed or added."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in (*PACKAGES, "protocol/http"):
        (folder / package).mkdir(exist_ok=True, parents=True)
        (folder / package / "__init__.py").touch()
    for name, text in {**SOUND, **changes}.items():
        (folder / name).write_text(text, encoding="utf-8")


def test_a_tree_without_violation_passes_the_contracts(tmp_path: Path) -> None:
    plant(tmp_path, {})
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "text", "contract"), VIOLATIONS)
def test_the_contracts_find_a_planted_violation(tmp_path: Path, name: str, text: str, contract: str) -> None:
    # Some violations need a second module to be one: an indirect chain, and a cycle.
    also = {
        "keys/signing.py": ("hub/service.py", "import hub.store\nimport keys.signing\n"),
        "connectors/outbox.py": ("connectors/inbox.py", "import connectors.outbox\n"),
    }.get(name)
    plant(tmp_path, {name: text, **(dict([also]) if also else {})})
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert any(contract in line for line in broken), done.stdout


LOAD_THE_HUB = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("keys.opening", "keys.blobopening", "keys.keystore", "keys.backupopening"):
            raise ModuleNotFoundError(name + " must not be here")
        return None

sys.meta_path.insert(0, Absent())
import hub.app
for module in pkgutil.walk_packages(hub.__path__, "hub."):
    # A restore opens a backup of the hub's own data; it is a command of the operator, and nothing imports it.
    if module.name == "hub.backups.restoring":
        continue
    if not module.name.endswith("__main__") and "migrations" not in module.name:
        importlib.import_module(module.name)
opened = [name for name in sys.modules if name.partition(".")[0] == "connectors"]
raise SystemExit(f"loaded {opened}" if opened else 0)
"""


def test_the_hub_loads_where_nothing_that_opens_can_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_THE_HUB], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_modules_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} >= {*PACKAGES, "tests", "run.py"}


def test_every_module_says_its_licence_and_why_it_exists() -> None:
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in MODULES}
    licence = "# SPDX-License-Identifier: Apache-2.0\n"
    assert [name for name, text in texts.items() if not text.startswith(licence)] == []
    assert [name for name, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    paths = [path.relative_to(ROOT) for path in files()]
    words = {path: {part.partition(".")[0].strip("_") for part in path.parts} for path in paths}
    assert [str(path) for path, names in words.items() if names & BANNED_NAMES] == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    texts = ((path, path.read_text(encoding="utf-8", errors="replace")) for path in files())
    assert [name_of(path) for path, text in texts if MACHINE_PATH.search(text)] == []

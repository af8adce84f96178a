# SPDX-License-Identifier: Apache-2.0
"""Where the command line finds the connectors of this machine: one small profile file per agency.

`THROUGHCARE_HOME` names the folder; without it, the platform's folder for a user's application data. A
profile holds no secret: it says where the connector's API listens and which file holds its token.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from protocol.errors import ConfigurationError, NotFound

VARIABLE = "THROUGHCARE_HOME"


@dataclass(frozen=True, slots=True)
class Profile:
    """One agency's connector on this machine."""

    name: str
    """The agency's name in its address: `reka-probation`."""
    desk: str
    api_url: str
    token_file: str
    data_dir: str


def home() -> Path:
    """Return the folder of this user's profiles; it need not exist yet."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "Throughcare"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Throughcare"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "throughcare"


def register(profile: Profile, folder: Path | None = None) -> None:
    """Write `profile`, in place of an older one of the same agency."""
    path = _path(profile.name, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.write_text(json.dumps(asdict(profile), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def forget(profile: Profile, folder: Path | None = None) -> None:
    """Remove `profile`, unless another connector has taken its name since."""
    path = _path(profile.name, folder)
    try:
        current = _read(path)
    except (ConfigurationError, FileNotFoundError):
        return
    if current == profile:
        path.unlink(missing_ok=True)


def profiles(folder: Path | None = None) -> list[Profile]:
    """Return the profiles of this machine by name; `ConfigurationError` names a file that cannot be read."""
    return [_read(path) for path in sorted(_folder(folder).glob("[!.]*.json"))]


def find(name: str, folder: Path | None = None) -> Profile:
    """Return the profile of the agency `name`, in any case and also as it is spoken: "Reka Probation".

    Raises `NotFound` with the names that are known.
    """
    known = profiles(folder)
    wanted = "-".join(name.lower().split())
    for profile in known:
        if profile.name == wanted:
            return profile
    raise _unknown(profile.name for profile in known)


def _unknown(names: Iterable[str]) -> NotFound:
    listed = ", ".join(names)
    error = NotFound(
        f"No connector of that name is known here. Known: {listed}."
        if listed
        else f"No connector is known here (looked in {_folder(None)})."
    )
    next_step = "the same command with a known name" if listed else "throughcare sandbox   (in another terminal)"
    error.add_note(f"next: {next_step}")
    return error


def _folder(folder: Path | None) -> Path:
    return (folder or home()) / "profiles"


def _path(name: str, folder: Path | None) -> Path:
    return _folder(folder) / f"{name}.json"


def _read(path: Path) -> Profile:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Profile(**{field.name: str(value[field.name]) for field in fields(Profile)})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"The profile {path} cannot be read. Delete it, then restart its connector."
        ) from error

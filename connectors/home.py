# SPDX-License-Identifier: Apache-2.0
"""Where the command line finds the connectors of this machine: one small profile file per agency.

`THROUGHCARE_HOME` names the folder; without it, the platform's folder for a user's application data. A
profile holds no secret: it says where the connector's API listens, which file holds its token, and which its
configuration.
"""

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from connectors.listening import is_loopback
from keys.folderowner import make_folder, open_made
from protocol.errors import ConfigurationError, NotFound

VARIABLE = "THROUGHCARE_HOME"
_ANSWERS_WITHIN_S = 1.0
_UNIT_HOME = "/var/lib/throughcare/home"
"""Where the unit in docs/systemd has its connector's profile."""
_NONE_HERE = (
    f"start the connector; if systemd runs it, the same command as root with {VARIABLE}={_UNIT_HOME}; to try it, "
    "throughcare sandbox   (in another terminal)"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One agency's connector on this machine."""

    name: str
    """The agency's name in its address: `reka-probation`."""
    desk: str
    api_url: str
    token_file: str
    data_dir: str
    config_file: str = ""
    """The configuration that it was started with; empty where an older version wrote the profile."""


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


def register(profile: Profile, folder: Path | None = None) -> Profile | None:
    """Write `profile`, in place of an older one of the same agency.

    Returns the older one if it is of another installation whose connector still answers: it is kept aside, and
    `forget` puts it back.
    """
    path = _path(profile.name, folder)
    make_folder(path.parent, parents=True, exist_ok=True)
    aside = _aside(path)
    taken_from = _living(path, other_than=profile)
    if taken_from is not None:
        path.replace(aside)
    _write(path, profile)
    return taken_from


def _write(path: Path, profile: Profile) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Root may start by hand what systemd runs as a user of its own: it is that user's all the same.
    with os.fdopen(open_made(draft, os.O_WRONLY | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(profile), indent=2) + "\n")
    draft.replace(path)


def forget(profile: Profile, folder: Path | None = None) -> None:
    """Remove `profile`, unless another connector has taken its name since.

    The one from which it took the name gets it back, if its connector still answers.
    """
    path = _path(profile.name, folder)
    try:
        current = _read(path)
    except (ConfigurationError, FileNotFoundError):
        return
    aside = _aside(path)
    if current == profile:
        if _living(aside, other_than=profile) is not None:
            aside.replace(path)
        else:
            path.unlink(missing_ok=True)
            aside.unlink(missing_ok=True)


def _living(path: Path, *, other_than: Profile) -> Profile | None:
    """Return the profile in `path` if it is of another installation and something listens at its address."""
    try:
        found = _read(path)
        address = urlsplit(found.api_url)
        if found.data_dir == other_than.data_dir or address.hostname is None or address.port is None:
            return None
        with socket.create_connection((address.hostname, address.port), timeout=_ANSWERS_WITHIN_S):
            return found
    except (ConfigurationError, OSError, ValueError):
        return None


def profiles(folder: Path | None = None) -> list[Profile]:
    """Return the profiles of this machine by name; `ConfigurationError` names what cannot be read."""
    where = _folder(folder)
    try:
        paths = sorted(where.iterdir())
    except PermissionError:
        error = ConfigurationError(f"The profiles in {where} are for the connector's user only.")
        error.add_note("next: the same command as that user; as root, where the connector runs under systemd")
        raise error from None
    except OSError:
        return []
    return [_read(path) for path in paths if path.suffix == ".json" and not path.name.startswith(".")]


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


def none_here() -> NotFound:
    """Return the error for a machine, or a user of it, that no connector has written a profile for."""
    error = NotFound(f"No connector is known here (looked in {_folder(None)}).")
    error.add_note(f"next: {_NONE_HERE}")
    return error


def _unknown(names: Iterable[str]) -> NotFound:
    listed = ", ".join(names)
    if listed:
        error = NotFound(f"No connector of that name is known here. Known: {listed}.")
        error.add_note("next: the same command with a known name")
        return error
    return none_here()


def _folder(folder: Path | None) -> Path:
    return (folder or home()) / "profiles"


def _aside(path: Path) -> Path:
    """Return where the profile from which a name was taken waits; it does not count as one meanwhile."""
    return path.with_name(f".{path.name}.before")


def _path(name: str, folder: Path | None) -> Path:
    return _folder(folder) / f"{name}.json"


def _read(path: Path) -> Profile:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        known = {"config_file": "", **value}
        found = Profile(**{field.name: str(known[field.name]) for field in fields(Profile)})
        here = is_loopback(found.api_url)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"The profile {path} cannot be read. Delete it, then restart its connector."
        ) from error
    if not here:
        # Root reads the profile that the connector's user can write, and a token file that this names.
        raise ConfigurationError(
            f"The profile {path} names a connector on another machine, and there is none: nothing was sent. Delete it, "
            "then restart its connector."
        )
    return found

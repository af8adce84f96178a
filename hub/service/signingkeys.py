# SPDX-License-Identifier: Apache-2.0
"""The hub's two signing keys: made once, sealed on disk or given by systemd, and never shown.

They sign heads of the directory log and receipts of the audit log, and open nothing: there is no key at the
hub that does. What others pin of them stands in `hub-public.json`.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from hub.config import DATABASE_NAME, GUARD_NAME, HubSettings
from keys.folderowner import open_made
from keys.passphrasefile import read_passphrase_file
from keys.privatefile import read_private, write_private
from keys.sealedfile import SMALL, open_file, reseal_file, seal_file
from keys.signing import SEED_SIZE, Ed25519Signer
from protocol.errors import ConfigurationError, KeystoreError
from protocol.settings import Profile

SEALED_NAME = "signing-keys.sealed"
CREDENTIAL_NAME = "throughcare-hub-keys"
PUBLIC_NAME = "hub-public.json"


_RESTORE = (
    "put the keys back from a copy, or restore the newest backup (docs/operations.md, section 5); make no new ones"
)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of the two logs; a signer shows nothing of itself."""

    audit: Ed25519Signer
    directory: Ed25519Signer

    @classmethod
    def of(cls, seeds: bytes) -> "SigningKeys":
        """Return the keys of 64 bytes: the audit log's seed, then the directory log's."""
        if len(seeds) != 2 * SEED_SIZE:
            raise KeystoreError
        return cls(Ed25519Signer.from_seed(seeds[:SEED_SIZE]), Ed25519Signer.from_seed(seeds[SEED_SIZE:]))


def create_keys(settings: HubSettings) -> SigningKeys:
    """Make new keys and write them where the configuration says.

    Raises ConfigurationError if there are keys, or a database or guard of a hub that had some: what that hub
    signed would be worth nothing under new keys.
    """
    path = _path(settings)
    if _has_run(settings):
        raise ConfigurationError(
            "This folder holds the database of a hub. Restore its signing keys from a copy; make no new ones."
        )
    if path.exists():
        raise ConfigurationError("This hub has signing keys already; new ones would make every pinned key wrong.")
    seeds = secrets.token_bytes(2 * SEED_SIZE)
    if settings.hub.credentials_directory is not None:
        write_private(path, seeds)
    else:
        seal_file(path, _purpose(settings.hub.profile), seeds, _passphrase(settings), SMALL)
    return SigningKeys.of(seeds)


def open_keys(settings: HubSettings) -> SigningKeys:
    """Return the hub's keys; raises KeystoreError, or ConfigurationError for keys of the other profile.

    The profile is part of what the file is sealed for, so a demo's keys never open in production.
    """
    if settings.hub.credentials_directory is not None:
        try:
            return SigningKeys.of(read_private(_path(settings), 2 * SEED_SIZE))
        except KeystoreError as missing:
            missing.add_note(f"next: {given_by_systemd(settings)}")
            raise
    if settings.hub.profile is Profile.PRODUCTION and _made_for(settings) is Profile.DEMO:
        raise ConfigurationError(
            "These signing keys were made for a demo. To go on with the trial set hub.profile = demo. For real work "
            "make a new hub (`throughcare-hub init` with another hub.data_dir): agencies enrol anew there."
        )
    if not _path(settings).exists():
        error = KeystoreError("This hub has no signing keys in its data folder.")
        error.add_note(f"next: {_RESTORE if _has_run(settings) else 'throughcare-hub init --config FILE'}")
        raise error
    seeds = open_file(_path(settings), _purpose(settings.hub.profile), _passphrase(settings))
    return SigningKeys.of(seeds)


def given_by_systemd(settings: HubSettings) -> str:
    """Return what to do where the keys are a credential, and it is not there: a hub's own is not a command's."""
    return (
        f"see that the unit has LoadCredentialEncrypted={CREDENTIAL_NAME}:…; for a command typed by hand (umask 077; "
        f"systemd-creds decrypt --name={CREDENTIAL_NAME} /etc/throughcare/{CREDENTIAL_NAME}.cred {_path(settings)}), "
        "for as long as it is needed"
    )


def change_passphrase(settings: HubSettings, new: bytes) -> bool:
    """Put the hub's sealed keys under the passphrase `new`, from that in hub.passphrase_file (KEY-6).

    A hub that runs goes on: it has opened them. Returns False if they were under `new` already. Raises what
    `keys.sealedfile.reseal_file` raises, and `ConfigurationError` where systemd gives the keys and no passphrase does.
    """
    if settings.hub.credentials_directory is not None:
        raise ConfigurationError(
            "These keys are under no passphrase: hub.credentials_directory is set, and systemd gives them."
        )
    return reseal_file(_path(settings), (_purpose(settings.hub.profile),), _passphrase(settings), new).anew


def public_document(settings: HubSettings, keys: SigningKeys, url: str | None = None) -> dict[str, object]:
    """Return what others pin of this hub; `url` is where it is reached, if it is known already."""
    hub = settings.hub
    return {
        "domain": hub.domain,
        "url": url or hub.public_url or f"http://localhost:{hub.port}",
        "profile": hub.profile.value,
        "directory": {"origin": f"{hub.domain}/directory", "key": keys.directory.public.hex()},
        "audit": {"origin": f"{hub.domain}/audit", "key": keys.audit.public.hex()},
    }


def write_public(settings: HubSettings, keys: SigningKeys, url: str | None = None) -> Path:
    """Write `hub-public.json` into the data directory and return its path."""
    path = settings.hub.data_dir / PUBLIC_NAME
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(open_made(draft, os.O_WRONLY | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
        file.write(json.dumps(public_document(settings, keys, url), indent=2) + "\n")
    # In one step, since the authority's program may be reading it.
    draft.replace(path)
    return path


def _has_run(settings: HubSettings) -> bool:
    return any((settings.hub.data_dir / name).exists() for name in (DATABASE_NAME, GUARD_NAME))


def _path(settings: HubSettings) -> Path:
    credentials = settings.hub.credentials_directory
    return settings.hub.data_dir / SEALED_NAME if credentials is None else credentials / CREDENTIAL_NAME


def _purpose(profile: Profile) -> str:
    return f"throughcare-hub signing keys, {profile.value}"


def _passphrase(settings: HubSettings) -> bytes:
    path = settings.hub.passphrase_file
    if path is None:
        raise ConfigurationError("hub.passphrase_file is not set; it names the file with the keys' passphrase.")
    return read_passphrase_file(path)


def _made_for(settings: HubSettings) -> Profile | None:
    try:
        document = json.loads((settings.hub.data_dir / PUBLIC_NAME).read_text(encoding="utf-8"))
        return Profile(document["profile"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

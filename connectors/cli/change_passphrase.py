# SPDX-License-Identifier: Apache-2.0
"""`change-passphrase`: a key under another passphrase, when somebody leaves or saw it. The key stays as it is (KEY-6).

The hub's own keys have the same command in `throughcare-hub`.
"""

import os
from pathlib import Path
from typing import Final

import click

from connectors.authority.office import PERSONS
from connectors.cli.configfile import AGENCY, CONFIG, found_config
from connectors.cli.failures import advising
from connectors.cli.passphrase import read_passphrase
from connectors.cli.voice import Voice, speaks
from connectors.config import load
from connectors.installation import KEYSTORE_FOLDER
from connectors.store.engine import LOCK_FILE
from connectors.store.lock import InstallationLock
from keys.backupopening import SEALED_FOR
from keys.keystore import Keystore
from keys.sealedfile import reseal_file
from protocol.diagnosis import starts_connector
from protocol.errors import ConfigurationError, Conflict, InvalidInput, KeystoreError

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_OLD: Final = click.option(
    "--passphrase-file", type=_FILE, help="File with the passphrase that counts so far (- is standard input)."
)
_NEW_OPTION: Final = "--new-passphrase-file"
_NEW: Final = click.option(_NEW_OPTION, type=_FILE, help="File with the new passphrase (- is standard input).")
_STEPS: Final[dict[type[Exception], str]] = {
    KeystoreError: "the same command with the passphrase that counts so far, and a folder that can be written",
    InvalidInput: "the same command with another new passphrase",
    Conflict: "stop the connector, then the same command again",
}
_COPIES: Final = (
    "Other copies of it, in backups too, still open under the old passphrase: replace or delete them. If such a copy\n"
    "and the old passphrase may be in strange hands, this is no remedy: the key itself must end."
)


@click.command("change-passphrase")
@click.argument("file", metavar="[FILE]", required=False, type=_FILE)
@CONFIG
@AGENCY
@_OLD
@_NEW
@speaks
def of_connector(
    file: Path | None,
    config_file: Path | None,
    of_agency: str | None,
    passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    voice: Voice,
) -> None:
    """Put a connector's keystore, or a backup.key, under a new passphrase.

    Without FILE it is the keystore of the connector, which must be stopped; its passphrase comes from the file that its
    configuration names, or is asked for. With FILE it is that key: a backup.key.
    """
    if file is not None:
        if config_file is not None or of_agency is not None:
            raise click.UsageError("Say FILE, or whose keystore, not both.")
        _change_file(file, passphrase_file, new_passphrase_file, voice)
        return
    config = found_config(config_file, of_agency)
    section = load(config, os.environ).settings.connector
    folder, named = section.data_dir / KEYSTORE_FOLDER, section.passphrase_file
    if not Keystore.is_made(folder):
        raise ConfigurationError(f"There is no keystore in {section.data_dir}. Enrol first: `throughcare enrol` does.")
    old_file = named if passphrase_file is None and named.exists() else passphrase_file
    # A connector that runs could open no key any more, to renew its certificate or a prekey.
    lock = InstallationLock(section.data_dir / LOCK_FILE, "A connector runs on this keystore. Nothing was changed.")
    with advising(_STEPS), lock:
        old = read_passphrase(old_file, "the keystore")
        new = read_passphrase(new_passphrase_file, "the keystore", new=True, option=_NEW_OPTION)
        anew = Keystore.change_passphrase(folder, old, new)
    _tell("the keystore", folder, voice, anew=anew)
    start = f"start it: {starts_connector(config)}"
    if new_passphrase_file is not None and str(new_passphrase_file) != "-":
        voice.say(f"next:  mv {new_passphrase_file} {named}, then {start}")
    else:
        voice.say(f"next:  write the new passphrase into {named} (chmod 600), then {start}")


@click.command("change-passphrase")
@click.argument("file", metavar="FILE", type=_FILE)
@_OLD
@_NEW
@speaks
def of_person(file: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, voice: Voice) -> None:
    """Put an approver's or root person's key under a new passphrase.

    FILE is the key, wherever its owner keeps it: the authority's folder is not needed, and neither is the other keys'
    owners' help.
    """
    _change_file(file, passphrase_file, new_passphrase_file, voice)


def _change_file(file: Path, old_file: Path | None, new_file: Path | None, voice: Voice) -> None:
    with advising(_STEPS):
        old = read_passphrase(old_file, str(file))
        new = read_passphrase(new_file, str(file), new=True, option=_NEW_OPTION)
        done = reseal_file(file, (*PERSONS, SEALED_FOR), old, new)
    whose = "the backup key" if done.purpose == SEALED_FOR else f"the key of {done.purpose}"
    _tell(whose, file, voice, anew=done.anew)


def _tell(what: str, where: Path, voice: Voice, *, anew: bool) -> None:
    line = f"{where}: {what} opens under the new passphrase only."
    if not anew:
        line = f"{where}: {what} was under the new passphrase already. Nothing was changed."
    voice.data({"key": what.removeprefix("the "), "file": str(where), "changed": anew}, [line])
    voice.say(_COPIES)

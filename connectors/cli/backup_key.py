# SPDX-License-Identifier: Apache-2.0
"""`throughcare key backup-words` and `accept-backup-key`: a person says to which key backups are sealed (BAK-10)."""

import os
from pathlib import Path

import click

from connectors.backupkey import accept_backup_key
from connectors.cli.configfile import finds_config
from connectors.cli.failures import advising
from connectors.cli.voice import Voice, speaks
from connectors.config import load
from connectors.installation import KEYSTORE_FOLDER
from keys.backupfile import backup_identity, read_backup_public
from keys.backuprecord import forget_refused_backup
from keys.backuptrust import backup_words
from keys.keystore import Keystore
from protocol.errors import UntrustedKey

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("backup-words")
@click.argument("file", metavar="FILE", type=_FILE)
@speaks
def words(file: Path, voice: Voice) -> None:
    """Show the 8 words of a backup.pub, to be compared.

    Read them where the key was made, beside its backup.key: what a connector's machine shows, somebody may have put
    there.
    """
    identity = backup_identity(read_backup_public(file))
    told = backup_words(identity)
    voice.data({"key_id": identity.hex(), "words": list(told)}, [" ".join(told)])


@click.command("accept-backup-key")
@finds_config
@click.option("--public-key", required=True, type=_FILE, help="The backup.pub of the key that is right from now on.")
@click.option("--words", required=True, help="Its 8 words, as `backup-key` or `backup-words` showed them offline.")
@speaks
def accept(config_file: Path, public_key: Path, words: str, voice: Voice) -> None:
    """Have a connector's backups sealed to this key, and to no other, from now on.

    Backups that were made before still open with the key that they were sealed to: keep it as long as you keep them.
    """
    # Late, since what runs a connector takes its time to load.
    from connectors.app import read_passphrase

    public = read_backup_public(public_key)
    section = load(config_file, os.environ).settings.connector
    keystore = Keystore.open(section.data_dir / KEYSTORE_FOLDER, read_passphrase(section))
    step = f"throughcare key backup-words backup.pub   (where the key was made); if it differs, {public_key} is not it"
    with advising({UntrustedKey: step}):
        accept_backup_key(keystore, public, words)
    forget_refused_backup(section.data_dir)
    told = backup_words(backup_identity(public))
    voice.data({"words": list(told), "accepted": True}, ["Backups are sealed to this key from now on."])

# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub backup` and `accept-backup-key`: sealed backups, and to whom they are sealed."""

from pathlib import Path

import click

from hub.cli.options import CONFIG, FILE, load, told
from protocol.errors import UntrustedKey


@click.command(short_help="Write a sealed backup, also while it runs.")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@CONFIG
@click.option("--public-key", required=True, type=FILE, help="The backup.pub that `throughcare backup-key` made.")
def backup(target: Path, path: Path, public_key: Path) -> None:
    """Write a sealed backup of the hub, attachments included, also while it runs."""
    with told(path):
        import asyncio

        from hub.app import system_clock
        from hub.backups.making import make_backup
        from hub.backups.telling import leaves
        from keys.backupfile import read_backup_public
        from keys.backuptrust import told_key

        public = read_backup_public(public_key)
        try:
            made = asyncio.run(make_backup(load(path), target, public, system_clock()))
        except UntrustedKey as error:
            error.add_note(
                "next: the same command with the right backup.pub; only if you made a new key: throughcare-hub "
                f"accept-backup-key --config {path} --public-key {public_key} --words …"
            )
            raise
        for log, size in made.sizes.items():
            click.echo(f"{log}: {leaves(size)}")
        click.echo(f"{target}: {made.bytes} bytes\n{told_key(public, first=made.first)}", err=True)


@click.command("accept-backup-key", short_help="Have backups sealed to another key.")
@CONFIG
@click.option("--public-key", required=True, type=FILE, help="The backup.pub of the key that is right from now on.")
@click.option("--words", required=True, help="Its 8 words, as `throughcare backup-key` showed them offline.")
def accept_backup_key(path: Path, public_key: Path, words: str) -> None:
    """Have the hub's backups sealed to this key, and to no other, from now on.

    Read the words where the key was made, never here. Older backups still open with the key they were sealed to.
    """
    with told(path):
        from hub.service.backupkey import accept_backup_key as accept
        from keys.backupfile import read_backup_public
        from keys.backuprecord import forget_refused_backup

        folder = load(path).hub.data_dir
        try:
            accept(folder, read_backup_public(public_key), words)
        except UntrustedKey as error:
            error.add_note("next: throughcare key backup-words backup.pub   (where the key was made)")
            raise
        forget_refused_backup(folder)
        click.echo("Backups are sealed to this key from now on.")

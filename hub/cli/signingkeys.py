# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub init` and `change-passphrase`: the keys that the hub signs with."""

from pathlib import Path

import click

from hub.cli.options import CONFIG, FILE, load, told
from hub.cli.passphrase import passphrase


@click.command(short_help="Make the data folder and the signing keys.")
@CONFIG
def init(path: Path) -> None:
    """Make the data directory and the hub's signing keys, and write hub-public.json for the authority."""
    with told(path):
        from hub.service.signingkeys import create_keys, write_public
        from keys.folderowner import make_folder
        from keys.selftest import self_test

        settings = load(path)
        self_test()
        make_folder(settings.hub.data_dir, parents=True, exist_ok=True)
        public = write_public(settings, create_keys(settings))
        click.echo(str(public))
        click.echo("Give this file to your authority, and set hub.root_fingerprint as it is read to you.", err=True)
        click.echo(f"next:  throughcare-hub check --config {path}", err=True)


@click.command("change-passphrase", short_help="Put the signing keys under a new passphrase.")
@CONFIG
@click.option("--new-passphrase-file", "new_file", type=FILE, help="The file with it; asked for, twice, without it.")
def change_passphrase(path: Path, new_file: Path | None) -> None:
    """Put the signing keys under a new passphrase, from that in hub.passphrase_file; a hub that runs goes on."""
    with told(path):
        from hub.service.signingkeys import SEALED_NAME
        from hub.service.signingkeys import change_passphrase as change

        settings = load(path)
        new = passphrase(new_file, "New passphrase of the hub's keys", "--new-passphrase-file", twice=True)
        anew = change(settings, new)
        state = "open under the new passphrase only" if anew else "were under the new passphrase already"
        click.echo(f"{settings.hub.data_dir / SEALED_NAME}: the signing keys {state}.")
        named = settings.hub.passphrase_file
        put = f"mv {new_file} {named}" if new_file else f"write the new passphrase into {named} (chmod 600)"
        click.echo(
            "Backups that were made before, and other copies, still open under the old passphrase: whoever restores\n"
            "one needs it. Other hub processes have their own copy of the keys: do the same there.\n"
            f"next:  {put}   (before the hub starts again), then make a backup",
            err=True,
        )

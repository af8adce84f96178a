# SPDX-License-Identifier: Apache-2.0
"""`throughcare backup-key`, `backup` and `restore`: so that a lost machine does not lose an agency's cases."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from connectors.cli.configfile import finds_config
from connectors.cli.failures import advising
from connectors.cli.passphrase import configured, read_passphrase, tell_if_missing
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.config import check_hub_url, load
from connectors.enrolment.configuration import write_configuration
from connectors.enrolment.visit import now_ms, visiting
from connectors.installation import Enrolment, open_installation
from connectors.way_out import WayOut
from keys.backupfile import backup_identity, read_backup_public
from keys.backupopening import make_backup_key, open_backup_key
from keys.backuptrust import backup_words, told_key
from keys.sealedfile import CONNECTOR, SMALL
from protocol.diagnosis import starts_connector
from protocol.errors import Conflict, EnrolmentRefused, KeystoreError, OurError, StoreFailed, UntrustedKey
from protocol.http.fields import format_time
from protocol.settings import Profile

FILE = click.Path(path_type=Path, dir_okay=False)
_KEY_OPTION: Final = "--key-passphrase-file"
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("backup-key")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--passphrase-file", type=FILE, help="File with a passphrase for the key (- is standard input).")
@click.option("--demo", is_flag=True, help="Weaker but faster protection of the key, for trying out only.")
@speaks
def backup_key(folder: Path, passphrase_file: Path | None, demo: bool, voice: Voice) -> None:
    """Make the key that opens backups, to be kept offline."""
    passphrase = read_passphrase(passphrase_file, "the backup key", new=True)
    kept, public = make_backup_key(folder, passphrase, SMALL if demo else CONNECTOR)
    told = backup_words(backup_identity(read_backup_public(public)))
    voice.data(
        {"key": str(kept), "public": str(public), "words": list(told)},
        [f"{public} is for every machine that makes backups.", f"    words: {' '.join(told)}"],
    )
    voice.say(
        f"Keep {kept} and its passphrase offline, apart from each other: they open every backup.\n"
        "Note the words: a connector's first backup shows those of the key that it has."
    )


@click.command()
@click.argument("target", metavar="FILE", type=FILE)
@finds_config
@click.option("--public-key", required=True, type=FILE, help="The backup.pub that `throughcare backup-key` made.")
@speaks
def backup(target: Path, config_file: Path, public_key: Path, voice: Voice) -> None:
    """Write a sealed backup of a connector, also while it runs."""
    from connectors.app import read_passphrase as configured_passphrase
    from connectors.backup import make_backup

    public = read_backup_public(public_key)
    section = load(config_file, os.environ).settings.connector
    installation = open_installation(section.data_dir, configured_passphrase(section))
    right = (
        f"the same command with the right backup.pub; only if you made a new key: throughcare key accept-backup-key "
        f"--config {config_file} --public-key {public_key} --words …"
    )
    with advising({UntrustedKey: right}):
        first = make_backup(section.data_dir, installation, target, public, now_ms())
    size = target.stat().st_size
    voice.data({"file": str(target), "bytes": size}, [f"{target}: {size} bytes"])
    voice.say(told_key(public, first=first))


def _verify(source: Path, key_file: Path, key_passphrase_file: Path | None, voice: Voice) -> None:
    """Check a backup, and say of whom and of when it is."""
    from connectors.backup import check_backup

    steps: dict[type[Exception], str] = {
        KeystoreError: "check --key, its passphrase and FILE, then the same command again",
        StoreFailed: "throughcare doctor   (on the connector's machine; then make another backup)",
    }
    with advising(steps):
        secret = open_backup_key(key_file, read_passphrase(key_passphrase_file, "the backup key", option=_KEY_OPTION))
        opened, attachments = asyncio.run(check_backup(source, secret))
    agency, made = opened.enrolment.agency, format_time(opened.made_at)
    voice.data(
        {"agency": agency, "backup_made_at": made, "attachments": attachments, "verified": True},
        [f"{source} opens and is whole: {agency}, as of {made}, {attachments} attachments."],
    )
    voice.say("Nothing was kept or published.")


_STEPS: Final[Mapping[type[Exception], str]] = {
    KeystoreError: "check --key, both passphrases and FILE, then the same command again",
    OurError: "the same command again, once that is mended; if a device was made already, it goes on with that one",
    EnrolmentRefused: "the same command with the URL of the hub that the agency was enrolled at, as --hub-url",
    Conflict: "stop what works in that folder (a connector, or another restore), then the same command again",
}
"""What to type after what can stop a restore; what it made so far is kept or gone, as is right."""

_STOLEN: Final = (
    "The file connector.passphrase_file was on the lost machine. Unless that was off and its disk encrypted, this is\n"
    "not enough: whoever has both can make devices in the agency's name. Have your authority revoke the agency then,\n"
    "and enrol anew."
)


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", "key_file", required=True, type=FILE, help="The backup.key that was kept offline.")
@click.option(_KEY_OPTION, type=FILE, help="File with the key's passphrase (- is standard input).")
@click.option("--data-dir", type=FOLDER, help="The connector's new folder; empty, or not there yet.")
@click.option("--passphrase-file", type=FILE, help="File with a passphrase for the new keystore.")
@click.option("--hub-url", help="The hub's URL, if it is not the one of the enrolment any more.")
@click.option("--verify", is_flag=True, help="Only open and check the backup: nothing is kept or published.")
@click.option(
    "--revoke",
    is_flag=True,
    help="Revoke all earlier devices too: the lost one may be in strange hands, though without its passphrase.",
)
@click.option("--demo", is_flag=True, help="Weaker but faster protection of the keystore, for trying out only.")
@goes_out
@speaks
def restore(
    source: Path,
    key_file: Path,
    key_passphrase_file: Path | None,
    data_dir: Path | None,
    passphrase_file: Path | None,
    hub_url: str | None,
    verify: bool,
    revoke: bool,
    demo: bool,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Give an agency whose machine is lost a new device from a backup."""
    from connectors.backup import Opened, open_backup
    from connectors.restoring import Restoration, finish, restoring_into
    from connectors.restoring import restore as restore_into

    if verify:
        _verify(source, key_file, key_passphrase_file, voice)
        return
    if data_dir is None:
        raise click.UsageError("Missing option '--data-dir'.   (Or --verify, to check the backup only.)")
    profile = Profile.DEMO if demo else Profile.PRODUCTION
    if hub_url is not None:
        check_hub_url(profile, hub_url)
    revoked: list[str] = []
    with advising(_STEPS), restoring_into(data_dir, source) as place:
        found: Opened | Restoration
        if place.begun is None:
            secret = open_backup_key(
                key_file, read_passphrase(key_passphrase_file, "the backup key", option=_KEY_OPTION)
            )
            passphrase = read_passphrase(passphrase_file, "the keystore", new=True)
            found = open_backup(source, secret, place.draft)
        else:
            passphrase = read_passphrase(passphrase_file, "the keystore")
            found = place.begun

        async def publish(source: Opened | Restoration) -> Enrolment:
            async with visiting(hub_url or source.enrolment.hub_url, way_out) as hub:
                return await restore_into(
                    place,
                    source,
                    hub,
                    passphrase,
                    now_ms(),
                    hub_url=hub_url,
                    revoke=revoke,
                    params=SMALL if demo else CONNECTOR,
                    told=lambda lost: revoked.append(lost.hex()),
                )

        enrolment = asyncio.run(publish(found))
        config = write_configuration(
            data_dir,
            configured(passphrase_file, data_dir),
            profile=profile,
            way_out=way_out,
        )
        finish(place, enrolment)
    made = format_time(found.made_at)
    voice.data(
        {
            "agency": enrolment.agency,
            "device": enrolment.device_key_id.hex(),
            "backup_made_at": made,
            "revoked": revoked,
        },
        [f"{enrolment.agency} has a new device; its cases are as of {made}."],
    )
    for one in revoked:
        voice.say(f"revoked: device {one}")
    if revoke:
        voice.say(_STOLEN)
    if revoke and not revoked:
        voice.say("No earlier device of these desks was left to revoke.")
    voice.say(
        "Never start the old machine's connector again. What was under way comes by itself, sealed anew.\n"
        f"What you sent after {made} others have, and it is not in the backup: ask them today what they have,\n"
        "before you go on there. What was opened after it is not in the backup either: it comes again when something\n"
        "newer comes in its thread; where nothing does, ask its senders.\n"
        f"What was set in the old connector.toml ([webhooks], [drop] …) is not in the backup either: put it into\n"
        f"{config}\n"
        "before the first start, or what a webhook has not confirmed is forgotten."
    )
    tell_if_missing(configured(passphrase_file, data_dir), config, voice)
    voice.say(f"next:  {starts_connector(config)}")

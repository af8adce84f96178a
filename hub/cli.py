# SPDX-License-Identifier: Apache-2.0
"""The operator's program `throughcare-hub`: keys, checks, running. Data goes to stdout, talk to stderr."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.failures import report
from protocol.errors import ConfigurationError, StoreFailed, UntrustedKey
from protocol.ownership import check_ownership
from protocol.starting import asking_nobody, starting

if TYPE_CHECKING:
    from hub.config import HubSettings
    from hub.serving import Urls

_ASKED = "Passphrase of the backup key"
_FILE = click.Path(path_type=Path, dir_okay=False)

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration file (TOML); config.example.toml explains every key.",
)


@contextmanager
def _told(config: Path) -> Iterator[None]:
    """Turn an error into one sentence on stderr and the exit code for its kind."""
    try:
        yield
    except click.Abort:
        raise  # the operator has thought better of it, at a question
    except Exception as error:  # noqa: BLE001 - the last place to tell of it, whatever it is
        sys.exit(report(error, config))


def _settings(path: Path) -> "HubSettings":
    from hub.config import load_settings

    return load_settings(path, os.environ).settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a Throughcare hub. It carries sealed envelopes and keeps evidence, and it can open nothing."""


@main.command(short_help="Make the data folder and the signing keys.")
@config_option
def init(path: Path) -> None:
    """Make the data directory and the hub's signing keys, and write hub-public.json for the authority."""
    with _told(path):
        from hub.service.signingkeys import create_keys, write_public
        from keys.folderowner import make_folder
        from keys.selftest import self_test

        settings = _settings(path)
        self_test()
        make_folder(settings.hub.data_dir, parents=True, exist_ok=True)
        public = write_public(settings, create_keys(settings))
        click.echo(str(public))
        click.echo("Give this file to your authority, and set hub.root_fingerprint as it is read to you.", err=True)
        click.echo(f"next:  throughcare-hub check --config {path}", err=True)


@main.command("change-passphrase", short_help="Put the signing keys under a new passphrase.")
@config_option
@click.option("--new-passphrase-file", "new_file", type=_FILE, help="The file with it; asked for, twice, without it.")
def change_passphrase(path: Path, new_file: Path | None) -> None:
    """Put the signing keys under a new passphrase, from that in hub.passphrase_file; a hub that runs goes on."""
    with _told(path):
        from hub.service.signingkeys import SEALED_NAME
        from hub.service.signingkeys import change_passphrase as change

        settings = _settings(path)
        new = _passphrase(new_file, "New passphrase of the hub's keys", "--new-passphrase-file", twice=True)
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


@main.command(short_help="Serve until it is told to stop.")
@config_option
@click.option("--ready-json", is_flag=True, help="Print one line of JSON with the URLs once the hub serves.")
def run(path: Path, ready_json: bool) -> None:
    """Serve until a SIGTERM or SIGINT (Ctrl-C) comes; after that one the exit code is 130."""
    with _told(path), starting() as started:
        import asyncio

        with asking_nobody():
            from hub import serving
        from hub.logs import make_log
        from hub.store.sqlite import left_open
        from protocol.http.supervised import Supervisor

        check_ownership()
        settings = _settings(path)
        log = make_log(settings.log.level, settings.log.form)
        supervisor, asked_by = Supervisor.of(os.environ), list[int]()

        def ready(urls: "Urls") -> None:
            started()
            _say(urls, ready_json)

        async def serve() -> None:
            stop = asyncio.Event()

            def asked(number: int) -> None:
                asked_by.append(number)
                stop.set()

            _on_signal(asked)
            await serving.run(settings, log=log, ready=ready, stop=stop, supervisor=supervisor)

        before = left_open()
        try:
            with asyncio.Runner(loop_factory=serving.new_event_loop) as runner:
                runner.run(serve())
        except StoreFailed as error:
            if left_open() > before:
                # Python's own way to end would close it.
                os._exit(report(error, path))
            raise
        if asked_by[:1] == [signal.SIGINT]:
            sys.exit(128 + signal.SIGINT)


@main.command(short_help="Check keys and all that is stored.")
@config_option
def check(path: Path) -> None:
    """Check configuration, keys and all that is stored, without serving: every hash is computed anew."""
    with _told(path):
        import asyncio

        from hub.config import doubts, pinned_root
        from hub.service.logcheck import check_everything
        from hub.service.signingkeys import open_keys
        from hub.store.trees import Log

        settings = _settings(path)
        keys = open_keys(settings)
        found = asyncio.run(
            check_everything(settings, {Log.AUDIT: keys.audit.public, Log.DIRECTORY: keys.directory.public})
        )
        if not found:
            click.echo("There is no database yet; `throughcare-hub run` makes it.")
        for log, size in found.items():
            click.echo(f"{log}: {size} leaves, and all that belongs to them, sound")
        pinned_root(settings)  # last, so that a hub without it is told of what is damaged too
        for doubt in doubts(settings):
            click.echo(f"warning: {doubt}", err=True)
        click.echo("Everything is in order.")
        click.echo(f"next:  throughcare-hub run --config {path}", err=True)


@main.command(short_help="Look for what is wrong, and how to mend it.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: stable, for programs.")
def doctor(path: Path, as_json: bool) -> None:
    """Look for what is wrong with the hub, and say how to mend it; nothing is changed, also beside a running hub."""
    with _told(path):
        import asyncio

        from hub.app import system_clock
        from hub.doctor import examine
        from protocol import diagnosis

        found = asyncio.run(examine(_settings(path), system_clock))
        found = diagnosis.named(found, path)
        click.echo(json.dumps(diagnosis.as_json(found)) if as_json else "\n".join(diagnosis.lines(found)))
        sys.exit(diagnosis.exit_code(found))


@main.command(short_help="Say what time it is here, and confirm it.")
@config_option
@click.option("--confirm", "today", metavar="YYYY-MM-DD", type=click.DateTime(["%Y-%m-%d"]), help="Today's date.")
def clock(path: Path, today: datetime | None) -> None:
    """Say what time it is by this machine, and since when the hub knew; confirm it with today's date from a calendar.

    After it was off for over a day a hub believes its clock when the connectors of two agencies show the same time, or
    when its operator confirms it. Also beside a running hub, which goes on within seconds.
    """
    with _told(path):
        import asyncio

        from hub import confirming
        from hub.app import system_clock

        settings = _settings(path)
        times = asyncio.run(confirming.read_times(settings, system_clock()))
        click.echo("\n".join(times.lines()))
        if today is not None:
            confirming.confirm(settings, today.date(), times.now)
            click.echo("Confirmed.")
        elif times.unsure:
            click.echo(f"next:  throughcare-hub clock --confirm YYYY-MM-DD --config {path}   (today's date)", err=True)
            sys.exit(1)


@main.command(short_help="Write a sealed backup, also while it runs.")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option("--public-key", required=True, type=_FILE, help="The backup.pub that `throughcare backup-key` made.")
def backup(target: Path, path: Path, public_key: Path) -> None:
    """Write a sealed backup of the hub, attachments included, also while it runs."""
    with _told(path):
        import asyncio

        from hub.app import system_clock
        from hub.backups.making import make_backup
        from hub.backups.telling import leaves
        from keys.backupfile import read_backup_public
        from keys.backuptrust import told_key

        public = read_backup_public(public_key)
        try:
            made = asyncio.run(make_backup(_settings(path), target, public, system_clock()))
        except UntrustedKey as error:
            error.add_note(
                "next: the same command with the right backup.pub; only if you made a new key: throughcare-hub "
                f"accept-backup-key --config {path} --public-key {public_key} --words …"
            )
            raise
        for log, size in made.sizes.items():
            click.echo(f"{log}: {leaves(size)}")
        click.echo(f"{target}: {made.bytes} bytes\n{told_key(public, first=made.first)}", err=True)


@main.command("accept-backup-key", short_help="Have backups sealed to another key.")
@config_option
@click.option("--public-key", required=True, type=_FILE, help="The backup.pub of the key that is right from now on.")
@click.option("--words", required=True, help="Its 8 words, as `throughcare backup-key` showed them offline.")
def accept_backup_key(path: Path, public_key: Path, words: str) -> None:
    """Have the hub's backups sealed to this key, and to no other, from now on.

    Read the words where the key was made, never here. Older backups still open with the key they were sealed to.
    """
    with _told(path):
        from hub.service.backupkey import accept_backup_key as accept
        from keys.backupfile import read_backup_public
        from keys.backuprecord import forget_refused_backup

        folder = _settings(path).hub.data_dir
        try:
            accept(folder, read_backup_public(public_key), words)
        except UntrustedKey as error:
            error.add_note("next: throughcare key backup-words backup.pub   (where the key was made)")
            raise
        forget_refused_backup(folder)
        click.echo("Backups are sealed to this key from now on.")


@main.command(short_help="Make the hub anew from a backup.")
@click.argument(
    "source", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@config_option
@click.option("--key", "key_file", type=_FILE, help="The backup.key that was kept offline.")
@click.option("--key-passphrase-file", type=_FILE, help="The file with the key's passphrase; asked for without it.")
@click.option("--guard", "guards", multiple=True, type=_FILE, help="A guard file that survived elsewhere.")
@click.option("--witness", "witnesses", multiple=True, type=_FILE, help="What `throughcare witness` wrote.")
@click.option("--authority", "stated", multiple=True, type=_FILE, help="A .statement of the authority's own folder.")
@click.option("--without-statements", is_flag=True, help="Go on though statements are lost that no witness holds.")
@click.option("--in-place", is_flag=True, help="Instead of FILE: take the database as it is, which has lost something.")
@click.option("--verify", "only_verify", is_flag=True, help="Open and check the whole backup, and restore nothing.")
@click.option("--agree", metavar="DOMAIN", help="The hub's domain, instead of typing it when asked.")
def restore(
    source: Path | None,
    path: Path,
    key_file: Path | None,
    key_passphrase_file: Path | None,
    guards: tuple[Path, ...],
    witnesses: tuple[Path, ...],
    stated: tuple[Path, ...],
    without_statements: bool,
    in_place: bool,
    only_verify: bool,
    agree: str | None,
) -> None:
    """Make the hub anew from a backup; all hub processes must be stopped, and stay so."""
    if (source is None) != in_place or (source is not None and key_file is None):
        raise click.UsageError("Name a backup FILE with its --key, or --in-place.")
    with _told(path):
        import asyncio

        from hub.app import system_clock
        from hub.backups import restoring, telling
        from hub.backups.standing import Standing, check_statements
        from hub.service.restorerequest import REQUEST_NAME

        settings = _settings(path)

        def ask(standing: Standing) -> None:
            click.echo("\n".join(telling.transcript(standing)), err=True)
            if not without_statements:
                check_statements(standing)
            typed = agree or click.prompt("Type the hub's domain to go on", err=True)
            if typed != settings.hub.domain:
                error = ConfigurationError("That is not this hub's domain. Nothing was changed.")
                error.add_note(f"next: the same command, and type {settings.hub.domain}")
                raise error

        evidence, now = restoring.Evidence(guards, witnesses, stated), system_clock()
        if source is None or key_file is None:
            standing = asyncio.run(restoring.restore_in_place(settings, evidence, now, ask))
        else:
            secret = restoring.open_key(key_file, _passphrase(key_passphrase_file, _ASKED, "--key-passphrase-file"))
            if only_verify:
                found = asyncio.run(restoring.verify(source, secret, settings))
                click.echo("\n".join(telling.verified(found)))
                return
            standing = asyncio.run(restoring.restore(source, secret, settings, evidence, now, ask))
        click.echo("\n".join(telling.sealed_to(settings.hub.data_dir)), err=True)
        if standing.certain:
            click.echo("The hub is restored.")
            click.echo(f"next:  throughcare-hub run --config {path}", err=True)
        else:
            click.echo(str(settings.hub.data_dir / REQUEST_NAME))
            click.echo(
                "Bring this file to your authority. The hub does not serve before two approvers have signed it.\n"
                f"next:  throughcare-hub resume --config {path} --statement FILE   (with what the authority gives you)",
                err=True,
            )


@main.command(short_help="Go on after a restore that lost something.")
@config_option
@click.option("--statement", required=True, type=_FILE, help="What `throughcare authority restore` wrote.")
def resume(path: Path, statement: Path) -> None:
    """Go on after a restore that lost something, with the authority's statement."""
    with _told(path):
        import asyncio

        from hub.app import system_clock
        from hub.backups.resuming import resume as resume_with

        done = asyncio.run(resume_with(_settings(path), statement.read_bytes(), system_clock()))
        click.echo(f"Generation {done.generation} of both logs has begun.")
        click.echo(
            f"Enrolment codes that ended unused: {done.voided_codes}; have the authority make them anew.\n"
            f"next:  throughcare-hub run --config {path}   (and make a backup: older ones cannot be used again)",
            err=True,
        )


def _passphrase(path: Path | None, asked: str, option: str, *, twice: bool = False) -> bytes:
    """Return the passphrase in `path`; without a path what is typed, or the next line where there is no terminal."""
    from keys.passphrasefile import MAX_PASSPHRASE, one_line, read_passphrase_file

    if path is not None:
        return read_passphrase_file(path)
    if sys.stdin.isatty():
        return str(click.prompt(asked, hide_input=True, err=True, confirmation_prompt=twice)).encode()
    # A hidden question at no terminal gets a warning of Python's own, and what is typed might be shown.
    click.echo(f"{asked}: ", err=True)
    line = sys.stdin.buffer.readline(MAX_PASSPHRASE)
    if not line:
        raise ConfigurationError(
            f"The {asked[0].lower()}{asked[1:]} is needed, and there is neither a terminal to ask at nor a line to "
            f"read. Give {option} FILE."
        )
    return one_line(line, "Standard input")


def _say(urls: "Urls", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"url": urls.public, "admin_url": urls.admin}))
    else:
        click.echo(f"The hub serves {urls.public}; health and metrics are at {urls.admin}.", err=True)


def _on_signal(stop: Callable[[int], None]) -> None:
    """Have `stop` called for SIGTERM and SIGINT, with the signal's number, on the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))

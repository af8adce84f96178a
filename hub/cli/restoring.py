# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub restore` and `resume`: a hub made anew from a backup, and how it goes on after a loss."""

from pathlib import Path

import click

from hub.cli.options import CONFIG, FILE, load, told
from hub.cli.passphrase import passphrase
from protocol.diagnosis import starts_hub

_ASKED = "Passphrase of the backup key"


@click.command(short_help="Make the hub anew from a backup.")
@click.argument(
    "source", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@CONFIG
@click.option("--key", "key_file", type=FILE, help="The backup.key that was kept offline.")
@click.option("--key-passphrase-file", type=FILE, help="The file with the key's passphrase; asked for without it.")
@click.option("--guard", "guards", multiple=True, type=FILE, help="A guard file that survived elsewhere.")
@click.option("--witness", "witnesses", multiple=True, type=FILE, help="What `throughcare witness` wrote.")
@click.option("--authority", "stated", multiple=True, type=FILE, help="A .statement of the authority's own folder.")
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
    with told(path):
        from hub.app import system_clock
        from hub.backups import restoring, telling
        from hub.backups.standing import Standing, check_statements
        from hub.cli.asking import Questions, have_typed
        from hub.service.restorerequest import REQUEST_NAME

        settings, questions = load(path), Questions()

        def ask(standing: Standing) -> None:
            click.echo("\n".join(telling.transcript(standing)), err=True)
            if not without_statements:
                check_statements(standing)
            questions.ask(lambda: have_typed(settings.hub.domain, agree))

        evidence, now = restoring.Evidence(guards, witnesses, stated), system_clock()
        if source is None or key_file is None:
            standing = questions.run(restoring.restore_in_place(settings, evidence, now, ask))
        else:
            secret = restoring.open_key(key_file, passphrase(key_passphrase_file, _ASKED, "--key-passphrase-file"))
            if only_verify:
                found = questions.run(restoring.verify(source, secret, settings))
                click.echo("\n".join(telling.verified(found)))
                return
            standing = questions.run(restoring.restore(source, secret, settings, evidence, now, ask))
        click.echo("\n".join(telling.sealed_to(settings.hub.data_dir)), err=True)
        if standing.certain:
            click.echo("The hub is restored.")
            click.echo(f"next:  {starts_hub(path)}", err=True)
        else:
            click.echo(str(settings.hub.data_dir / REQUEST_NAME))
            click.echo(
                "Bring this file to your authority. The hub does not serve before two approvers have signed it.\n"
                f"next:  throughcare-hub resume --config {path} --statement FILE   (with what the authority gives you)",
                err=True,
            )


@click.command(short_help="Go on after a restore that lost something.")
@CONFIG
@click.option("--statement", required=True, type=FILE, help="What `throughcare authority restore` wrote.")
def resume(path: Path, statement: Path) -> None:
    """Go on after a restore that lost something, with the authority's statement."""
    with told(path):
        import asyncio

        from hub.app import system_clock
        from hub.backups.resuming import resume as resume_with

        done = asyncio.run(resume_with(load(path), statement.read_bytes(), system_clock()))
        click.echo(f"Generation {done.generation} of both logs has begun.")
        click.echo(
            f"Enrolment codes that ended unused: {done.voided_codes}; have the authority make them anew.\n"
            "Make a backup once it runs: older ones cannot be used again.\n"
            f"next:  {starts_hub(path)}",
            err=True,
        )

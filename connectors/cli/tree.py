# SPDX-License-Identifier: Apache-2.0
"""The commands of `throughcare` as a table: name, module, one line of help.

Only click is imported here. A command's module is imported when the command is typed, because the
libraries behind it (cryptography, aiohttp, SQLAlchemy) take a second to load and `--help` needs none.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """Where in this package a command is defined (`module:attribute`) and the line `--help` shows for it."""

    target: str
    line: str

    def load(self) -> click.Command:
        """Import the module and return the command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(f"connectors.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no command")
        return command


class LazyGroup(click.Group):
    """A group of commands that are imported when they are typed."""

    def __init__(self, name: str | None, table: Mapping[str, Entry], line: str) -> None:
        super().__init__(name, help=line, no_args_is_help=True)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self.table.items()])


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"throughcare {version('throughcare')}")
        ctx.exit()


AUTHORITY = {
    "init": Entry("authority:init", "Make the keys and first statements of a programme."),
    "publish": Entry("authority:publish", "Bring root and authority into the hub's directory."),
    "invite": Entry("authority:invite", "Write an enrolment code for one agency."),
    "pending": Entry("authority:pending", "Show who asks for a certificate, and the words to compare."),
    "approve": Entry("authority:approve", "Sign an agency after comparing the words by voice."),
    "restore": Entry("authority_restore:restore", "Sign what a hub kept when it was restored from a backup."),
    "show": Entry("authority:show", "Show the programme, its hub and its root fingerprint."),
}
CONNECTOR = {
    "run": Entry("connector:run", "Run this agency's connector until it is stopped."),
    "status": Entry("connector:status", "Show what a running connector is doing."),
}
HANDOVER = {
    "send": Entry("handover_send:send", "Map an export and send it, sealed, to one or more desks."),
    "list": Entry("handover:list_", "List handovers sent and received."),
    "show": Entry("handover:show", "Show one handover: own sections, receipts, what was withheld."),
    "save": Entry("attachments:save", "Save the attachments that came with a handover into a folder."),
}
DIRECTORY = {
    "list": Entry("directory:list_", "List the desks that can be written to."),
    "evidence": Entry("fork:evidence", "Write the signed head by which the hub contradicted itself to a file."),
    "dismiss": Entry("fork:dismiss", "Seal again after a contradiction that your authority has looked at."),
}
KEY = {"renew": Entry("key:renew", "Renew this device's certificate for another 90 days.")}
OFFICER = {
    "list": Entry("officer:list_", "List who may act for this agency, and until when."),
    "add": Entry("officer:add", "Let somebody act for this agency, under a title."),
    "renew": Entry("officer:renew", "Let an officer act for another year."),
    "end": Entry("officer:end", "End an officer's authority to act."),
}
QUARANTINE = {"list": Entry("quarantine:list_", "List what arrived and was refused, with the reason.")}
CONFIG = {
    "check": Entry("config:check", "Validate a connector's configuration file offline."),
    "show": Entry("config:show", "Show the configuration in force and where each value is from."),
    "explain": Entry("config:explain", "Explain one key, for example connector.hub_url."),
    "example": Entry("config:example", "Print an example configuration with every key."),
}


@dataclass(frozen=True, slots=True)
class Noun(Entry):
    """A noun whose verbs are in a table of their own."""

    verbs: Mapping[str, Entry]

    def load(self) -> click.Command:
        """Return the group of the noun's verbs; nothing is imported for it."""
        return LazyGroup(self.target, self.verbs, self.line)


COMMANDS: dict[str, Entry] = {
    "handover": Noun("handover", "Send, list and show handovers.", HANDOVER),
    "directory": Noun("directory", "See who can be written to.", DIRECTORY),
    "quarantine": Noun("quarantine", "See what was refused.", QUARANTINE),
    "connector": Noun("connector", "Run an agency's connector.", CONNECTOR),
    "key": Noun("key", "Renew the certificate of this agency's device.", KEY),
    "officer": Noun("officer", "Say who may act for this agency.", OFFICER),
    "enrol": Entry("enrol:enrol", "Enrol this agency with the code its authority gave it."),
    "authority": Noun("authority", "Vouch for agencies (the jurisdiction's authority).", AUTHORITY),
    "config": Noun("config", "Check and explain a connector's configuration.", CONFIG),
    "doctor": Entry("doctor:doctor", "Look for what is wrong with a connector, and say how to mend it."),
    "backup-key": Entry("backup:backup_key", "Make the key that opens backups, to be kept offline."),
    "backup": Entry("backup:backup", "Write a sealed backup of a connector, also while it runs."),
    "restore": Entry("backup:restore", "Give an agency whose machine is lost a new device from a backup."),
    "witness": Entry("witness:witness", "Write what this connector holds of the hub's logs, for its operator."),
    "sandbox": Entry("sandbox:sandbox", "Run a hub and three invented agencies until stopped."),
    "demo": Entry("demo:demo", "Tell the story of one handover, everything real."),
    "completion": Entry("completion:completion", "Print the completion script for your shell."),
}

ROOT = LazyGroup(
    "throughcare",
    COMMANDS,
    "End-to-end encrypted handovers between prison, probation and the services of the community.",
)
ROOT.context_settings = {"help_option_names": ["-h", "--help"]}
ROOT.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and stop.",
    )
)

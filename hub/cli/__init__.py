# SPDX-License-Identifier: Apache-2.0
"""The operator's program `throughcare-hub`: keys, checks, running. Data goes to stdout, talk to stderr.

`throughcare-hub --help` answers at once because the modules of the commands import little but click: what a command
needs it imports when it runs, where a failure of that too becomes a sentence (`hub.cli.options.told`).
"""

import click

from hub.cli.backups import accept_backup_key, backup
from hub.cli.looking import check, clock, doctor
from hub.cli.restoring import restore, resume
from hub.cli.running import run
from hub.cli.signingkeys import change_passphrase, init


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a Throughcare hub. It carries sealed envelopes and keeps evidence, and it can open nothing."""


for _command in (init, change_passphrase, run, check, doctor, clock, backup, accept_backup_key, restore, resume):
    main.add_command(_command)

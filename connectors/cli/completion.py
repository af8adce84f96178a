# SPDX-License-Identifier: Apache-2.0
"""`throughcare completion`: what a shell needs to complete our commands."""

import click
from click.shell_completion import get_completion_class

from connectors.cli.tree import ROOT

_VARIABLE = "_THROUGHCARE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for your shell.

    For bash: eval "$(throughcare completion bash)"
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(found(ROOT, {}, "throughcare", _VARIABLE).source())

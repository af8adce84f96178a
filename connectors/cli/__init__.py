# SPDX-License-Identifier: Apache-2.0
"""`throughcare`: what agencies, authorities and developers type.

`throughcare --help` answers at once because nothing but click is imported before a command is chosen: the
table in `connectors.cli.tree` names each command and the module that holds it. Data goes to standard
output and talk to standard error, so commands can be joined by pipes. A failure prints what happened, why,
and what to type next, and sets the exit code that `connectors.cli.failures` lists; it never shows a
traceback.
"""

import os
import sys

import click

from connectors.cli.tree import ROOT
from connectors.cli.voice import PROGRAM, speak_utf8


def main(arguments: list[str] | None = None) -> int:
    """Run `throughcare` with `arguments` (the process's own by default) and return the exit code."""
    if sys.platform == "win32":
        speak_utf8(sys.stdin, sys.stdout, sys.stderr)
    try:
        result = ROOT.main(args=arguments, prog_name=os.environ.get(PROGRAM) or "throughcare", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has enough; there is nobody left to tell
        return 0
    except Exception as error:  # noqa: BLE001  # the last place where a failure becomes words instead of a traceback
        from connectors.cli.failures import report

        return report(error)
    return result if isinstance(result, int) else 0

# SPDX-License-Identifier: Apache-2.0
"""`throughcare lifecycle`: shows the tables by which referrals and handovers move, and walks anybody's table."""

from pathlib import Path

import click

from connectors.cli.voice import Voice, speaks
from protocol.errors import TableUnreadable
from protocol.lifecycle.drawing import mermaid, table
from protocol.lifecycle.foreign import MAX_TABLE, read_table
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.machine import Machine
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.walking import walk

MACHINES = {machine.name: machine for machine in (REFERRAL, HANDOVER)}


@click.command()
@click.argument("name", type=click.Choice(list(MACHINES)))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "mermaid"]),
    default="table",
    show_default=True,
    help="How to show it.",
)
@speaks
def show(name: str, form: str, voice: Voice) -> None:
    """Show every row of a life cycle, or its diagram.

    Both are made from the table that the program follows.
    """
    machine = MACHINES[name]
    text = mermaid(machine) if form == "mermaid" else table(machine)
    voice.data(_described(machine), text.rstrip("\n").split("\n"))


@click.command(name="walk")
@click.argument("file", type=click.Path(path_type=Path))
@speaks
def walk_(file: Path, voice: Voice) -> None:
    """Find dead ends in anybody's table of transitions (CSV).

    FILE has the columns from, to, and one for each actor with true or false.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_TABLE + 1)
    except OSError:
        raise TableUnreadable("The file cannot be read. Check its path.") from None
    found = walk(read_table(file.stem, data))
    voice.data(
        {
            "transitions": found.transitions,
            "states": found.states,
            "dead_ends": found.dead_ends,
            "unreachable": found.unreachable,
            "unfinished": found.unfinished,
            "idle": found.idle,
        },
        [
            f"{found.transitions} transitions between {found.states} states",
            f"dead ends: {_listed(found.dead_ends)}",
            f"unreachable: {_listed(found.unreachable)}",
            f"states that no dead end follows: {_listed(found.unfinished)}",
            f"actors who never have a move: {_listed(found.idle)}",
        ],
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _described(machine: Machine) -> dict[str, object]:
    return {
        "name": machine.name,
        "initial": machine.initial,
        "states": list(machine.states),
        "finals": sorted(machine.finals),
        "rows": [
            {
                "number": row.number,
                "from": list(row.sources),
                "event": row.event,
                "by": sorted(row.actors),
                "to": row.target,
                "needs": sorted(row.needs),
            }
            for row in machine.rows
        ],
    }

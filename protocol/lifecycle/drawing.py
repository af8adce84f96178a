# SPDX-License-Identifier: Apache-2.0
"""Draws a table: as a Mermaid state diagram, and as the table that the documents show. Both come from the rows."""

from protocol.lifecycle.machine import Machine, Transition, Turn
from protocol.limits import DAY


def mermaid(machine: Machine) -> str:
    """Return `machine` as a Mermaid `stateDiagram-v2`; arrows between the same two states share a line."""
    lines = ["stateDiagram-v2", f"    [*] --> {_name(machine.initial)}"]
    labels: dict[tuple[str, str], list[str]] = {}
    for one in machine.transitions():
        if one.target == Turn.SAME:
            continue
        targets = [one.target] if one.target != Turn.BACK else _parked(machine, one)
        for target in targets:
            labels.setdefault((one.source, target), []).append(f"{one.event} ({', '.join(sorted(one.actors))})")
    for (source, target), texts in labels.items():
        lines.append(f"    {_name(source)} --> {_name(target)}: {'; '.join(dict.fromkeys(texts))}")
    for state in machine.states:
        if state in machine.finals:
            lines.append(f"    {_name(state)} --> [*]")
    lines += [f"    {_name(state)}: {state}" for state in machine.states if _name(state) != state]
    return "\n".join(lines) + "\n"


def table(machine: Machine) -> str:
    """Return `machine` as a Markdown table, one line for each row."""
    lines = ["| # | from | event | by | to | needs |", "|---|---|---|---|---|---|"]
    for row in machine.rows:
        cells = (
            str(row.number),
            ", ".join(row.sources),
            row.event,
            ", ".join(sorted(row.actors)),
            row.target + (f" (within {row.within // DAY} days)" if row.within is not None else ""),
            ", ".join(sorted(row.needs)) or "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _parked(machine: Machine, one: Transition) -> list[str]:
    return [state for row in machine.rows if row.parks and row.target == one.source for state in row.sources]


def _name(state: str) -> str:
    """Return a name that Mermaid takes: letters, digits and underscores."""
    return "".join(sign if sign.isalnum() else "_" for sign in state)

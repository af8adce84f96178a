# SPDX-License-Identifier: Apache-2.0
"""What a doctor found: the form that `throughcare doctor` and `throughcare-hub doctor` share.

A finding names one thing that was looked at, how it is, and, where it is not well, the one thing to do about it.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT)
"""The numbers by which a system says that a disk, or somebody's share of it, is full."""
REPORT: Final = 'report this line and which command it was, without names or files (README, "Reporting a fault")'
"""What is asked of somebody who sees a fault of the program: what was typed may hold a person's name."""

FAULTY = 1
"""The exit code of a doctor that found a fault; a warning alone is no failure."""


class Condition(StrEnum):
    """How a thing is. `SKIPPED` means that something else has to be mended before it can be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `check` is its stable name, `found` one sentence, `fix` what to do, if anything."""

    check: str
    condition: Condition
    found: str
    fix: str | None = None


def fine(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Condition.OK, found)


def warning(check: str, found: str, fix: str) -> Finding:
    """Return what works and should be looked at all the same."""
    return Finding(check, Condition.WARNING, found, fix)


def fault(check: str, found: str, fix: str) -> Finding:
    """Return what is wrong, with its fix."""
    return Finding(check, Condition.FAULT, found, fix)


def skipped(check: str, found: str) -> Finding:
    """Return what could not be looked at, and why."""
    return Finding(check, Condition.SKIPPED, found)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0, or `FAULTY` if there is a fault among `findings`."""
    return FAULTY if any(one.condition is Condition.FAULT for one in findings) else 0


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the findings for people, then one line that sums up."""
    width = max((len(one.check) for one in findings), default=0)
    for one in findings:
        yield f"{one.condition:<7}  {one.check:<{width}}  {one.found}"
        if one.fix is not None:
            yield f"{'':<7}  {'':<{width}}  fix: {one.fix}"
    faults = sum(one.condition is Condition.FAULT for one in findings)
    warnings = sum(one.condition is Condition.WARNING for one in findings)
    yield f"{_count(faults, 'fault')}, {_count(warnings, 'warning')}"


def as_json(findings: Iterable[Finding]) -> dict[str, object]:
    """Return the same for programs."""
    found = list(findings)
    return {
        "healthy": exit_code(found) == 0,
        "items": [
            {"check": one.check, "condition": one.condition.value, "found": one.found, "fix": one.fix} for one in found
        ],
    }


def starts_connector(config: object = "FILE") -> str:
    """Return how a connector is started: under systemd never by hand, since its unit cannot start beside it then.

    `config` is its configuration file, where that is known.
    """
    return (
        f"systemctl start throughcare-connector, where systemd runs it; else throughcare connector run --config "
        f"{config}"
    )


def starts_hub(config: object = "FILE") -> str:
    """Return the same for a hub."""
    return f"systemctl start throughcare-hub, where systemd runs it; else throughcare-hub run --config {config}"


def named(findings: Iterable[Finding], config: object) -> list[Finding]:
    """Return the findings with the configuration file that was looked at, where a fix says only FILE."""
    file = f"--config {config}"
    return [replace(one, fix=one.fix and one.fix.replace("--config FILE", file)) for one in findings]


def system_advice(number: int | None) -> str | None:
    """Return what to do about an error of the operating system with this number, if there is one thing to do."""
    match number:
        case full if full in FULL_DISK:
            return "make room on that disk, then the same command again"
        case errno.EACCES | errno.EPERM:
            return "check who owns that file and its folder, then the same command again"
        case errno.ENOENT:
            return "check the path, then the same command again"
        case _:
            return None


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"

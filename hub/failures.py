# SPDX-License-Identifier: Apache-2.0
"""How the operator's program tells of a failure: what happened, why, what to type next; and which exit code it has.

The codes are those of `throughcare` (docs/operations.md, section 6).
"""

import traceback
from pathlib import Path
from typing import Final

import click

from protocol.diagnosis import FULL_DISK, REPORT, system_advice
from protocol.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    KeystoreError,
    SelfTestFailed,
    StoreBehind,
    StoreFailed,
    StoreFull,
    ThroughcareError,
    UntrustedKey,
)

_DOCTOR = "throughcare-hub doctor --config FILE"
FAILED = 1
_AGAIN: Final = 7
"""Not now: the same command again once there is room."""
_NEXT = "next: "
"""How a note begins by which the place that raised an error says what to do about it."""
_TOLD: dict[type[ThroughcareError], tuple[int, str]] = {
    ConfigurationError: (3, f"mend what is named, then {_DOCTOR}"),
    Conflict: (6, "choose another name or an empty folder, then the same command again"),
    InvalidInput: (2, "the same command with another value"),
    UntrustedKey: (4, _DOCTOR),
    SelfTestFailed: (
        3,
        "pip install --require-hashes -r requirements/runtime.txt   (in a clone), then the same command again",
    ),
    KeystoreError: (8, "check hub.passphrase_file, then the same command again"),
    StoreBehind: (8, _DOCTOR),
    StoreFailed: (8, _DOCTOR),
    StoreFull: (_AGAIN, "make room on the disk of hub.data_dir, then the same command again"),
}
"""Exit code and next step by kind; the nearest class in an error's ancestry counts."""


def report(error: Exception, config: object = "FILE") -> int:
    """Tell of `error` on standard error, never with its input or a traceback; return the exit code.

    `config` is the configuration file that was named, for what is to be typed next.
    """
    code, step = FAILED, _DOCTOR
    if isinstance(error, ThroughcareError):
        code, step = next((_TOLD[kind] for kind in type(error).__mro__ if kind in _TOLD), (FAILED, _DOCTOR))
        said = [note for note in getattr(error, "__notes__", ()) if note.startswith(_NEXT)]
        step = said[0].removeprefix(_NEXT) if said else step
        told, why = f"{error.title} ({error.code})", error.detail
    elif isinstance(error, OSError) and error.strerror:
        code = _AGAIN if error.errno in FULL_DISK else FAILED
        step = system_advice(error.errno) or _DOCTOR
        told, why = error.strerror, f"the system refused{f' at {error.filename}' if error.filename else ''}"
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        told = "Internal error (internal-error)"
        why = f"an unforeseen {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}; please {REPORT}"
    step = step.replace("--config FILE", f"--config {config}")
    click.echo(f"error: {told}\nwhy:   {why}\nnext:  {step}", err=True)
    return code

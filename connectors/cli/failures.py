# SPDX-License-Identifier: Apache-2.0
"""How a failure is told: what happened, why, what to type next; and which exit code it has.

| code | meaning                                               |
|------|-------------------------------------------------------|
| 0    | done                                                  |
| 1    | a check or verification failed                        |
| 2    | wrong usage                                           |
| 3    | configuration, or other versions than those locked    |
| 4    | not authorised                                        |
| 5    | not found                                             |
| 6    | conflict                                              |
| 7    | not now: network, hub or connector away, disk full    |
| 8    | key or store damaged                                  |
| 130  | stopped at the keyboard (`connectors.cli.main`)       |
"""

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import click

from connectors.cli.voice import pasteable
from protocol import errors
from protocol.diagnosis import FULL_DISK, system_advice

ErrorT = TypeVar("ErrorT", bound=Exception)
_NEXT = "next: "
# What another program says of fields is shown only where it can be nothing else than names and places of fields.
_POINTER = re.compile(r"(/[a-z0-9_]+)*")
_FIELD_IS = {
    "missing": "is missing",
    "unknown-field": "holds a name that is not known here: check the spelling",
    "wrong-form": "has the wrong form",
    "wrong-type": "is of the wrong type",
    "not-allowed": "is none of the values that can be",
    "out-of-range": "is out of range",
    "too-long": "is too long",
    "too-short": "is too short",
    "invalid": "cannot be right: look at its form (a day is written 2027-01-21) and at what the rest says",
}

FAILED, USAGE, CONFIGURATION, NOT_AUTHORISED, NOT_FOUND, CONFLICT, UNREACHABLE, DAMAGED = range(1, 9)

# The nearest class in an error's ancestry counts, so a new error has its parent's code until it gets its own.
EXIT_CODES: dict[type[Exception], int] = {
    errors.ThroughcareError: FAILED,
    errors.InvalidInput: USAGE,
    errors.MalformedRequest: USAGE,
    errors.IdempotencyKeyMissing: USAGE,
    errors.ConfigurationError: CONFIGURATION,
    errors.MappingInvalid: CONFIGURATION,
    errors.ExtraMissing: CONFIGURATION,
    errors.IllegalTransition: CONFLICT,
    errors.SelfTestFailed: CONFIGURATION,
    errors.NotAuthenticated: NOT_AUTHORISED,
    errors.Forbidden: NOT_AUTHORISED,
    errors.Revoked: NOT_AUTHORISED,
    errors.UntrustedKey: NOT_AUTHORISED,
    errors.EnrolmentRefused: NOT_AUTHORISED,
    errors.ConsentDenied: NOT_AUTHORISED,
    errors.PolicyDenied: NOT_AUTHORISED,
    errors.NotFound: NOT_FOUND,
    errors.Conflict: CONFLICT,
    errors.EnvelopeIdReused: CONFLICT,
    errors.IdempotencyKeyReused: CONFLICT,
    errors.Replayed: CONFLICT,
    errors.SequenceError: CONFLICT,
    errors.TooManyHeld: UNREACHABLE,
    errors.TooManyRequests: UNREACHABLE,
    errors.OurError: UNREACHABLE,
    errors.InternalError: FAILED,
    errors.DirectoryStale: UNREACHABLE,
    errors.RecipientUnavailable: UNREACHABLE,
    errors.KeystoreError: DAMAGED,
    errors.StoreBehind: DAMAGED,
    errors.StoreDamaged: DAMAGED,
    errors.StoreFailed: DAMAGED,
    errors.StoreFull: UNREACHABLE,
    errors.DirectoryInconsistent: DAMAGED,
}

LOCKED_VERSIONS = "pip install --require-hashes -r requirements/runtime.txt   (in a clone)"

WHY_NOT_REACHED: Final = {
    "refused": "nothing listens at the hub's address (connection refused)",
    "certificate": "the hub's certificate is not trusted here (--ca-file, connector.ca_file)",
    "proxy": "the proxy does not let it through (--proxy, connector.proxy)",
    "name": "the hub's name is not found (DNS)",
    "timeout": "the hub did not answer in time",
    "other": "the network failed on the way",
}
"""For people, what an error's `reason` means."""

_IN_BETWEEN: Final = (
    "look for a login page or a proxy between this machine and the hub (--proxy, connector.proxy), then the same "
    "command again"
)

# What to type next where the place that raised the error did not say it (with `then`).
NEXT_STEPS: dict[type[Exception], str] = {
    errors.ThroughcareError: "throughcare --help",
    errors.InvalidInput: "the same command with --help",
    errors.ConfigurationError: "throughcare config check FILE",
    errors.MappingInvalid: "mend the place that is named, then the same command again",
    errors.FhirUnreadable: "mend or fetch the file again, then the same command again",
    errors.FhirContradiction: "ask who sent the bundle to mend the Task that is named; docs/fhir.md lists the reasons",
    errors.ExtraMissing: f"{LOCKED_VERSIONS}, then the same command again",
    errors.ExportUnreadable: "mend or fetch the file again, then the same command again",
    errors.PackageIncomplete: "complete the export or the mapping, then the same command again",
    errors.SelfTestFailed: LOCKED_VERSIONS,
    errors.NotAuthenticated: "throughcare connector status --agency NAME",
    errors.EnrolmentRefused: "ask your authority for a new code, then throughcare enrol --code-file FILE …",
    errors.UnknownLanguage: "the same command with --language and one of these",
    errors.IdempotencyKeyReused: "the same command with another --once-key, if another thing is meant",
    errors.PreconditionFailed: "look at it again, then the same command again",
    errors.IllegalTransition: "throughcare referral show THREAD --agency NAME   (says what could be next)",
    errors.NotFound: "throughcare handover list --agency NAME",
    errors.NothingToSend: "throughcare directory list --agency NAME   (shows the functions of the desks)",
    errors.RecipientUnavailable: "throughcare directory list --agency NAME",
    errors.DirectoryStale: "throughcare connector status --agency NAME",
    errors.TooManyRequests: "the same command again in a minute",
    errors.OurError: "the same command again in a moment; throughcare connector status --agency NAME",
    errors.HubUnreachable: "mend the way to the hub, then the same command again",
    errors.UnexpectedAnswer: _IN_BETWEEN,
    errors.MisdirectedRequest: _IN_BETWEEN,
    errors.ClockSkewed: "set this machine's clock, then the same command again",
    errors.DirectoryError: "throughcare doctor --config FILE   (if it finds nothing, call your authority)",
    errors.KeystoreError: "check the passphrase file, then the same command again",
    errors.StoreDamaged: "throughcare doctor --config FILE   (names what is damaged; look at the disk first)",
    errors.StoreFailed: "throughcare doctor --config FILE   (restore the newest backup only if it is damaged)",
    errors.StoreBehind: "restore the newest copy of the data directory",
    errors.DirectoryInconsistent: "stop, and call the hub's operator and your authority",
    errors.DirectorySplit: "throughcare directory evidence FILE   (and give it to your authority)",
}


def then(error: ErrorT, next_step: str) -> ErrorT:
    """Return `error` with the command that its reader should type next."""
    error.add_note(_NEXT + next_step)
    return error


@contextlib.contextmanager
def advising(steps: Mapping[type[Exception], str]) -> Iterator[None]:
    """Name what to type next for errors that leave the block and do not say it: what is right in this place.

    The nearest class in an error's ancestry counts.
    """
    try:
        yield
    except errors.ThroughcareError as error:
        step = next((steps[kind] for kind in type(error).__mro__ if kind in steps), None)
        if step is not None and not any(note.startswith(_NEXT) for note in notes(error)):
            then(error, step)
        raise


def exit_code(error: BaseException) -> int:
    """Return the exit code of `error`; what is no error of ours is a failure (1)."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return UNREACHABLE
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), FAILED)


def next_step(error: BaseException) -> str:
    """Return what to type next."""
    for note in notes(error):
        if note.startswith(_NEXT):
            return note.removeprefix(_NEXT)
    if isinstance(error, OSError):
        return system_advice(error.errno) or "throughcare doctor --config FILE"
    return next((NEXT_STEPS[kind] for kind in type(error).__mro__ if kind in NEXT_STEPS), "throughcare --help")


def notes(error: BaseException) -> list[str]:
    """Return what was noted on `error` on its way up."""
    return [str(note) for note in getattr(error, "__notes__", [])]


def report(error: Exception) -> int:
    """Tell `error` on standard error: what, why, notes made on its way, what next. Return its exit code."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, errors.ThroughcareError):
        click.echo(f"error: {error.title} ({error.code})", err=True)
        click.echo(f"why:   {pasteable(error.detail)}", err=True)
    elif isinstance(error, OSError) and error.strerror:
        click.echo(f"error: {error.strerror}", err=True)
        click.echo(f"why:   the system refused{f' at {error.filename}' if error.filename else ''}", err=True)
    else:
        click.echo("error: Internal error (internal-error)", err=True)
        click.echo(f"why:   {_place(error)}; please report it with what you typed", err=True)
    for field in getattr(error, "fields", ()):  # only InvalidFields has some
        if _POINTER.fullmatch(field.pointer) and field.code in _FIELD_IS:
            # Whoever types a command says fields, not a body that has some.
            named = field.pointer.removeprefix("/fields/").removeprefix("/")
            click.echo(f"field: {named or 'what was sent'} {_FIELD_IS[field.code]}", err=True)
    if isinstance(error, errors.HubUnreachable) and error.reason in WHY_NOT_REACHED:
        click.echo(f"note:  {WHY_NOT_REACHED[error.reason]}", err=True)
    for note in notes(error):
        if not note.startswith(_NEXT):
            click.echo(f"note:  {note}", err=True)
    click.echo(f"next:  {pasteable(next_step(error))}", err=True)
    return exit_code(error)


def _place(error: Exception) -> str:
    """Return the kind and the place of an unforeseen error, without its text: that may hold input."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"an unforeseen {type(error).__name__}{where}"

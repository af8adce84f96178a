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
from protocol.diagnosis import FULL_DISK, REPORT, system_advice
from protocol.fieldcodes import FIELD_CODES

ErrorT = TypeVar("ErrorT", bound=Exception)
_NEXT = "next: "
_EXAMPLE = "example: "
_GIVEN = "given: "
"""How a note begins that says what stands for an example's name: never shown itself."""
# What another program says of fields is shown only where it can be nothing else than names and places of fields.
_POINTER = re.compile(r"(/[a-z0-9_]+)*")

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

_DOCTOR: Final = "throughcare doctor --config FILE"
_IN_BETWEEN: Final = (
    "look for a login page or a proxy between this machine and the hub (--proxy, connector.proxy), then the same "
    "command again"
)
_ONE_VERSION: Final = (
    "install the same version here and at the connector or hub that was asked, start that again, then the same command "
    "again"
)
_EVIDENCE: Final = "throughcare directory evidence FILE   (and give it to your authority)"

# What to type next where the place that raised the error did not say it (with `then`).
NEXT_STEPS: dict[type[Exception], str] = {
    errors.ThroughcareError: _DOCTOR,
    errors.InvalidInput: "the same command with --help",
    errors.MalformedRequest: _ONE_VERSION,
    errors.MethodNotAllowed: _ONE_VERSION,
    errors.PreconditionRequired: _ONE_VERSION,
    errors.IdempotencyKeyMissing: _ONE_VERSION,
    errors.UnsupportedMediaType: _ONE_VERSION,
    errors.UnsupportedSuite: _ONE_VERSION,
    errors.ConfigurationError: "throughcare config check FILE",
    errors.MappingInvalid: "mend the place that is named, then the same command again",
    errors.TableUnreadable: "mend the place that is named, then the same command again",
    errors.FhirUnreadable: "mend or fetch the file again, then the same command again",
    errors.FhirContradiction: "ask who sent the bundle to mend the Task that is named; docs/fhir.md lists the reasons",
    errors.ExtraMissing: f"{LOCKED_VERSIONS}, then the same command again",
    errors.ExportUnreadable: "mend or fetch the file again, then the same command again",
    errors.PackageIncomplete: "complete the export or the mapping, then the same command again",
    errors.SelfTestFailed: LOCKED_VERSIONS,
    errors.NotAuthenticated: _DOCTOR,
    errors.Forbidden: "throughcare token list --agency NAME   (shows what each token is for)",
    errors.EnrolmentRefused: "ask your authority for a new code, then throughcare enrol --code-file FILE …",
    errors.UnknownLanguage: "the same command with --language and one of these",
    errors.IdempotencyKeyReused: "the same command with another --once-key, if another thing is meant",
    errors.EnvelopeIdReused: "the same command again   (it seals anew)",
    errors.PreconditionFailed: "look at it again, then the same command again",
    errors.Conflict: "end or move away what is named, or choose another name, then the same command again",
    errors.PossibleDuplicate: (
        "throughcare referral show THREAD --agency NAME   (the thread that is named); to send all the same: "
        '"duplicates": "sent-anyway" in the fields of --input'
    ),
    errors.IllegalTransition: "throughcare referral show THREAD --agency NAME   (says what could be next)",
    errors.TooLate: (
        "throughcare referral send --agency NAME --to DESK --input FILE   (its fields name this thread: `reopens`)"
    ),
    errors.MoveIncomplete: "the same command with --help   (it names what the step needs)",
    errors.NotCovered: "the same command with --input FILE, whose sections name a basis for that agency",
    errors.SectionCorrected: "the same command with --input FILE, whose sections are right now",
    errors.TooLarge: "the same command with less, in several parts if need be",
    errors.NotFound: (
        "throughcare referral list --agency NAME   (or the list of handovers, messages, cases or drafts: shows what is "
        "there)"
    ),
    errors.NothingToSend: "throughcare directory list --agency NAME   (shows the functions of the desks)",
    errors.RecipientUnavailable: "throughcare directory list --agency NAME",
    errors.DirectoryStale: "throughcare connector status --agency NAME",
    errors.TooManyRequests: "the same command again in a minute",
    errors.OurError: "the same command again in a moment; throughcare connector status --agency NAME",
    errors.InternalError: f"look for it in the log of the connector or hub that was asked; {_DOCTOR}",
    errors.QuotaReached: (
        "throughcare handover list --agency NAME   (ask those who do not collect), then the same command again"
    ),
    errors.StoreFull: "make room on the disk of whoever refused, the connector or the hub, then the same command again",
    errors.HubUnreachable: "mend the way to the hub, then the same command again",
    errors.UnexpectedAnswer: _IN_BETWEEN,
    errors.MisdirectedRequest: _IN_BETWEEN,
    errors.ClockSkewed: "set this machine's clock, and keep it set (NTP), then the same command again",
    errors.Expired: "set this machine's clock, and keep it set (NTP), then the same command again",
    errors.EnvelopeError: "throughcare quarantine list --agency NAME   (names what was refused, and why)",
    errors.MalformedEnvelope: "fetch the file again from whoever made it, then the same command again",
    errors.Replayed: "throughcare message list --agency NAME   (what came before has had its effect)",
    errors.PlacesDiffer: "throughcare quarantine save NUMBER FILE --agency NAME   (and give it to your authority)",
    errors.ConsentDenied: "ask for the consent, or name another basis in the sections, then the same command again",
    errors.PolicyDenied: (
        "ask your authority whether this agency may do that: its certificate says so, and throughcare authority renew "
        "brings one of today"
    ),
    errors.AttachmentMissing: "the same command with the file once more (--attach FILE:CATEGORY)",
    errors.DirectoryError: f"{_DOCTOR}   (if it finds nothing, call your authority)",
    errors.DirectoryDisputed: (
        "throughcare directory list --agency NAME   (and compare it with what that agency is shown)"
    ),
    errors.KeystoreError: "check the passphrase file, then the same command again",
    errors.StoreDamaged: f"{_DOCTOR}   (names what is damaged; look at the disk first)",
    errors.StoreFailed: f"{_DOCTOR}   (restore the newest backup only if it is damaged)",
    errors.StoreBehind: "stop, and restore it as docs/operations.md, section 5, says; never put a copy back",
    errors.DirectoryInconsistent: "stop, and call your authority first, then the hub's operator",
    errors.DirectorySplit: _EVIDENCE,
}


def then(error: ErrorT, next_step: str) -> ErrorT:
    """Return `error` with the command that its reader should type next."""
    error.add_note(_NEXT + next_step)
    return error


def given_by(error: ErrorT, ways: Mapping[str, str]) -> ErrorT:
    """Note on `error` how each field is said by whoever types the command: the option, or the file; return it."""
    for name, way in ways.items():
        error.add_note(f"{_GIVEN}{name}={way}")
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


@contextlib.contextmanager
def at(*, agency: str = "", config: Path | str = "") -> Iterator[None]:
    """Have what is to be typed after an error that leaves the block name this agency and this configuration file.

    An example's NAME and FILE are no help to somebody who has just typed them, or need not. Empty is not known.
    """
    try:
        yield
    except Exception as error:
        for option, said in (("--agency NAME", agency), ("--config FILE", config), ("config check FILE", config)):
            if said:
                error.add_note(f"{_EXAMPLE}{option}={option.rpartition(' ')[0]} {said}")
        raise


def exit_code(error: BaseException) -> int:
    """Return the exit code of `error`; what is no error of ours is a failure (1)."""
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return UNREACHABLE
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), FAILED)


def next_step(error: BaseException) -> str:
    """Return what to type next."""
    step = _step(error)
    for note in notes(error):
        if note.startswith(_EXAMPLE):
            example, _, said = note.removeprefix(_EXAMPLE).partition("=")
            step = step.replace(example, said)
    return step


def _step(error: BaseException) -> str:
    for note in notes(error):
        if note.startswith(_NEXT):
            return note.removeprefix(_NEXT)
    if isinstance(error, OSError):
        return system_advice(error.errno) or _DOCTOR
    return next((NEXT_STEPS[kind] for kind in type(error).__mro__ if kind in NEXT_STEPS), _DOCTOR)


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
        click.echo(f"why:   {_place(error)}; please {REPORT}", err=True)
    ways = dict(note.removeprefix(_GIVEN).split("=", 1) for note in notes(error) if note.startswith(_GIVEN))
    for field in getattr(error, "fields", ()):  # only InvalidFields has some
        if _POINTER.fullmatch(field.pointer) and field.code in FIELD_CODES:
            # Whoever types a command says fields, not a body that has some.
            named = field.pointer.removeprefix("/fields").removeprefix("/")
            way = ways.get(named.partition("/")[0], "")
            said = f"{named or 'what was sent'} {FIELD_CODES[field.code]}{f' ({way})' if way else ''}"
            click.echo(f"field: {said}", err=True)
    if isinstance(error, errors.HubUnreachable) and error.reason in WHY_NOT_REACHED:
        click.echo(f"note:  {WHY_NOT_REACHED[error.reason]}", err=True)
    for note in notes(error):
        if not note.startswith((_NEXT, _EXAMPLE, _GIVEN)):
            click.echo(f"note:  {note}", err=True)
    click.echo(f"next:  {pasteable(next_step(error))}", err=True)
    return exit_code(error)


def _place(error: Exception) -> str:
    """Return the kind and the place of an unforeseen error, without its text: that may hold input."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"an unforeseen {type(error).__name__}{where}"

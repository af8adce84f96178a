# SPDX-License-Identifier: Apache-2.0
"""One command for each step of a life cycle, made from the kind of message that it is: `throughcare referral accept`.

A field of the kind is an option; what is a list or has parts stands in a JSON file given with `--input`, together with
the words and records that go along. So a new kind has its command without a line here.
"""

import asyncio
import secrets
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import click

from connectors import home
from connectors.cli.acting import AS, BY_SERVICE, officer_named
from connectors.cli.failures import given_by, then
from connectors.cli.local import AGENCY, connected
from connectors.cli.moments import day, moment, with_moments
from connectors.cli.renamed import RenamedOption
from connectors.cli.shapes import FILLED_IN, example, moments
from connectors.cli.threads import read_json, sections_of, tell, thread_named
from connectors.cli.voice import Voice, speaks
from protocol.errors import InvalidInput
from protocol.http.problems import InvalidFields
from protocol.http.threads import StepQueued, StepRequest
from protocol.ids import Kind, text
from protocol.kinds.base import MessageKind
from protocol.kinds.catalogue import kind_for
from protocol.lifecycle.handover import Event as HandoverEvent
from protocol.lifecycle.referral import Event as ReferralEvent

_FIELD = "field_"
"""Stands before the name of a field among a command's parameters, so that none is mistaken for the command's own."""
_FLAGS = {"agency": "--to-agency", "officer": "--assign-to"}
_BEFORE = {"officer": ("--officer",)}
"""Names of before, which are taken still: that one read like who acts."""
_SENTENCES = {"take-effect": "The lead moves now: from here on the receiver leads."}
"""What a step does, where the kind's own sentence speaks the protocol's language."""
_HELP = {
    "priority": (
        "How fast an answer is needed: emergency within a day, urgent within 3 working days, normal within 10 working "
        "days, hard-stop (the release is within two working days) within 1 working day; a jurisdiction may have set "
        "others."
    ),
    "supersedes": "The id of a message that this one takes the place of.",
    "retain_until": "Until when it is to be kept.",
    "officer": "Title or id of the officer who has it from now on; --as says who acts.",
    "agency": "The agency that would be the right one.",
    "appointment": "When, with its zone: 2027-01-05T10:00+01:00.",
    "first_appointment": "When, with its zone: 2027-01-05T10:00+01:00.",
    "effective_at": "When, with its zone: 2027-01-05T10:00+01:00.",
    "capacity": "In which office this is done, where that is another than the desk's own.",
    "alternative": "Whether the text names another service that may help.",
    "data_action": "What became of the data.",
    "changed": "What changed for the person.",
    "start_by": "By when the service begins.",
    "answer_by": "By when an answer can be expected.",
    "review_on": "On which day somebody looks again.",
    "risks_read": "Whether the sections on risk were read.",
    "excused": "Whether the person is excused.",
    "new_thread": "The thread of the new referral.",
}


def __getattr__(name: str) -> click.Command:
    """Return the command `MACHINE_EVENT`, such as `referral_accept_part`."""
    machine, _, event = name.partition("_")
    kind = kind_for(machine, event.replace("_", "-"))
    if kind is None or kind.event is None:
        raise AttributeError(name)
    return _command(kind, kind.event)


def _command(kind: MessageKind, event: str) -> click.Command:
    wordy = _is_for_words(kind)

    @speaks
    def run(thread: str, agency: str, acting: str | None, file: Path | None, voice: Voice, **given: Any) -> None:
        asked = read_json(file) if file else {}
        said = {name.removeprefix(_FIELD): value for name, value in given.items() if value is not None}
        thread_id, sections = thread_named(thread, agency), sections_of(asked)
        in_file = with_moments(asked.get("fields", {}), moments(kind))
        silent = wordy and not sections
        if silent and event == ReferralEvent.ANSWER and not in_file.get("register_numbers"):
            error = InvalidInput(
                "An answer without words answers nothing, and the clock would run again. Put them into `sections` of a "
                "file: --input FILE. Nothing was sent."
            )
            raise then(error, "throughcare referral answer --help   (shows how words are written)")

        async def ask() -> StepQueued:
            async with connected(home.find(agency)) as client:
                seen = (await client.thread(thread_id)).item
                if kind.machine is None or seen.machine != kind.machine.name:
                    raise InvalidInput(f"This thread is a {seen.machine}.")
                if (named := await officer_named(client, said.get("officer"), agency=agency)) is not None:
                    said["officer"] = text(Kind.OFFICER, named)
                request = StepRequest(
                    event=event,
                    fields={**in_file, **said},
                    sections=sections,
                    officer=await officer_named(client, acting, agency=agency),
                )
                return await client.step(
                    thread_id, request, version=seen.version, idempotency_key=secrets.token_urlsafe(24)
                )

        try:
            queued = asyncio.run(ask())
        except InvalidFields as error:
            raise given_by(error, _ways(kind))  # noqa: B904 - the same error, with how its fields are said
        if "officer" in said and acting is None:
            voice.warn(BY_SERVICE)
        if silent:
            voice.warn(
                "no words went with it, and the other side reads codes only; they can follow: throughcare message send "
                "record.share --thread THREAD --to DESK --input FILE"
            )
        tell(queued, agency, voice)

    command: Any = run
    for name in reversed(list(kind.payload.model_fields)):
        option = _option(kind, name)
        if option is not None:
            command = option(command)
    command = click.option("--input", "file", type=click.Path(path_type=Path), help=_input_line(kind))(command)
    command = AS(command)
    command = AGENCY(command)
    command = click.argument("thread")(command)
    shape = example(kind, lambda name: _option(kind, name) is None, words=_needs_words(kind))
    return click.command(name=event, help=_line(kind), epilog=shape or None)(command)


def _needs_words(kind: MessageKind) -> bool:
    """Tell whether a row of the life cycle has words among what the step needs."""
    rows = kind.machine.rows if kind.machine is not None else ()
    return any("text" in row.needs for row in rows if row.event == kind.event)


def _is_for_words(kind: MessageKind) -> bool:
    """Tell whether the step says little without words; a *review* without any says that it was read (HAN-14)."""
    return _needs_words(kind) and kind.event != HandoverEvent.REVIEW


def _input_line(kind: MessageKind) -> str:
    """Return what the file given with `--input` is for, with the fields that only stand there."""
    parts = [
        f"{name} (needed)" if field.is_required() else name
        for name, field in kind.payload.model_fields.items()
        if name not in FILLED_IN and _option(kind, name) is None
    ]
    words = " The words stand in its sections." if _needs_words(kind) else ""
    return f'A JSON file: {{"fields": {{…}}, "sections": […]}}, with {", ".join(parts)} in its fields.{words}'


def _ways(kind: MessageKind) -> dict[str, str]:
    """Return how each field of a kind is said: by which option, or in the file."""
    names = [name for name in kind.payload.model_fields if name not in FILLED_IN]
    return {name: "in the file for --input" if _option(kind, name) is None else _flag(name) for name in names}


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def _option(kind: MessageKind, name: str) -> Any:
    """Return the option of a field that one word can say, or None for any other."""
    if name in FILLED_IN:
        return None
    field = kind.payload.model_fields[name]
    flag, annotation = _flag(name), field.annotation
    told = _HELP.get(name, f"{name.replace('_', ' ').capitalize()}.") + ("  [needed]" if field.is_required() else "")
    older: dict[str, Any] = {"cls": RenamedOption, "older": _BEFORE[name]} if name in _BEFORE else {}
    name = f"{_FIELD}{name}"
    match _simple(annotation):
        case None:
            return None
        case found if issubclass(found, StrEnum):
            return click.option(flag, name, type=click.Choice([one.value for one in found]), help=told)
        case found if found is bool:
            return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=told)
        case found if found is int:
            return click.option(flag, name, callback=moment, metavar="TIME", help=told)
        case found if found is date:
            return click.option(flag, name, callback=day, metavar="DATE", help=told)
        case _:
            return click.option(flag, name, **older, metavar="TEXT", help=told)


def _simple(annotation: Any) -> type | None:
    """Return the type of a field that one word can say; it may stand inside an optional or an annotated one."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, (StrEnum, bool, int, date, str)) else None
    origin = getattr(annotation, "__origin__", None)
    if isinstance(origin, type) and origin is not tuple and origin is not list:
        return _simple(origin)
    parts = [_simple(part) for part in get_args(annotation) if part is not type(None)]
    return parts[0] if len(parts) == 1 else None


def _line(kind: MessageKind) -> str:
    """Return the kind's own sentence, without its name."""
    if kind.event in _SENTENCES:
        return _SENTENCES[kind.event]
    said = (kind.payload.__doc__ or "").split("\n\n")[0].partition(":")[2].strip()
    return f"{said[:1].upper()}{said[1:]}" if said else f"Make the step {kind.event}."

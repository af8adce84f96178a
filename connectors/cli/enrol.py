# SPDX-License-Identifier: Apache-2.0
"""`throughcare enrol`: from the code that the authority gave to a connector that may start."""

import asyncio
import time
from pathlib import Path

import click

from connectors.cli.failures import advising, then
from connectors.cli.passphrase import configured, read_passphrase, tell_if_missing
from connectors.cli.voice import Voice, speaks
from connectors.cli.way_out import goes_out
from connectors.enrolment import application
from connectors.enrolment.application import Application
from connectors.enrolment.configuration import CONFIG_FILE, write_configuration
from connectors.enrolment.visit import now_ms, visiting
from connectors.installation import ENROLMENT_FILE, KEYSTORE_FOLDER, Enrolment, read_enrolment
from connectors.way_out import WayOut
from keys.keystore import Keystore
from keys.privatefile import read_private
from keys.sealedfile import CONNECTOR, SMALL
from protocol.enrolment import EnrolmentCode, parse_code
from protocol.errors import (
    ClockSkewed,
    ConfigurationError,
    Conflict,
    EnrolmentRefused,
    HubUnreachable,
    Unavailable,
)
from protocol.http.fields import format_time
from protocol.ids import Kind, text
from protocol.settings import Profile

_MAX_CODE_FILE = 16 * 1024
_LOOK_EVERY_S = 2
_ENROLLED = (
    "the same command with a new folder as --data-dir   (without --code-file, to see what is enrolled in this one)"
)
_SET_CLOCK = "set this machine's clock, then the same command again; the keys that were made are kept"


@click.command()
@click.option(
    "--code-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The code as the authority gave it; not needed to go on with an application.",
)
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The connector's own folder: keys, and later its database.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the keystore's passphrase (- is standard input).",
)
@click.option("--officer", "officers", multiple=True, help="Title (never a name) of somebody who may act here.")
@click.option(
    "--wait", default=900, show_default=True, help="Seconds to wait for the approvers; the same command goes on later."
)
@click.option("--demo", is_flag=True, help="Weaker but faster protection of the keystore, for trying out only.")
@goes_out
@speaks
def enrol(
    code_file: Path | None,
    data_dir: Path,
    passphrase_file: Path | None,
    officers: tuple[str, ...],
    wait: int,
    demo: bool,
    way_out: WayOut,
    voice: Voice,
) -> None:
    """Enrol this agency with the code its authority gave it."""
    if code_file is None and (data_dir / ENROLMENT_FILE).exists() and not application.is_begun(data_dir):
        # Cut off at the very end, or typed once more: what is there is told, and a configuration that lacks is written.
        enrolment = read_enrolment(data_dir)
    else:
        # What is mistyped for a keystore that is made now would lock the agency out of its keys (KEY-6).
        new = not Keystore.is_made(data_dir / KEYSTORE_FOLDER)
        passphrase = read_passphrase(passphrase_file, "the keystore", new=new)
        applied = _application(code_file, data_dir, passphrase, demo=demo)
        again = "the same command again, once this machine reaches the hub; the keys that were made are kept"
        refused = f"ask your authority, on a number you know; with a new code of it: {_anew(data_dir)}"
        with advising({HubUnreachable: again, ClockSkewed: _SET_CLOCK, EnrolmentRefused: refused}):
            enrolment = asyncio.run(_enrol(applied, officers, wait, way_out, voice))
    is_new = not (data_dir / CONFIG_FILE).exists()
    config = write_configuration(
        data_dir,
        configured(passphrase_file, data_dir),
        profile=Profile.DEMO if demo else Profile.PRODUCTION,
        way_out=way_out,
    )
    voice.data(
        {
            "agency": enrolment.agency,
            "desks": list(enrolment.desks),
            "device": enrolment.device_key_id.hex(),
            "actors": [
                {"id": text(Kind.OFFICER, one.officer_id), "kind": one.kind.value, "name": one.name}
                for one in enrolment.actors
            ],
        },
        [
            f"{enrolment.agency} is enrolled.",
            *(f"    officer {text(Kind.OFFICER, one.officer_id)}  {one.name}" for one in enrolment.actors),
        ],
    )
    if is_new:
        tell_if_missing(configured(passphrase_file, data_dir), config, voice)
    voice.say(f"next:  throughcare connector run --config {config}")


def _application(code_file: Path | None, data_dir: Path, passphrase: bytes, *, demo: bool) -> Application:
    """Return the application that is under way in the folder, or begin one with the code."""
    if application.is_begun(data_dir):
        applied = application.resume(data_dir, passphrase)
        # The file may be gone by now, and is not needed; another code is never passed over in silence.
        if code_file is not None and code_file.exists() and _code_in(code_file).code_id != applied.code.code_id:
            raise then(
                Conflict("In this folder an application is under way with another code. Nothing was sent."),
                f"without --code-file, to go on with that one; else {_anew(data_dir)}",
            )
    elif code_file is None:
        raise then(
            ConfigurationError("No application is under way in this folder."), "throughcare enrol --code-file FILE …"
        )
    else:
        code = _code_in(code_file)
        if not (data_dir / ENROLMENT_FILE).exists():
            _check_end(code)
        params = SMALL if demo else CONNECTOR
        with advising({Conflict: _ENROLLED}):
            applied = application.begin(code, data_dir, passphrase, params)
    return applied


def _anew(data_dir: Path) -> str:
    """Return how to begin with another code, where the folder holds what the old one was for."""
    return (
        f"the same command with a new folder as --data-dir   (or, if no approver has signed what {data_dir} asked for, "
        "after that folder was emptied)"
    )


def _check_end(code: EnrolmentCode) -> None:
    """Raise `EnrolmentRefused` for a code that has ended, before any keys are made for it."""
    now = now_ms()
    if code.terms.expires <= now:
        raise EnrolmentRefused(
            f"The code ended at {format_time(code.terms.expires)}; this machine's clock says {format_time(now)}. "
            "Nothing was made."
        )


def _code_in(file: Path) -> EnrolmentCode:
    with advising({ConfigurationError: "the same command once the code file is there, readable by its owner only"}):
        raw = read_private(file, _MAX_CODE_FILE, "code file", ConfigurationError)
    return parse_code(raw.decode("ascii", errors="replace"))


async def _enrol(
    applied: Application, officers: tuple[str, ...], wait_s: int, way_out: WayOut, voice: Voice
) -> Enrolment:
    async with visiting(applied.code.hub_url, way_out) as hub:
        await applied.hand_in(hub, now_ms())
        voice.say(
            f"The key request of {applied.code.terms.agency} is at the hub. Now call your authority on a number you\n"
            f"know, and read these words to each approver:\n\n    {' '.join(applied.words)}\n"
        )
        if wait_s:
            voice.say(
                f"This waits up to {-(-wait_s // 60)} min for the approvers to sign, which may take days. Stopped\n"
                "(Ctrl-C), or when the time is over, it goes on once the same command is typed again."
            )
        deadline = time.monotonic() + wait_s
        while await applied.certificate(hub, now_ms()) is None:
            if time.monotonic() > deadline:
                error = Unavailable("The approvers have not signed yet. What was done so far is kept.")
                raise then(error, "the same command again, later")
            await asyncio.sleep(_LOOK_EVERY_S)
        return await applied.complete(hub, now_ms(), officers)

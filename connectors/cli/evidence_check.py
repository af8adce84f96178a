# SPDX-License-Identifier: Apache-2.0
"""`throughcare directory check` and `authority check`: judge a file of evidence by the hub's pinned keys (DIR-19).

Neither asks the hub or needs a network, a passphrase or a connector that runs: only whose keys are pinned differs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from connectors.cli.configfile import finds_config
from connectors.cli.failures import FAILED
from connectors.cli.office import FOLDER, hub_of, opened
from connectors.cli.voice import Voice, speaks
from connectors.config import load
from connectors.installation import read_enrolment
from keys.contradicting import Logs, Verdict, judge
from protocol.contradiction import Contradiction, Form, Named, parse_file
from protocol.errors import BadSignature, InvalidInput, MalformedEnvelope
from protocol.http.fields import format_time

FILE: Final = click.argument("evidence", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, exists=True))
_MOST_BYTES: Final = 32 << 20
_SAYS: Final = {
    Verdict.TWO_DIRECTORIES: "PROVES that the hub signed two different directories of {signed.size} statements",
    Verdict.WITHHELD: "PROVES that the hub signed a directory of fewer statements after it had signed for more",
    Verdict.NOTHING: "proves nothing by itself",
}
_FORMS: Final = {Form.HEAD: "a head", Form.RECEIPT: "an acceptance receipt"}


@click.command()
@FILE
@finds_config
@speaks
def check(evidence: Path, config_file: Path, voice: Voice) -> int:
    """Check such a file, without the hub.

    Of `directory evidence`, by the keys that this connector's enrolment has pinned.
    The exit code is 0 if anything in it is proven, and 1 if nothing is.
    """
    pinned = read_enrolment(load(config_file, os.environ).settings.connector.data_dir)
    logs = Logs(pinned.directory.origin, pinned.directory.key, pinned.audit.origin, pinned.audit.key)
    return _told(evidence, logs, voice)


@click.command("check")
@FOLDER
@FILE
@speaks
def for_authority(folder: Path, evidence: Path, voice: Voice) -> int:
    """Check a file of evidence that an agency brings.

    It wrote it by `directory evidence`; judged by the keys that this authority knows of its hub.
    The exit code is 0 if anything in it is proven, and 1 if nothing is.
    """
    hub = hub_of(opened(folder))
    return _told(evidence, Logs(hub.directory.origin, hub.directory.key, hub.audit.origin, hub.audit.key), voice)


def _told(file: Path, logs: Logs, voice: Voice) -> int:
    if file.stat().st_size > _MOST_BYTES:
        raise InvalidInput("The file is larger than any that `throughcare directory evidence` writes.")
    domain, found = parse_file(file.read_bytes())
    items = [_judged(one, logs) for one in found]
    voice.data({"domain": domain, "items": items}, [line for item in items for line in _lines(item)])
    proven = any(item["verdict"] in (Verdict.TWO_DIRECTORIES, Verdict.WITHHELD) for item in items)
    if not proven:
        voice.warn("nothing in this file proves that the hub contradicted itself")
    return 0 if proven else FAILED


def _judged(one: Contradiction, logs: Logs) -> dict[str, object]:
    try:
        verdict, signed, head = judge(one, logs)
    except (BadSignature, MalformedEnvelope):
        return {"form": one.form.value, "verdict": "not-signed-by-this-hub", "said": "is not signed by this hub"}
    return {
        "form": one.form.value,
        "verdict": verdict.value,
        "said": _SAYS[verdict].format(signed=signed),
        "signed": _named(signed),
        "head": None if head is None else _named(head),
        "root_by_head": one.root.hex() or None,
        "kept_at": format_time(one.kept_at),
        "dismissed_at": None if one.dismissed_at is None else format_time(one.dismissed_at),
    }


def _named(said: Named) -> dict[str, object]:
    return {"origin": said.origin, "size": said.size, "root": said.root.hex(), "at": format_time(said.at)}


def _lines(item: dict[str, object]) -> Sequence[str]:
    what = f"{_FORMS[Form(str(item['form']))]} {item['said']}"
    lines = [what]
    for label, key in (("signed", "signed"), ("beside", "head")):
        if isinstance(said := item.get(key), dict):
            lines.append(f"  {label}  {said['at']}  {said['origin']}, {said['size']} statements, root {said['root']}")
    if item.get("root_by_head"):
        lines.append(f"  the second has at the size of the first the root {item['root_by_head']}")
    return lines

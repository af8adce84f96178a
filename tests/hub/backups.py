# SPDX-License-Identifier: Apache-2.0
"""What an operator does with backups, at hubs in the test's own process."""

from collections.abc import Sequence
from pathlib import Path

from hub.backups.making import Made, make_backup
from hub.backups.restoring import Agree, Evidence, restore
from hub.backups.resuming import Resumed, resume
from hub.backups.standing import Standing
from hub.service.restorerequest import read_request
from hub.service.signingkeys import SEALED_NAME
from keys.sealedfile import SMALL, seal_file
from keys.signing import sign_statement
from keys.xwing import XWingSecret
from protocol.limits import DAY, HOUR
from protocol.statements import Body
from tests.hub.running import RunningHub, make_settings
from tests.keys.world import seed
from tests.programme import NOW, Programme

OFFLINE = XWingSecret(seed("offline backup key"))


def passphrase_in(folder: Path) -> None:
    """Put the passphrase of the signing keys where the configuration names it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "passphrase"
    path.touch(mode=0o600)
    path.write_text("invented")


def seal_keys(folder: Path) -> None:
    """Put the signing keys that hubs of tests have into `folder`, as `throughcare-hub init` would."""
    passphrase_in(folder)
    seeds = seed("audit log") + seed("directory log")
    seal_file(folder / SEALED_NAME, "throughcare-hub signing keys, demo", seeds, b"invented", SMALL)


async def back_up(hub: RunningHub, target: Path) -> Made:
    """Make a backup beside the running hub."""
    return await make_backup(hub.settings, target, OFFLINE.public, hub.clock())


def agreed(standing: Standing) -> None:
    """Agree to whatever the restore will do."""


async def restore_at(
    folder: Path,
    programme: Programme,
    source: Path,
    *guards: Path,
    witnesses: Sequence[Path] = (),
    stated: Sequence[Path] = (),
    now: int = NOW,
    more: Sequence[str] = (),
    agree: Agree = agreed,
) -> Standing:
    """Restore into the new folder `folder`."""
    passphrase_in(folder)
    settings = make_settings(folder, programme, *more)
    return await restore(source, OFFLINE, settings, Evidence(guards, witnesses, stated), now, agree)


def signed_by_authority(folder: Path, programme: Programme, *, approvers: int = 2, now: int | None = None) -> bytes:
    """Return the statement that answers the request in `folder`."""
    at = programme.now if now is None else now
    body = Body(at, at - HOUR, at + DAY, read_request(folder).subject())
    return sign_statement(body, programme.approvers[:approvers])


async def resume_at(
    folder: Path, programme: Programme, *, now: int = NOW, more: Sequence[str] = (), statement: bytes | None = None
) -> Resumed:
    """Have the authority answer the request in `folder`, and begin the new generation."""
    raw = statement or signed_by_authority(folder, programme)
    return await resume(make_settings(folder, programme, *more), raw, now)

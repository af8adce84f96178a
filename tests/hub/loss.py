# SPDX-License-Identifier: Apache-2.0
"""A hub that is lost after it had signed more than its newest backup holds."""

from pathlib import Path

from hub.service.restorerequest import read_request
from keys.verifying import verify_head, verify_receipt
from protocol.limits import MINUTE
from protocol.witness import Witness, encode_witness
from tests.hub.backups import back_up, resume_at, seal_keys, signed_by_authority
from tests.hub.running import KEYS, RunningHub
from tests.hub.test_enrolment import redeem, register, registration, request
from tests.programme import NOW, Programme

UNUSED, USED = b"an unused secret", b"a secret in use."
LATER = NOW + 10 * MINUTE
BASE = "hub.example/audit"


class Loss:
    """A hub that was backed up, went on signing, and was lost: what it had given out, before the backup and after."""

    def __init__(self, folder: Path, programme: Programme) -> None:
        self.folder = folder
        self.programme = programme
        self.old, self.new = folder / "old", folder / "new"
        self.file = folder / "hub.backup"
        self.prison, self.office, _ = programme.members.values()
        self.sender = programme.sender("gora-prison")
        self.kept: dict[bytes, bytes] = {}
        self.lost: dict[bytes, bytes] = {}
        self.heads: dict[tuple[str, int], bytes] = {}

    async def happen(self, more: tuple[str, ...] = ()) -> None:
        self.old.mkdir()
        seal_keys(self.old)
        async with RunningHub(self.old, self.programme, more=more) as hub:
            await self._submit(hub, self.kept, 4)
            await hub.device(self.office).acknowledge(0)
            await self._vouch(hub)
            for secret in (UNUSED, USED):
                await register(hub, registration(hub, secret=secret))
            await redeem(hub, request(secret=USED), secret=USED)
            await back_up(hub, self.file)
            await self._submit(hub, self.lost, 3)
            await hub.device(self.office).acknowledge(5)
            self.programme.add_prekey(self.office, epoch=2)
            await hub.catch_up()
            await self._vouch(hub)
            self.head = await hub.hub.directory.head()

    async def _submit(self, hub: RunningHub, into: dict[bytes, bytes], count: int) -> None:
        for _ in range(count):
            sealed = self.sender.seal(self.office.desk)
            into[sealed.data] = await hub.device(self.prison).submit(sealed.data)

    async def _vouch(self, hub: RunningHub) -> None:
        """Note every root that was ever signed, and that none of its size differs."""
        directory = hub.hub.directory.directory
        head = verify_head(await hub.hub.directory.head(), directory.origin, KEYS.directory.public)
        assert self.heads.setdefault((head.origin, head.size), head.root) == head.root
        for raw in (*self.kept.values(), *self.lost.values()):
            body = verify_receipt(raw, BASE, KEYS.audit.public)
            assert self.heads.setdefault((body.origin, body.size), body.root) == body.root

    def witness(self, *, receipt: bool = True, statements: int | None = None) -> Path:
        path = self.folder / "witness"
        newest = [*self.lost.values()][-1] if receipt else None
        pieces = encode_witness(Witness(self.head, newest, tuple(self.programme.statements[:statements])))
        path.write_bytes(b"".join(pieces))
        return path

    async def resume(self, *, more: tuple[str, ...] = ()) -> None:
        raw = signed_by_authority(self.new, self.programme)
        kept = read_request(self.new).directory.size
        assert (await resume_at(self.new, self.programme, now=LATER, more=more)).voided_codes == 1
        self.programme.lose(kept, raw)

# SPDX-License-Identifier: Apache-2.0
"""Messages made beforehand, so that sealing is not on the hub's clock.

One message is really sealed; its copies have an envelope id and a sender's signature of their own and are the same
in every other byte. A hub cannot tell the difference: it checks form, signature and directory, and opens nothing.
"""

from dataclasses import replace

from keys.signing import DeviceSigner
from protocol.envelope import UnverifiedEnvelope, encode_envelope, parse_envelope
from protocol.ids import EnvelopeId, new_id
from protocol.rows import envelope_digest, header_hash
from tests.programme import Programme

SENDER = "gora-prison"
ONLINE = "reka-probation"
OFFLINE = "polje-csw"
BODY = 4_096
PAYLOAD = b'{"kind":"handover.offer"}'


class Stock:
    """One sealed message and as many copies as are wanted."""

    def __init__(self, programme: Programme, *, to: str = ONLINE, body: int = BODY) -> None:
        """Seal for the agency `to` a section of `body` bytes, or machine state alone if `body` is 0."""
        desk = programme.members[to].desk
        sections = [(bytes(body), [desk])] if body else []
        sealed = programme.sender(SENDER).seal(desk, payload=PAYLOAD, sections=sections, now=programme.now)
        self.device: DeviceSigner = programme.members[SENDER].device
        self.original: UnverifiedEnvelope = parse_envelope(sealed.data)

    @property
    def size(self) -> int:
        """Bytes of one envelope."""
        return len(self.original.raw)

    def copy(self) -> bytes:
        """Return one more envelope."""
        original, common, digest = self.original, *self._renamed(new_id())
        signature = self.device.sign_digest(digest)
        return encode_envelope(common, original.row_bytes, original.wraps, original.sections, signature)

    def copies(self, count: int) -> list[bytes]:
        """Return `count` envelopes."""
        return [self.copy() for _ in range(count)]

    def stored(self) -> UnverifiedEnvelope:
        """Return one more envelope as a hub holds it after its checks, with its hashes, but signed by nobody."""
        original, id_ = self.original, new_id()
        common, _ = self._renamed(id_)
        return replace(
            original,
            common=replace(original.common, envelope_id=EnvelopeId(id_)),
            common_bytes=common,
            sender_sig=id_ * 4,
        )

    def _renamed(self, id_: bytes) -> tuple[bytes, bytes]:
        original = self.original
        common = original.common_bytes.replace(original.common.envelope_id, id_)
        header = header_hash(common, original.row_hashes)
        return common, envelope_digest(header, original.wraps_hash, original.section_hashes)

# SPDX-License-Identifier: Apache-2.0
"""Vectors of opening: an honest slice, what a dishonest hub makes of it, and slices of dishonest senders."""

from collections.abc import Sequence
from dataclasses import replace

from keys.opening import VerifiedMessage, open_slice
from protocol.envelope import parse_envelope
from protocol.receipts import ReceiptKind
from protocol.sections import Claims
from protocol.slices import parse_slice, slice_of
from tests.keys.forger import Forger, To
from tests.keys.hubside import receipt_for, tamper
from tests.keys.world import AUDIT_KEY, AUDIT_ORIGIN, DAY, NOW, World, device_of, seed
from tests.vectors.cases import Document, Json, Recording, checked, document, error_of, good
from tests.vectors.statements import VectorLog


def world_of(log: VectorLog) -> World:
    """Return the vectors' log as the world that the tests' helpers take."""
    world = World.__new__(World)
    world.directory = log.directory
    return world


def open_as_probation(
    log: VectorLog,
    raw: bytes,
    *,
    own: bytes | None = None,
    epochs: Sequence[int] = (1,),
    seen: bool = False,
) -> VerifiedMessage:
    prekeys = {epoch: log.probation.prekeys[epoch] for epoch in epochs}
    return open_slice(
        raw,
        own_device=own or log.probation.device.key_id,
        prekey=prekeys.get,
        directory=log.directory,
        audit_origin=AUDIT_ORIGIN,
        audit_key=AUDIT_KEY.public,
        seen=lambda _: seen,
    )


class SwappedSignatures(Forger):
    """Section 0 with its two signatures exchanged."""

    def sign_claims(self, claims: bytes) -> list[bytes]:
        """Return them in the wrong order."""
        return super().sign_claims(claims)[::-1]


class OtherHeader(Forger):
    """Claims of another envelope, as when a recipient passes them on."""

    def claims(self, header: bytes, hashes: Sequence[bytes]) -> Claims:
        """Return claims that name another header."""
        return replace(super().claims(header, hashes), header_hash=seed("another header"))


class NoMark(Forger):
    """Padding without its mark."""

    def padded(self, number: int, plaintext: bytes) -> bytes:
        """Return the plaintext and zeros only."""
        return plaintext.ljust(8_192, b"\0")


def opening(recording: Recording, log: VectorLog, raw: bytes) -> Document:
    world, envelope = world_of(log), parse_envelope(raw)

    def with_receipt(**changes: object) -> bytes:
        return slice_of(envelope, 0, receipt_for(envelope, world, **changes))  # type: ignore[arg-type]

    good_slice = with_receipt()
    parsed = parse_slice(good_slice)
    root = log.directory.root_at(3)
    assert root is not None
    tampered: dict[str, tuple[bytes, str]] = {
        "no accepted receipt": (with_receipt(kind=ReceiptKind.EXPIRED), "bad-signature"),
        "receipt of another log": (with_receipt(origin="other.example/audit"), "bad-signature"),
        "accepted when expired": (with_receipt(at=NOW + 30 * DAY), "expired"),
        "accepted 10 minutes before it was made": (with_receipt(at=NOW - 600_001), "expired"),
        "directory not fetched yet": (with_receipt(directory=(99, seed("root"))), "directory-stale"),
        "another directory": (with_receipt(directory=(3, seed("root"))), "directory-split"),
        "accepted before the device was known": (with_receipt(directory=(3, root)), "untrusted-key"),
        "flipped bit in the wrap": (tamper(good_slice, world, wrap=_flip(parsed.wrap, 1_119)), "cannot-open"),
        "X25519 share zero": (
            tamper(good_slice, world, wrap=parsed.wrap[:1_088] + bytes(32) + parsed.wrap[1_120:]),
            "cannot-open",
        ),
        "flipped bit in a section": (
            tamper(good_slice, world, sections={**parsed.sections, 1: _flip(parsed.sections[1], 30)}),
            "cannot-open",
        ),
        "an inserted row": (
            tamper(good_slice, world, row_hashes=(*parsed.row_hashes, seed("row"))),
            "cannot-open",
        ),
        "sender's signature of another": (tamper(good_slice, world, sender_sig=bytes(64)), "bad-signature"),
    }
    base = ("probation", good_slice)
    broken = [
        checked(name, error, base, data, lambda one: open_as_probation(log, one))
        for name, (data, error) in tampered.items()
    ]
    opened = open_as_probation(log, good_slice)
    given: list[Json] = []
    for name, changes, error in (
        ("received before", {"seen": True}, "replayed"),
        ("another device", {"own_device": device_of("vector stranger").key_id.hex()}, "not-a-recipient"),
        ("prekey destroyed", {"epochs": []}, "cannot-open"),
    ):
        given.append({"name": name, "base": "probation", "given": changes, "error": error})
    return document(
        "opening",
        "Slices opened by the probation office's device with the log of directory.json. `device` and `prekeys` (epoch "
        "to X-Wing seed) are its own, `audit` the pinned audit log. `good` gives `value`, or `error` where a "
        "dishonest sender made the slice; `bad` gives `error`, and so does `given` with other circumstances.",
        "ENV-7 ENV-9 ENV-11 ENV-13 ENV-16 ENV-17 ENV-19 ENV-20 AUD-6 PAD-2",
        device=log.probation.device.key_id.hex(),
        prekeys={str(epoch): secret.seed.hex() for epoch, secret in log.probation.prekeys.items()},
        audit={"origin": AUDIT_ORIGIN, "key": AUDIT_KEY.public.hex()},
        good=[good("probation", good_slice, opened), *_forged(recording, log)],
        bad=broken,
        given=given,
    )


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _forged(recording: Recording, log: VectorLog) -> list[Json]:
    """Return slices of dishonest senders as cases with `error` in the place of `value`."""
    world = world_of(log)
    cases = []
    for name, kind, error in (
        ("signatures exchanged", SwappedSignatures, "bad-signature"),
        ("claims of another envelope", OtherHeader, "sender-mismatch"),
        ("padding without its mark", NoMark, "cannot-open"),
    ):

        def make(kind: type[Forger] = kind) -> bytes:
            envelope = parse_envelope(kind(world, log.prison, [To(log.probation)]).build())
            return slice_of(envelope, 0, receipt_for(envelope, world))

        def same(raw: bytes, error: str = error) -> bool:
            return error_of(lambda: open_as_probation(log, raw)) == error

        raw = recording.keep("opening", name, make, same)
        cases.append({"name": name, "bytes": raw.hex(), "error": error})
    return cases

# SPDX-License-Identifier: Apache-2.0
"""A hub for the bench alone whose checks cost nothing: what no front, no thread and no faster library could go below.

    python -m tests.bench.unchecked signatures|reading run --config FILE

With `signatures` it checks and makes none for envelopes; with `reading` it does not read, hash or check an envelope
either, but takes it for the first one of its size under an id of its own. It writes, guards and delivers like any hub.
"""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Final

from hub import cli
from hub.service import checking, receipts, submission
from protocol import limits
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.receipts import encode_signed

SIGNATURES: Final = "signatures"
READING: Final = "reading"


def remembering() -> Callable[[bytes], SimpleNamespace]:
    """Return what takes every envelope for the first one of its size."""
    made: dict[int, Callable[[bytes], SimpleNamespace]] = {}

    def read(data: bytes) -> SimpleNamespace:
        like = made.get(len(data))
        if like is None:
            like = made[len(data)] = _like(parse_envelope(data))
        return like(data)

    return read


def _like(first: UnverifiedEnvelope) -> Callable[[bytes], SimpleNamespace]:
    """Return what takes an envelope for `first`, with its own bytes, id and signature."""
    common = {name: getattr(first.common, name) for name in first.common.__slots__}
    rest = {name: getattr(first, name) for name in first.__slots__}
    id_at, common_at = first.raw.index(first.common.envelope_id), first.raw.index(first.common_bytes)
    id_end, common_end = id_at + len(first.common.envelope_id), common_at + len(first.common_bytes)

    def like(data: bytes) -> SimpleNamespace:
        own = SimpleNamespace(**common)
        own.envelope_id = data[id_at:id_end]
        envelope = SimpleNamespace(**rest)
        envelope.raw, envelope.common = data, own
        envelope.common_bytes, envelope.sender_sig = data[common_at:common_end], data[-limits.ED25519_SIGNATURE :]
        return envelope

    return like


def free(what: str) -> None:
    """Have this process do nothing of `what`; raises ValueError for what it does not know."""
    if what not in (SIGNATURES, READING):
        raise ValueError(f"say {SIGNATURES} or {READING}")
    instead: list[tuple[ModuleType, str, Callable[..., object]]] = [
        (checking, "verify_sender", lambda *_: None),
        (receipts, "sign_receipt", lambda body, _: encode_signed(body, bytes(limits.ED25519_SIGNATURE))),
    ]
    if what == READING:
        instead += [
            (submission, "parse_envelope", remembering()),
            (submission, "check_envelope", lambda envelope, *_: envelope.common.expires),
        ]
    for module, name, value in instead:
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name} any more")
        setattr(module, name, value)


def main() -> None:
    """Run the hub."""
    free(sys.argv.pop(1))
    cli.main()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Targets 1, 2 and 4: what sealing and opening cost beyond their primitives, and how large envelopes are."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import nacl.bindings
from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from keys.opening import VerifiedMessage, _decrypt
from keys.xwing import HPKE_SUITE, public_key
from protocol.envelope import parse_envelope
from protocol.padding import padded_size
from protocol.rows import section_context, sha256, wrap_info
from protocol.slices import parse_slice
from tests.bench.rounds import Extent, cpu_per_call, interleave, median_ratio
from tests.bench.stock import BODY, PAYLOAD
from tests.bench.targets import TARGETS, Figure, Result
from tests.keys.drafts import draft, recipient, seal_for
from tests.keys.hubside import deliver, open_as
from tests.keys.world import Member, World, member, prison

_CLAIMS = 650
"""About the bytes of claims, which are signed and hashed."""


class Agencies:
    """A sender and as many recipients as are wanted, each with a device and a prekey."""

    def __init__(self, recipients: int) -> None:
        self.world = World()
        self.sender = self.world.enrol(prison())
        # As long as the demo's names, since the desk's address stands in every row.
        names = (f"probation-{number:04}" for number in range(recipients))
        self.recipients: list[Member] = [self.world.enrol(member(name, "ngo", ("intake", "ngo"))) for name in names]

    def sealing(self, count: int, body: bytes) -> Callable[[], bytes]:
        """Return what seals one section of `body` to the first `count` recipients."""
        message = draft(self.sender, body, payload=PAYLOAD)
        to = [recipient(self.world, one, 1) for one in self.recipients[:count]]
        return partial(seal_for, self.world, self.sender, message, to)

    def opening(self, count: int, body: bytes) -> Callable[[], VerifiedMessage]:
        """Return what opens the last recipient's slice of such a message."""
        raw = deliver(self.sealing(count, body)(), count - 1, self.world)
        return partial(open_as, self.recipients[count - 1], self.world, raw)

    def primitives(self, count: int, body: bytes) -> Callable[[], None]:
        """Return the cryptographic calls of such a sealing, on the same sizes, with nothing around them."""
        envelope = parse_envelope(self.sealing(count, body)())
        publics = [public_key(recipient(self.world, one).prekey_public) for one in self.recipients[:count]]
        row, wrap = envelope.row_bytes[0], envelope.wraps[0]
        # Zeros stand for the plaintexts: neither cipher nor hash minds.
        padded = [bytes(padded_size(8_000 if number == 0 else len(body))) for number in range(2)]
        private, _ = secrets.token_bytes(32), None
        _, ed25519 = nacl.bindings.crypto_sign_seed_keypair(private)
        mldsa65 = MLDSA65PrivateKey.from_seed_bytes(private)
        claims, header, device = bytes(_CLAIMS), bytes(32), bytes(32)
        keys_and_box = bytes(2 * 32 + 40)

        def work() -> None:
            # Salts and blinds in one call each, and the two section keys.
            secrets.token_bytes(16 * count)
            secrets.token_bytes(16 * count)
            keys = [secrets.token_bytes(32), secrets.token_bytes(32)]
            sha256(envelope.common_bytes)
            for _ in range(count):
                sha256(keys_and_box[:40])
                sha256(row)
            sha256(bytes(32 * count))
            sha256(PAYLOAD)
            for number, plaintext in enumerate(padded):
                encryptor = Cobblestone256Encryptor(keys[number], section_context(header, number))
                sha256(encryptor.update(plaintext) + encryptor.finalize())
            nacl.bindings.crypto_sign(claims, ed25519)
            mldsa65.sign(claims)
            for public in publics:
                HPKE_SUITE.encrypt(keys_and_box, public, wrap_info(header, device))
                sha256(wrap)
            sha256(bytes(32 * count))
            sha256(bytes(200))
            nacl.bindings.crypto_sign(header, ed25519)

        return work

    def fixed_and_further(self) -> tuple[float, float]:
        """Return the bytes over plaintext that an envelope has once, and those of each recipient, before padding."""
        one, all_ = self.sealing(1, bytes(BODY))(), self.sealing(len(self.recipients), bytes(BODY))()
        further = (len(all_) - len(one)) / (len(self.recipients) - 1)
        slice_ = parse_slice(deliver(one, 0, self.world))
        _, plaintexts = _decrypt(slice_, self.recipients[0].prekeys.get)
        padding = sum(padded_size(len(plain)) - len(plain) for plain in plaintexts.values())
        return len(one) - further - padding - BODY - len(PAYLOAD), further


def timed(work: Callable[[], object], seconds: float) -> Callable[[], Awaitable[float]]:
    """Return a candidate for `interleave` that gives the CPU seconds of one call."""

    async def measure() -> float:
        return cpu_per_call(work, seconds)

    return measure


async def seal_against_primitives(extent: Extent) -> Result:
    """Target 1."""
    result, agencies = Result(TARGETS[1]), Agencies(extent.many)
    for part, count in zip(result.target.parts, (1, extent.some, extent.many), strict=True):
        # One ML-DSA signature takes twice as long as another, so it takes many of them to compare.
        # With one recipient they are half of the work.
        seconds = extent.cpu_seconds * (8 if count == 1 else 2)
        found = await interleave(
            extent.rounds,
            {
                "seal": timed(agencies.sealing(count, bytes(BODY)), seconds),
                "primitives": timed(agencies.primitives(count, bytes(BODY)), seconds),
            },
        )
        result.values[part.name] = median_ratio(found["seal"], found["primitives"])
        result.figures.append(Figure(f"sealing to {count}", min(found["seal"]) * 1e3, "ms CPU, best"))
    return result


async def open_many_against_one(extent: Extent) -> Result:
    """Target 2."""
    agencies = Agencies(extent.many)
    found = await interleave(
        extent.rounds,
        {
            "one": timed(agencies.opening(1, bytes(BODY)), extent.cpu_seconds),
            "many": timed(agencies.opening(extent.many, bytes(BODY)), extent.cpu_seconds),
        },
    )
    figures = [Figure("opening one of 1", min(found["one"]) * 1e3, "ms CPU, best")]
    return Result(TARGETS[2], {"open": median_ratio(found["many"], found["one"])}, figures)


async def bytes_over_plaintext(_extent: Extent) -> Result:
    """Target 4."""
    agencies = await asyncio.to_thread(Agencies, 2)
    fixed, further = agencies.fixed_and_further()
    envelope = parse_envelope(agencies.sealing(2, bytes(BODY))())
    slices = [len(deliver(agencies.sealing(count, bytes(BODY))(), 0, agencies.world)) for count in (1, 2)]
    figures = [
        Figure("a slice grows by each other recipient", slices[1] - slices[0], "bytes"),
        Figure("4 KiB to 1, padded", len(agencies.sealing(1, bytes(BODY))()), "bytes"),
    ]
    wrap = len(envelope.wraps[0])
    return Result(TARGETS[4], {"a recipient's wrap": wrap, "its wrap and row": further, "fixed bytes": fixed}, figures)

# SPDX-License-Identifier: Apache-2.0
"""The targets: fifteen promises about speed, size and memory, as data, and what was measured for each.

A target has one or more parts; each part is one number with a bound that it must keep and one to dream of. All
numbers are ratios inside one run unless the part names a unit. The JSON line of a target shows the part that is
worst off, and all of them beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Part:
    """One number of a target; with `at_least` larger is better, otherwise smaller.

    One that moves with the disk is only published, also where its target gates (docs/adr/0019).
    """

    name: str
    must: float
    moonshot: float
    at_least: bool = False
    moves_with_disk: bool = False

    def keeps(self, value: float, bound: float) -> bool:
        """Tell whether `value` keeps `bound`."""
        return value >= bound if self.at_least else value <= bound

    def strain(self, value: float) -> float:
        """Return how close `value` comes to the must: 1 is just kept, above is broken."""
        if self.at_least:
            return self.must / value if value else float("inf")
        return value / self.must


@dataclass(frozen=True, slots=True)
class Target:
    """One target; a gated one that is not kept makes the bench end with 1."""

    number: int
    name: str
    gated: bool
    how: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number published beside the targets, with its unit or what it is a ratio of."""

    name: str
    value: float
    unit: str = ""


@dataclass(slots=True)
class Result:
    """What a run found for one target: values by the names of its parts, figures to publish, and what was skipped."""

    target: Target
    values: dict[str, float] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> list[tuple[Part, float]]:
        """The parts that have a value, in order."""
        return [(part, self.values[part.name]) for part in self.target.parts if part.name in self.values]

    @property
    def worst(self) -> tuple[Part, float] | None:
        """The part that is worst off, or None if nothing was measured."""
        return max(self.measured, key=lambda pair: pair[0].strain(pair[1]), default=None)

    @property
    def ok(self) -> bool | None:
        """Whether every measured part keeps its must; None if nothing was measured."""
        return all(part.keeps(value, part.must) for part, value in self.measured) if self.measured else None

    @property
    def breaks_gate(self) -> bool:
        """Whether this makes the bench end with 1."""
        return self.target.gated and not all(
            part.keeps(value, part.must) for part, value in self.measured if not part.moves_with_disk
        )

    @property
    def at_moonshot(self) -> bool:
        """Whether every measured part keeps its moonshot."""
        return bool(self.measured) and all(part.keeps(value, part.moonshot) for part, value in self.measured)

    def line(self) -> Mapping[str, object]:
        """Return the JSON object of this target."""
        worst = self.worst
        line: dict[str, object] = {
            "target": self.target.number,
            "name": self.target.name,
            "ratio": None if worst is None else rounded(worst[1]),
            "must": self.target.parts[0].must if worst is None else worst[0].must,
            "moonshot": self.target.parts[0].moonshot if worst is None else worst[0].moonshot,
            "ok": self.ok,
            "gated": self.target.gated,
            "parts": [
                {
                    "name": part.name,
                    "ratio": rounded(value),
                    "must": part.must,
                    "moonshot": part.moonshot,
                    "bound": "at least" if part.at_least else "at most",
                    "ok": part.keeps(value, part.must),
                }
                for part, value in self.measured
            ],
            "figures": {
                f"{one.name} ({one.unit})" if one.unit else one.name: rounded(one.value) for one in self.figures
            },
        }
        if self.skipped:
            line["skipped"] = self.skipped
        return line


def rounded(value: float) -> float:
    """Return `value` with six significant digits; bytes need them."""
    return float(f"{value:.6g}")


TARGETS: dict[int, Target] = {
    target.number: target
    for target in (
        Target(
            1,
            "sealing ÷ sum of its primitives",
            True,
            "CPU time of keys.sealing.seal for a 4 KiB section to n recipients, divided by the same HPKE, Cobblestone, "
            "signature, hash and random calls on the same sizes with nothing around them.",
            (
                Part("one recipient", 1.25, 1.10),
                Part("25 recipients", 1.25, 1.10),
                Part("100 recipients", 1.25, 1.10),
            ),
        ),
        Target(
            2,
            "opening one of 100 ÷ opening one of 1",
            True,
            "CPU time of keys.opening.open_slice on a recipient's slice of a 4 KiB message.",
            (Part("open", 1.5, 1.2),),
        ),
        Target(
            3,
            "seal + open of a large message to 25 ÷ joserfc",
            False,
            "CPU time; the largest section that an envelope of 1 MiB can hold, against a signed JWS inside a JWE "
            "(ECDH-ES+A256KW, A256GCM) to 25 keys in joserfc, which is neither post-quantum nor padded.",
            (Part("÷ joserfc", 1 / 5, 1 / 8),),
        ),
        Target(
            4,
            "bytes over the plaintext, before padding",
            True,
            "Sizes of real envelopes of two sections, with the demo's desk names: a recipient's wrap, what a further "
            "recipient device adds in all (docs/adr/0016), and the rest.",
            (
                Part("a recipient's wrap", 1_300, 1_240),
                Part("its wrap and row", 1_400, 1_300),
                Part("fixed bytes", 5_000, 4_200),
            ),
        ),
        Target(
            5,
            "durable delivered messages/s ÷ floor",
            False,
            "4 KiB messages, 32 in flight, one sender, one recipient online and acknowledging. The floor (bare "
            "aiohttp, POST in, websocket out, SQLite group commit) carries as many bytes and checks nothing.",
            (Part("websocket", 0.5, 1.0, at_least=True), Part("batches of 16", 0.5, 1.0, at_least=True)),
        ),
        Target(
            6,
            "durable delivered messages/s ÷ Synapse",
            False,
            "The load of target 5 over the websocket; Synapse on SQLite with the same bytes in base64.",
            (Part("÷ to-device", 6, 10, at_least=True), Part("÷ room", 20, 40, at_least=True)),
        ),
        Target(
            7,
            "durable delivered messages/s ÷ NATS JetStream, sync always",
            False,
            "The load of target 5 over the websocket; JetStream with file storage and sync_interval: always.",
            (Part("÷ NATS", 1.0, 1.8, at_least=True),),
        ),
        Target(
            8,
            "server CPU per message ÷ floor, ÷ Synapse",
            False,
            "CPU time of the server process over the runs of targets 5 and 6, over the websocket.",
            (Part("÷ floor", 2.0, 1.4), Part("÷ Synapse to-device", 1 / 8, 1 / 12)),
        ),
        Target(
            9,
            "group commit ÷ a commit for each message",
            True,
            "hub.service.writer with 64 checked envelopes in flight, as it is and with groups of 1; syncs are counted.",
            (
                Part("messages/s", 6, 10, at_least=True, moves_with_disk=True),
                Part("syncs per message", 0.1, 0.03),
            ),
        ),
        Target(
            10,
            "CPU per message with a full store ÷ with 1,000 stored",
            True,
            "Two hubs, one with many messages waiting for somebody offline; server CPU per delivered message of each.",
            (Part("10^5 stored", 1.15, 1.05), Part("10^6 stored", 1.15, 1.05)),
        ),
        Target(
            11,
            "time from send to receive ÷ floor, one in flight",
            False,
            "Median and 99th percentile of one run each, hub over the websocket, floor as in target 5.",
            (Part("p50", 2, 1.4), Part("p99", 3, 1.5)),
        ),
        Target(
            12,
            "p99 ÷ p50 at half load, checkpoints running",
            False,
            "Messages at even intervals at half the rate of target 5, over the websocket.",
            (Part("p99 ÷ p50", 10, 4),),
        ),
        Target(
            13,
            "resident memory of the hub, MiB",
            False,
            "VmRSS after start, after load with many stored, and what 1,000 idle websockets add.",
            (
                Part("start", 100, 70),
                Part("10^5 stored", 250, 150),
                Part("10^6 stored", 250, 150),
                Part("1,000 idle websockets", 100, 50),
            ),
        ),
        Target(
            14,
            "CPU of accepting with the audit log ÷ without",
            False,
            "hub.service.submission with everything it does, against the same without leaf, detail, tree state, guard "
            "and receipt.",
            (Part("÷ without", 1.25, 1.10),),
        ),
        Target(
            15,
            "draining a full mailbox ÷ the online rate",
            False,
            "Messages/s received and acknowledged by one recipient who comes back to 10^5, against the rate at which "
            "the same hub delivers the same messages online.",
            (Part("drain", 0.8, 1.0, at_least=True),),
        ),
    )
}

# SPDX-License-Identifier: Apache-2.0
"""The load for NATS JetStream, run with the Python of its own environment: needs nothing of this project.

`python -m tests.bench.peers.nats_client URL SIZE` says one line of JSON when it is ready, then answers each line
`{"seconds", "in_flight"}` with one run: messages delivered, seconds, and the latency of each.
"""

import asyncio
import importlib
import json
import secrets
import sys
import time
from typing import Any

_PATIENCE_S = 60.0


class Load:
    """One sender and one recipient that acknowledges each message, at one JetStream."""

    def __init__(self, nats: Any, size: int) -> None:
        self._nats = nats
        self._body = secrets.token_bytes(size)
        self._numbers = 0
        self._times: dict[int, float] = {}

    async def open(self, url: str) -> None:
        """Make the stream and start receiving."""
        sender, recipient = await self._nats.connect(url), await self._nats.connect(url)
        self._stream = sender.jetstream()
        await self._stream.add_stream(name="mail", subjects=["mail.*"], storage="file", retention="workqueue")
        subscription = await recipient.jetstream().pull_subscribe("mail.one", "one")

        async def collect() -> None:
            while True:
                try:
                    messages = await subscription.fetch(64, timeout=1)
                except TimeoutError:
                    continue
                for message in messages:
                    self._times[int.from_bytes(message.data[:8], "big")] = time.perf_counter()
                    await message.ack()

        self._collecting = asyncio.create_task(collect())

    async def run(self, seconds: float, in_flight: int) -> dict[str, Any]:
        """Keep `in_flight` messages in flight for `seconds`."""
        sent: dict[int, float] = {}
        self._times.clear()
        begin = time.perf_counter()

        async def line() -> None:
            while time.perf_counter() < begin + seconds:
                number = self._numbers = self._numbers + 1
                sent[number] = time.perf_counter()
                await self._stream.publish("mail.one", number.to_bytes(8, "big") + self._body, timeout=30)

        await asyncio.gather(*(line() for _ in range(in_flight)))
        async with asyncio.timeout(_PATIENCE_S):
            while len(self._times) < len(sent):
                if self._collecting.done():
                    self._collecting.result()
                await asyncio.sleep(0.002)
        return {
            "delivered": len(sent),
            "seconds": max(self._times.values()) - begin,
            "latencies": [self._times[number] - at for number, at in sent.items()],
        }


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main(url: str, size: int) -> None:
    """Answer until stdin ends."""
    load = Load(importlib.import_module("nats"), size)
    await load.open(url)
    _say({"ready": True})
    while question := await asyncio.to_thread(sys.stdin.readline):
        _say(await load.run(**json.loads(question)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

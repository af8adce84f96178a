# SPDX-License-Identifier: Apache-2.0
"""Where the microseconds of one message go: each step of the hub's own, called alone in this process."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from hub.app import system_clock
from hub.service.checking import check_envelope
from hub.store import mailboxes
from keys.verifying import verify_sender
from protocol.envelope import parse_envelope
from protocol.frames import Accepted, Deliver, Submit, encode_frame, parse_frame
from protocol.limits import MAX_DELIVERY
from tests.bench.handing import handed_over
from tests.bench.hubserver import HubFolder
from tests.bench.rounds import Extent, cpu_per_call
from tests.bench.stock import ONLINE, Stock
from tests.bench.targets import Figure


async def parts(folder: Path, extent: Extent) -> list[Figure]:
    """Return the CPU of each step that the event loop takes for one message of 4 KiB to one recipient, best round."""
    hub_folder = HubFolder(folder / "parts")
    async with hub_folder.opened() as hub:
        stock = Stock(hub_folder.programme)
        data = stock.copy()
        frame, envelope = encode_frame(Submit(1, data)), parse_envelope(data)
        sender = hub.directory.directory.device(envelope.common.device_id)
        assert sender is not None
        receipt = await hub.submissions.submit(stock.device.key_id, data)
        recipient = hub_folder.programme.members[ONLINE].device_id
        items = tuple(await hub.mailboxes.read(recipient, 0, 1))
        (stored,) = await hub.store.read(lambda found: mailboxes.page(found, recipient, 0, 1, MAX_DELIVERY))
        receipts, directory, now = hub.submissions._parts.receipts, hub.directory.directory, system_clock()

        def signed() -> bytes:
            receipts._made.clear()
            return receipts.of(stored.entry)

        steps: dict[str, Callable[[], object]] = {
            "read the frame": lambda: parse_frame(frame),
            "read the envelope and hash all of it": lambda: parse_envelope(data),
            "of that, the hashes": envelope.__post_init__,
            "check the sender's signature": lambda: verify_sender(envelope, sender.key),
            "check all, signature included": lambda: check_envelope(envelope, directory, now),
            "make and sign the receipt": signed,
            "write the answer": lambda: encode_frame(Accepted(1, receipt)),
            "make the slice": lambda: hub.mailboxes._item(stored),
            "write the delivery": lambda: encode_frame(Deliver(items)),
        }
        found = [
            Figure(name, min(cpu_per_call(step, extent.cpu_seconds) for _ in range(extent.rounds)) * 1e6, "µs")
            for name, step in steps.items()
        ]
        answer = encode_frame(Accepted(1, receipt))
        handed = [await asyncio.to_thread(handed_over, frame, answer, extent.written) for _ in range(extent.rounds)]
        return [*found, Figure("hand it to another process and take its answer", min(handed) * 1e6, "µs")]

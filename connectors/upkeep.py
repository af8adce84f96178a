# SPDX-License-Identifier: Apache-2.0
"""What a device has to publish from time to time, each for itself: its certificate, its service's, its prekeys.

They fail for reasons of their own. Were prekeys kept back as long as the hub takes no renewal, everybody would go on
sealing to an old one; were renewals kept back, the device would fall silent.
"""

from collections.abc import Awaitable, Callable

from connectors.hub_client import StatementSink
from connectors.prekeys import Prekeys
from connectors.renewal import Renewal


async def upkeep(
    renewal: Renewal,
    prekeys: Prekeys,
    sink: StatementSink,
    *,
    drained_at: int | None,
    follow: Callable[[], Awaitable[object]],
) -> list[Exception]:
    """Publish what is due, and `follow` the directory after each that published something; return what failed.

    `drained_at` is when the mailbox was last found empty. Nothing that one of them meets keeps the other from its work.
    """

    async def prekeys_due() -> bool:
        return await prekeys.maintain(sink, drained_at=drained_at)

    async def renewal_due() -> bool:
        return await renewal.maintain(sink)

    failures = list[Exception]()
    for job in (renewal_due, prekeys_due):
        try:
            if await job():
                await follow()
        except Exception as error:  # noqa: BLE001 # the caller tells of it and tries again
            failures.append(error)
    return failures

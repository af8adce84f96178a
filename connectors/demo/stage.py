# SPDX-License-Identifier: Apache-2.0
"""What the story stands on: a sandbox with its agencies, each asked through its own connector's API, and its clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from connectors.api_client import ApiClient
from connectors.calendars import Calendars
from connectors.demo.telling import Teller, WentWrong
from connectors.installation import Installation, open_installation
from connectors.sandbox.cast import Part
from connectors.sandbox.world import Sandbox
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.clocks import Calendar
from protocol.errors import NotFound
from protocol.http.handovers import HandoverQueued, HandoverView
from protocol.http.messages import MessageRequest, MessageView
from protocol.http.threads import ReferralRequest, StepRequest, StepView, ThreadView
from protocol.ids import Kind, MessageId, OfficerId, ThreadId
from protocol.limits import DIRECTORY_MARKED

_LOOK_EVERY_S: Final = 0.05
_PATIENCE_S: Final = 40
T = TypeVar("T")


class Stage:
    """One sandbox, told about by `teller`; `folder` is the story's own."""

    def __init__(self, teller: Teller, sandbox: Sandbox, folder: Path) -> None:
        """Nothing is opened before `start`."""
        self.teller = teller
        self.sandbox = sandbox
        self.folder = folder
        self.clients: dict[str, ApiClient] = {}
        self._officers: dict[str, OfficerId] = {}
        self._open = AsyncExitStack()
        self._keys = 0

    async def __aenter__(self) -> "Stage":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def start(self, part: Part) -> None:
        """Start an agency's connector, and find its officer."""
        await self.sandbox.start_connector(part)
        profile = self.sandbox.profile(part)
        client = await self._open.enter_async_context(ApiClient.of(profile.api_url, Path(profile.token_file)))
        self.clients[part.name] = client
        found = [one.id for one in (await client.status()).officers if one.title == part.officer]
        self._officers[part.name] = found[0]

    async def installation(self, part: Part) -> Installation:
        """Open an agency's keys, as only somebody could who has them and their passphrase."""
        return await asyncio.to_thread(open_installation, self.sandbox.data_dir(part), self.sandbox.passphrase(part))

    def officer(self, part: Part) -> str:
        """Return the id of an agency's officer."""
        return ids.text(Kind.OFFICER, self._officers[part.name])

    # The clock

    @property
    def calendar(self) -> Calendar:
        """The working days of everybody here."""
        return Calendars().of(AgencyAddress("everybody"))

    def moment(self, day: date, hour: int, minute: int = 0) -> int:
        """Return a time of a day as people here mean it, in ms UTC."""
        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.calendar.zone)
        return int(local.timestamp() * 1000)

    def said(self, at: int) -> str:
        """Return a time as people here write it."""
        return f"{datetime.fromtimestamp(at / 1000, UTC).astimezone(self.calendar.zone):%a %d %b, %H:%M}"

    async def skip_to(self, at: int) -> None:
        """Let it be `at` for everybody; returns when every connector knows what the hub's directory says now."""
        self.sandbox.skip_to(at)

        async def fresh(part: Part) -> bool | None:
            status = await self.clients[part.name].status()
            confirmed = status.directory.confirmed_at
            return True if confirmed is not None and status.now - confirmed < DIRECTORY_MARKED else None

        for part in self.sandbox.cast:
            await patiently(lambda part=part: fresh(part))  # type: ignore[misc]

    # What officers do, through their connectors' APIs

    async def refer(self, part: Part, to: Part, fields: dict[str, Any]) -> ThreadId:
        """Let an agency's officer refer somebody."""
        request = ReferralRequest(to=DeskAddress(to.address), fields=fields, officer=self._officers[part.name])
        return (await self.clients[part.name].refer(request, idempotency_key=self._key())).thread

    async def step(self, part: Part, thread: ThreadId, event: str, **fields: Any) -> None:
        """Let an agency's officer make a step of a thread as it stands there now."""
        client = self.clients[part.name]
        version = (await client.thread(thread)).item.version
        request = StepRequest(event=event, fields=fields, officer=self._officers[part.name])
        await client.step(thread, request, version=version, idempotency_key=self._key())

    async def tell(
        self, part: Part, kind: str, to: Sequence[Part], fields: dict[str, Any], thread: ThreadId | None = None
    ) -> MessageId:
        """Let an agency's officer send a message that is no step."""
        request = MessageRequest(
            kind=kind,
            to=[DeskAddress(one.address) for one in to],
            fields=fields,
            thread=thread,
            officer=self._officers[part.name],
        )
        return (await self.clients[part.name].send_message(request, idempotency_key=self._key())).id

    def _key(self) -> str:
        self._keys += 1
        return f"demo-request-{self._keys:04d}"

    # What each side sees

    async def sees(self, part: Part, thread: ThreadId, enough: Callable[[ThreadView], bool]) -> ThreadView:
        """Return how a thread stands at an agency once that is enough."""

        async def look() -> ThreadView | None:
            try:
                view = await self.clients[part.name].thread(thread)
            except NotFound:
                return None
            return view if enough(view) else None

        return await patiently(look)

    async def agreed(self, thread: ThreadId, state: str, *parts: Part) -> StepView:
        """Return the last step of a thread once all `parts` see it in `state`, by the same steps in the same places."""

        async def look() -> StepView | None:
            views = [await self.clients[part.name].thread(thread) for part in parts]
            told = [[(one.message, one.leaf_index, one.signer, one.state) for one in view.steps] for view in views]
            settled = all(view.item.state == state and _settled(view) for view in views)
            return views[0].steps[-1] if settled and all(one == told[0] for one in told) else None

        await self.sees(parts[-1], thread, lambda view: view.item.state == state)
        return await patiently(look)

    async def message(self, part: Part, id_: MessageId, enough: Callable[[MessageView], bool]) -> MessageView:
        """Return a message as an agency sees it once that is enough."""

        async def look() -> MessageView | None:
            try:
                view = await self.clients[part.name].message(id_)
            except NotFound:
                return None
            return view if enough(view) else None

        return await patiently(look)

    async def handover(
        self, part: Part, queued: HandoverQueued, enough: Callable[[HandoverView], bool]
    ) -> HandoverView:
        """Return an agency's view of a handover once it has one that is enough."""

        async def look() -> HandoverView | None:
            try:
                view = await self.clients[part.name].handover(queued.id)
            except NotFound:
                return None
            return view if enough(view) else None

        return await patiently(look)


def _settled(view: ThreadView) -> bool:
    return all(one.leaf_index is not None for one in view.steps)


async def patiently(look: Callable[[], Awaitable[T | None]]) -> T:
    """Look again and again until there is something to see; `WentWrong` when patience ends."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        seen = await look()
        if seen is not None:
            return seen
        await asyncio.sleep(_LOOK_EVERY_S)
    raise WentWrong(f"what was expected had not happened after {_PATIENCE_S} seconds")

# SPDX-License-Identifier: Apache-2.0
"""A message that does what it says only in a thread is not sent without one, and finds the one that is named."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from connectors.cases.moving import Step
from protocol import ids
from protocol.clearance import Category
from protocol.errors import NotFound, ThreadNeeded
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.ids import Kind, MessageId, ThreadId, new_id
from protocol.kinds.catalogue import NEEDS_THREAD, SENT_HERE
from tests.connectors.cases.test_consents import ON_CONSENT, OVER
from tests.connectors.cases.test_referral import OFFICER, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

NOTICE = ids.text(Kind.MESSAGE, MessageId(b"n" * 16))
WITHDRAWN: dict[str, Any] = {"state": "withdrawn", **OVER}


def told(now: int) -> dict[str, dict[str, Any]]:
    """Return fields of each kind that needs a thread."""
    return {
        "release.notice": {"released_at": now, "reason": "conditional"},
        "release.cancelled": {"notice": NOTICE},
        "release.date-changed": {"becomes": "2027-02-01", "reason": "decision", "certainty": "decided"},
        "consent.changed": WITHDRAWN,
        "custody.returned": {"notice": NOTICE, "returned_at": now},
    }


async def say(served: Served, to: Served, kind: str, thread: ThreadId | None = None, **more: Any) -> ThreadId:
    request = MessageRequest(kind=kind, to=[to.station.desk], thread=thread, **{"fields": {}, **more})
    return (await served.client.send_message(request, idempotency_key=secrets.token_hex(12))).thread


async def test_kind_10_what_does_something_only_in_a_thread_is_refused_without_one_and_nothing_is_kept(
    prison: Served, csw: Served, world: World
) -> None:
    kinds = told(world.hub.clock())
    assert kinds.keys() - {"custody.returned"} == NEEDS_THREAD <= SENT_HERE
    for kind, fields in kinds.items():
        with pytest.raises(ThreadNeeded, match="moves nothing and keeps nothing back"):
            await say(prison, csw, kind, fields=fields)
    assert (await prison.client.messages(MessageFilter())).items == []
    # Another prison, which released nobody, has no thread of the release.
    await say(prison, csw, "custody.returned", fields={"returned_at": world.hub.clock()})


async def test_kind_10_a_release_that_is_typed_moves_the_handover_that_it_names_and_none_without(
    prison: Served, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = (await world.prison.compose(world.probation.desk)).thread
    await settle(world.prison, world.probation)
    bind = Step(event="bind", fields={"statute": "probation-act-12"})
    await world.prison.parts.moving.move(thread, bind, key=secrets.token_hex(12), body=b"")
    await settle(world.prison, world.probation)
    file = tmp_path / "notice.json"
    file.write_text(json.dumps({"fields": told(world.hub.clock())["release.notice"]}), encoding="utf-8")
    words: list[str | Path] = ["message", "send", "release.notice", "--to", world.probation.desk, "--input", file]
    assert await type_at(prison.station, prison.url, *words) == 2
    refused = capsys.readouterr()
    assert "thread-needed" in refused.err
    assert "next:  the same command with --thread THREAD" in refused.err
    assert (await prison.client.thread(thread)).item.state != "effective"
    assert await type_at(prison.station, prison.url, *words, "--thread", ids.text(Kind.THREAD, thread)) == 0
    assert "The handover moved with it." in capsys.readouterr().err
    assert (await prison.client.thread(thread)).item.state == "effective"


async def test_con_27_a_consent_that_ends_keeps_back_what_waits_in_a_conversation_of_our_own(
    prison: Served, csw: Served
) -> None:
    thread = await say(prison, csw, "record.share", sections=[ON_CONSENT])
    assert await say(prison, csw, "consent.changed", thread, fields=WITHDRAWN) == thread
    await settle(prison.station, csw.station)
    items = (await prison.client.messages(MessageFilter())).items
    for found in (items, (await csw.client.messages(MessageFilter())).items):
        assert [(one.kind, one.thread) for one in found] == [("consent.changed", thread), ("record.share", thread)]
    assert (await csw.client.message(items[1].id)).sections == []
    # What goes on another basis goes on in the same conversation, about the same person.
    person = [(await csw.client.message(one.id)).payload["subject"] for one in items]
    assert len(set(person)) == 1
    assert Category.NEEDS in {one.category for one in (await prison.client.message(items[1].id)).sections}


async def test_kind_10_a_thread_of_others_or_of_nobody_is_none_to_write_in(prison: Served, csw: Served) -> None:
    """A stranger who names a thread, and the recipient, who has only what came and its own answer in it (CAS-6)."""
    thread = await say(prison, csw, "contact.area-notice", fields={"area": "invented", "week": "2027-W03"})
    await settle(prison.station, csw.station)
    (came,) = (await csw.client.messages(MessageFilter())).items
    noted = {"answers": ids.text(Kind.MESSAGE, came.id), "officer": OFFICER, "answer": "noted"}
    await say(csw, prison, "message.answer", fields=noted)
    for named in (thread, ThreadId(new_id())):
        with pytest.raises(NotFound):
            await say(csw, prison, "consent.changed", named, fields=WITHDRAWN)
    assert [one.kind for one in (await csw.client.messages(MessageFilter())).items] == [
        "message.answer",
        "contact.area-notice",
    ]


async def test_kind_7_what_names_a_question_that_did_not_come_from_there_begins_a_conversation_of_its_own(
    prison: Served, csw: Served, world: World
) -> None:
    """Nobody is brought into another's thread by an id that he has heard of, or by a question of a third agency."""
    thread = await say(prison, csw, "contact.area-notice", fields={"area": "invented", "week": "2027-W03"})
    await settle(prison.station, csw.station)
    (came,) = (await csw.client.messages(MessageFilter())).items
    for named, to in ((new_id(), prison.station.desk), (came.id, world.probation.desk)):
        share = MessageRequest(
            kind="record.share", to=[to], fields={"answers": ids.text(Kind.MESSAGE, MessageId(named))}
        )
        sent = (await csw.client.send_message(share, idempotency_key=secrets.token_hex(12))).id
        assert (await csw.client.message(sent)).item.thread != thread

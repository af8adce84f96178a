# SPDX-License-Identifier: Apache-2.0
"""Drafts from bundles as a case system asks for them: over HTTP, and as a file in the drop folder."""

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import DropFolder
from connectors.fhir.drafting import FhirDrafts
from connectors.logs import Log
from protocol.errors import FhirUnreadable, Forbidden
from protocol.http.fhir import FhirDrafted
from protocol.http.operation import Scope
from protocol.http.problems import Contradictions
from protocol.http.running import Runner, listen
from protocol.http.threads import ReferralRequest
from protocol.http.tokens import TokenRequest
from tests.connectors.cases.test_referral import WORDS, settle
from tests.connectors.conftest import World
from tests.connectors.fhir.invented import CANARY, CSW, bundle, encoded, part, social, whole
from tests.connectors.stations import api_of


def spoilt() -> dict[str, Any]:
    """Return a bundle whose Task is requested, and by its business status was rejected."""
    document = social()
    part(document, "Task")["businessStatus"] = {"coding": [{"system": "urn:invented", "code": "rejected"}]}
    return document


@asynccontextmanager
async def client_of(world: World) -> AsyncIterator[tuple[ApiClient, str]]:
    station = world.prison
    token = ensure_token(station.folder)
    runner = Runner(
        application(api_of(station), token, world.hub.clock, Log(station.logged, json=True)), clock=world.hub.clock
    )
    url = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
    async with ApiClient.of(url, station.folder / TOKEN_FILE) as client:
        yield client, url
    await runner.cleanup()


async def test_a_draft_with_what_an_officer_adds_is_a_referral(world: World) -> None:
    async with client_of(world) as (client, _):
        drafted = await client.draft_from_fhir(encoded(whole()))
        assert (drafted.missing, drafted.draft.to) == ([], CSW)
        assert CANARY not in drafted.model_dump_json()
        request = ReferralRequest(to=world.social_work.desk, fields=drafted.draft.fields, sections=[WORDS])
        thread = (await client.refer(request, idempotency_key=secrets.token_hex(12))).thread
        await settle(world.prison, world.social_work)
        assert (await client.thread(thread)).item.state == "delivered"
        # Another's codes are understood by a table only; without one the service is what is missing.
        assert (await client.draft_from_fhir(encoded(social()))).missing[0] == "to"


async def test_every_contradiction_is_named_by_place_and_reason(world: World) -> None:
    async with client_of(world) as (client, _):
        with pytest.raises(Contradictions) as caught:
            await client.draft_from_fhir(encoded(spoilt()))
        (found,) = caught.value.fields
        assert (found.pointer, found.code) == (
            "/entry/0/resource/businessStatus/coding/0",
            "status-against-business-status",
        )
        for nothing in (b"{", b"[]", encoded(bundle())):
            with pytest.raises(FhirUnreadable):
                await client.draft_from_fhir(nothing)


async def test_one_draft_is_made_at_a_time_however_many_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, draft = threading.Lock(), FhirDrafts.draft

    def alone(self: FhirDrafts, data: bytes) -> FhirDrafted:
        assert running.acquire(blocking=False)
        try:
            return draft(self, data)
        finally:
            running.release()

    monkeypatch.setattr(FhirDrafts, "draft", alone)
    async with client_of(world) as (client, _):
        drafted = await asyncio.gather(*(client.draft_from_fhir(encoded(whole())) for _ in range(6)))
    assert [one.missing for one in drafted] == [[]] * 6


async def test_con_14_a_token_that_only_reads_makes_no_draft(world: World, tmp_path: Path) -> None:
    async with client_of(world) as (client, url):
        made = await client.make_token(
            TokenRequest(name="reader", scopes=[Scope.READ]), idempotency_key=secrets.token_hex(12)
        )
        (tmp_path / "token").touch(0o600)
        (tmp_path / "token").write_text(made.secret)
        async with ApiClient.of(url, tmp_path / "token") as reader:
            with pytest.raises(Forbidden):
                await reader.draft_from_fhir(encoded(social()))


async def test_drp_1_a_dropped_bundle_is_drafted_or_put_aside_with_its_contradictions(world: World) -> None:
    station = world.prison
    folders = Folders(station.folder / "drop")
    drop = DropFolder(
        folders,
        api_of(station).by_operation(),
        station.parts.store,
        station.parts.agency,
        world.hub.clock,
        Log(station.logged, json=True),
    )
    await drop.prepare()
    for name, document in {"good": social(), "spoilt": spoilt()}.items():
        (folders.incoming / f"{name}.json").write_bytes(encoded({"operation": "draftFromFhir", "body": document}))
    assert await drop.step() == 2
    drafted = FhirDrafted.model_validate_json((folders.done / "good.answer.json").read_bytes())
    assert drafted.draft.fields["priority"]
    reason = json.loads((folders.refused / "spoilt.reason.json").read_bytes())
    assert (reason["code"], [one["code"] for one in reason["errors"]]) == (
        "fhir-contradiction",
        ["status-against-business-status"],
    )

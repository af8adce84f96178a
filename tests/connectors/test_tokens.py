# SPDX-License-Identifier: Apache-2.0
"""Tokens of the local interface: each good for what its program does, and for nothing after its end (CON-14)."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, update

from connectors.api_client import ApiClient
from connectors.cases.moving import Step
from connectors.store import tokens
from connectors.store.tables import request
from connectors.store.tables import token as table
from connectors.tokens import PREFIX, Holder, check_scope
from protocol import cbor
from protocol.errors import Conflict, Forbidden, KeystoreError, NotAuthenticated, NotFound
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.messages import MessageFilter, MessageRequest
from protocol.http.operation import Auth, Method, Operation, Scope, registry
from protocol.http.threads import StepRequest, ThreadFilter
from protocol.http.tokens import MAX_TOKENS, TokenMade, TokenRequest
from protocol.ids import ThreadId, TokenId
from protocol.limits import DAY
from tests.connectors.cases.test_referral import REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, prison
from tests.connectors.conftest import World

__all__ = ["prison"]


async def make(served: Served, *scopes: Scope, days: int = 366, name: str = "case system") -> TokenMade:
    asked = TokenRequest(name=name, scopes=list(scopes), days=days)
    return await served.client.make_token(asked, idempotency_key=secrets.token_hex(12))


@asynccontextmanager
async def showing(served: Served, secret: str) -> AsyncIterator[ApiClient]:
    async with aiohttp.ClientSession() as session:
        yield ApiClient(session, served.url, secret)


def test_con_14_every_operation_with_a_token_names_its_scope_and_no_other_does() -> None:
    assert {one.auth for one in CONNECTOR_OPERATIONS if one.scope is None} == {Auth.NONE}
    assert {one.scope for one in CONNECTOR_OPERATIONS if one.auth is Auth.TOKEN} == set(Scope)
    for auth, scope in [(Auth.TOKEN, None), (Auth.NONE, Scope.READ)]:
        wrong = Operation(id="x", method=Method.GET, path="/v1/x", summary="X.", auth=auth, scope=scope)
        with pytest.raises(TypeError, match="scope"):
            registry([wrong])


@pytest.mark.parametrize("operation", [one for one in CONNECTOR_OPERATIONS if one.scope], ids=lambda one: one.id)
def test_con_14_each_operation_is_refused_to_a_token_with_all_other_scopes(operation: Operation) -> None:
    assert operation.scope is not None
    check_scope(Holder("tok", frozenset({operation.scope})), operation.scope)
    with pytest.raises(Forbidden, match=f"scope {operation.scope.value}"):
        check_scope(Holder("tok", frozenset(Scope) - {operation.scope}), operation.scope)


async def test_con_14_a_token_that_may_only_read_reads_and_does_nothing_else(prison: Served, world: World) -> None:
    made = await make(prison, Scope.READ)
    assert made.secret.startswith(PREFIX)
    assert made.secret not in repr(made)
    async with showing(prison, made.secret) as reader:
        assert (await reader.threads(ThreadFilter())).items == []
        assert (await reader.messages(MessageFilter())).items == []
        with pytest.raises(Forbidden, match="scope watch"):
            await reader.status()
        with pytest.raises(Forbidden, match="scope move"):
            await reader.step(ThreadId(bytes(16)), StepRequest(event="accept"), version=1, idempotency_key="k" * 16)
        with pytest.raises(Forbidden, match="scope admin"):
            await reader.tokens()
        with pytest.raises(Forbidden, match="scope admin"):
            await reader.make_token(TokenRequest(name="more", scopes=list(Scope)), idempotency_key="k" * 16)
        body = {"to": world.social_work.desk, "fields": REQUEST, "sections": [WORDS.model_dump(mode="json")]}
        async with reader._client._session.post(
            prison.url + "/v1/referrals",
            json=body,
            headers={"Authorization": f"Bearer {made.secret}", "Idempotency-Key": "k" * 16},
        ) as answer:
            assert answer.status == 403
            assert (await answer.json())["code"] == "forbidden"
    assert (await prison.client.threads(ThreadFilter())).items == []


async def test_con_14_a_message_that_makes_a_step_needs_the_scope_of_steps_too(prison: Served, world: World) -> None:
    thread = (await world.prison.compose(world.probation.desk)).thread
    await settle(world.prison, world.probation)
    released: dict[str, Any] = {"released_at": world.hub.clock(), "reason": "conditional"}
    notice = MessageRequest(kind="release.notice", to=[world.probation.desk], fields=released, thread=thread)
    sender, mover = await make(prison, Scope.SEND), await make(prison, Scope.SEND, Scope.MOVE)
    for bound in (False, True):
        if bound:
            bind = Step(event="bind", fields={"statute": "probation-act-12"})
            await world.prison.parts.moving.move(thread, bind, key=secrets.token_hex(12), body=b"")
            await settle(world.prison, world.probation)
        before = await prison.client.thread(thread)
        async with showing(prison, sender.secret) as client:
            # Also before anybody accepted: then time makes the step once somebody does (HAN-8).
            with pytest.raises(Forbidden, match="scope move"):
                await client.send_message(notice, idempotency_key="k" * 16)
        assert await prison.client.thread(thread) == before
        assert (await prison.client.messages(MessageFilter())).items == []
    async with showing(prison, mover.secret) as client:
        await client.send_message(notice, idempotency_key="k" * 16)
    assert (await prison.client.thread(thread)).item.state == "effective"


async def test_con_14_a_token_ends_by_itself_and_at_once_when_it_is_revoked(prison: Served, world: World) -> None:
    short, long = await make(prison, Scope.WATCH, days=1), await make(prison, Scope.WATCH)
    async with showing(prison, short.secret) as ending, showing(prison, long.secret) as revoked:
        await ending.status()
        await revoked.status()
        ended = await prison.client.revoke_token(long.id)
        assert await prison.client.revoke_token(long.id) == ended
        with pytest.raises(NotAuthenticated):
            await revoked.status()
        await ending.status()
        world.hub.clock.now += DAY
        with pytest.raises(NotAuthenticated):
            await ending.status()
    assert {one.id: one.revoked_at for one in (await prison.client.tokens()).items} == {
        short.id: None,
        long.id: ended.revoked_at,
    }
    with pytest.raises(NotFound):
        await prison.client.revoke_token(TokenId(bytes(16)))
    async with prison.station.parts.store.write() as tx:
        await tokens.forget_old(tx, world.hub.clock() + tokens.KEPT + 1)
    assert (await prison.client.tokens()).items == []


async def test_con_14_a_scope_of_a_newer_version_is_none_and_its_token_can_be_seen_and_revoked(prison: Served) -> None:
    now = prison.station.parts.sealer._clock()
    row = tokens.TokenRow(TokenId(bytes(16)), bytes(32), "newer", ("read", "fly"), now, now + DAY)
    async with prison.station.parts.store.write() as tx:
        await tokens.add(tx, row)
    assert [one.scopes for one in (await prison.client.tokens()).items] == [[Scope.READ]]
    assert (await prison.client.revoke_token(row.token_id)).revoked_at == now


@pytest.mark.parametrize("secret", ["", PREFIX, PREFIX + "A" * 52, "tok_" + "a" * 26, "Ä" * 60])
async def test_con_14_what_was_never_made_is_nobodys_token(prison: Served, secret: str) -> None:
    made = await make(prison, Scope.WATCH)
    for wrong in (secret, made.secret.lower(), made.secret + "A", made.secret[:-1]):
        async with prison.client._client._session.get(
            prison.url + "/v1/status", headers={"Authorization": f"Bearer {wrong}"}
        ) as answer:
            assert answer.status == 401


async def test_the_same_key_makes_one_token_and_gets_the_same_answer(prison: Served) -> None:
    asked = TokenRequest(name="nightly report", scopes=[Scope.READ, Scope.READ])
    first = await prison.client.make_token(asked, idempotency_key="k" * 16)
    assert await prison.client.make_token(asked, idempotency_key="k" * 16) == first
    (only,) = (await prison.client.tokens()).items
    assert (only.id, only.name, only.scopes) == (first.id, "nightly report", [Scope.READ])


async def test_con_5_the_store_holds_no_secret_and_an_altered_row_is_good_for_nothing(prison: Served) -> None:
    made = await make(prison, Scope.READ)
    for file in prison.station.folder.glob("connector.db*"):
        assert made.secret.encode() not in file.read_bytes()
        assert b"case system" not in file.read_bytes()
    async with prison.station.parts.store.write() as tx:
        await tx.connection.execute(update(table).values(ends_at=table.c.ends_at + DAY))
    async with prison.station.parts.store.read() as tx:
        with pytest.raises(KeystoreError, match="altered"):
            await tokens.by_digest(tx, hashlib.sha256(made.secret.encode()).digest())
    assert [(one.name, one.scopes) for one in (await prison.client.tokens()).items] == [("damaged", [])]
    assert (await prison.client.revoke_token(made.id)).revoked_at is not None, "and it can still be ended"


async def test_tokens_in_force_are_bounded(prison: Served) -> None:
    made = [await make(prison, Scope.WATCH, name=f"program {number}") for number in range(MAX_TOKENS)]
    with pytest.raises(Conflict):
        await make(prison, Scope.WATCH)
    await prison.client.revoke_token(made[0].id)
    await make(prison, Scope.WATCH)


async def test_con_14_the_secret_of_a_token_lies_nowhere_any_more_once_it_is_revoked(prison: Served) -> None:
    """Kept for whoever lost the answer, it would lie in every backup of those days as well."""
    asked, key = TokenRequest(name="case system", scopes=[Scope.READ]), secrets.token_hex(12)
    made = await prison.client.make_token(asked, idempotency_key=key)
    assert await prison.client.make_token(asked, idempotency_key=key) == made
    store = prison.station.parts.store

    async def kept() -> list[bytes]:
        async with store.read() as tx:
            rows = (await tx.connection.execute(select(request))).all()
            return [tx.vault.open("request", row.key, row.sealed) for row in rows]

    assert sum(made.secret.encode() in one for one in await kept()) == 1
    other = await make(prison, Scope.READ)
    await prison.client.revoke_token(made.id)
    assert sum(made.secret.encode() in one for one in await kept()) == 0
    assert sum(other.secret.encode() in one for one in await kept()) == 1, "that of another token stays"
    # The request was answered: it is no other token's either.
    with pytest.raises(Conflict, match="revoked"):
        await prison.client.make_token(asked, idempotency_key=key)
    assert len((await prison.client.tokens()).items) == 2


async def test_con_14_a_token_from_before_an_update_is_revoked_as_well(prison: Served) -> None:
    made = await make(prison, Scope.READ)
    store = prison.station.parts.store
    async with store.write() as tx:
        row = (await tx.connection.execute(select(table).where(table.c.token_id == made.id))).one()
        held = cbor.decode(tx.vault.open("token", made.id, row.sealed), limit=1_024)
        assert isinstance(held, list)
        sealed = tx.vault.seal("token", made.id, cbor.encode(held[:4]))
        await tx.connection.execute(update(table).where(table.c.token_id == made.id).values(sealed=sealed))
    async with showing(prison, made.secret) as reader:
        assert (await reader.threads(ThreadFilter())).items == []
        assert (await prison.client.revoke_token(made.id)).revoked_at is not None
        with pytest.raises(NotAuthenticated):
            await reader.threads(ThreadFilter())

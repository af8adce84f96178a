# SPDX-License-Identifier: Apache-2.0
"""The directory log at the hub: what is appended, what is refused, and the heads that vouch for it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hub.service import quota
from keys.signing import sign_statement
from keys.verifying import verify_head
from protocol.errors import (
    BadSignature,
    DirectoryInconsistent,
    MalformedEnvelope,
    NotFound,
    ThroughcareError,
    Unavailable,
    UntrustedKey,
)
from protocol.http import hub as api
from protocol.ids import OfficerId
from protocol.limits import DAY, HOUR, SECOND
from protocol.sections import ActorKind
from protocol.statements import Body, Delegation, Revocation, StatementKind, encode_statement, parse_statement
from tests.hub.running import RunningHub
from tests.programme import Member, Programme, make_programme


async def head_of(hub: RunningHub) -> api.DirectoryHead:
    return await hub.anonymous.call(api.GET_DIRECTORY_HEAD, api.DirectoryHead)


async def test_dir_10_the_head_is_signed_fresh_and_says_size_and_root(hub: RunningHub) -> None:
    directory = hub.programme.directory
    key = (await hub.anonymous.call(api.GET_HUB, api.HubInfo)).directory.key
    raw = (await head_of(hub)).head
    head = verify_head(raw, "hub.example/directory", key)
    assert (head.size, head.root, head.at) == (directory.size, directory.root, hub.clock.now)
    with pytest.raises(DirectoryInconsistent):
        verify_head(raw, "hub.example/audit", key)
    with pytest.raises(DirectoryInconsistent):
        verify_head(raw, "hub.example/directory", hub.audit_key)
    # Within a minute the same head serves all; then, and with each new statement, a new one is signed.
    hub.clock.advance(59 * SECOND)
    assert (await head_of(hub)).head == raw
    hub.clock.advance(SECOND)
    again = verify_head((await head_of(hub)).head, "hub.example/directory", key)
    assert again.at == hub.clock.now
    hub.programme.add_prekey(hub.programme.members["gora-prison"], epoch=2)
    await hub.catch_up()
    assert verify_head((await head_of(hub)).head, "hub.example/directory", key).size == directory.size


async def test_dir_10_there_is_no_head_before_the_root(tmp_path: Path) -> None:
    programme = make_programme()
    statements, programme.statements = programme.statements, []
    async with RunningHub(tmp_path, programme) as hub:
        with pytest.raises(NotFound):
            await head_of(hub)
        page = await hub.anonymous.call(api.LIST_DIRECTORY_STATEMENTS, api.StatementPage)
        assert (page.items, page.next_index) == ([], None)
        # DIR-4: nothing but the pinned root begins the log.
        with pytest.raises(DirectoryInconsistent):
            await submit(hub, statements[1])
        assert await submit(hub, statements[0]) == 0


async def submit(hub: RunningHub, raw: bytes) -> int:
    body = api.StatementSubmission(statement=raw)
    return (await hub.anonymous.call(api.SUBMIT_STATEMENT, api.StatementAccepted, body=body)).index


async def test_the_directory_is_listed_whole_in_pages(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STATEMENT_PAGE", 20_000)
    found: list[bytes] = []
    following: int | None = 0
    pages = 0
    while following is not None:
        query = {"from_index": following, "limit": 6}
        page = await hub.anonymous.call(api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query=query)
        found += page.items
        following = page.next_index
        pages += 1
    assert found == hub.programme.statements
    assert pages > 3
    beyond = await hub.anonymous.call(api.LIST_DIRECTORY_STATEMENTS, api.StatementPage, query={"from_index": 10_000})
    assert (beyond.items, beyond.next_index) == ([], None)


async def test_dir_2_a_statement_counts_by_its_own_signatures_and_the_same_one_once(hub: RunningHub) -> None:
    size = hub.programme.directory.size
    prekey = hub.programme.add_prekey(hub.programme.members["gora-prison"], epoch=2)
    assert await submit(hub, prekey) == size
    assert await submit(hub, prekey) == size
    assert await asyncio.gather(*(submit(hub, prekey) for _ in range(10))) == [size] * 10
    assert hub.hub.directory.directory.size == size + 1


async def test_dir_2_a_statement_that_nobody_may_make_is_refused_and_changes_nothing(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    size = hub.programme.directory.size
    good = parse_statement(hub.programme.add_prekey(prison, epoch=2))
    (signed,) = good.signatures
    forged = encode_statement(good.body_bytes, [replace(signed, ed25519=bytes(64))])
    foreign = encode_statement(good.body_bytes, [replace(signed, signer=probation.device_id)])
    attempts: list[tuple[bytes, type[ThroughcareError]]] = [
        (forged, BadSignature),
        (foreign, UntrustedKey),
        (good.raw + b"\0", MalformedEnvelope),
        (b"x", MalformedEnvelope),
    ]
    for raw, error in attempts:
        with pytest.raises(error):
            await submit(hub, raw)
    assert hub.hub.directory.directory.size == size
    assert await submit(hub, good.raw) == size


async def test_a_statement_from_the_future_is_refused(hub: RunningHub) -> None:
    """The directory judges a statement by its own date, so a hub takes none that is dated ahead."""
    prison = hub.programme.members["gora-prison"]
    prekey = hub.programme.add_prekey(prison, epoch=2, age=-HOUR)
    with pytest.raises(UntrustedKey, match="dated"):
        await submit(hub, prekey)
    hub.clock.advance(HOUR)
    await submit(hub, prekey)


async def test_the_directory_survives_a_restart(tmp_path: Path) -> None:
    programme = make_programme()
    async with RunningHub(tmp_path, programme) as hub:
        before = (hub.hub.directory.directory.size, hub.hub.directory.directory.root)
    async with RunningHub(tmp_path, programme) as hub:
        assert (hub.hub.directory.directory.size, hub.hub.directory.directory.root) == before
        assert await submit(hub, programme.statements[5]) == 5


async def test_a_statement_is_found_where_the_answer_says_and_the_log_is_walked_by_links(hub: RunningHub) -> None:
    statement = hub.programme.add_prekey(hub.programme.members["gora-prison"], epoch=2)
    body = api.StatementSubmission(statement=statement).model_dump_json().encode()
    json = {"Content-Type": "application/json"}
    async with hub.session.post(f"{hub.url}/v1/directory/statements", data=body, headers=json) as answer:
        assert answer.status == 201
        made, index = answer.headers["Location"], (await answer.json())["index"]
    async with hub.session.get(hub.url + made) as answer:
        assert len((await answer.json())["items"]) == 1
    seen, following = 0, f"{hub.url}/v1/directory/statements?limit=4"
    while following:
        async with hub.session.get(following) as answer:
            seen += len((await answer.json())["items"])
            link = answer.links.get("next")
            following = str(link["url"]) if link else ""
    assert seen == index + 1


async def test_dir_16_a_signer_adds_only_so_many_statements_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen agency key must not fill the log that every connector replays; its revocation is never held up."""
    monkeypatch.setitem(quota.SHARES, StatementKind.DELEGATION, 3)
    programme = make_programme()
    one, other = programme.members["gora-prison"], programme.members["reka-probation"]
    async with RunningHub(tmp_path, programme) as hub:
        # One was made ten days ago, which is not today.
        raws = [delegation(programme, one, number) for number in range(5)]
        for raw in raws[:2]:
            await submit(hub, raw)
    async with RunningHub(tmp_path, programme, hub.clock) as hub:
        await submit(hub, raws[2])
        with pytest.raises(Unavailable) as caught:
            await submit(hub, raws[3])
        assert caught.value.retry_after == HOUR // SECOND
        # What stands already is no new statement; others have shares of their own.
        await submit(hub, raws[0])
        await submit(hub, delegation(programme, other, 9))
        revocation = Body(hub.clock.now, hub.clock.now, hub.clock.now + DAY, Revocation(one.delegation, "left"))
        await submit(hub, sign_statement(revocation, [one.identity]))
        hub.clock.advance(DAY)
        await submit(hub, raws[3])


def delegation(programme: Programme, one: Member, number: int) -> bytes:
    """Return a delegation for a new officer, signed now."""
    subject = Delegation(one.address, OfficerId(bytes([number]) * 16), ActorKind.OFFICER, "Officer", ("release",))
    if "release" not in one.functions:
        subject = replace(subject, desks=("intake",))
    return sign_statement(Body(programme.now, programme.now, programme.now + DAY, subject), [one.identity])

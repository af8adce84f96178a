# SPDX-License-Identifier: Apache-2.0
"""Submitting envelopes: what is accepted, what is refused, and that both hold for good."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.service.transaction import Change, Transaction
from keys.verifying import verify_receipt
from protocol.envelope import UnverifiedEnvelope, encode_envelope, parse_envelope
from protocol.errors import (
    BadSignature,
    ConsentDenied,
    EnvelopeIdReused,
    Expired,
    MalformedEnvelope,
    RecipientUnavailable,
    Revoked,
    SenderMismatch,
    ThroughcareError,
    UnsupportedSuite,
)
from protocol.frames import Accepted, Refused
from protocol.limits import DAY, HOUR, MINUTE
from protocol.receipts import ReceiptKind, commitment
from protocol.rows import Row, RowSection, envelope_digest, header_hash, sha256
from tests.hub.running import RunningHub
from tests.programme import Member, make_programme, open_as


def resigned(
    envelope: UnverifiedEnvelope, member: Member, *, common: bytes | None = None, rows: Sequence[bytes] | None = None
) -> bytes:
    """Return the envelope with other clear parts under the member's own signature, as a lying sender makes it."""
    common = envelope.common_bytes if common is None else common
    rows = envelope.row_bytes if rows is None else rows
    header = header_hash(common, [sha256(row) for row in rows])
    digest = envelope_digest(header, envelope.wraps_hash, envelope.section_hashes)
    return encode_envelope(common, rows, envelope.wraps, envelope.sections, member.device.sign_digest(digest))


async def test_an_accepted_envelope_reaches_each_recipient_with_its_receipt(hub: RunningHub) -> None:
    programme = hub.programme
    prison, probation, csw = programme.members.values()
    both = [probation.desk, csw.desk]
    sealed = programme.sender("gora-prison").seal(*both, sections=[(b"both", both), (b"one", [probation.desk])])
    receipt = await hub.device(prison).submit(sealed.data)
    body = verify_receipt(receipt, "hub.example/audit", hub.audit_key)
    assert (body.kind, body.index, body.size) == (ReceiptKind.ACCEPTED, 0, 1)
    assert body.detail.envelope_id == sealed.envelope_id
    for member, bodies in ((probation, [b"both", b"one"]), (csw, [b"both"])):
        (item,) = await hub.device(member).items()
        message = open_as(member, item.data, programme=programme, audit_key=hub.audit_key)
        assert message.message_id == sealed.message_id
        assert [section.body for section in message.sections.values()] == bodies
    assert await hub.device(prison).items() == ()


async def test_aud_1_the_leaf_commits_to_the_detail_and_names_nobody(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sealed = hub.programme.sender("gora-prison").seal(probation.desk)
    body = verify_receipt(await hub.device(prison).submit(sealed.data), "hub.example/audit", hub.audit_key)
    envelope = parse_envelope(sealed.data)
    directory = hub.programme.directory
    assert body.leaf.commitment == commitment(body.salt, body.detail_bytes)
    assert (body.detail.digest, body.detail.sender_desk) == (envelope.digest, prison.desk)
    assert (body.detail.directory_size, body.detail.directory_root) == (directory.size, directory.root)
    for named in (
        sealed.envelope_id,
        envelope.digest,
        prison.device_id,
        probation.device_id,
        b"prison",
        b"hub.example",
    ):
        assert named not in body.leaf_bytes


async def test_aud_5_the_same_envelope_always_gets_the_same_receipt_bytes(tmp_path: Path) -> None:
    """Fault 7: again, in a batch, and after a restart; other bytes under the id are refused each time (HTTP-5)."""
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    sealed = sender.seal(probation.desk)
    other = sender.seal(probation.desk, envelope_id=sealed.envelope_id)
    async with RunningHub(tmp_path, programme) as hub:
        device = hub.device(prison)
        receipt = await device.submit(sealed.data)
        await device.submit(sender.seal(probation.desk).data)
        assert await device.submit(sealed.data) == receipt
        with pytest.raises(EnvelopeIdReused):
            await device.submit(other.data)
    async with RunningHub(tmp_path, programme) as hub:
        device = hub.device(prison)
        assert await device.submit(sealed.data) == receipt
        again, reused = await device.submit_batch([sealed.data, other.data])
        assert again == Accepted(0, receipt)
        assert isinstance(reused, Refused)
        assert reused.code == EnvelopeIdReused.code
        assert await hub.leaves() == 2


async def test_http_5_fifty_parallel_submissions_of_one_envelope_are_one_entry(hub: RunningHub) -> None:
    """Fault 7, quick: 50 at once, three rounds; of two envelopes that race for one id exactly one wins."""
    prison, probation, _ = hub.programme.members.values()
    device, sender = hub.device(prison), hub.programme.sender("gora-prison")
    for number in range(3):
        sealed = sender.seal(probation.desk)
        receipts = await asyncio.gather(*(device.submit(sealed.data) for _ in range(50)))
        assert len(set(receipts)) == 1
        assert await hub.leaves() == number + 1
    first = sender.seal(probation.desk)
    rivals = [first, sender.seal(probation.desk, envelope_id=first.envelope_id)]
    answers = await asyncio.gather(
        *(device.submit(rivals[number % 2].data) for number in range(50)), return_exceptions=True
    )
    assert len({answer for answer in answers if isinstance(answer, bytes)}) == 1
    assert all(isinstance(answer, bytes | EnvelopeIdReused) for answer in answers)
    assert sum(isinstance(answer, bytes) for answer in answers) == 25
    assert await hub.leaves() == 4


async def test_http_5_what_was_accepted_stays_accepted_however_the_world_changed(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    sealed, late = sender.seal(probation.desk, life=HOUR), sender.seal(probation.desk, life=HOUR)
    receipt = await hub.device(prison).submit(sealed.data)
    hub.programme.replace_device(probation, "second device")
    await hub.catch_up()
    assert await hub.device(prison).submit(sealed.data) == receipt
    hub.clock.advance(2 * HOUR)
    assert await hub.device(prison).submit(sealed.data) == receipt
    hub.programme.now = hub.clock()
    before = hub.device(prison)
    hub.programme.replace_device(prison, "third device")
    await hub.catch_up()
    assert await before.submit(sealed.data) == receipt, "also when its own desk has moved to a new device"
    with pytest.raises(Expired):
        await before.submit(late.data)


async def refused(hub: RunningHub, member: Member, data: bytes, error: type[ThroughcareError]) -> None:
    """Assert that `data` is refused with `error`, and that nothing changed."""
    before = await hub.leaves()
    with pytest.raises(error):
        await hub.device(member).submit(data)
    assert await hub.leaves() == before


async def test_env_7_times_out_of_bounds_are_refused_at_submission(hub: RunningHub) -> None:
    """Attack 39."""
    prison, probation, _ = hub.programme.members.values()
    sender, now = hub.programme.sender("gora-prison"), hub.clock.now
    await refused(hub, prison, sender.seal(probation.desk, now=now + 10 * MINUTE + 1).data, Expired)
    await refused(hub, prison, sender.seal(probation.desk, now=now - HOUR, life=HOUR).data, Expired)
    await hub.device(prison).submit(sender.seal(probation.desk, now=now + 10 * MINUTE).data)
    await hub.device(prison).submit(sender.seal(probation.desk, now=now - HOUR, life=HOUR + 1).data)
    envelope = parse_envelope(sender.seal(probation.desk).data)
    for created, expires in ((now, now), (now, now - 1), (now, now + 367 * DAY)):
        common = replace(envelope.common, created=created, expires=expires).encode()
        await refused(hub, prison, resigned(envelope, prison, common=common), MalformedEnvelope)


async def test_env_8_the_senders_signature_and_desk_are_checked(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    envelope = parse_envelope(data)
    await refused(hub, prison, data[:-1] + bytes([data[-1] ^ 1]), BadSignature)
    await refused(hub, prison, resigned(envelope, csw), BadSignature)
    foreign_desk = replace(envelope.common, sender_desk=csw.desk).encode()
    await refused(hub, prison, resigned(envelope, prison, common=foreign_desk), SenderMismatch)
    no_desk = replace(envelope.common, sender_desk=type(csw.desk)(f"none.{prison.address}")).encode()
    await refused(hub, prison, resigned(envelope, prison, common=no_desk), SenderMismatch)


async def test_an_envelope_of_another_device_is_refused_even_if_it_is_well_signed(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    await refused(hub, csw, data, SenderMismatch)
    await hub.device(prison).submit(data)
    await refused(hub, csw, data, SenderMismatch)


async def test_env_1_and_env_2_bad_forms_are_refused_with_their_own_error(hub: RunningHub) -> None:
    """Attacks 1 and 10 at the hub."""
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    envelope = parse_envelope(data)
    await refused(hub, prison, data + b"\0", MalformedEnvelope)
    await refused(hub, prison, b"\x80", MalformedEnvelope)
    await refused(hub, prison, b"\xff" * 100, MalformedEnvelope)
    foreign = envelope.common_bytes.replace(b"\x00\x01\x01\x01", b"\x00\x01\x01\x02", 1)
    assert foreign != envelope.common_bytes
    await refused(hub, prison, resigned(envelope, prison, common=foreign), UnsupportedSuite)


async def test_env_5_handles_and_tickets_are_refused_until_grants_are_in_force(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sealed = hub.programme.sender("gora-prison").seal(probation.desk, sections=[(b"x", [probation.desk])])
    envelope = parse_envelope(sealed.data)
    row = replace(envelope.rows[0], sections=(RowSection(0), RowSection(1, bytes(16), bytes(16))))
    await refused(hub, prison, resigned(envelope, prison, rows=[row.encode()]), ConsentDenied)


async def test_a_recipient_that_does_not_serve_the_desk_is_refused(hub: RunningHub) -> None:
    prison, probation, csw = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    envelope = parse_envelope(data)
    (row,) = envelope.rows

    async def with_row(changed: Row) -> None:
        await refused(hub, prison, resigned(envelope, prison, rows=[changed.encode()]), RecipientUnavailable)

    await with_row(replace(row, device_id=csw.device_id))
    await with_row(replace(row, desk=csw.desk))
    await with_row(replace(row, desk=type(csw.desk)(f"none.{probation.address}")))
    await with_row(replace(row, desk=type(csw.desk)("intake.nobody@hub.example")))


async def test_dir_7_an_envelope_to_a_replaced_device_is_refused_so_that_the_sender_seals_anew(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    hub.programme.replace_device(probation, "second device")
    await hub.catch_up()
    await refused(hub, prison, data, RecipientUnavailable)


async def test_dir_6_a_revoked_sender_or_recipient_is_refused(hub: RunningHub) -> None:
    """Promise 7 at the hub: revocation bites with the next submission."""
    prison, probation, csw = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    to_probation, to_csw = sender.seal(probation.desk).data, sender.seal(csw.desk).data
    hub.programme.revoke_device(probation)
    await hub.catch_up()
    await refused(hub, prison, to_probation, RecipientUnavailable)
    hub.programme.revoke_device(prison)
    await hub.catch_up()
    await refused(hub, prison, to_csw, Revoked)


async def test_http_6_in_a_batch_each_envelope_stands_alone(hub: RunningHub) -> None:
    """Promise 5: poison between good envelopes."""
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    good = [sender.seal(probation.desk).data for _ in range(3)]
    late = sender.seal(probation.desk, now=hub.clock.now - 2 * HOUR, life=HOUR).data
    results = await hub.device(prison).submit_batch([good[0], b"poison", good[1], late, good[2], good[0]])
    codes = [result.code if isinstance(result, Refused) else "accepted" for result in results]
    assert codes == ["accepted", "malformed-envelope", "accepted", "expired", "accepted", "accepted"]
    assert [result.ref for result in results] == list(range(6))
    assert await hub.leaves() == 3
    first, last = results[0], results[-1]
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert first.receipt == last.receipt


async def test_http_6_a_batch_of_the_wrong_form_is_refused_whole(hub: RunningHub) -> None:
    from protocol import cbor
    from protocol.http import hub as api

    device = hub.device(hub.programme.members["gora-prison"])
    for body in (cbor.encode([]), cbor.encode([b""] * 65), cbor.encode([1]), b"\x9f\xff", b"x"):
        with pytest.raises(MalformedEnvelope):
            await device.client.call_bytes(api.SUBMIT_BATCH, body=body)


@pytest.mark.parametrize("store_settings", [()])  # it needs the writer in a thread of its own, as SQLite has it
async def test_env_17_a_directory_that_grows_between_check_and_commit_is_checked_again(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revocation is committed while the envelope waits for the writer: it must not slip through."""
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk).data
    revocation = hub.programme.revoke_device(prison)
    flush, loop = Transaction.flush, asyncio.get_running_loop()
    waiting = list[asyncio.Task[bytes]]()
    checked = asyncio.Event()

    async def submit() -> bytes:
        loop.call_soon(checked.set)
        return await hub.hub.submissions.submit(prison.device_id, data)

    def submit_meanwhile(transaction: Transaction) -> None:
        """In the writer's thread, before the revocation is committed: have the envelope checked and queued."""
        if not waiting:

            def begin() -> None:
                waiting.append(asyncio.create_task(submit()))

            loop.call_soon_threadsafe(begin)
            asyncio.run_coroutine_threadsafe(checked.wait(), loop).result(5)
        flush(transaction)

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "flush", submit_meanwhile)
        await hub.hub.directory.append(revocation)
    with pytest.raises(Revoked):
        await waiting[0]
    assert await hub.leaves() == 0


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize(("life", "ends"), [(100 * DAY, 70 * DAY), (60 * DAY, 60 * DAY)])
async def test_env_17_what_ends_between_check_and_commit_is_refused(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, life: int, ends: int, in_time: bool
) -> None:
    """The writer was busy: the sender's certificate (70 days) or the envelope is over when its turn comes."""
    prison, probation, _ = hub.programme.members.values()
    data = hub.programme.sender("gora-prison").seal(probation.desk, life=life).data
    queue = hub.hub.submissions._parts.writer.queue

    def written_later(change: Change[Any]) -> "asyncio.Future[Any]":
        hub.clock.advance(ends - 1 if in_time else ends)
        return queue(change)

    monkeypatch.setattr(hub.hub.submissions._parts.writer, "queue", written_later)
    if in_time:
        await hub.hub.submissions.submit(prison.device_id, data)
    else:
        with pytest.raises(Expired):
            await hub.hub.submissions.submit(prison.device_id, data)
    assert await hub.leaves() == int(in_time)


async def test_err_2_no_refusal_repeats_what_was_sent(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    canary = b"CANARY-IN-AN-ENVELOPE"
    for data in (canary, canary * 1_000):
        with pytest.raises(MalformedEnvelope) as caught:
            await hub.device(prison).submit(data)
        assert "CANARY" not in repr(caught.value)
    assert "CANARY" not in hub.logged.getvalue()
    assert probation is not None

# SPDX-License-Identifier: Apache-2.0
"""Claims, sections, statements, receipts, codes and frames: each reads back as written, and nothing else is read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, limits
from protocol.address import AgencyAddress, DeskAddress
from protocol.enrolment import (
    CodeRegistration,
    EnrolmentCode,
    EnrolmentTerms,
    KeyRequest,
    LogAnchor,
    code_id,
    code_proof,
    code_verifier,
    encode_registration,
    parse_code,
    parse_registration,
    request_mac,
    words_input,
)
from protocol.errors import EnrolmentRefused, MalformedEnvelope
from protocol.frames import (
    Accepted,
    Acknowledge,
    Challenge,
    Deliver,
    Frame,
    Hello,
    Item,
    ItemKind,
    Refused,
    Submit,
    Welcome,
    encode_batch,
    encode_frame,
    encode_page,
    encode_results,
    parse_batch,
    parse_frame,
    parse_page,
    parse_results,
)
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import CodeId, EnvelopeId, KeyId, MessageId, OfficerId, ThreadId
from protocol.receipts import (
    Detail,
    Head,
    Leaf,
    ReceiptBody,
    ReceiptKind,
    commitment,
    encode_signed,
    parse_head,
    parse_receipt,
)
from protocol.rows import Box, sha256
from protocol.sections import Actor, ActorKind, Attachment, Claims, ContentSection, SectionZero
from protocol.sequence import Placement, Position, place
from protocol.statements import (
    Agency,
    Authority,
    Body,
    Delegation,
    Device,
    Prekey,
    Revocation,
    Root,
    StatementSignature,
    Subject,
    encode_statement,
    parse_statement,
)

AGENCY = AgencyAddress("reka-probation@hub.example")
IDENTITY = IdentityKey(b"i" * 32, b"I" * limits.MLDSA65_PUBLIC)
OTHER = IdentityKey(b"o" * 32, b"O" * limits.MLDSA65_PUBLIC)
DEVICE = DeviceKey(b"d" * 32, b"D" * limits.MLDSA65_PUBLIC, b"t" * 32)
PAIR = (b"s" * 64, b"S" * limits.MLDSA65_SIGNATURE)

SUBJECTS: list[Subject] = [
    Root(1, 2, (IDENTITY, OTHER), "demo programme"),
    Authority("demo", 2, (IDENTITY, OTHER), "hub.example"),
    Agency(AGENCY, "probation", IDENTITY, (("intake", "probation-intake"),), ("handover.offer",), "Reka"),
    Device(AGENCY, DEVICE, ("intake",), PAIR),
    Delegation(AGENCY, OfficerId(b"f" * 16), ActorKind.SERVICE, "connector service", ("intake",)),
    Prekey(KeyId(b"k" * 32), 7, b"x" * limits.XWING_PUBLIC),
    Revocation(b"r" * 32, "key-compromised"),
]

CLAIMS = Claims(
    header_hash=b"h" * 32,
    device_id=KeyId(b"d" * 32),
    agency=AGENCY,
    actor=Actor(OfficerId(b"f" * 16), ActorKind.OFFICER, "duty officer", b"g" * 32),
    message_id=MessageId(b"m" * 16),
    thread=ThreadId(b"t" * 16),
    after=(MessageId(b"a" * 16),),
    created=1,
    not_after=2,
    payload_type="handover.offer",
    payload_version=1,
    payload_hash=b"p" * 32,
    section_hashes=(b"1" * 32, b"2" * 32),
    label="standard",
    directory=(9, b"c" * 32),
    participants=(DeskAddress("intake.reka-probation@hub.example"),),
)


def test_env_13_claims_read_back_and_every_other_shape_is_refused() -> None:
    assert Claims.parse(CLAIMS.encode()) == CLAIMS
    fields = cbor.decode(CLAIMS.encode(), limit=10_000)
    assert isinstance(fields, dict)
    for key in range(16):
        with pytest.raises(MalformedEnvelope):
            Claims.parse(cbor.encode({**fields, key: "wrong \x00" * 30}))
        with pytest.raises(MalformedEnvelope):
            Claims.parse(cbor.encode({number: value for number, value in fields.items() if number != key}))
    with pytest.raises(MalformedEnvelope):
        Claims.parse(cbor.encode({**fields, 16: None}))


def test_env_12_section_0_holds_machine_state_only_up_to_8191_bytes() -> None:
    """Section 5, attack 3: there is no room for a record in section 0, and no field for its category."""
    claims = CLAIMS.encode()
    small = SectionZero(claims, *PAIR, b"payload")
    assert SectionZero.parse(small.encode()) == small
    overhead = len(SectionZero(claims, *PAIR, bytes(5_000)).encode()) - 5_000 - 64 - limits.MLDSA65_SIGNATURE
    room = limits.SECTION_ZERO_EXTRA - overhead
    SectionZero(claims, *PAIR, bytes(room)).encode()
    with pytest.raises(MalformedEnvelope):
        SectionZero(claims, *PAIR, bytes(room + 1)).encode()
    with pytest.raises(MalformedEnvelope):
        SectionZero.parse(cbor.encode({0: claims, 1: [b"", b""], 2: bytes(limits.SECTION_ZERO_EXTRA)}))
    with pytest.raises(MalformedEnvelope):
        SectionZero.parse(cbor.encode({0: claims, 1: [*PAIR, PAIR[0]], 2: b""}))


def test_att_1_a_section_lists_its_attachments_once_each() -> None:
    entry = Attachment(b"b" * 16, b"K" * 32, 100, b"h" * 32, 20, "application/pdf", "licence.pdf")
    section = ContentSection("sentence", "supervision", "standard", b"{}", (entry,))
    assert ContentSection.parse(section.encode()) == section
    assert "KKK" not in repr(section)
    assert "licence" not in repr(section)
    with pytest.raises(MalformedEnvelope):
        ContentSection.parse(replace(section, attachments=(entry, entry)).encode())
    with pytest.raises(MalformedEnvelope):
        ContentSection.parse(replace(section, grant=b"g" * 32).encode())


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: type(subject).__name__)
def test_dir_1_every_kind_of_statement_reads_back_as_the_bytes_that_were_signed(subject: Subject) -> None:
    body = Body(issued=5, not_before=5, not_after=50, subject=subject)
    raw = encode_statement(body.encode(), [StatementSignature(IDENTITY.key_id, *PAIR)])
    statement = parse_statement(raw)
    assert statement.body == body
    assert statement.raw == raw
    assert statement.digest == sha256(body.encode())


def test_cbor_8_a_statement_keeps_the_bytes_it_was_read_from() -> None:
    body = Body(5, 5, 50, SUBJECTS[-1]).encode()
    raw = encode_statement(body, [StatementSignature(IDENTITY.key_id, *PAIR)])
    statement = parse_statement(raw)
    assert statement.body_bytes is not statement.body.encode()
    assert statement.body_bytes == body
    assert encode_statement(statement.body_bytes, statement.signatures) == raw


def test_dir_1_a_signer_that_stands_twice_is_refused() -> None:
    one = StatementSignature(IDENTITY.key_id, *PAIR)
    with pytest.raises(MalformedEnvelope):
        parse_statement(encode_statement(Body(5, 5, 50, SUBJECTS[0]).encode(), [one, one]))
    with pytest.raises(MalformedEnvelope):
        Body.parse(Body(5, 5, 50, Root(1, 2, (IDENTITY, IDENTITY), "demo")).encode())


def test_dir_2_a_threshold_is_at_least_one_and_at_most_all() -> None:
    for threshold in (0, 3):
        with pytest.raises(MalformedEnvelope):
            Body.parse(Body(5, 5, 50, Root(1, threshold, (IDENTITY, OTHER), "demo")).encode())


def test_dir_6_a_statement_ends_after_it_begins() -> None:
    with pytest.raises(MalformedEnvelope):
        Body.parse(Body(5, 50, 50, SUBJECTS[0]).encode())


def detail() -> Detail:
    desk = DeskAddress("release.gora-prison@hub.example")
    return Detail(ReceiptKind.ACCEPTED, EnvelopeId(b"e" * 16), b"d" * 32, desk, 3, b"r" * 32)


def receipt_body() -> ReceiptBody:
    data, salt = detail().encode(), b"s" * 32
    leaf = Leaf(1_000, commitment(salt, data), b"i" * 16)
    return ReceiptBody(ReceiptKind.ACCEPTED, "hub.example/audit", 4, 5, b"t" * 32, leaf.encode(), salt, data)


def test_aud_5_a_receipt_reads_back_and_its_leaf_opens_to_its_detail() -> None:
    body = receipt_body()
    read = parse_receipt(encode_signed(body.encode(), b"g" * 64))
    assert read.body == body
    assert read.body.detail == detail()
    assert read.body.leaf.at == 1_000
    for wrong in (
        replace(body, salt=b"x" * 32),
        replace(body, detail_bytes=replace(detail(), digest=b"x" * 32).encode()),
        replace(body, kind=ReceiptKind.EXPIRED),
        replace(body, index=5),
    ):
        with pytest.raises(MalformedEnvelope):
            parse_receipt(encode_signed(wrong.encode(), b"g" * 64))


def test_aud_1_a_leaf_names_nobody_and_nothing() -> None:
    leaf = receipt_body().leaf_bytes
    assert len(leaf) < 80
    for part in (b"gora", b"e" * 16, b"d" * 32, b"r" * 32):
        assert part not in leaf
    other = commitment(b"x" * 32, detail().encode())
    assert other != receipt_body().leaf.commitment


def test_dir_10_a_head_reads_back() -> None:
    head = Head("hub.example/directory", 7, b"r" * 32, 99)
    assert parse_head(encode_signed(head.encode(), b"g" * 64)).head == head
    with pytest.raises(MalformedEnvelope):
        parse_head(encode_signed(head.encode(), b"g" * 63))


TERMS = EnrolmentTerms(AGENCY, "probation", (("intake", "probation-intake"),), 10_000)
CODE = EnrolmentCode(
    secret=b"\x5a" * 16,
    root_fingerprint=b"f" * 32,
    hub_url="http://localhost:8440",
    directory=LogAnchor("hub.example/directory", b"k" * 32, 3),
    audit=LogAnchor("hub.example/audit", b"K" * 32, 0),
    terms=TERMS,
    name="Reka Probation Office",
)


@given(st.integers(0, 10**6), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_enr_1_a_code_reads_back_and_a_damaged_one_is_refused(place_: int, letter: str) -> None:
    text = CODE.text()
    assert parse_code("  " + text[:40] + "\n" + text[40:] + "\n") == CODE
    at = len("TC-ENROL-1-") + place_ % (len(text) - len("TC-ENROL-1-"))
    damaged = text[:at] + letter + text[at + 1 :]
    if damaged[:-1] != text[:-1]:  # the last letter has spare bits
        with pytest.raises(EnrolmentRefused):
            parse_code(damaged)


@pytest.mark.parametrize("body", ["", "1-", "2-AAAA", "1-????", "1-" + "A" * 9_000])
def test_enr_1_what_is_no_code_is_refused(body: str) -> None:
    with pytest.raises(EnrolmentRefused):
        parse_code("TC-ENROL-" + body)


def test_enr_2_the_hub_knows_a_code_only_by_its_id() -> None:
    assert CODE.code_id == code_id(CODE.secret)
    assert bytes(CODE.code_id) != CODE.secret
    assert "5a5a" not in repr(CODE)
    assert "ZZZZ" not in repr(CODE)
    body = CodeRegistration.of(CODE)
    raw = encode_registration(body.encode(), StatementSignature(IDENTITY.key_id, *PAIR))
    assert parse_registration(raw) == (body.encode(), body, StatementSignature(IDENTITY.key_id, *PAIR))
    assert CODE.secret not in raw


def test_enr_6_the_registration_holds_the_proofs_hash_and_never_the_proof() -> None:
    body = CodeRegistration.of(CODE)
    assert body.verifier == code_verifier(CODE.proof)
    assert len({bytes(CODE.code_id), CODE.secret, CODE.proof, body.verifier}) == 4
    assert CODE.proof not in body.encode()
    assert CODE.proof != code_proof(b"x" * 16)


def test_enr_3_a_key_request_reads_back_and_its_mac_needs_the_secret() -> None:
    request = KeyRequest(CodeId(b"c" * 16), AGENCY, IDENTITY, DEVICE, PAIR, PAIR, ("intake",))
    data = request.encode()
    assert KeyRequest.parse(data) == request
    macs = {request_mac(CODE.secret, data), request_mac(b"x" * 16, data), request_mac(CODE.secret, data + b"x")}
    assert len(macs) == 3
    assert words_input(data) != words_input(data[:-1])


FRAMES: list[Frame] = [
    Challenge(b"c" * 32),
    Hello(KeyId(b"k" * 32), b"s" * 64),
    Welcome(5),
    Submit(1, b"envelope"),
    Accepted(1, b"receipt"),
    Refused(1, "expired", "It is too late.", None),
    Deliver((Item(4, ItemKind.SLICE, b"slice"), Item(5, ItemKind.NOTICE, b"notice"))),
    Acknowledge(5),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_http_9_every_frame_reads_back(frame: Frame) -> None:
    assert parse_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize(
    "value", [[9, 1], [0, 1], [True, b"c" * 32], [1], [1, b"short"], [4, 1], [7, [[1, 3, b""]]], [8, None], {0: 1}, []]
)
def test_http_9_there_are_no_other_frames(value: cbor.Value) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_frame(cbor.encode(value))


def test_http_7_a_mailbox_page_reads_back() -> None:
    items = (Item(4, ItemKind.SLICE, b"slice"),)
    assert parse_page(encode_page(5, items)) == (5, items)


def test_http_6_a_batch_and_its_answers_read_back() -> None:
    assert parse_batch(encode_batch([b"a", b"b"])) == (b"a", b"b")
    for size in (0, 65):
        with pytest.raises(MalformedEnvelope):
            parse_batch(encode_batch([b"a"] * size))
    results = (Accepted(0, b"r"), Refused(1, "conflict", "No.", 3))
    assert parse_results(encode_results(results)) == results
    with pytest.raises(MalformedEnvelope):
        parse_results(cbor.encode([encode_frame(Welcome(1))]))


def box(seq: int, previous: bytes | None) -> Box:
    return Box(seq, previous, b"b" * 16)


def test_seq_1_the_next_message_is_delivered_and_one_beyond_a_gap_is_held() -> None:
    start = Position()
    assert place(start, box(1, None)) is Placement.DELIVER
    assert place(start, box(2, b"m" * 16)) is Placement.HOLD
    later = Position(1, MessageId(b"m" * 16))
    assert place(later, box(2, b"m" * 16)) is Placement.DELIVER


def test_seq_2_a_repeated_seq_or_a_wrong_predecessor_is_a_fork() -> None:
    """Attack 40."""
    later = Position(2, MessageId(b"m" * 16))
    assert place(later, box(2, b"n" * 16)) is Placement.FORK
    assert place(later, box(1, None)) is Placement.FORK
    assert place(later, box(3, b"n" * 16)) is Placement.FORK


@given(st.permutations(range(1, 7)), st.integers(1, 6))
def test_seq_1_messages_in_any_order_are_released_in_order_and_a_stranger_changes_nothing(
    order: list[int], forged: int
) -> None:
    names = {number: MessageId(bytes([number]) * 16) for number in range(7)}
    boxes = {number: box(number, None if number == 1 else names[number - 1]) for number in range(1, 7)}
    position, held, released = Position(), dict[int, Box](), list[int]()
    for number in order:
        wrong = box(forged, None if forged == 1 else b"\xff" * 16)
        if forged <= position.seq + 1 and forged > 1:
            assert place(position, wrong) is Placement.FORK
        held[number] = boxes[number]
        while (following := held.get(position.seq + 1)) and place(position, following) is Placement.DELIVER:
            released.append(following.seq)
            position = Position(following.seq, names[following.seq])
    assert released == [1, 2, 3, 4, 5, 6]

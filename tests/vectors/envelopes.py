# SPDX-License-Identifier: Apache-2.0
"""Vectors of what travels: common, rows, boxes, claims, sections, envelopes, slices, receipts; and of opening."""

from collections.abc import Callable
from dataclasses import replace

from keys.sealing import seal
from protocol import cbor
from protocol.envelope import parse_envelope
from protocol.ids import EnvelopeId, MessageId
from protocol.receipts import ReceiptKind, parse_receipt
from protocol.rows import Box, Common, EnvelopeClass, Row, RowSection, sha256
from protocol.sections import Attachment, Claims, ContentSection, SectionZero
from protocol.slices import parse_slice, slice_of
from tests.keys.drafts import draft, recipient
from tests.keys.forger import ENVELOPE, MESSAGE, SECTION_ZERO_LENGTH, THREAD
from tests.keys.hubside import receipt_for
from tests.keys.world import AUDIT_KEY, AUDIT_ORIGIN, DAY, NOW, seed
from tests.vectors import openings
from tests.vectors.cases import (
    Document,
    Recording,
    checked,
    document,
    good,
    spoilt_lists,
    spoilt_maps,
)
from tests.vectors.statements import VectorLog

SUITES = {0: "unsupported-suite", 1: "unsupported-suite"}


def build(recording: Recording, log: VectorLog) -> list[Document]:
    """Return the documents of this module."""
    envelope = _envelope(recording, log)
    return [
        *_parts(log),
        _envelopes(envelope),
        _slices(log, envelope),
        _receipts(log, envelope),
        openings.opening(recording, log, envelope),
    ]


def _parts(log: VectorLog) -> list[Document]:
    common = Common(
        ENVELOPE,
        NOW,
        NOW + 30 * DAY,
        log.prison.desk,
        log.prison.device.key_id,
        EnvelopeClass.REFERRAL,
        (SECTION_ZERO_LENGTH, 16_384 + 56 + 32),
    )
    row = Row(
        salt=seed("salt")[:16],
        desk=log.probation.desk,
        device_id=log.probation.device.key_id,
        prekey_epoch=1,
        sections=(RowSection(0), RowSection(1, seed("handle")[:16], seed("ticket")[:16])),
        box_hash=seed("box"),
        blobs=((seed("blob")[:16], 1_000),),
        due=NOW + DAY,
        answers=EnvelopeId(seed("answered")[:16]),
    )
    bare = replace(row, sections=(RowSection(0),), blobs=(), due=None, answers=None)
    boxes = [Box(1, None, seed("blind")[:16]), Box(7, MessageId(seed("previous")[:16]), seed("blind")[16:])]
    claims = Claims(
        header_hash=seed("header"),
        device_id=log.prison.device.key_id,
        agency=log.prison.address,
        actor=log.prison.actor,
        message_id=MESSAGE,
        thread=THREAD,
        after=(MessageId(seed("after")[:16]),),
        created=NOW,
        not_after=NOW + 30 * DAY,
        payload_type="handover.offer",
        payload_version=1,
        payload_hash=sha256(b"{}"),
        section_hashes=(seed("section 1"),),
        label="standard",
        directory=(log.directory.size, log.directory.root),
        participants=(log.probation.desk,),
    )
    zero = SectionZero(claims.encode(), seed("ed25519") * 2, (seed("ml-dsa") * 104)[:3_309], b"{}")
    section = ContentSection(
        category="identity",
        purpose="continuity-of-care",
        label="standard",
        body=b'{"kind":"person"}',
        attachments=(
            Attachment(seed("blob")[:16], seed("key"), 1_000, seed("hash"), 900, "application/pdf", "scan.pdf"),
        ),
        grant=seed("grant"),
        grant_version=3,
    )
    bare_section = replace(section, attachments=(), grant=None, grant_version=None)
    return [
        _maps(
            "envelope-common", "ENV-1 ENV-4 ENV-6 ENV-7", Common.parse, {"common": common}, _bad_common(common), SUITES
        ),
        _maps("row", "ENV-4 ENV-5 ATT-1", Row.parse, {"row": row, "bare row": bare}, _bad_rows(row)),
        document(
            "box",
            "The 40 bytes of a place in a thread.",
            "SEQ-1",
            good=[good(f"seq {one.seq}", one.encode(), {"seq": one.seq, "previous": one.previous}) for one in boxes],
            bad=[
                checked(name, "malformed-envelope", ("seq 7", boxes[1].encode()), data, Box.parse)
                for name, data in {
                    "seq 0": bytes(8) + boxes[1].encode()[8:],
                    "first with a predecessor": (1).to_bytes(8) + boxes[1].encode()[8:],
                    "later without a predecessor": (2).to_bytes(8) + bytes(32),
                    "too short": boxes[1].encode()[:-1],
                    "too long": boxes[1].encode() + b"\0",
                }.items()
            ],
        ),
        _maps("claims", "ENV-11 ENV-13 ENV-14", Claims.parse, {"claims": claims}, {}),
        _maps("section-zero", "ENV-11 ENV-12", SectionZero.parse, {"section zero": zero}, {}),
        _maps(
            "section",
            "ENV-5 ATT-1",
            ContentSection.parse,
            {"section": section, "bare section": bare_section},
            {
                "attachment twice": replace(section, attachments=section.attachments * 2).encode(),
                "grant without a version": replace(section, grant_version=None).encode(),
            },
        ),
    ]


def _maps(
    structure: str,
    rules: str,
    read: Callable[[bytes], object],
    values: dict[str, Common | Row | Claims | SectionZero | ContentSection],
    more: dict[str, bytes],
    codes: dict[int, str] | None = None,
) -> Document:
    name, value = next(iter(values.items()))
    base = (name, value.encode())
    return document(
        structure,
        f"The CBOR map of docs/protocol.md section 3: {structure}.",
        rules,
        good=[good(one, item.encode(), item) for one, item in values.items()],
        bad=[
            *spoilt_maps(base, read, codes=codes),
            *(checked(why, "malformed-envelope", base, data, read) for why, data in more.items()),
        ],
    )


def _bad_common(common: Common) -> dict[str, bytes]:
    return {
        "expires when created": replace(common, expires=common.created).encode(),
        "a life of over 366 days": replace(common, expires=common.created + 366 * DAY + 1).encode(),
        "length of no bucket": replace(common, section_lengths=(SECTION_ZERO_LENGTH + 1,)).encode(),
        "no section": replace(common, section_lengths=()).encode(),
        "33 sections": replace(common, section_lengths=(SECTION_ZERO_LENGTH,) * 33).encode(),
        "a notice with content": replace(common, klass=EnvelopeClass.NOTICE).encode(),
        "class 6": common.encode().replace(b"\x07\x01\x08", b"\x07\x06\x08"),
        "a desk that is none": replace(common, sender_desk=common.sender_desk.replace(".", "", 1)).encode(),  # type: ignore[arg-type]
    }


def _bad_rows(row: Row) -> dict[str, bytes]:
    section = row.sections[1]
    return {
        "section 0 missing": replace(row, sections=(section,)).encode(),
        "sections descending": replace(row, sections=(RowSection(0), RowSection(2), RowSection(1))).encode(),
        "section twice": replace(row, sections=(RowSection(0), RowSection(1), RowSection(1))).encode(),
        "section 32": replace(row, sections=(RowSection(0), RowSection(32))).encode(),
        "ticket for section 0": replace(row, sections=(replace(section, number=0),)).encode(),
        "handle without a ticket": replace(row, sections=(RowSection(0), replace(section, ticket=None))).encode(),
        "ticket without a handle": replace(row, sections=(RowSection(0), replace(section, handle=None))).encode(),
        "blob twice": replace(row, blobs=row.blobs * 2).encode(),
        "empty blob": replace(row, blobs=((row.blobs[0][0], 0),)).encode(),
        "epoch 0": replace(row, prekey_epoch=0).encode(),
    }


def _envelope(recording: Recording, log: VectorLog) -> bytes:
    """Return an envelope from the prison to probation (section 1) and, as a second row, back to its own desk."""
    world = openings.world_of(log)
    message = draft(log.prison, b'{"kind":"person"}')
    to = [recipient(world, log.probation, 1), recipient(world, log.prison)]
    view = (log.directory.size, log.directory.root)

    def same(raw: bytes) -> bool:
        opened = openings.open_as_probation(
            log, slice_of(parse_envelope(raw), 0, receipt_for(parse_envelope(raw), world))
        )
        return (opened.payload, [one.body for one in opened.sections.values()], opened.directory) == (
            message.payload,
            [b'{"kind":"person"}'],
            view,
        )

    return recording.keep(
        "envelope",
        "two recipients",
        lambda: seal(message, to, log.prison.device, view, now=NOW, envelope_id=ENVELOPE),
        same,
    )


def _envelopes(raw: bytes) -> Document:
    parsed = parse_envelope(raw)
    items = cbor.decode(raw, limit=1 << 20)
    assert isinstance(items, list)
    base = ("two recipients", raw)
    common, rows, wraps, sections, signature = items
    assert isinstance(rows, list)
    assert isinstance(wraps, list)
    assert isinstance(sections, list)
    spoilt: dict[str, list[cbor.Value]] = {
        "no rows and no wraps": [common, [], [], sections, signature],
        "a wrap too few": [common, rows, wraps[:1], sections, signature],
        "a row too few": [common, rows[:1], wraps, sections, signature],
        "a device twice": [common, [rows[0], rows[0]], [wraps[0], wraps[0]], sections, signature],
        "a section too few": [common, rows, wraps, sections[:1], signature],
        "wraps exchanged, of other sizes": [common, rows, wraps[::-1], sections, signature],
        "a section for nobody": [common, rows[1:], wraps[1:], sections, signature],
        "a signature cut short": [common, rows, wraps, sections, parsed.sender_sig[:-1]],
        "a section of another length": [common, rows, wraps, [sections[0], parsed.sections[1] + b"\0"], signature],
    }
    return document(
        "envelope",
        "An envelope with two rows and two sections; `value` has what is hashed and signed.",
        "ENV-2 ENV-3 ENV-4 ENV-8",
        good=[
            good(
                "two recipients",
                raw,
                {
                    "common": parsed.common,
                    "rows": parsed.rows,
                    "header_hash": parsed.header_hash,
                    "wraps_hash": parsed.wraps_hash,
                    "section_hashes": parsed.section_hashes,
                    "digest": parsed.digest,
                },
            )
        ],
        bad=[
            *spoilt_lists(base, parse_envelope),
            *(
                checked(name, "malformed-envelope", base, cbor.encode(parts), parse_envelope)
                for name, parts in spoilt.items()
            ),
        ],
    )


def _slices(log: VectorLog, raw: bytes) -> Document:
    envelope = parse_envelope(raw)
    receipt = receipt_for(envelope, openings.world_of(log))
    slices = {name: slice_of(envelope, place, receipt) for place, name in enumerate(("probation", "prison"))}
    values = {}
    for name, one in slices.items():
        parsed = parse_slice(one)
        values[name] = {
            "position": parsed.position,
            "row": parsed.row,
            "row_hashes": parsed.row_hashes,
            "section_hashes": parsed.section_hashes,
            "own_sections": sorted(parsed.sections),
            "header_hash": envelope.header_hash,
            "digest": envelope.digest,
        }
    base = ("probation", slices["probation"])
    fields = cbor.decode(base[1], limit=1 << 20)
    other = cbor.decode(slices["prison"], limit=1 << 20)
    assert isinstance(fields, dict)
    assert isinstance(other, dict)
    spoilt: dict[str, dict[int, cbor.Value]] = {
        "a section too few": {**fields, 7: other[7]},
        "another's row": {**fields, 3: other[3]},
        "another's wrap": {**fields, 5: other[5]},
        "a hash too many": {**fields, 6: [seed("hash")]},
        "a position outside": {**fields, 1: 2},
    }
    return document(
        "slice",
        "The two recipients' slices of the envelope in envelope.json.",
        "ENV-15",
        good=[good(name, one, values[name]) for name, one in slices.items()],
        bad=[
            *spoilt_maps(base, parse_slice),
            *(
                checked(name, "malformed-envelope", base, cbor.encode(parts), parse_slice)
                for name, parts in spoilt.items()
            ),
        ],
    )


def _receipts(log: VectorLog, raw: bytes) -> Document:
    envelope, world = parse_envelope(raw), openings.world_of(log)
    receipts = {kind.name.lower(): receipt_for(envelope, world, kind=kind) for kind in ReceiptKind}
    base = ("accepted", receipts["accepted"])
    parsed = parse_receipt(base[1])
    salted = replace(parsed.body, salt=seed("another salt")).encode()
    return document(
        "receipt",
        "Receipts for the envelope in envelope.json, by the audit log with the Ed25519 key `key`.",
        "AUD-1 AUD-5 AUD-6",
        key=AUDIT_KEY.public.hex(),
        origin=AUDIT_ORIGIN,
        good=[
            good(name, one, {"body": body, "detail": body.detail, "leaf": body.leaf})
            for name, one in receipts.items()
            for body in [parse_receipt(one).body]
        ],
        bad=[
            *spoilt_lists(base, parse_receipt),
            checked(
                "a salt that does not open the commitment",
                "malformed-envelope",
                base,
                cbor.encode([salted, parsed.signature]),
                parse_receipt,
            ),
            checked(
                "a kind other than the detail's",
                "malformed-envelope",
                base,
                cbor.encode([replace(parsed.body, kind=ReceiptKind.EXPIRED).encode(), parsed.signature]),
                parse_receipt,
            ),
            checked(
                "an index outside the tree",
                "malformed-envelope",
                base,
                cbor.encode([replace(parsed.body, index=1).encode(), parsed.signature]),
                parse_receipt,
            ),
        ],
    )

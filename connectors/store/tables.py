# SPDX-License-Identifier: Apache-2.0
"""The tables of a connector. Columns named `sealed…` are encrypted by the vault (CON-5); times are ms UTC."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from protocol.rows import EnvelopeClass

BARE: Final = tuple(int(klass) for klass in EnvelopeClass if klass.bare)
"""What `klass` is of receipts and notices: connectors write these by themselves, and they wait for nothing (SEQ-3)."""

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

meta: Final = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""Single facts: the newest head seen, the hub's clock, an inconsistency of the directory."""

statement: Final = Table(
    "statement",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""The replayed directory log. Sealed, so that a stored statement needs no second verification."""

outgoing: Final = Table(
    "outgoing",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("thread", LargeBinary, nullable=False),
    Column("klass", Integer, nullable=False),
    Column("payload_type", Text, nullable=False),
    Column("sender_desk", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("message_id"),
    Index("ix_outgoing_thread", "thread", "payload_type"),
    Index("ix_outgoing_deadline", "deadline"),
    sqlite_autoincrement=True,
)
"""Messages of ours, as composed; they survive every sealing."""

recipient: Final = Table(
    "recipient",
    metadata,
    Column("message_id", LargeBinary, primary_key=True),
    Column("desk", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("previous", LargeBinary),
    Column("state", Text, nullable=False),
    Column("seals", Integer, nullable=False),
    Column("complaints", Integer, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("envelope_id", LargeBinary),
    Column("error", Text),
    Column("accepted_at", BigInteger),
    Column("opened_at", BigInteger),
    Column("sealed", LargeBinary, nullable=False),
    Column("asked_at", BigInteger),
    Column("told_at", BigInteger),
    Column("new_device", Integer, nullable=False, server_default="0"),
    Column("opened_again_at", BigInteger),
    ForeignKeyConstraint(["message_id"], ["outgoing.message_id"]),
    Index("ix_recipient_state", "state", "next_try_at"),
    Index("ix_recipient_untold", "state", sqlite_where=text("told_at IS NULL AND state IN ('failed', 'expired')")),
    Index("ix_recipient_envelope_id", "envelope_id"),
)
"""One desk of one message of ours: how far it has come. `sealed` lists what it gets and what is withheld.

`new_device` says that the device which serves the desk now has asked for what the one before it had opened.
`opened_at` is the first A1, `opened_again_at` the newest that told of an opening after a sealing anew.
"""

attempt: Final = Table(
    "attempt",
    metadata,
    Column("envelope_id", LargeBinary, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("error", Text),
    Column("sealed_bytes", LargeBinary),
    Column("sealed_receipt", LargeBinary),
    Column("here_only", Integer, nullable=False, server_default="0"),
    ForeignKeyConstraint(["message_id"], ["outgoing.message_id"]),
    Index("ix_attempt_state", "state", "next_try_at"),
    Index("ix_attempt_digest", "digest"),
    Index("ix_attempt_message_id", "message_id"),
)
"""One sealing of a message of ours: its bytes until a receipt comes, then its receipt (CON-1).

It is `here_only` until the first try to send its bytes begins: what is not may be at the hub (CON-22).
"""

attempt_row: Final = Table(
    "attempt_row",
    metadata,
    Column("envelope_id", LargeBinary, primary_key=True),
    Column("desk", Text, primary_key=True),
    Column("device_id", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
    Column("opened_at", BigInteger),
    Column("taken_in", Integer, nullable=False, server_default="0"),
    ForeignKeyConstraint(["envelope_id"], ["attempt.envelope_id"]),
)
"""One desk of a sealing: what it held for it (`sealed`), when A1 first named it, and if the message was taken in by it.

No later sealing changes any of this (CON-17).
"""

sequence: Final = Table(
    "sequence",
    metadata,
    Column("direction", Text, primary_key=True),
    Column("thread", LargeBinary, primary_key=True),
    Column("sender_desk", Text, primary_key=True),
    Column("recipient_desk", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("next_seq", BigInteger, nullable=False),
    Column("last_message_id", LargeBinary),
)
"""The place in each thread for each pair of desks, ours (out) and theirs (in) (SEQ-1)."""

incoming: Final = Table(
    "incoming",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("sender_desk", Text, nullable=False),
    Column("recipient_desk", Text, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("thread", LargeBinary, nullable=False),
    Column("klass", Integer, nullable=False),
    Column("payload_type", Text, nullable=False),
    Column("envelope_id", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("previous", LargeBinary),
    Column("state", Text, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("sealed_slice", LargeBinary, nullable=False),
    UniqueConstraint("message_id", "sender_desk", "recipient_desk"),
    Index("ix_incoming_thread", "thread", "sender_desk", "recipient_desk", "seq"),
    Index("ix_incoming_held", "sender_desk", sqlite_where=text("state = 'held'")),
    Index(
        "ix_incoming_waiting",
        "thread",
        "sender_desk",
        "recipient_desk",
        "seq",
        sqlite_where=text("state = 'held'"),
    ),
    sqlite_autoincrement=True,
)
"""Verified messages of others; the unique constraint is what gives each one effect (ENV-19)."""

asked: Final = Table(
    "asked",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("sender_desk", Text, primary_key=True),
    Column("recipient_desk", Text, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("times", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
)
"""What was asked for where a line has a gap, how often, and when it is asked for again (SEQ-10)."""

lost: Final = Table(
    "lost",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("sender_desk", Text, primary_key=True),
    Column("recipient_desk", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("previous", LargeBinary),
    Column("alone", Integer, nullable=False),
    Column("said_at", BigInteger, nullable=False),
    Column("passed_at", BigInteger),
    Index("ix_lost_waiting", "thread", sqlite_where=text("passed_at IS NULL")),
)
"""Places of messages that their sender gave up: not passed yet, or passed without an effect (SEQ-11)."""

resealed: Final = Table(
    "resealed",
    metadata,
    Column("envelope_id", LargeBinary, primary_key=True),
    Column("incoming_position", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("sealed_slice", LargeBinary, nullable=False),
)
"""Later sealings of a message that was taken in before: what each answered digest stands for (SEQ-5)."""

replay: Final = Table(
    "replay",
    metadata,
    Column("envelope_id", LargeBinary, primary_key=True),
    Column("received_at", BigInteger, nullable=False),
)
"""The replay cache: envelope ids of all that was verified here, by whichever process (ENV-19)."""

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("item_index", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("sender_desk", Text),
    Column("envelope_id", LargeBinary),
    Column("message_id", LargeBinary),
    Column("reported", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("signed_by", Integer, nullable=False, server_default="0"),
    UniqueConstraint("fingerprint"),
    sqlite_autoincrement=True,
)
"""What was received and not believed, with its reason and its bytes (HTTP-10)."""

contradiction: Final = Table(
    "contradiction",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("kept_at", BigInteger, nullable=False),
    Column("stops", Integer, nullable=False),
    Column("dismissed_at", BigInteger),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
"""What the hub signed of its directory and cannot be true; `stops` sealing until it is dismissed (DIR-18, DIR-19)."""

mailbox: Final = Table(
    "mailbox",
    metadata,
    Column("device_id", LargeBinary, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
)
"""The highest leaf index of the mailbox that is stored here (CON-3)."""

request: Final = Table(
    "request",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Answers given under an Idempotency-Key, for seven days."""

dropped: Final = Table(
    "dropped",
    metadata,
    Column("name", LargeBinary, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),
)
"""Files of the drop folder, by the hash of their name, that were begun and are not put aside yet (DRP-2)."""

token: Final = Table(
    "token",
    metadata,
    Column("token_id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("digest"),
)
"""Tokens of the local interface by the hash of their secret; `sealed` says for what each is good (CON-14)."""

attachment_out: Final = Table(
    "attachment_out",
    metadata,
    Column("blob_id", LargeBinary, primary_key=True),
    Column("message_id", LargeBinary, index=True),
    Column("place", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""An attachment of ours, whose ciphertext is a file; `message_id` is null until a handover names it."""

attachment_in: Final = Table(
    "attachment_in",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("message_id", LargeBinary, nullable=False),
    Column("sender_desk", Text, nullable=False),
    Column("recipient_desk", Text, nullable=False),
    Column("section", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("envelope_id", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("blob_id", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("message_id", "sender_desk", "recipient_desk", "section", "place"),
    Index("ix_attachment_in_state", "state", "next_try_at"),
    sqlite_autoincrement=True,
)
"""An attachment that came with a verified message: how far it is fetched, and its manifest entry (ATT-7)."""

prekey: Final = Table(
    "prekey",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
    Column("logged_at", BigInteger),
    Column("state", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Our prekeys: the statement's bytes, and when it was seen in the log (DIR-9). Seeds are in the keystore."""

event: Final = Table(
    "event",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("event_id", LargeBinary, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("thread", LargeBinary, nullable=False),
    Column("message_id", LargeBinary),
    Column("machine", Text),
    Column("side", Text),
    Column("state", Text),
    Column("version", Integer),
    sqlite_autoincrement=True,
)
"""What happened, in the order in which it did; rows are only ever added (EVT-1)."""

webhook: Final = Table(
    "webhook",
    metadata,
    Column("url", Text, primary_key=True),
    Column("planned", Integer, nullable=False),
    Column("disabled_at", BigInteger),
)
"""An address that is told of events; `planned` is the place of the last event that it is to be told of (EVT-5)."""

delivery: Final = Table(
    "delivery",
    metadata,
    Column("event", Integer, primary_key=True, autoincrement=False),
    Column("url", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("outcome", Text),
    Index("ix_delivery_state", "state", "next_try_at"),
)
"""An event that an address has not confirmed yet; one that it has confirmed leaves no row (EVT-6)."""

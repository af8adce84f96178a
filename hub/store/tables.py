# SPDX-License-Identifier: Apache-2.0
"""The tables. A migration in `hub.migrations` makes them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect

# Names by rule, so that a later migration can name what it changes on every database.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class Bytes(LargeBinary):
    """Bytes as they are: the drivers take and give `bytes`, so that nothing is converted for each value."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Convert nothing."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Convert nothing."""


# SQLite makes only an INTEGER primary key its row number; elsewhere indexes and times need 64 bits.
Number = BigInteger().with_variant(Integer, "sqlite")

# One row for each log (`hub.store.trees.Log`): the tree state that the next index is taken from (AUD-3).
tree = Table(
    "tree",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", Number, nullable=False),
    Column("compact", Bytes, nullable=False),
    Column("root", Bytes, nullable=False),
    Column("at", Number, nullable=False),
)

# The public key that each log was begun with (`hub.store.logkeys`).
log_key = Table(
    "log_key",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", Bytes, nullable=False),
)

# Every leaf of both logs; a statement's bytes are its leaf.
leaf = Table(
    "leaf",
    metadata,
    Column("log", SmallInteger, primary_key=True, autoincrement=False),
    Column("idx", Number, primary_key=True, autoincrement=False),
    Column("bytes", Bytes, nullable=False),
    Column("hash", Bytes, nullable=False),
    sqlite_with_rowid=False,
)

# What an audit leaf commits to, and the tree that its receipt names: deletable, unlike the leaf (AUD-1, AUD-5).
detail = Table(
    "detail",
    metadata,
    Column("idx", Number, primary_key=True, autoincrement=False),
    Column("salt", Bytes, nullable=False),
    Column("detail", Bytes, nullable=False),
    Column("tree_size", Number, nullable=False),
    Column("tree_root", Bytes, nullable=False),
    # Of index, size and root, to which the leaf does not commit (`envelopes.tree_check`). Older rows have none.
    Column("tree_check", Bytes),
)

# An accepted envelope without rows, wraps and sections: what stays for replays and evidence (HTTP-5, HTTP-7).
# `purge_at` is when what is stored of it expires, and null once nothing is.
envelope = Table(
    "envelope",
    metadata,
    Column("idx", Number, primary_key=True, autoincrement=False),
    Column("envelope_id", Bytes, nullable=False, unique=True),
    Column("digest", Bytes, nullable=False),
    Column("sender_sig", Bytes, nullable=False),
    Column("sender_device", Bytes, nullable=False),
    Column("common", Bytes, nullable=False),
    Column("row_hashes", Bytes, nullable=False),
    Column("wraps_hash", Bytes, nullable=False),
    # Each wrap's hash: one that is left when others are deleted can still be checked. Older rows have none.
    Column("wrap_hashes", Bytes),
    Column("section_hashes", Bytes, nullable=False),
    Column("accepted_at", Number, nullable=False, index=True),
    Column("purge_at", Number, index=True),
)

# A section's ciphertext, as long as a recipient that may open it has not acknowledged.
section = Table(
    "section",
    metadata,
    Column("idx", Number, ForeignKey("envelope.idx"), primary_key=True, autoincrement=False),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("bytes", Bytes, nullable=False),
)

# One item of one device's mailbox: a row and wrap of an envelope, or a notice (both null). `sections` is a set of
# section numbers, one bit each; `size` is about how many bytes the item has on the wire.
delivery = Table(
    "delivery",
    metadata,
    Column("device_id", Bytes, primary_key=True),
    Column("idx", Number, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("row", Bytes),
    Column("wrap", Bytes),
    Column("sections", Number, nullable=False),
    Column("size", Number, nullable=False),
    Index("ix_delivery_idx", "idx"),
)

# The ciphertext of an attachment, whole or on its way; its bytes are kept in files or as `blob_chunk`. `received`
# is durable from the beginning on; `expires` is when it goes, whoever still wants it (ATT-6).
blob = Table(
    "blob",
    metadata,
    Column("sender_device", Bytes, primary_key=True),
    Column("blob_id", Bytes, primary_key=True),
    Column("agency", Text, nullable=False, index=True),
    Column("size", Number, nullable=False),
    Column("sha256", Bytes, nullable=False),
    Column("received", Number, nullable=False),
    Column("complete", SmallInteger, nullable=False),
    Column("expires", Number, nullable=False, index=True),
)

# The bytes of an attachment where several hub processes share the database; elsewhere they are files.
blob_chunk = Table(
    "blob_chunk",
    metadata,
    Column("sender_device", Bytes, primary_key=True),
    Column("blob_id", Bytes, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("bytes", Bytes, nullable=False),
    ForeignKeyConstraint(["sender_device", "blob_id"], ["blob.sender_device", "blob.blob_id"], ondelete="CASCADE"),
)

# One attachment that a row of an accepted envelope names, until its recipient has collected it (ATT-5).
blob_row = Table(
    "blob_row",
    metadata,
    Column("device_id", Bytes, primary_key=True),
    Column("idx", Number, primary_key=True, autoincrement=False),
    Column("blob_id", Bytes, primary_key=True),
    Column("sender_device", Bytes, nullable=False),
    Column("expires", Number, nullable=False, index=True),
    Index("ix_blob_row_sender_device", "sender_device", "blob_id"),
)

# An enrolment code by its id, and the one key request that redeemed it (ENR-2).
code = Table(
    "code",
    metadata,
    Column("code_id", Bytes, primary_key=True),
    Column("registration", Bytes, nullable=False),
    Column("expires", Number, nullable=False),
)
key_request = Table(
    "key_request",
    metadata,
    Column("code_id", Bytes, ForeignKey("code.code_id"), primary_key=True),
    Column("request", Bytes, nullable=False),
    Column("mac", Bytes, nullable=False),
    Column("received_at", Number, nullable=False),
)

# Nonces of request signatures, until their signatures are too old anyway (HTTP-2).
nonce = Table(
    "nonce",
    metadata,
    Column("device_id", Bytes, primary_key=True),
    Column("nonce", Bytes, primary_key=True),
    Column("expires", Number, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# Each time that this hub was restored from a backup: when (ms UTC), of when the backup was, and the generation of
# the logs that began with it: its number, and the leaves that both logs kept. Number 0: nothing newer was ever
# signed, and the logs went on (docs/adr/0013).
restoration = Table(
    "restoration",
    metadata,
    Column("at", Number, primary_key=True, autoincrement=False),
    Column("backup_at", Number, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("directory_size", Number, nullable=False),
    Column("audit_size", Number, nullable=False),
)

# Which hub process does what one does for all, until when (ms UTC).
lease = Table(
    "lease",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", Bytes, nullable=False),
    Column("until", Number, nullable=False),
)

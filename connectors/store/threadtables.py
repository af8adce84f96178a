# SPDX-License-Identifier: Apache-2.0
"""The tables of threads: how each stands, what moved it, which case it is of. For the columns see `tables`."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from connectors.store.tables import metadata

thread: Final = Table(
    "thread",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("own_desk", Text, nullable=False),
    Column("peer_desk", Text, nullable=False),
    Column("begun_by", LargeBinary, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("live", Integer, nullable=False),
    Column("officer", LargeBinary),
    Column("due_at", BigInteger),
    Column("alert", Text),
    Column("sealed", LargeBinary, nullable=False),
    Column("alerts", Text, nullable=False, server_default=""),
    Index("ix_thread_live", "live", "side", "changed_at"),
    Index("ix_thread_due", "live", "due_at"),
)
"""One referral or handover as it stands now; all of it follows from its moves and can be made anew (LIF-4)."""

case_thread: Final = Table(
    "case_thread",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("case_id", LargeBinary, nullable=False, index=True),
    Column("begun_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("own_person", LargeBinary, index=True),
    Column("other_person", LargeBinary, index=True),
    Column("number", LargeBinary, index=True),
    Column("link", LargeBinary, index=True),
    Column("ours", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Which case a thread belongs to, and why: what its messages say of numbers, as keyed hashes, and sealed (CAS-1)."""

found_by: Final = Table(
    "found_by",
    metadata,
    Column("word", LargeBinary, primary_key=True),
    Column("thread", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
"""By which beginnings of names and numbers a thread is found, each as a keyed hash (CAS-5)."""

case_name: Final = Table(
    "case_name",
    metadata,
    Column("case_id", LargeBinary, primary_key=True),
    Column("thread", LargeBinary, nullable=False),
)
"""Every id that a case ever had: a thread that was in it leads to where it is now (CAS-3)."""

move: Final = Table(
    "move",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("message_id", LargeBinary, primary_key=True),
    Column("direction", Text, nullable=False),
    Column("leaf_index", BigInteger),
    Column("settled", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("refused", Text),
    Column("told", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("seq", BigInteger),
    Column("opened_by", BigInteger),
    Column("given_up", Integer, nullable=False, server_default="0"),
    Column("opened_device", LargeBinary),
    Index("ix_move_message_id", "message_id"),
)
"""A message that wants to move a thread; `settled` once its recipient said by which sealing it was opened.

`seq` is its number from desk to desk, `opened_by` the leaf index of the A1 that settled it, `opened_device` whose
word that was.
"""

awaited: Final = Table(
    "awaited",
    metadata,
    Column("ours", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("desk", Text, primary_key=True),
    Column("message_id", LargeBinary, nullable=False, index=True),
    Column("thread", LargeBinary, nullable=False, index=True),
    Column("due_at", BigInteger),
    Column("look_at", BigInteger, index=True),
    Column("told_until", BigInteger, nullable=False, server_default="0"),
)
"""A message that moves no thread, and the desk that has to note or answer it, until it does (KIND-7).

`position` is that of `outgoing` if it is `ours`, else of `incoming`; `look_at` is null where there is nothing to find.
"""

correction: Final = Table(
    "correction",
    metadata,
    Column("corrects", LargeBinary, primary_key=True),
    Column("agency", Text, primary_key=True),
    Column("message_id", LargeBinary, primary_key=True),
    Column("sender_desk", Text, primary_key=True),
    Column("own_desk", Text, primary_key=True),
    Column("ours", Integer, nullable=False),
    Column("thread", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""A message of `agency` that says of an earlier one that it is wrong (KIND-9); whose that one is, is asked later.

`own_desk` is the desk of ours that sent it or that it came for.
"""

forgotten: Final = Table(
    "forgotten",
    metadata,
    Column("thread", LargeBinary, primary_key=True),
    Column("sender_desk", Text, primary_key=True),
    Column("recipient_desk", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
)
"""How many messages from one desk to another their sender does not know: its machine was lost (SEQ-12)."""

draft: Final = Table(
    "draft",
    metadata,
    Column("draft_id", LargeBinary, primary_key=True),
    Column("changed_at", BigInteger, nullable=False, index=True),
    Column("thread", LargeBinary),
    Column("sealed", LargeBinary),
)
"""A referral that was not sent yet; `sealed` is null for what is left of `thread` and gone: it is not made again."""

timer: Final = Table(
    "timer",
    metadata,
    Column("message_id", LargeBinary, primary_key=True),
    Column("thread", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("ack", Text),
    Column("level", Text),
    Column("error", Text),
    Index("ix_timer_at", "at"),
    Index("ix_timer_thread", "thread"),
)
"""What time will do to a thread of ours, under the id that its move will have (CLK-4); `error` where it could not."""

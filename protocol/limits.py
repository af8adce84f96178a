# SPDX-License-Identifier: Apache-2.0
"""Every limit of the protocol, with its rule and its reason."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PROTOCOL = 1
SUITE = 1

MAX_ENVELOPE = 1 << 20
"""ENV-2: bytes. Larger things are attachments; a hub holds a whole envelope in memory."""
MAX_SLICE = MAX_ENVELOPE + (1 << 16)
"""A slice is an envelope's part with the hashes of the rest and the receipt."""
MAX_ROWS = 1_000
"""ENV-2: a whole jurisdiction has at most 1,000 agency endpoints."""
MAX_SECTIONS = 32
"""ENV-2."""
MAX_BLOBS = 64
"""ATT-1: attachments of one section; ATT-8: of one envelope."""
MAX_BLOB_READERS = 100 * MAX_BLOBS
"""ATT-8: how often the rows of one envelope may name an attachment: all that a request can ask for."""
MAX_BLOB = 1 << 30
"""Bytes of one attachment's plaintext."""
BLOB_CHUNK = 1 << 20
"""ATT-3: bytes of one chunk of an attachment's ciphertext on its way to and from the hub."""
BLOB_UNCLAIMED = 48 * HOUR
"""ATT-6: how long the hub keeps what no accepted envelope names, from the last chunk on."""
MAX_LIFE = 366 * DAY
"""ENV-7: a recipient may be offline for months, not for years."""
CLOCK_SKEW = 10 * MINUTE
"""ENV-7: how far ahead of the hub's clock an envelope may be dated."""
SECTION_ZERO_EXTRA = 8_191
"""ENV-12: bytes of section 0 without its two signatures: one 8 KiB bucket with its 0x80."""
WRAP_FIXED = 1_120 + 16 + 40
"""ENV-3: X-Wing encapsulation, AEAD tag, box."""
MAX_AFTER = 32
MAX_PARTICIPANTS = 100
MAX_NAME = 200
"""Characters of a display name, a title or a media type."""
MAX_CODE = 64
"""Characters of a category, purpose, label or payload type."""

MAX_STATEMENT = 128 * 1024
"""A root of ten persons needs 55 KiB."""
MAX_SIGNERS = 10
MAX_DESKS = 64
MAX_PAYLOAD_TYPES = 200
DEVICE_LIFE = 90 * DAY
"""DIR-6."""
AGENCY_LIFE = 732 * DAY
"""DIR-6: two years with a leap day, and a day for clocks and time zones."""
STATEMENT_LAG = 7 * DAY
"""DIR-14: approvers who sign one after another, offline, have this long; a statement kept back longer is dead."""
HANDED_BACK = 90 * DAY
"""DIR-14: by then whoever was away when the hub was restored has given back what it lost."""
PREKEY_EVERY = 7 * DAY
PREKEYS_WITHIN = 8
"""DIR-15: prekeys of a device within PREKEY_EVERY; one a day, and one to spare."""
PREKEY_EPOCH_STEP = 1_000
"""DIR-15: epochs stay small enough to count on; what never reached the log leaves gaps."""
PREKEY_MARKED = 14 * DAY
PREKEY_REFUSED = 60 * DAY
"""DIR-8."""
PREKEY_KEPT = 44 * DAY
"""DIR-9: after the successor was logged."""
DIRECTORY_MARKED = 24 * HOUR
DIRECTORY_REFUSED = 72 * HOUR
"""DIR-11."""

SIGNATURE_WINDOW = 60 * SECOND
"""HTTP-2."""
MAX_BATCH = 64
MAX_FRAME = 64 << 10
"""HTTP-9: bytes of one websocket frame that a hub takes: it holds half a frame for each of an agency's websockets."""
MAX_SOCKET_ENVELOPE = MAX_FRAME - 4_096
"""HTTP-9: bytes of an envelope that goes over the websocket; a larger one is submitted by a plain request."""
MAX_DELIVERY = 4 << 20
"""Bytes of slices in one delivery, besides the first slice, which always goes."""
MAX_KEY_REQUEST = 32 * 1024
MAX_RECEIPT = 4_096
"""Bytes; a receipt is about 500."""

ED25519_PUBLIC = 32
ED25519_SIGNATURE = 64
MLDSA65_PUBLIC = 1_952
MLDSA65_SIGNATURE = 3_309
XWING_PUBLIC = 1_216
HASH = 32

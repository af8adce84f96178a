# SPDX-License-Identifier: Apache-2.0
"""The label in front of everything that is hashed, signed or derived: bytes made for one use never serve another.

A label ends with a zero byte, and no label is the beginning of another.
"""

HEADER = b"tc/1 header\0"
KEYS = b"tc/1 keys\0"
SECTION = b"tc/1 section\0"
ENVELOPE = b"tc/1 envelope\0"
CLAIMS = b"tc/1 claims\0"
BLOB = b"tc/1 blob\0"
KEY_ID = b"tc/1 key\0"
STATEMENT = b"tc/1 statement\0"
DEVICE_PROOF = b"tc/1 device\0"
IDENTITY_PROOF = b"tc/1 identity\0"
HEAD = b"tc/1 head\0"
RECEIPT = b"tc/1 receipt\0"
CONNECT = b"tc/1 connect\0"
CODE_ID = b"tc/1 code\0"
CODE_PROOF = b"tc/1 code proof\0"
CODE_VERIFIER = b"tc/1 code verifier\0"
CODE_REGISTRATION = b"tc/1 code registration\0"
KEY_REQUEST = b"tc/1 key request\0"
BACKUP = b"tc/1 backup\0"
BACKUP_KEY = b"tc/1 backup key\0"
WORDS = b"tc/1 words\0"
AUDIT_COMMITMENT = b"hub-audit/1"
"""Without a zero byte: audit leaves keep the label of their own specification, and a fixed-size salt follows."""

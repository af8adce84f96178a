# SPDX-License-Identifier: Apache-2.0
"""Checks everything that is stored against the hashes and signatures that commit to it (AUD-10).

The leaves are proved by the guard's root. A leaf commits to its detail, the detail to the envelope's digest, the
digest to every row, wrap and section that may still wait; the sender's signature is over the digest. What no hash
covers is derived from what one covers: times, sizes, who waits for what. So a flipped bit has nowhere to hide but
in the few values that live for minutes (nonces, leases) or that nothing else tells (listed in docs/operations.md).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row

from hub.service.accepting import size_of_slice
from hub.service.damage import damaged, naming, no_gap, require
from hub.service.enrolment import verify_key_request
from hub.service.expiry import NOTICE_SIZE
from hub.store import contents, trees
from hub.store.contents import Contents
from hub.store.envelopes import tree_check
from hub.store.logkeys import stored_keys
from hub.store.mailboxes import bits, numbers_in
from hub.store.trees import Log
from keys.directory import Directory
from keys.verifying import verify_digest
from protocol.enrolment import CodeRegistration, KeyRequest
from protocol.frames import ItemKind
from protocol.ids import KeyId
from protocol.limits import HASH
from protocol.receipts import Detail, Leaf, ReceiptKind, RestoredDetail, commitment
from protocol.rows import Common, envelope_digest, header_hash, sha256
from protocol.rows import Row as EnvelopeRow
from protocol.tree import CompactRange, leaf_hash

_PAGE = 1_000


def check_leaves(connection: Connection, log: Log) -> int:
    """Check the stored bytes of every leaf against its hash; returns how many there are."""
    start = 0
    for indexes, hashes in trees.leaf_hashes(connection, log):
        no_gap(indexes, start)
        for page in range(start, start + len(hashes), _PAGE):
            for index, data in enumerate(trees.leaves(connection, log, page, _PAGE), page):
                with naming(f"Leaf {index} of a log"):
                    require(leaf_hash(data) == hashes[index - start], f"Leaf {index} of a log")
        start += len(hashes)
    return start


def check_entries(connection: Connection, size: int, directory: Directory) -> None:
    """Check what is stored of each of the first `size` audit leaves; raises StoreBehind that names what is damaged."""
    tree = CompactRange()
    roots: dict[int, list[tuple[int, bytes]]] = {}
    newest = 0
    for found in contents.contents(connection, size):
        for index in range(found.start, found.end):
            with naming(f"Entry {index}"):
                newest = _check_entry(found, index, newest, directory)
                if (detail := found.details.get(index)) is not None:
                    require(index < detail.tree_size <= size, f"The tree that the receipt of entry {index} names")
                    expected = tree_check(index, detail.tree_size, detail.tree_root)
                    require(detail.tree_check in (None, expected), f"The tree that the receipt of entry {index} names")
                    roots.setdefault(detail.tree_size, []).append((index, detail.tree_root))
            tree.append(found.leaves[index].hash)
            for named, root in roots.pop(tree.size, ()):
                require(root == tree.root, f"The tree that the receipt of entry {named} names")
    require(trees.stored_times(connection)[Log.AUDIT] == newest, "The time of the audit log")
    strange = contents.beyond(connection, size)
    require(strange is None, f"A row of the table {strange}, which belongs to no leaf,")


def _check_entry(found: Contents, index: int, newest: int, directory: Directory) -> int:
    """Check one entry; return its time."""
    leaf = Leaf.parse(found.leaves[index].bytes)
    require(leaf.at >= newest, f"The time of leaf {index}")
    row, stored = found.details.get(index), found.envelopes.get(index)
    waiting, sections, claims = found.deliveries[index], found.sections[index], found.claims[index]
    if row is None:
        # It was forgotten when its time was over, and all that belonged to it (AUD-1).
        require(not (stored or waiting or sections), f"What is stored of entry {index}, whose receipt is gone,")
        return leaf.at
    require(commitment(row.salt, row.detail) == leaf.commitment, f"The receipt of entry {index}")
    if index in directory.audit_starts:
        require(not (stored or waiting or sections), f"What is stored of entry {index}, the begin of a generation,")
        require(row.detail == _restored(index, directory), f"The begin of a generation, entry {index},")
        return leaf.at
    detail = Detail.parse(row.detail)
    require(detail.directory_root == directory.root_at(detail.directory_size), f"The receipt of entry {index}")
    if detail.kind is ReceiptKind.EXPIRED:
        require(stored is None and not sections and not claims, f"What is stored of entry {index}, a notice,")
        _check_notice(index, waiting, directory, detail)
        return leaf.at
    require(stored is not None, f"The envelope of entry {index}")
    common = _check_envelope(index, stored, detail, leaf, directory)
    _check_mail(index, stored, common, waiting, sections)
    _check_claims(index, common, waiting, claims)
    return leaf.at


def _restored(index: int, directory: Directory) -> bytes | None:
    """Return what the leaf that began a generation at `index` commits to (GEN-2)."""
    last = [one for one in directory.restorations if one.subject.audit.size == index][-1]
    root = directory.root_at(last.index + 1)
    return None if root is None else RestoredDetail(last.digest, last.index + 1, root).encode()


def _check_notice(index: int, waiting: list[Row[Any]], directory: Directory, detail: Detail) -> None:
    for one in waiting:
        form = (one.kind, one.position, one.row, one.wrap, one.sections, one.size)
        served = directory.ever_served(one.device_id, detail.sender_desk)
        require(form == (ItemKind.NOTICE, 0, None, None, 0, NOTICE_SIZE) and served, f"The notice of entry {index}")


def _check_envelope(index: int, stored: Any, detail: Detail, leaf: Leaf, directory: Directory) -> Common:
    what = f"The envelope of entry {index}"
    common = Common.parse(stored.common)
    header = header_hash(stored.common, _split(stored.row_hashes))
    digest = envelope_digest(header, stored.wraps_hash, _split(stored.section_hashes))
    require(digest == stored.digest == detail.digest, what)
    require(stored.envelope_id == common.envelope_id == detail.envelope_id, what)
    require(stored.sender_device == common.device_id and common.sender_desk == detail.sender_desk, what)
    require(stored.accepted_at == leaf.at, f"The time of the envelope of entry {index}")
    if stored.wrap_hashes is not None:
        require(sha256(stored.wrap_hashes) == stored.wraps_hash, what)
    device = directory.device(common.device_id)
    if device is None:
        raise damaged(what)
    verify_digest(device.key, stored.digest, stored.sender_sig)
    return common


def _check_mail(index: int, stored: Any, common: Common, waiting: list[Row[Any]], sections: list[Row[Any]]) -> None:
    row_hashes, wraps = _split(stored.row_hashes), _split(stored.wrap_hashes or b"")
    wanted = 0
    for one in waiting:
        what = f"What waits of entry {index} for the device {KeyId(one.device_id).hex()[:8]}"
        with naming(what):
            row = EnvelopeRow.parse(one.row)
            require(one.kind == ItemKind.SLICE and sha256(one.row) == row_hashes[one.position], what)
            require(one.position >= 0 and one.device_id == row.device_id, what)
            require(one.sections == bits(row.numbers), what)
            require(one.size == size_of_slice(row, len(row_hashes), common.section_lengths), what)
            require(len(one.wrap) == row.wrap_size, what)
            # Envelopes of before that column existed have only the hash of all wraps.
            require(not wraps or sha256(one.wrap) == wraps[one.position], what)
            wanted |= one.sections
    have = {one.number: one.bytes for one in sections}
    hashes = _split(stored.section_hashes)
    for number, data in have.items():
        what = f"Section {number} of entry {index}"
        with naming(what):
            require(wanted >> number & 1 and sha256(data) == hashes[number], what)
    missing = set(numbers_in(wanted)) - have.keys()
    require(not missing, f"Section {min(missing, default=0)} of entry {index}, which is gone,")
    require(stored.purge_at == (common.expires if waiting else None), f"The expiry of entry {index}")


def _check_claims(index: int, common: Common, waiting: list[Row[Any]], claims: list[Row[Any]]) -> None:
    rows = {one.device_id: EnvelopeRow.parse(one.row) for one in waiting}
    for claim in claims:
        what = f"Who may read an attachment of entry {index}"
        require(claim.sender_device == common.device_id and claim.expires == common.expires, what)
        # Attachments are collected apart from the mail; only while that waits, its row tells.
        row = rows.get(claim.device_id)
        require(row is None or claim.blob_id in {blob_id for blob_id, _ in row.blobs}, what)


def _split(joined: bytes) -> tuple[bytes, ...]:
    if len(joined) % HASH:
        raise ValueError("not a row of hashes")
    return tuple(joined[at : at + HASH] for at in range(0, len(joined), HASH))


def check_codes(connection: Connection) -> None:
    """Check enrolment codes and key requests, as far as the hub can without a code's secret."""
    for number, row in enumerate(contents.all_codes(connection)):
        what = f"Enrolment code {number}"
        with naming(what):
            registration = CodeRegistration.parse(row.registration)
            require((registration.code_id, registration.terms.expires) == (row.code_id, row.expires), what)
            if row.request is not None:
                request = KeyRequest.parse(row.request)
                require(request.code_id == row.code_id and request.agency == registration.terms.agency, what)
                verify_key_request(request)


def check_keys(connection: Connection, keys: Mapping[Log, bytes]) -> None:
    """Check the public keys that the logs were begun with."""
    require(stored_keys(connection) == dict(keys), "The public key of a log")


def check_blob(number: int, blob: Any, found: bytes | None, directory: Directory) -> None:
    """Check attachment `number`; `found` is the hash of its stored bytes, if it is whole."""
    what = f"Attachment {number}"
    with naming(what):
        device = directory.device(blob.sender_device)
        require(device is not None and device.agency == blob.agency, what)
        require(0 <= blob.received <= blob.size and blob.complete in (0, 1), what)
        require(blob.complete == (blob.received == blob.size), what)
        require(not blob.complete or found == blob.sha256, what)

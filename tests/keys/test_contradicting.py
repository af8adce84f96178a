# SPDX-License-Identifier: Apache-2.0
"""What two signatures of a hub prove, and what they do not: judged by its keys alone (DIR-19)."""

from dataclasses import replace

import pytest

from keys.contradicting import Logs, Verdict, judge
from keys.signing import Ed25519Signer, sign_head
from protocol.contradiction import BEGIN, Contradiction, Form, encode_file, named, parse_file
from protocol.errors import BadSignature, MalformedEnvelope
from protocol.receipts import Head
from protocol.tree import consistency_proof, leaf_hash, root_of

KEY, OTHER = Ed25519Signer.from_seed(b"\1" * 32), Ed25519Signer.from_seed(b"\2" * 32)
LOGS = Logs("hub.example/directory", KEY.public, "hub.example/audit", OTHER.public)
LEAVES = [leaf_hash(b"statement %d" % number) for number in range(9)]
AT = 1_800_000_000_000


def head(size: int, root: bytes | None = None, at: int = AT, origin: str = "hub.example/directory") -> bytes:
    return sign_head(Head(origin, size, root_of(LEAVES[:size]) if root is None else root, at), KEY)


def beside(signed: bytes, size: int, at: int = AT, form: Form = Form.HEAD) -> Contradiction:
    """Return `signed` beside the genuine head of `size`, with the proof as far as there is one."""
    said = named(form, signed).size
    known = said <= size
    root = root_of(LEAVES[:said]) if known else b""
    proof = consistency_proof(said, size, LEAVES[:size].__getitem__) if known else ()
    return Contradiction(form, signed, head(size, at=at), root, proof, AT)


@pytest.mark.parametrize("size", [1, 4, 7, 8])
def test_dir_19_two_roots_of_one_size_are_proven_by_a_head_that_goes_on_from_one_of_them(size: int) -> None:
    lie = beside(head(size, bytes(32)), 8)
    verdict, signed, known = judge(lie, LOGS)
    assert (verdict, signed.root, known and known.size) == (Verdict.TWO_DIRECTORIES, bytes(32), 8)
    # Not with a root or a proof that somebody made up: the head that is signed decides.
    for forged in (replace(lie, root=b"\1" * 32), replace(lie, proof=(*lie.proof, bytes(32))), replace(lie, root=b"")):
        assert judge(forged, LOGS)[0] is Verdict.NOTHING
    assert judge(replace(lie, head=None), LOGS)[0] is Verdict.NOTHING
    assert judge(beside(head(size), 8), LOGS)[0] is Verdict.NOTHING


def test_dir_19_a_later_head_of_fewer_statements_is_proof_and_an_earlier_one_is_none() -> None:
    larger = beside(head(9, at=AT), 8, at=AT)
    assert judge(larger, LOGS)[0] is Verdict.WITHHELD
    assert judge(beside(head(9, at=AT + 1), 8, at=AT), LOGS)[0] is Verdict.NOTHING
    assert judge(beside(head(5, at=AT + 1), 8, at=AT), LOGS)[0] is Verdict.WITHHELD
    assert judge(beside(head(5, at=AT - 1), 8, at=AT), LOGS)[0] is Verdict.NOTHING


def test_dir_19_what_the_hub_did_not_sign_or_what_is_of_another_log_proves_nothing() -> None:
    lie = beside(head(4, bytes(32)), 8)
    for logs in (replace(LOGS, directory_key=OTHER.public), replace(LOGS, directory_origin="other.example/directory")):
        with pytest.raises(BadSignature):
            judge(lie, logs)
    with pytest.raises(BadSignature):
        judge(replace(lie, head=head(8, origin="other.example/directory")), LOGS)
    # After a restore the log goes on from fewer statements, and another may stand in the place of a lost one (GEN-1).
    restored = beside(head(4, bytes(32), origin="hub.example/directory/1"), 8)
    assert judge(restored, LOGS)[0] is Verdict.NOTHING
    with pytest.raises(MalformedEnvelope):
        judge(replace(lie, form=Form.RECEIPT), LOGS)


def test_dir_19_the_file_has_one_spelling() -> None:
    kept = [beside(head(4, bytes(32)), 8), replace(beside(head(9), 8), dismissed_at=AT + 5), beside(head(9), 8)]
    data = encode_file("hub.example", kept)
    assert parse_file(data) == ("hub.example", kept)
    for bad in (b"", BEGIN, data[1:], data[:-1], data + b"\0", BEGIN + b"\0\0\0\1\xff", data.replace(b"head", b"hand")):
        with pytest.raises(MalformedEnvelope):
            parse_file(bad)

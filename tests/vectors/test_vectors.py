# SPDX-License-Identifier: Apache-2.0
"""Every vector goes through the parsers; the files are what the generator writes."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keys.directory import Directory
from keys.opening import open_slice
from keys.signing import DeviceSigner, Ed25519Signer, HybridSigner
from keys.verifying import check_ed25519_public, verify_head, verify_receipt
from keys.words import fingerprint_words
from keys.xwing import XWingSecret, check_xwing_public
from protocol import cbor, ids, padding, tree
from protocol.address import parse_agency, parse_desk
from protocol.enrolment import KeyRequest, code_verifier, parse_code, parse_registration, request_mac
from protocol.envelope import UnverifiedEnvelope, encode_envelope, parse_envelope
from protocol.errors import CODES, DirectoryInconsistent, Revoked, ThroughcareError
from protocol.identities import KeyType, key_id
from protocol.receipts import UnverifiedHead, UnverifiedReceipt, parse_head, parse_receipt
from protocol.rows import Box, Common, Row
from protocol.sections import Claims, ContentSection, SectionZero
from protocol.slices import UnverifiedSlice, parse_slice
from protocol.statements import UnverifiedStatement, encode_statement, parse_statement
from tests.keys.hubside import encode_parts
from tests.vectors.__main__ import main
from tests.vectors.cases import FOLDER, Recording, apply_edits, edits, plain
from tests.vectors.primitives import CBOR_LIMIT

FILES: dict[str, Any] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}

READERS: dict[str, Callable[[bytes], Any]] = {
    "cbor": lambda data: cbor.decode(data, limit=CBOR_LIMIT),
    "box": Box.parse,
    "envelope-common": Common.parse,
    "row": Row.parse,
    "claims": Claims.parse,
    "section-zero": SectionZero.parse,
    "section": ContentSection.parse,
    "envelope": parse_envelope,
    "slice": parse_slice,
    "receipt": parse_receipt,
    "head": parse_head,
    "statement": parse_statement,
    "key-request": KeyRequest.parse,
    "code-registration": parse_registration,
}


def value_of(parsed: Any) -> Any:
    """Return what a vector says of a parsed structure."""
    match parsed:
        case UnverifiedStatement():
            signers = [one.signer for one in parsed.signatures]
            return {"body": parsed.body, "digest": parsed.digest, "signers": signers}
        case UnverifiedEnvelope():
            names = ("common", "rows", "header_hash", "wraps_hash", "section_hashes", "digest")
            return {name: getattr(parsed, name) for name in names}
        case UnverifiedSlice():
            names = ("position", "row", "row_hashes", "section_hashes", "header_hash", "digest")
            return {**{name: getattr(parsed, name) for name in names}, "own_sections": sorted(parsed.sections)}
        case UnverifiedReceipt():
            return {"body": parsed.body, "detail": parsed.body.detail, "leaf": parsed.body.leaf}
        case UnverifiedHead():
            return {"head": parsed.head}
        case Box():
            return {"seq": parsed.seq, "previous": parsed.previous}
        case (bytes(), registration, signature):
            return {"registration": registration, "signer": signature.signer}
        case _:
            return parsed


def encoded(parsed: Any) -> bytes:
    """Return the bytes of a parsed structure, made again."""
    match parsed:
        case UnverifiedStatement():
            return encode_statement(parsed.body.encode(), parsed.signatures)
        case UnverifiedEnvelope():
            rows = [row.encode() for row in parsed.rows]
            return encode_envelope(parsed.common.encode(), rows, parsed.wraps, parsed.sections, parsed.sender_sig)
        case UnverifiedSlice():
            return encode_parts(replace(parsed, common_bytes=parsed.common.encode(), row_bytes=parsed.row.encode()))
        case UnverifiedReceipt():
            return cbor.encode([parsed.body.encode(), parsed.signature])
        case UnverifiedHead():
            return cbor.encode([parsed.head.encode(), parsed.signature])
        case (bytes(), registration, signature):
            signed: list[cbor.Value] = [signature.signer, signature.ed25519, signature.mldsa65]
            return cbor.encode([registration.encode(), signed])
        case _ if hasattr(parsed, "encode") and not isinstance(parsed, str):
            return bytes(parsed.encode())
        case _:
            return cbor.encode(parsed)


def good_bytes(structure: str, name: str) -> bytes:
    return next(bytes.fromhex(case["bytes"]) for case in FILES[structure]["good"] if case["name"] == name)


def bad_bytes(structure: str, case: Any) -> bytes:
    if "bytes" in case:
        return bytes.fromhex(case["bytes"])
    return apply_edits(good_bytes(structure, case["base"]), case["edits"])


def cases(key: str) -> list[Any]:
    return [
        pytest.param(structure, case, id=f"{structure}: {case['name']}")
        for structure in READERS
        for case in FILES[structure][key]
    ]


def test_the_files_are_what_the_generator_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err
    assert main(["--chek"]) == 2


def test_every_structure_has_good_and_bad_cases_with_known_codes() -> None:
    for name, content in FILES.items():
        assert content["structure"] == name
        assert content["rules"]
        if name not in ("tree", "directory"):
            assert content["good"]
            assert content["bad"]
        for case in content.get("bad", []):
            assert case["error"] in CODES


@pytest.mark.parametrize(("structure", "case"), cases("good"))
def test_cbor_7_a_good_vector_reads_as_its_value_and_encodes_to_the_same_bytes(structure: str, case: Any) -> None:
    data = bytes.fromhex(case["bytes"])
    parsed = READERS[structure](data)
    assert plain(value_of(parsed)) == case["value"]
    assert encoded(parsed) == data


@pytest.mark.parametrize(("structure", "case"), cases("bad"))
def test_cbor_7_a_bad_vector_gives_its_error(structure: str, case: Any) -> None:
    with pytest.raises(ThroughcareError) as caught:
        READERS[structure](bad_bytes(structure, case))
    assert caught.value.code == case["error"]


def test_id_1_and_id_2_vectors_of_texts() -> None:
    readers: dict[str, Callable[[str], Any]] = {"agency": parse_agency, "desk": parse_desk}
    readers |= {kind.value: lambda text, kind=kind: ids.raw(kind, text) for kind in ids.Kind}  # type: ignore[misc]
    for name in ("ids", "addresses"):
        for case in FILES[name]["good"]:
            assert plain(readers[case["kind"]](case["text"])) == case["value"]
        for case in FILES[name]["bad"]:
            with pytest.raises(ThroughcareError) as caught:
                readers[case["kind"]](case["text"])
            assert caught.value.code == case["error"], case["name"]


def test_id_3_and_id_4_vectors_of_keys() -> None:
    makers: dict[int, Callable[..., list[bytes]]] = {
        KeyType.IDENTITY: lambda a, b: [(one := HybridSigner.from_seeds(a, b).public).ed25519, one.mldsa65],
        KeyType.DEVICE: lambda a, b, c: [
            (one := DeviceSigner.from_seeds(a, b, c).public).ed25519,
            one.mldsa65,
            one.transport,
        ],
        KeyType.LOG: lambda a: [Ed25519Signer.from_seed(a).public],
        KeyType.PREKEY: lambda a: [XWingSecret(a).public],
    }
    for case in FILES["keys"]["good"]:
        public = makers[case["kind"]](*(bytes.fromhex(one) for one in case["seeds"]))
        assert plain(public) == case["public"]
        assert key_id(KeyType(case["kind"]), *public).hex() == case["key_id"]
    checks = {"ed25519": check_ed25519_public, "xwing": check_xwing_public}
    for case in FILES["keys"]["bad"]:
        with pytest.raises(ThroughcareError) as caught:
            checks[case["kind"]](bytes.fromhex(case["bytes"]))
        assert caught.value.code == case["error"], case["name"]


def test_pad_1_and_pad_2_vectors_of_padding() -> None:
    content = FILES["padding"]
    for plaintext, padded, ciphertext in content["sizes"]:
        assert padding.padded_size(plaintext) == padded
        assert padding.ciphertext_size(padded) == ciphertext
        assert padding.is_section_length(ciphertext)
    for case in [*content["good"], *content["bad"]]:
        end = bytes.fromhex(case["end"])
        data = bytes.fromhex(case["begin"]).ljust(max(case["size"] - len(end), 0), b"\0") + end
        assert len(data) == case["size"]
        if "value" in case:
            assert padding.unpad(data).hex() == case["value"]
            assert padding.pad(bytes.fromhex(case["value"])) == data
        else:
            with pytest.raises(ThroughcareError) as caught:
                padding.unpad(data)
            assert caught.value.code == case["error"], case["name"]


def test_aud_2_vectors_of_trees() -> None:
    content = FILES["tree"]
    leaves = [bytes.fromhex(one) for one in content["leaves"]]
    roots = [bytes.fromhex(one) for one in content["roots"]]
    for size, root in enumerate(roots):
        assert tree.root_of(tree.leaf_hash(leaf) for leaf in leaves[:size]) == root
    for case in content["inclusion"]:
        proof = [bytes.fromhex(one) for one in case["proof"]]
        tree.verify_inclusion(leaves[case["index"]], case["index"], case["size"], proof, roots[case["size"]])
    for case in content["consistency"]:
        proof = [bytes.fromhex(one) for one in case["proof"]]
        tree.verify_consistency(case["old"], roots[case["old"]], case["size"], roots[case["size"]], proof)
    for case in content["bad"]:
        proof = [bytes.fromhex(one) for one in case["proof"]]
        with pytest.raises(DirectoryInconsistent):
            tree.verify_inclusion(bytes.fromhex(case["leaf"]), case["index"], case["size"], proof, roots[case["size"]])


def log() -> Directory:
    content = FILES["directory"]
    directory = Directory(bytes.fromhex(content["root_fingerprint"]), content["domain"])
    for place, name in enumerate(content["statements"]):
        assert directory.root.hex() == content["roots"][place]
        assert directory.apply(good_bytes("statement", name)) == place
    assert directory.root.hex() == content["roots"][-1]
    return directory


def test_dir_2_and_dir_14_and_dir_15_vectors_of_a_directory() -> None:
    content, directory = FILES["directory"], log()
    for case in content["good"]:
        raw = bytes.fromhex(case["bytes"])
        parse_statement(raw)
        with pytest.raises(ThroughcareError) as caught:
            directory.apply(raw)
        assert caught.value.code == case["error"], case["name"]
        assert directory.root.hex() == content["roots"][-1]
    directory.apply(good_bytes("statement", content["then"]))
    assert directory.root.hex() == content["then_root"]


def test_dir_17_vectors_of_a_renewed_device() -> None:
    content, directory, revoked = FILES["directory"], log(), log()
    renewal = good_bytes("statement", content["renewal"])
    directory.apply(renewal)
    assert directory.root.hex() == content["renewal_root"]
    revoked.apply(good_bytes("statement", content["then"]))
    with pytest.raises(Revoked):
        revoked.apply(renewal)


def test_dir_10_vectors_of_heads() -> None:
    content = FILES["head"]
    key = bytes.fromhex(content["key"])
    head = verify_head(good_bytes("head", "head"), content["origin"], key)
    assert (head.size, head.root) == (log().size, log().root)
    for case in content["unbelieved"]:
        with pytest.raises(DirectoryInconsistent):
            verify_head(bad_bytes("head", case), content["origin"], key)


def test_aud_5_vectors_of_receipts_verify() -> None:
    content = FILES["receipt"]
    for case in content["good"]:
        verify_receipt(bytes.fromhex(case["bytes"]), content["origin"], bytes.fromhex(content["key"]))


def test_enr_1_and_enr_3_and_enr_4_and_enr_6_vectors_of_enrolment() -> None:
    content = FILES["enrolment-code"]
    for case in content["good"]:
        code = parse_code(case["text"])
        assert plain(code) == case["value"]
        assert code.code_id.hex() == content["code_id"]
        assert code.text() == content["good"][0]["text"]
        assert code.proof.hex() == content["proof"]
        assert code_verifier(code.proof).hex() == content["verifier"]
        request = good_bytes("key-request", "key request")
        assert request_mac(code.secret, request).hex() == FILES["key-request"]["mac"]
        assert list(fingerprint_words(request)) == FILES["key-request"]["words"]
    for case in content["bad"]:
        with pytest.raises(ThroughcareError) as caught:
            parse_code(case["text"])
        assert caught.value.code == case["error"], case["name"]


def opened(raw: bytes, *, own_device: str | None = None, epochs: list[int] | None = None, seen: bool = False) -> Any:
    content = FILES["opening"]
    prekeys = {int(epoch): XWingSecret(bytes.fromhex(one)) for epoch, one in content["prekeys"].items()}
    own = {epoch: secret for epoch, secret in prekeys.items() if epochs is None or epoch in epochs}
    return open_slice(
        raw,
        own_device=bytes.fromhex(own_device or content["device"]),
        prekey=own.get,
        directory=log(),
        audit_origin=content["audit"]["origin"],
        audit_key=bytes.fromhex(content["audit"]["key"]),
        seen=lambda _: seen,
    )


OPENINGS = [*FILES["opening"]["good"], *FILES["opening"]["bad"], *FILES["opening"]["given"]]


@pytest.mark.parametrize("case", OPENINGS, ids=[case["name"] for case in OPENINGS])
def test_env_16_vectors_of_opening(case: Any) -> None:
    raw = good_bytes("opening", case["base"]) if "given" in case else bad_bytes("opening", case)
    if "value" in case:
        assert plain(opened(raw)) == case["value"]
        return
    with pytest.raises(ThroughcareError) as caught:
        opened(raw, **case.get("given", {}))
    assert caught.value.code == case["error"]


def test_edits_describe_any_change() -> None:
    for base, target in ((b"abc", b"abd"), (b"abc", b""), (b"", b"abc"), (b"aaaa", b"aaa"), (b"abcabc", b"abc")):
        assert apply_edits(base, edits(base, target)) == target


def test_random_parts_are_made_anew_only_when_they_do_not_fit() -> None:
    recording = Recording()
    known = good_bytes("statement", "root")
    assert recording.keep("statement", "root", lambda: b"new", lambda data: data == known) == known
    assert recording.keep("statement", "root", lambda: b"new", lambda data: data == b"new") == b"new"
    assert recording.keep("statement", "not there", lambda: b"new", lambda data: True) == b"new"
    with pytest.raises(AssertionError):
        recording.keep("statement", "root", lambda: b"new", lambda data: False)

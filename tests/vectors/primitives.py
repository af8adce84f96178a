# SPDX-License-Identifier: Apache-2.0
"""Vectors of the small parts: encoding, ids, addresses, keys, padding, trees."""

from keys.signing import Ed25519Signer
from keys.verifying import check_ed25519_public
from keys.xwing import XWingSecret, check_xwing_public
from protocol import cbor, ids, padding, tree
from protocol.address import parse_agency, parse_desk
from protocol.identities import KeyType, key_id
from tests.keys.world import device_of, identity, seed
from tests.vectors.cases import Document, Json, Recording, document, error_of, plain

CBOR_LIMIT = 64


def build(_: Recording) -> list[Document]:
    """Return the documents of this module."""
    return [_cbor(), _ids(), _addresses(), _keys(), _padding(), _tree()]


def _cbor() -> Document:
    values: dict[str, cbor.Value] = {
        "zero": 0,
        "one byte": 23,
        "two bytes": 24,
        "largest integer": 2**64 - 1,
        "bytes": b"\x00\xff",
        "text": "përmbajtje",
        "text outside the first plane": "\U0001f511",
        "list": [1, [], [b"", ""]],
        "map in order": {0: None, 5: True, 23: False},
        "nested to the limit": _nested(15),
    }
    broken = {
        "nothing": "",
        "trailing byte": "0000",
        "cut short": "42ff",
        "long integer": "1800",
        "longer integer": "190017",
        "negative integer": "20",
        "long length": "5800",
        "indefinite bytes": "5f41004100ff",
        "indefinite list": "9f00ff",
        "indefinite map": "bf0000ff",
        "key twice": "a200000001",
        "keys out of order": "a201000000",
        "key above 23": "a1181800",
        "negative key": "a12000",
        "text as key": "a1613000",
        "half float": "f90000",
        "double": "fb3ff0000000000000",
        "undefined": "f7",
        "simple value": "e0",
        "tag": "c000",
        "bignum": "c249010000000000000000",
        "date": "c11a514b67b0",
        "shared reference": "d81c81d81d00",
        "invalid UTF-8": "61ff",
        "surrogate": "63eda080",
        "text not in form C": "63" + "65cc88",
        "declared length of 2^63": "5b8000000000000000",
        "declared list of 2^63": "9b8000000000000000",
        "nested too deep": "81" * 17 + "00",
        "longer than the limit": "5840" + "00" * 64,
    }
    return document(
        "cbor",
        f"Strict CBOR with a limit of {CBOR_LIMIT} bytes. Byte strings in values stand as hex.",
        "CBOR-1 CBOR-2 CBOR-3 CBOR-4 CBOR-5 CBOR-6",
        good=[
            {"name": name, "bytes": cbor.encode(value).hex(), "value": plain(value)} for name, value in values.items()
        ],
        bad=[{"name": name, "bytes": data, "error": "malformed-envelope"} for name, data in broken.items()],
    )


def _nested(depth: int) -> cbor.Value:
    value: cbor.Value = 0
    for _ in range(depth):
        value = [value]
    return value


def _ids() -> Document:
    good = [
        {"name": f"{kind.name.lower()} {place}", "text": ids.text(kind, raw), "kind": kind.value, "value": raw.hex()}
        for kind in ids.Kind
        for place, raw in enumerate((bytes(16), b"\xff" * 16, seed(kind.value)[:16]))
    ]
    text = ids.text(ids.Kind.ENVELOPE, seed("id")[:16])
    broken = {
        "another prefix": text.replace("env_", "msg_"),
        "capitals": text.upper(),
        "too short": text[:-1],
        "too long": text + "a",
        "bits that do not count": text[:-1] + _other_spelling(text[-1]),
        "a character outside the alphabet": text[:-1] + "1",
        "padding": text + "======",
        "no prefix": text.removeprefix("env_"),
        "a line break": text + "\n",
    }
    return document(
        "ids",
        "Text forms of ids. Bad ones are read as envelope ids.",
        "ID-1",
        good=good,
        bad=[{"name": name, "text": one, "kind": "env", "error": "invalid-input"} for name, one in broken.items()],
    )


def _other_spelling(last: str) -> str:
    """Return another last character for the same 128 bits: 26 characters have two bits to spare."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return alphabet[alphabet.index(last) ^ 1]


def _addresses() -> Document:
    agencies = ["reka-probation@hub.example", "a@b", "a" * 40 + "@" + "d" * 100, "0-9@127.0.0.1"]
    desks = ["intake.reka-probation@hub.example", "a.b@c", "a" * 40 + "." + "b" * 40 + "@hub.example"]
    bad_agencies = [
        "",
        "@hub.example",
        "Reka@hub.example",
        "-reka@hub.example",
        "reka-@hub.example",
        "reka@",
        "reka",
        "reka@hub@example",
        "reka probation@hub.example",
        "a" * 41 + "@hub.example",
        "réka@hub.example",
        "intake.reka@hub.example",
        "reka@HUB.example",
        "reka@hub.example\n",
        "reka@" + "d" * 101,
    ]
    bad_desks = [
        "",
        "reka@hub.example",
        ".reka@hub.example",
        "intake.@hub.example",
        "a.b.c@hub.example",
        "Intake.reka@hub.example",
        "in_take.reka@hub.example",
        "intake.reka@",
    ]
    for read, texts in ((parse_agency, agencies), (parse_desk, desks)):
        for one in texts:
            read(one)
    return document(
        "addresses",
        "Addresses; `kind` says whether the text is read as an agency's or a desk's.",
        "ID-2",
        good=[
            *({"name": f"agency {n}", "kind": "agency", "text": one, "value": one} for n, one in enumerate(agencies)),
            *({"name": f"desk {n}", "kind": "desk", "text": one, "value": one} for n, one in enumerate(desks)),
        ],
        bad=[
            *(
                {"name": f"agency {n}", "kind": "agency", "text": one, "error": "invalid-input"}
                for n, one in enumerate(bad_agencies)
            ),
            *(
                {"name": f"desk {n}", "kind": "desk", "text": one, "error": "invalid-input"}
                for n, one in enumerate(bad_desks)
            ),
        ],
    )


def _keys() -> Document:
    person, device = identity("vector person"), device_of("vector device")
    log, prekey = Ed25519Signer.from_seed(seed("vector log")), XWingSecret(seed("vector prekey"))
    public = prekey.public
    small_order = {
        "order 1": (1).to_bytes(32, "little"),
        "order 2": (2**255 - 20).to_bytes(32, "little"),
        "order 4": bytes(32),
        "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        "y not below p": (2**255 - 18).to_bytes(32, "little"),
        "not on the curve": (2).to_bytes(32, "little"),
        "too short": bytes(31),
    }
    packed = int.from_bytes(public[:1152], "little")
    weak = {
        "X25519 half zero": public[:1184] + bytes(32),
        "X25519 half one": public[:1184] + bytes([1, *bytes(31)]),
        "X25519 half p - 1": public[:1184] + (2**255 - 20).to_bytes(32, "little"),
        "X25519 half not below p": public[:1184] + (2**255 - 10).to_bytes(32, "little"),
        "X25519 half with its highest bit set": public[:-1] + bytes([public[-1] | 0x80]),
        "first coefficient 3329": (packed & ~0xFFF | 3329).to_bytes(1152, "little") + public[1152:],
        "last coefficient 4095": (packed | 0xFFF << 12 * 767).to_bytes(1152, "little") + public[1152:],
        "too short": public[:-1],
    }
    bad: list[Json] = []
    for kind, check, table in (("ed25519", check_ed25519_public, small_order), ("xwing", check_xwing_public, weak)):
        for name, data in table.items():
            if error_of(lambda check=check, data=data: check(data)) != "untrusted-key":  # type: ignore[misc]
                raise AssertionError(name)
            bad.append({"name": f"{kind}, {name}", "kind": kind, "bytes": data.hex(), "error": "untrusted-key"})
    return document(
        "keys",
        "Keys from their seeds, with their key ids. `bad` are public keys that must be untrusted.",
        "ID-3 ID-4",
        good=[
            {
                "name": "identity",
                "kind": int(KeyType.IDENTITY),
                "seeds": plain(person.seeds),
                "public": [person.public.ed25519.hex(), person.public.mldsa65.hex()],
                "key_id": person.key_id.hex(),
            },
            {
                "name": "device",
                "kind": int(KeyType.DEVICE),
                "seeds": plain(device.seeds),
                "public": [device.public.ed25519.hex(), device.public.mldsa65.hex(), device.public.transport.hex()],
                "key_id": device.key_id.hex(),
            },
            {
                "name": "log",
                "kind": int(KeyType.LOG),
                "seeds": [log.seed.hex()],
                "public": [log.public.hex()],
                "key_id": log.log_key_id.hex(),
            },
            {
                "name": "prekey",
                "kind": int(KeyType.PREKEY),
                "seeds": [prekey.seed.hex()],
                "public": [public.hex()],
                "key_id": key_id(KeyType.PREKEY, public).hex(),
            },
        ],
        bad=bad,
    )


def _padding() -> Document:
    sizes = [0, 1, 8_190, 8_191, 8_192, 16_383, 16_384, 32_767, 65_535, 65_536, 70_000, 100_000, 1_000_000, 1 << 30]
    plaintext = b"plaintext"
    return document(
        "padding",
        "`sizes`: [plaintext, padded, Cobblestone-256 ciphertext] in bytes. `good` and `bad`: `begin`, then zeros up "
        "to `size` bytes, then `end`.",
        "PAD-1 PAD-2 ENV-4",
        sizes=[[n, padding.padded_size(n), padding.ciphertext_size(padding.padded_size(n))] for n in sizes],
        good=[
            {"name": "empty", "begin": "80", "size": 8_192, "end": "", "value": ""},
            {"name": "short", "begin": (plaintext + b"\x80").hex(), "size": 8_192, "end": "", "value": plaintext.hex()},
            {"name": "ends like padding", "begin": "80008080", "size": 8_192, "end": "", "value": "800080"},
            {"name": "full bucket", "begin": "ff", "size": 8_192, "end": "80", "value": "ff" + "00" * 8_190},
        ],
        bad=[
            {"name": name, "begin": begin, "size": size, "end": end, "error": "cannot-open"}
            for name, begin, size, end in [
                ("nothing", "", 0, ""),
                ("no mark", "", 8_192, ""),
                ("another mark", "ff81", 8_192, ""),
                ("something after the mark", "ff80", 8_192, "01"),
                ("no bucket", "ff80", 8_193, ""),
                ("too small", "ff80", 4_096, ""),
                ("a larger bucket than needed", "ff80", 16_384, ""),
                ("content where the mark should be", "ff", 8_192, "ff"),
            ]
        ],
    )


def _tree() -> Document:
    leaves = [f"leaf {number}".encode() for number in range(8)]
    hashes = [tree.leaf_hash(leaf) for leaf in leaves]
    inclusion = [
        {"index": index, "size": size, "proof": plain(tree.inclusion_proof(index, size, hashes.__getitem__))}
        for size in (1, 2, 3, 5, 7, 8)
        for index in range(size)
    ]
    consistency = [
        {"old": old, "size": size, "proof": plain(tree.consistency_proof(old, size, hashes.__getitem__))}
        for size in (1, 2, 4, 6, 7, 8)
        for old in range(1, size + 1)
    ]
    node = tree.node_hash(hashes[0], hashes[1])
    return document(
        "tree",
        "`roots[n]` is the root of the first n leaves; proofs are for these. `bad` are inclusion proofs against "
        "`roots[size]` that must be inconsistent.",
        "AUD-2",
        leaves=plain(leaves),
        roots=[tree.root_of(hashes[:size]).hex() for size in range(len(leaves) + 1)],
        inclusion=inclusion,
        consistency=consistency,
        bad=[
            {
                "name": name,
                "leaf": leaf.hex(),
                "index": index,
                "size": size,
                "proof": plain(proof),
                "error": "directory-inconsistent",
            }
            for name, leaf, index, size, proof in [
                ("another leaf", leaves[1], 0, 4, tree.inclusion_proof(0, 4, hashes.__getitem__)),
                ("another index", leaves[0], 1, 4, tree.inclusion_proof(0, 4, hashes.__getitem__)),
                ("too long", leaves[0], 0, 4, (*tree.inclusion_proof(0, 4, hashes.__getitem__), hashes[0])),
                ("too short", leaves[0], 0, 4, tree.inclusion_proof(0, 4, hashes.__getitem__)[:-1]),
                ("index outside", leaves[0], 4, 4, tree.inclusion_proof(0, 4, hashes.__getitem__)),
                ("empty tree", leaves[0], 0, 0, ()),
                ("a node passed for a leaf", hashes[0] + hashes[1], 0, 2, (tree.node_hash(hashes[2], hashes[3]),)),
                ("the node's own bytes", node, 0, 1, ()),
            ]
        ],
    )

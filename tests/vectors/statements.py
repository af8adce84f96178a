# SPDX-License-Identifier: Apache-2.0
"""Vectors of the directory: each kind of statement, a whole log, and statements that it must refuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keys.directory import Directory
from keys.signing import DeviceSigner, Ed25519Signer, HybridSigner, sign_head, sign_statement
from keys.xwing import XWingSecret
from protocol.limits import AGENCY_LIFE, PREKEY_EPOCH_STEP, STATEMENT_LAG
from protocol.receipts import Head, encode_signed, parse_head
from protocol.restoration import Kept, Restoration
from protocol.rows import sha256
from protocol.statements import (
    Body,
    Device,
    Prekey,
    Revocation,
    StatementSignature,
    encode_statement,
    parse_statement,
)
from tests.keys.world import (
    APPROVERS,
    DAY,
    DIRECTORY_KEY,
    DOMAIN,
    NOW,
    ROOT_PERSONS,
    Member,
    authority_subject,
    body,
    device_of,
    identity,
    member,
    prison,
    probation,
    root_subject,
    seed,
)
from tests.vectors.cases import (
    Document,
    Json,
    Recording,
    apply_edits,
    bad,
    checked,
    document,
    error_of,
    good,
    plain,
    spoilt_lists,
    spoilt_maps,
)


@dataclass
class VectorLog:
    """The log of the vectors, and the two agencies in it."""

    directory: Directory
    names: list[str]
    raw: dict[str, bytes]
    prison: Member
    probation: Member


def _same_body(meant: Body, signers: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Tell whether bytes are the statement of `meant`; a device's proof is random and cannot be compared."""

    def same(raw: bytes) -> bool:
        parsed = parse_statement(raw)
        return _without_proof(parsed.body) == _without_proof(meant) and [
            one.signer for one in parsed.signatures
        ] == list(signers)

    return same


def _without_proof(one: Body) -> Body:
    return replace(one, subject=replace(one.subject, proof=(b"", b""))) if isinstance(one.subject, Device) else one


def build_log(recording: Recording) -> VectorLog:
    """Return the log: root, authority, and for each of two agencies itself, its device, delegation and prekey."""
    root = body(root_subject(), issued=NOW - 30 * DAY, life=3650 * DAY)
    raw = {"root": _keep(recording, "root", root, ROOT_PERSONS[:2])}
    directory = Directory(parse_statement(raw["root"]).digest, DOMAIN)
    log = VectorLog(directory, [], {}, prison(), probation())

    def add(name: str, one: Body, signers: Sequence[HybridSigner | DeviceSigner]) -> bytes:
        data = _keep(recording, name, one, signers)
        directory.apply(data)
        log.names.append(name)
        log.raw[name] = data
        return data

    add("root", root, ROOT_PERSONS[:2])
    add("authority", body(authority_subject(), issued=NOW - 30 * DAY, life=730 * DAY), ROOT_PERSONS[1:])
    for short, one in (("prison", log.prison), ("probation", log.probation)):
        agency = body(one.agency_subject(), issued=NOW - 2 * DAY, begin=NOW - 20 * DAY, life=365 * DAY)
        add(f"{short} agency", agency, APPROVERS[:2])
        add(f"{short} device", body(one.device_subject(), issued=NOW - 2 * DAY, begin=NOW - 10 * DAY), [one.identity])
        permit = body(one.delegation_subject(), issued=NOW - 2 * DAY, begin=NOW - 10 * DAY)
        delegation = add(f"{short} delegation", permit, [one.identity])
        one.delegation = parse_statement(delegation).digest
        add(f"{short} prekey", body(one.prekey_subject(1), issued=NOW - DAY), [one.device])
    return log


def _keep(recording: Recording, name: str, one: Body, signers: Sequence[HybridSigner | DeviceSigner]) -> bytes:
    same = _same_body(one, [signer.key_id for signer in signers])
    return recording.keep("statement", name, lambda: sign_statement(one, signers), same)


def build(recording: Recording, log: VectorLog) -> list[Document]:
    """Return the documents of this module."""
    revocation = _keep(
        recording,
        "prison device revocation",
        body(Revocation(log.prison.device.key_id, "key-compromise"), issued=NOW),
        [log.prison.identity],
    )
    renewal = _keep(
        recording,
        "prison device renewal",
        body(log.prison.device_subject(), issued=NOW, life=90 * DAY),
        [log.prison.identity],
    )
    kept = Kept(log.directory.size, log.directory.root, log.directory.size, log.directory.root)
    audit = Kept(40, sha256(b"kept"), 47, sha256(b"known"))
    restoration = body(Restoration(DOMAIN, 1, kept, audit), issued=NOW)
    statements = {
        **log.raw,
        "prison device revocation": revocation,
        "prison device renewal": renewal,
        "restoration": _keep(recording, "restoration", restoration, APPROVERS[:2]),
    }
    return [_statements(statements), _log(recording, log, revocation, renewal), _heads(log)]


def _statements(statements: dict[str, bytes]) -> Document:
    cases = []
    for name, raw in statements.items():
        parsed = parse_statement(raw)
        case = good(name, raw, {"body": parsed.body, "digest": parsed.digest})
        cases.append({**case, "value": {**case["value"], "signers": plain([s.signer for s in parsed.signatures])}})
    broken: list[Json] = []
    for name in (
        "root",
        "authority",
        "prison agency",
        "prison device",
        "prison delegation",
        "prison prekey",
        "prison device revocation",
        "restoration",
    ):
        broken += _broken_statement(name, statements[name])
    return document(
        "statement",
        "Statements of each kind. `value` has the body with its kind's subject, the body's SHA-256 and the signers.",
        "DIR-1 GEN-2 CBOR-7",
        good=cases,
        bad=broken,
    )


def _broken_statement(name: str, raw: bytes) -> list[Json]:
    """Return bad cases of one statement: the outer list, the body's map, and the subject's map inside it."""
    parsed = parse_statement(raw)
    base = (name, raw)
    cases = [{**case, "name": f"{name}, {case['name']}"} for case in spoilt_lists(base, parse_statement)]
    first = parsed.signatures[0]
    others: dict[str, bytes] = {
        "no signature": encode_statement(parsed.body_bytes, []),
        "a signer twice": encode_statement(parsed.body_bytes, [*parsed.signatures, first]),
        "Ed25519 signature cut short": encode_statement(
            parsed.body_bytes, [StatementSignature(first.signer, first.ed25519[:-1], first.mldsa65)]
        ),
        "ends before it begins": encode_statement(
            replace(parsed.body, not_after=parsed.body.not_before).encode(), parsed.signatures
        ),
    }
    cases += [
        checked(f"{name}, {why}", "malformed-envelope", base, data, parse_statement) for why, data in others.items()
    ]
    return cases


def _log(recording: Recording, log: VectorLog, revocation: bytes, renewal: bytes) -> Document:
    refused: list[Json] = []
    for name, one, signers, error in _refusals(log):
        same = _same_body(one, [signer.key_id for signer in signers])
        raw = recording.keep("directory", name, lambda one=one, signers=signers: sign_statement(one, signers), same)  # type: ignore[misc]
        if error_of(lambda raw=raw: log.directory.check(raw)) != error:  # type: ignore[misc]
            raise AssertionError(name)
        refused.append({"name": name, "bytes": raw.hex(), "error": error})
    after, other = (Directory(log.directory.root_fingerprint, DOMAIN) for _ in range(2))
    for name in log.names:
        after.apply(log.raw[name])
        other.apply(log.raw[name])
    other.apply(renewal)
    after.apply(revocation)
    if error_of(lambda: after.check(renewal)) != "revoked":
        raise AssertionError("a revoked device was renewed")
    return document(
        "directory",
        "`statements` names good cases of statement.json in the order of the log. `roots[n]` is the tree's root over "
        "the first n. Each of `good` is a well-formed statement that the log must refuse next, with `error`. After the "
        "last, the statement `then` is accepted and gives the root `then_root`. In place of `then` the statement "
        "`renewal` is accepted and gives `renewal_root`; after `then` it is refused as revoked.",
        "DIR-1 DIR-2 DIR-3 DIR-4 DIR-5 DIR-6 DIR-7 DIR-8 DIR-14 DIR-15 DIR-17 AUD-2",
        domain=DOMAIN,
        root_fingerprint=log.directory.root_fingerprint.hex(),
        statements=log.names,
        roots=[plain(log.directory.root_at(size)) for size in range(log.directory.size + 1)],
        good=refused,
        then="prison device revocation",
        then_root=after.root.hex(),
        renewal="prison device renewal",
        renewal_root=other.root.hex(),
    )


def _refusals(log: VectorLog) -> list[tuple[str, Body, list[HybridSigner | DeviceSigner], str]]:
    one, other = log.prison, log.probation
    ghost = body(one.device_subject(device_of("vector ghost")), issued=NOW)
    stolen = Device(other.address, one.device.public, ("intake",), one.device_subject().proof)
    fresh = member("new-agency", "ngo", ("intake", "ngo"))
    foreign = member("new-agency", "ngo", ("intake", "ngo"), domain="other.example")
    low = Prekey(one.device.key_id, 1, XWingSecret(seed("vector low epoch")).public)
    next_prekey = Prekey(one.device.key_id, 2, XWingSecret(seed("vector next")).public)
    leap = Prekey(one.device.key_id, 2 + PREKEY_EPOCH_STEP, XWingSecret(seed("vector leap")).public)
    late = body(fresh.agency_subject(), issued=log.directory.time - STATEMENT_LAG - 1)
    eternal = body(fresh.agency_subject(), issued=NOW, life=AGENCY_LIFE + 1)
    long = body(one.device_subject(device_of("vector long")), issued=NOW, life=90 * DAY + 1)
    desk = body(one.device_subject(device_of("vector desk"), ("intake",)), issued=NOW)
    return [
        ("ghost device signed by another agency", ghost, [other.identity], "untrusted-key"),
        ("another agency's device key", body(stolen, issued=NOW), [other.identity], "untrusted-key"),
        ("device for over 90 days", long, [one.identity], "untrusted-key"),
        ("device renewed by itself", body(one.device_subject(), issued=NOW), [one.device], "untrusted-key"),
        ("device renewed by another agency", body(one.device_subject(), issued=NOW), [other.identity], "untrusted-key"),
        ("device for a desk of another agency", desk, [one.identity], "untrusted-key"),
        ("agency by one approver", body(fresh.agency_subject(), issued=NOW), [APPROVERS[0]], "untrusted-key"),
        ("agency of another domain", body(foreign.agency_subject(), issued=NOW), [*APPROVERS], "untrusted-key"),
        ("agency dated over seven days before the log's time", late, [*APPROVERS], "untrusted-key"),
        ("agency for over 732 days", eternal, [*APPROVERS], "untrusted-key"),
        ("prekey of an epoch over 1,000 above the last", body(leap, issued=NOW), [one.device], "untrusted-key"),
        ("prekey of an epoch that was used", body(low, issued=NOW), [one.device], "untrusted-key"),
        ("prekey signed by another device", body(next_prekey, issued=NOW), [other.device], "untrusted-key"),
        (
            "root of the old threshold only",
            body(root_subject(2, _new_persons()), issued=NOW, life=3650 * DAY),
            [*ROOT_PERSONS[:2]],
            "directory-inconsistent",
        ),
        (
            "root of the new threshold only",
            body(root_subject(2, _new_persons()), issued=NOW, life=3650 * DAY),
            [*_new_persons()[1:]],
            "directory-inconsistent",
        ),
        (
            "root of a version that was left behind",
            body(root_subject(1), issued=NOW),
            [*ROOT_PERSONS],
            "directory-inconsistent",
        ),
        (
            "revocation by a stranger",
            body(Revocation(one.device.key_id, "key-compromise"), issued=NOW),
            [other.identity],
            "untrusted-key",
        ),
        (
            "revocation of nothing",
            body(Revocation(seed("nothing"), "key-compromise"), issued=NOW),
            [one.identity],
            "untrusted-key",
        ),
    ]


def _new_persons() -> list[HybridSigner]:
    return [ROOT_PERSONS[0], identity("vector person 1"), identity("vector person 2")]


def _heads(log: VectorLog) -> Document:
    head = Head(log.directory.origin, log.directory.size, log.directory.root, NOW)
    raw = sign_head(head, DIRECTORY_KEY)
    base = ("head", raw)
    other = sign_head(head, Ed25519Signer.from_seed(seed("another log")))
    return document(
        "head",
        "A signed head of the log in directory.json, by the Ed25519 key `key`. `unbelieved` heads are well-formed, but "
        "not of this log.",
        "DIR-10 DIR-13",
        key=DIRECTORY_KEY.public.hex(),
        origin=log.directory.origin,
        good=[good("head", raw, {"head": head})],
        bad=[*spoilt_lists(base, parse_head), *_spoilt_inside(base, head)],
        unbelieved=[
            bad("another log's key", "directory-inconsistent", base, other),
            bad(
                "the audit log's origin",
                "directory-inconsistent",
                base,
                sign_head(replace(head, origin=f"{DOMAIN}/audit"), DIRECTORY_KEY),
            ),
            bad("a flipped bit", "directory-inconsistent", base, raw[:-1] + bytes([raw[-1] ^ 1])),
        ],
    )


def _spoilt_inside(base: tuple[str, bytes], head: Head) -> list[Json]:
    """Return the bad cases of the body inside, wrapped as the head is."""
    signature = parse_head(base[1]).signature
    inner = ("body", head.encode())
    cases = []
    for case in spoilt_maps(inner, Head.parse):
        target = encode_signed(apply_edits(inner[1], case["edits"]), signature)
        cases.append(checked(f"body, {case['name']}", case["error"], base, target, parse_head))
    return cases

# SPDX-License-Identifier: Apache-2.0
"""What a statement does, in plain words: shown to each person of an authority before their key is asked for (ENR-11).

Everything told here is of the very statement that is signed then, and of the verified directory that it changes;
nothing is by the word of the person before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.authority.office import Office
from connectors.authority.turns import Quorum, body_of
from keys.directory import AgencyEntry, DeviceEntry, Directory
from keys.entries import Certificate
from protocol.address import desk_name
from protocol.http.fields import format_time
from protocol.identities import DeviceKey, IdentityKey
from protocol.ids import KeyId
from protocol.statements import Agency, Authority, Root, UnverifiedStatement

_AT_ONCE = 8
"""Digits of a fingerprint that stand together."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The first device of an agency that enrols, which asked with the agency's keys."""

    key: DeviceKey
    desks: tuple[str, ...]


def told_agency(
    directory: Directory, agency: Agency, now: int, *, begun_at: int | None = None, newcomer: Newcomer | None = None
) -> Iterator[str]:
    """Yield what the statement of an agency does: what it says, and what it replaces.

    `now` is in ms UTC, and so is `begun_at`, when another began it, if it is gone on with; `newcomer` its first device.
    """
    line = directory.agency_line(agency.address)
    yield f"This vouches for {agency.address}, {agency.name} (kind: {agency.agency_kind})."
    yield from _change(line, agency, now)
    yield from _desks(line[-1] if line else None, agency)
    yield f"    identity  {fingerprint(agency.identity.key_id)}"
    if newcomer is not None:
        yield f"    device    {fingerprint(newcomer.key.key_id)}, for {', '.join(newcomer.desks)}"
        yield "              It asked with these keys. The agency certifies it itself, and may certify others."
    yield from _living(directory, agency, now, replaced=newcomer is not None)
    yield from _payload_types(line[-1] if line else None, agency)
    yield _validity(agency, now if begun_at is None else begun_at)


def _change(line: Sequence[AgencyEntry], agency: Agency, now: int) -> Iterator[str]:
    if not line:
        yield "    change    NEW: the directory holds no agency of this name"
        return
    last = line[-1]
    if last.identity == agency.identity:
        yield f"    change    the SAME keys anew: {_standing(last, now)} so far"
    else:
        yield f"    change    OTHER KEYS for an agency that is there: those it has are {_standing(last, now)}"
        yield f"    replaces  {fingerprint(last.identity.key_id)}"
    if last.name != agency.name:
        yield f"              It was called {last.name}."
    if last.agency_kind != agency.agency_kind:
        yield f"              It was of another kind: {last.agency_kind}."


def _desks(last: AgencyEntry | None, agency: Agency) -> Iterator[str]:
    before = {} if last is None else dict(last.desks)
    for desk, function in agency.desks:
        note = ""
        if last is not None and desk not in before:
            note = ", a NEW desk"
        elif last is not None and before[desk] != function:
            note = f", which had the function {before[desk]}"
        yield f"    desk      {desk}, function {function}{note}"
    for desk in sorted(before.keys() - dict(agency.desks).keys()):
        yield f"    no more   desk {desk}, function {before[desk]}"


def _living(directory: Directory, agency: Agency, now: int, *, replaced: bool) -> Iterator[str]:
    for device in directory.devices_of(agency.address):
        if device.superseded_at is None and directory.counts(device.key_id, now):
            what = "counts until another serves its desks, it ends, or it is revoked" if replaced else "goes on"
            yield f"    device    {told_device(device)}: {what}"


def _payload_types(last: AgencyEntry | None, agency: Agency) -> Iterator[str]:
    before = frozenset(() if last is None else last.payload_types)
    yield f"    may send  {len(agency.payload_types)} types of messages, all that this version knows"
    for name, listed in (
        ("also", frozenset(agency.payload_types) - before if before else frozenset()),
        ("no more", before - frozenset(agency.payload_types)),
    ):
        if listed:
            yield f"    {name:8}  {', '.join(sorted(listed))}"


def told_authority(directory: Directory, authority: Authority, now: int, begun_at: int | None) -> Iterator[str]:
    """Yield what a newer statement of the authority does."""
    last = directory.authority(authority.domain)
    yield f"This vouches for the authority of {authority.jurisdiction}, over addresses that end in @{authority.domain}."
    if last is not None:
        if last.identities != authority.identities:
            yield "    change    ANOTHER APPROVER in the place of one who leaves"
        yield f"    change    the authority's statement anew: {_standing(last, now)} so far"
    yield from _people("approver", authority.identities, () if last is None else last.identities)
    yield f"    quorum    {authority.threshold} of them sign each agency"
    yield _validity(authority, now if begun_at is None else begun_at)


def told_root(directory: Directory, root: Root, now: int, begun_at: int | None) -> Iterator[str]:
    """Yield what the next version of the root does."""
    last = directory.newest_root()
    yield f"This is version {root.version} of the root of {root.programme}. The root fingerprint stays as it is."
    if last is not None:
        if last.identities != root.identities:
            yield "    change    ANOTHER PERSON in the place of one who leaves"
        yield f"    change    the root anew: version {last.version} is {_standing(last, now)} so far"
    yield from _people("person", root.identities, () if last is None else last.identities)
    yield f"    quorum    {root.threshold} of them sign authorities and the next root"
    yield _validity(root, now if begun_at is None else begun_at)


def _people(role: str, identities: Sequence[IdentityKey], before: Sequence[IdentityKey]) -> Iterator[str]:
    for number, identity in enumerate(identities, start=1):
        new = ", a NEW person" if before and identity not in before else ""
        yield f"    {role:8}  {number}: {fingerprint(identity.key_id)}{new}"
    for number, identity in enumerate(before, start=1):
        if identity not in identities:
            yield f"    no more   {number}: {fingerprint(identity.key_id)}"


def told_signatures(
    office: Office, quorum: Quorum, begun: UnverifiedStatement | None, ending: str = "The last one publishes it."
) -> Iterator[str]:
    """Yield who has signed this very statement so far, how many must, and what follows (`ending`)."""
    known = office.facts.root_persons
    role = "person"
    if quorum.identities and quorum.identities[0].key_id in office.facts.approvers:
        known, role = office.facts.approvers, "approver"
    if begun is not None:
        signed = [one.signer for one in begun.signatures]
        names = [str(known.index(one) + 1) for one in signed if one in known]
        who = [f"{role} {', '.join(names)}"] if names else []
        if quorum.newcomer is not None and quorum.newcomer.key_id in signed:
            who.append("the newcomer")
        yield f"Signed so far by {' and '.join(who)}, begun on {_day(begun.body.issued)}."
    also = " and the newcomer" if quorum.newcomer is not None else ""
    yield f"{quorum.threshold}{also} must sign, one after another. {ending}"


def told_device(device: DeviceEntry) -> str:
    """Return which device it is, for which desks, until when."""
    desks = ", ".join(desk_name(desk) for desk in device.desks)
    return f"{device.key_id.hex()[:16]}, for {desks}, certified until {_day(device.not_after)}"


def fingerprint(key_id: KeyId) -> str:
    """Return a whole key id in groups, as people compare it."""
    digits = key_id.hex()
    return " ".join(digits[at : at + _AT_ONCE] for at in range(0, len(digits), _AT_ONCE))


def _validity(subject: Agency | Authority | Root, issued: int) -> str:
    body = body_of(subject, issued)
    return f"    counts    from {_day(body.not_before)} until {_day(body.not_after)}"


def _standing(entry: Certificate, now: int) -> str:
    if entry.revoked_index is not None:
        return "revoked"
    return f"{'in force' if entry.covers(now) else 'ended'}, until {_day(entry.not_after)}"


def _day(at: int) -> str:
    return format_time(at)[:10]

# SPDX-License-Identifier: Apache-2.0
"""The authority's folder: who may sign, under which root, for which hub.

office.json                 public facts, written by `create_office` and `Office.connect`
root.statement              the first statement of the directory log; its digest is the root fingerprint
authority.statement         the second
keys/root-1.key …           one sealed file for each person, to be taken to that person
keys/approver-1.key …       likewise
codes/AGENCY.code           a code that is out, mode 0600; deleted when its agency is approved
approvals/AGENCY.statement  an agency's statement that still lacks signatures
agencies/AGENCY.statement   one that is complete
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from keys.privatefile import read_private, write_private
from keys.sealedfile import SMALL, KdfParams, open_file, seal_file
from keys.signing import HybridSigner, sign_statement
from protocol.address import parse_agency
from protocol.enrolment import EnrolmentCode, LogAnchor, parse_code
from protocol.errors import ConfigurationError, Conflict, KeystoreError, NotFound
from protocol.http.fields import Bytes32, KeyIdText
from protocol.identities import IdentityKey
from protocol.limits import CLOCK_SKEW, DAY
from protocol.statements import Authority, Body, Root, parse_statement

ROOT_LIFE: Final = 3_652 * DAY
AUTHORITY_LIFE: Final = 1_826 * DAY
AUTHORITY_THRESHOLD: Final = 2
"""DIR-2: an agency is never vouched for by one person alone."""
MAX_PERSONS: Final = 10

_FACTS = "office.json"
_MAX_FILE = 256 * 1024
_SEED = 32

PassphraseOf = Callable[[str], bytes]
"""Gives the passphrase of a person's key: `root-1`, `approver-2`."""


class Log(BaseModel):
    """A log of the hub, as the hub's operator gave it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    origin: str
    key: KeyIdText


class HubFacts(BaseModel):
    """What `throughcare-hub init` wrote for the authority: where the hub is and how its logs are known."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    domain: str
    url: str
    directory: Log
    audit: Log


class OfficeFacts(BaseModel):
    """The public facts of an authority."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    programme: str
    jurisdiction: str
    domain: str
    root_fingerprint: Bytes32
    root_persons: tuple[KeyIdText, ...]
    approvers: tuple[KeyIdText, ...]
    threshold: int
    hub: HubFacts | None = None


@dataclass(frozen=True, slots=True)
class Office:
    """An authority's folder and its facts."""

    folder: Path
    facts: OfficeFacts

    @property
    def hub(self) -> HubFacts:
        """The hub that was connected; `ConfigurationError` before that."""
        if self.facts.hub is None:
            raise ConfigurationError("This authority knows no hub yet. Type `throughcare authority publish` first.")
        return self.facts.hub

    def statements(self) -> tuple[bytes, bytes]:
        """Return root and authority statement: the beginning of the directory log."""
        return (self.folder / "root.statement").read_bytes(), (self.folder / "authority.statement").read_bytes()

    def approver_keys(self) -> tuple[IdentityKey, ...]:
        """Return the approvers' public keys, from the authority's statement; `ConfigurationError` if it has none."""
        subject = parse_statement(self.statements()[1]).body.subject
        if not isinstance(subject, Authority):
            raise ConfigurationError("authority.statement is damaged. Restore it from a copy.")
        return subject.identities

    def connect(self, hub: HubFacts) -> "Office":
        """Return the office with its hub on record; `ConfigurationError` for a hub of another domain."""
        if hub.domain != self.facts.domain:
            raise ConfigurationError(f"This authority was made for the hub domain {self.facts.domain}, not another.")
        office = Office(self.folder, self.facts.model_copy(update={"hub": hub}))
        office.write_facts()
        return office

    def write_facts(self) -> None:
        """Write `office.json`."""
        write_private(self.folder / _FACTS, self.facts.model_dump_json(indent=2).encode() + b"\n")

    def approver(self, number: int, passphrase: bytes, key_file: Path | None = None) -> HybridSigner:
        """Return approver `number` (from 1), opened with the passphrase.

        Raises `NotFound` for a number nobody has and `KeystoreError` for a wrong passphrase, or a key that
        is not the one in the authority's statement.
        """
        if not 1 <= number <= len(self.facts.approvers):
            raise NotFound(f"This authority has approvers 1 to {len(self.facts.approvers)}.")
        name = f"approver-{number}"
        signer = open_signer(key_file or self.key_file(name), name, passphrase)
        if signer.public.key_id != self.facts.approvers[number - 1]:
            raise KeystoreError("The key file belongs to another approver or another authority.")
        return signer

    def key_file(self, name: str) -> Path:
        """Return where the key of `root-1` or `approver-1` was put."""
        return self.folder / "keys" / f"{name}.key"

    def code_file(self, agency: str) -> Path:
        """Return where the code of the agency (name or address) is kept while it is out."""
        return self.folder / "codes" / f"{agency.partition('@')[0]}.code"

    def approval_file(self, agency: str) -> Path:
        """Return where the agency's statement waits for more signatures."""
        return self.folder / "approvals" / f"{agency.partition('@')[0]}.statement"

    def agency_file(self, agency: str) -> Path:
        """Return where the agency's complete statement is kept."""
        return self.folder / "agencies" / f"{agency.partition('@')[0]}.statement"

    def code(self, agency: str) -> EnrolmentCode:
        """Return the code that is out for an agency; `NotFound` if there is none."""
        path = self.code_file(agency)
        if not path.exists():
            raise NotFound("No enrolment code is out for that agency. Type `throughcare authority show` for a list.")
        return parse_code(read_private(path, _MAX_FILE, "code file").decode("ascii", errors="replace"))

    def codes(self) -> Iterator[EnrolmentCode]:
        """Yield the codes that are out, by agency."""
        for path in sorted((self.folder / "codes").glob("*.code")):
            yield self.code(path.stem)

    def anchors(self, directory_size: int) -> tuple[LogAnchor, LogAnchor]:
        """Return what a newcomer pins of the directory log and the audit log (ENR-1)."""
        hub = self.hub
        return (
            LogAnchor(hub.directory.origin, hub.directory.key, directory_size),
            LogAnchor(hub.audit.origin, hub.audit.key, 0),
        )


def create_office(
    folder: Path,
    *,
    programme: str,
    jurisdiction: str,
    domain: str,
    root_persons: int,
    approvers: int,
    passphrase_of: PassphraseOf,
    now: int,
    params: KdfParams = SMALL,
) -> Office:
    """Make a programme's root and one authority under it, with a sealed key file for each person.

    The root is signed by its own persons and the authority by the root (DIR-2). Raises `Conflict` if the
    folder holds an authority already, and `ConfigurationError` for numbers of persons out of bounds.
    """
    if (folder / _FACTS).exists():
        raise Conflict("This folder holds an authority already; its keys are never overwritten.")
    if not (1 <= root_persons <= MAX_PERSONS and AUTHORITY_THRESHOLD <= approvers <= MAX_PERSONS):
        raise ConfigurationError(f"A root has 1 to {MAX_PERSONS} persons, an authority 2 to {MAX_PERSONS} approvers.")
    parse_agency(f"a@{domain}")  # the domain must be one that addresses can end in (ID-2)
    for name in ("keys", "codes", "approvals", "agencies"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    root_signers = [_new_signer(folder, f"root-{n}", passphrase_of, params) for n in range(1, root_persons + 1)]
    approver_signers = [_new_signer(folder, f"approver-{n}", passphrase_of, params) for n in range(1, approvers + 1)]
    root = Root(
        version=1,
        threshold=min(AUTHORITY_THRESHOLD, root_persons),
        identities=tuple(signer.public for signer in root_signers),
        programme=programme,
    )
    authority = Authority(
        jurisdiction=jurisdiction,
        threshold=AUTHORITY_THRESHOLD,
        identities=tuple(signer.public for signer in approver_signers),
        domain=domain,
    )
    begin = now - CLOCK_SKEW
    root_raw = sign_statement(Body(now, begin, now + ROOT_LIFE, root), root_signers[: root.threshold])
    authority_raw = sign_statement(Body(now, begin, now + AUTHORITY_LIFE, authority), root_signers[: root.threshold])
    write_private(folder / "root.statement", root_raw)
    write_private(folder / "authority.statement", authority_raw)
    facts = OfficeFacts(
        programme=programme,
        jurisdiction=jurisdiction,
        domain=domain,
        root_fingerprint=parse_statement(root_raw).digest,
        root_persons=tuple(signer.public.key_id for signer in root_signers),
        approvers=tuple(signer.public.key_id for signer in approver_signers),
        threshold=authority.threshold,
    )
    office = Office(folder, facts)
    office.write_facts()
    return office


def open_office(folder: Path) -> Office:
    """Return the authority in `folder`; `ConfigurationError` if there is none or its facts are damaged."""
    path = folder / _FACTS
    if not path.exists():
        raise ConfigurationError("This folder holds no authority. Type `throughcare authority init` first.")
    try:
        return Office(folder, OfficeFacts.model_validate_json(read_private(path, _MAX_FILE, "file")))
    except ValidationError as error:
        raise ConfigurationError(f"{_FACTS} is damaged. Restore it from a copy.") from error


def read_hub_facts(path: Path) -> HubFacts:
    """Return what the hub's operator gave; `ConfigurationError` if the file is not that."""
    try:
        return HubFacts.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError("The file is not a hub-public.json as `throughcare-hub init` writes it.") from error


def open_signer(path: Path, purpose: str, passphrase: bytes) -> HybridSigner:
    """Return the signer sealed in `path`, or raise `KeystoreError` (KEY-5)."""
    seeds = open_file(path, purpose, passphrase)
    if len(seeds) != 2 * _SEED:
        raise KeystoreError
    return HybridSigner.from_seeds(seeds[:_SEED], seeds[_SEED:])


def _new_signer(folder: Path, name: str, passphrase_of: PassphraseOf, params: KdfParams) -> HybridSigner:
    seeds = secrets.token_bytes(2 * _SEED)
    seal_file(folder / "keys" / f"{name}.key", name, seeds, passphrase_of(name), params)
    return HybridSigner.from_seeds(seeds[:_SEED], seeds[_SEED:])

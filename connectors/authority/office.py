# SPDX-License-Identifier: Apache-2.0
"""The authority's folder: who may sign, under which root, for which hub.

office.json                   public facts, written by `create_office` and `Office.connect`
root.statement                the first statement of the directory log; its digest is the root fingerprint
root-2.statement …            the root's later versions
authority.statement           the authority's newest statement
keys/root-1.key …             one sealed file for each person, to be taken to that person
keys/approver-1.key …         likewise
codes/AGENCY.code             a code that is out, mode 0600; deleted when its agency is approved
approvals/AGENCY.statement    an agency's statement that still lacks signatures
agencies/AGENCY.statement     one that is complete
renewals/NAME.statement       a newer statement of an agency, the authority or the root that still lacks signatures
exchanges/PLACE.statement     the authority's, or the root's, with a newcomer in that place, that still lacks signatures
revocations/KEYID.statement   the revocation of an agency or a device; kept when it is complete
restorations/NUMBER.statement what a restored hub may go on with
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.authority.turns import Quorum
from keys.directory import Directory
from keys.privatefile import read_private, write_private
from keys.rootorder import in_order
from keys.sealedfile import open_file
from keys.signing import HybridSigner
from protocol.address import AgencyAddress, parse_agency
from protocol.enrolment import EnrolmentCode, LogAnchor, parse_code
from protocol.errors import (
    ConfigurationError,
    DirectoryInconsistent,
    KeystoreError,
    MalformedEnvelope,
    NotFound,
)
from protocol.http.fields import Bytes32, KeyIdText
from protocol.statements import Agency, Authority, Root, parse_statement

AUTHORITY_THRESHOLD: Final = 2
"""DIR-2: an agency is never vouched for by one person alone."""
MAX_PERSONS: Final = 10
PERSONS: Final = tuple(f"{role}-{number}" for role in ("approver", "root") for number in range(1, MAX_PERSONS + 1))
"""Whose keys there can be: each is sealed for its owner's name."""

FACTS_NAME: Final = "office.json"
_MAX_FILE = 256 * 1024
_SEED = 32


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


class Seen(BaseModel):
    """The newest directory that the hub showed to this authority."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    generation: int
    size: int
    root: Bytes32


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
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Office:
    """An authority's folder and its facts."""

    folder: Path
    facts: OfficeFacts

    @property
    def hub(self) -> HubFacts:
        """The hub that was connected; `ConfigurationError` before that."""
        if self.facts.hub is None:
            raise ConfigurationError("This authority knows no hub yet: nothing of it was published.")
        return self.facts.hub

    def statements(self) -> tuple[bytes, ...]:
        """Return all versions of the root and the authority's newest statement, in the order of a directory.

        The first of them begins the log.
        """
        return in_order(file.read_bytes() for file in self.statement_files())

    def statement_files(self) -> tuple[Path, ...]:
        """Return where the folder keeps the statements of root and authority."""
        return (self.root_file(1), *self.folder.glob("root-*.statement"), self.authority_file)

    @property
    def quorum(self) -> Quorum:
        """The approvers, from the authority's statement; `ConfigurationError` if that is none."""
        subject = parse_statement(self.authority_file.read_bytes()).body.subject
        if not isinstance(subject, Authority):
            raise ConfigurationError("authority.statement is damaged. Restore it from a copy.")
        return Quorum(subject.identities, max(subject.threshold, AUTHORITY_THRESHOLD))

    @property
    def authority_file(self) -> Path:
        """Where the authority's newest statement is kept."""
        return self.folder / "authority.statement"

    def root_file(self, version: int) -> Path:
        """Return where a version of the root is kept."""
        return self.folder / ("root.statement" if version == 1 else f"root-{version}.statement")

    def address_of(self, agency: str) -> AgencyAddress:
        """Return the address of an agency given by its name or its address; `InvalidInput` if it is neither."""
        return parse_agency(agency if "@" in agency else f"{agency}@{self.facts.domain}")

    def connect(self, hub: HubFacts) -> "Office":
        """Return the office with its hub on record; `ConfigurationError` for a hub of another domain."""
        if hub.domain != self.facts.domain:
            raise ConfigurationError(f"This authority was made for the hub domain {self.facts.domain}, not another.")
        office = Office(self.folder, self.facts.model_copy(update={"hub": hub}))
        office.write_facts()
        return office

    def check_shown(self, directory: Directory) -> OfficeFacts:
        """Return the facts as they are now; `DirectoryInconsistent` for a directory older or other than was seen.

        A hub could have approvers sign by what was true once: renew keys that others have replaced, say (ENR-10). What
        a restore has lost, this authority has signed itself (GEN-2).
        """
        facts = open_office(self.folder).facts
        new = Seen(generation=directory.generation, size=directory.size, root=directory.root)
        seen = facts.seen or new
        if new.generation < seen.generation or (
            new.generation == seen.generation and directory.root_at(seen.size) != seen.root
        ):
            raise DirectoryInconsistent(
                "The hub shows an older or another directory than it showed to this authority before. Nothing was "
                "signed."
            )
        return facts

    def take_note(self, directory: Directory) -> "Office":
        """Remember the directory that the hub shows, so that it never shows an older one, or another; as `check_shown`.

        Returns the office with the people that the directory names: a command never says who they are (ENR-14).
        """
        facts = self.check_shown(directory)
        new = Seen(generation=directory.generation, size=directory.size, root=directory.root)
        update: dict[str, object] = {"seen": new}
        root, authority = directory.newest_root(), directory.authority(facts.domain)
        if root is not None:
            update["root_persons"] = tuple(one.key_id for one in root.identities)
        if authority is not None:
            update["approvers"] = tuple(one.key_id for one in authority.identities)
        office = Office(self.folder, facts.model_copy(update=update))
        if office.facts != facts:
            office.write_facts()
        return office

    def write_facts(self) -> None:
        """Write `office.json`."""
        write_private(self.folder / FACTS_NAME, self.facts.model_dump_json(indent=2).encode() + b"\n")

    def check_approver(self, number: int) -> None:
        """Raise `NotFound` for a number (from 1) that no approver has; how many there are never changes (ENR-13)."""
        if not 1 <= number <= len(self.facts.approvers):
            raise NotFound(f"This authority has approvers 1 to {len(self.facts.approvers)}.")

    def approver(self, number: int, passphrase: bytes, key_file: Path | None = None) -> HybridSigner:
        """Return approver `number` (from 1), opened with the passphrase.

        Raises `NotFound` for a number nobody has and `KeystoreError` for a wrong passphrase, or a key that
        is not the one in the authority's statement.
        """
        self.check_approver(number)
        return self._person(f"approver-{number}", self.facts.approvers[number - 1], passphrase, key_file)

    def root_person(self, number: int, passphrase: bytes, key_file: Path | None = None) -> HybridSigner:
        """Return person `number` (from 1) of the root; raises what `approver` raises."""
        if not 1 <= number <= len(self.facts.root_persons):
            raise NotFound(f"This root has persons 1 to {len(self.facts.root_persons)}.")
        return self._person(f"root-{number}", self.facts.root_persons[number - 1], passphrase, key_file)

    def _person(self, name: str, key_id: bytes, passphrase: bytes, key_file: Path | None) -> HybridSigner:
        signer = open_signer(key_file or self.key_file(name), name, passphrase, self.facts.root_fingerprint)
        if signer.public.key_id != key_id:
            raise KeystoreError("The key file belongs to another person or another authority.")
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

    def renewal_file(self, subject: Root | Authority | Agency) -> Path:
        """Return where a newer statement waits for more signatures."""
        match subject:
            case Agency():
                name = f"agency-{subject.address.partition('@')[0]}"
            case Authority():
                name = "authority"
            case _:
                name = "root"
        return self._made("renewals") / f"{name}.statement"

    def exchange_file(self, place: str) -> Path:
        """Return where a statement with a newcomer in `place` (`approver-2`) waits for more signatures."""
        return self._made("exchanges") / f"{place}.statement"

    def revocation_file(self, target: bytes) -> Path:
        """Return where the revocation of a key id is kept, while it lacks signatures and afterwards."""
        return self._made("revocations") / f"{target.hex()}.statement"

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

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

    def begun(self) -> Iterator[str]:
        """Yield which statements lie here and lack signatures, as `approvals/reka-probation`.

        Only counted; whoever signs next checks every signature (ENR-7).
        """
        approvers, persons = self.quorum.threshold, min(AUTHORITY_THRESHOLD, len(self.facts.root_persons))
        for name in ("approvals", "renewals", "exchanges", "revocations"):
            for path in sorted((self.folder / name).glob("*.statement")):
                try:
                    statement = parse_statement(read_private(path, _MAX_FILE, "file"))
                except (KeystoreError, MalformedEnvelope):
                    continue
                by_root = isinstance(statement.body.subject, Root | Authority)
                needed = persons if by_root else approvers
                if name == "exchanges" and isinstance(statement.body.subject, Root):
                    needed += 1  # the newcomer's (ENR-13)
                if len(statement.signatures) < needed:
                    yield f"{name}/{path.stem}"

    def anchors(self, directory_size: int) -> tuple[LogAnchor, LogAnchor]:
        """Return what a newcomer pins of the directory log and the audit log (ENR-1)."""
        hub = self.hub
        return (
            LogAnchor(hub.directory.origin, hub.directory.key, directory_size),
            LogAnchor(hub.audit.origin, hub.audit.key, 0),
        )


def open_office(folder: Path) -> Office:
    """Return the authority in `folder`; `ConfigurationError` if there is none or its facts are damaged."""
    path = folder / FACTS_NAME
    if not path.exists():
        raise ConfigurationError("This folder holds no authority. Type `throughcare authority init` first.")
    try:
        return Office(folder, OfficeFacts.model_validate_json(read_private(path, _MAX_FILE, "file")))
    except ValidationError as error:
        raise ConfigurationError(f"{FACTS_NAME} is damaged. Restore it from a copy.") from error


def read_hub_facts(path: Path) -> HubFacts:
    """Return what the hub's operator gave; `ConfigurationError` if the file is not that."""
    try:
        return HubFacts.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError("The file is not a hub-public.json as `throughcare-hub init` writes it.") from error


def open_signer(path: Path, purpose: str, passphrase: bytes, root_fingerprint: bytes) -> HybridSigner:
    """Return the signer sealed in `path`, or raise `KeystoreError` (KEY-5), also for a key of another root (ENR-9)."""
    sealed = open_file(path, purpose, passphrase)
    if len(sealed) not in (2 * _SEED, 3 * _SEED):
        raise KeystoreError
    # Keys of before November 2026 name no root.
    if sealed[2 * _SEED :] not in (b"", root_fingerprint):
        error = KeystoreError(
            "The key was made for another root fingerprint than this folder's: somebody may have exchanged the folder. "
            "Nothing was signed."
        )
        error.add_note("next: compare the root fingerprint that throughcare authority show prints with your own record")
        raise error
    return HybridSigner.from_seeds(sealed[:_SEED], sealed[_SEED : 2 * _SEED])

# SPDX-License-Identifier: Apache-2.0
"""The newcomer's side of enrolment: make keys, ask, compare words, and finish when the authority has signed.

An application survives interruption. Its keys are in the keystore before anything is sent, and the key
request is kept as the bytes that were sent, so that a second start asks for nothing new. Only the last step
writes `enrolment.json`; before that no connector starts here (DIR-4).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors import installation as places
from connectors.enrolment.pins import Pins, check_hub, replay
from connectors.enrolment.publication import Publication, make_publication, renew_publication
from connectors.hub_client import HubClient
from connectors.installation import Enrolment, LogIdentity
from keys.directory import Directory
from keys.folderowner import make_folder
from keys.keystore import Keystore
from keys.privatefile import read_private, remove_private, sync_folder, write_private
from keys.sealedfile import CONNECTOR, KdfParams
from keys.signing import DeviceSigner, HybridSigner, device_proof
from keys.words import fingerprint_words
from protocol import labels
from protocol.address import desk_of, domain_of
from protocol.enrolment import EnrolmentCode, KeyRequest, parse_code, request_mac
from protocol.errors import ConfigurationError, Conflict, EnrolmentRefused
from protocol.http.fields import Base64UrlBytes
from protocol.identities import identity_proof_message
from protocol.ids import KeyId

APPLICATION_FILE: Final = "application.json"
_MAX_FILE = 512 * 1024
_STORAGE_KEY_SIZE = 32
_AGENCY_NAMES = (places.AGENCY_ED25519, places.AGENCY_MLDSA65)
_DEVICE_NAMES = (places.DEVICE_ED25519, places.DEVICE_MLDSA65, places.DEVICE_TRANSPORT)
_NAMES = (*_AGENCY_NAMES, *_DEVICE_NAMES, places.STORAGE)


class _Saved(BaseModel):
    """What is kept of an application between two starts; it holds the code's secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    code: str = Field(repr=False)
    request: Base64UrlBytes = Field(repr=False)
    publication: Publication | None = Field(default=None, repr=False)
    looked: bool = False
    """Whether the directory was looked at before anything was handed in."""
    replaces: Base64UrlBytes | None = None
    """The key id of the identity that the agency had then; None for an agency that is new."""


@dataclass(frozen=True, slots=True)
class Application:
    """A newcomer's keys, its code and the key request made of both."""

    data_dir: Path
    code: EnrolmentCode = field(repr=False)
    request: bytes = field(repr=False)
    keystore: Keystore = field(repr=False)
    agency: HybridSigner = field(repr=False)
    device: DeviceSigner = field(repr=False)

    @property
    def words(self) -> tuple[str, ...]:
        """The 8 words to read to the approvers (ENR-4)."""
        return fingerprint_words(self.request)

    async def hand_in(self, hub: HubClient, now: int) -> None:
        """Check that the hub is the one the code pins, then hand in the key request.

        The same request may be handed in again. Raises `EnrolmentRefused` for another hub, before anything
        is sent, and for a code that is unknown, used, expired or not for this agency (ENR-2).
        """
        await check_hub(hub, Pins.of(self.code))
        await self._note_what_it_replaces(hub, now)
        mac = request_mac(self.code.secret, self.request)
        await hub.redeem_code(self.code.code_id, self.request, mac, self.code.proof)

    async def certificate(self, hub: HubClient, now: int) -> Directory | None:
        """Return the verified directory once it holds this agency's certificate, None before that.

        An agency that enrols anew has a certificate already, until the new one is signed: that counts as none.
        Raises `EnrolmentRefused` if the authority vouched for other keys or desks than those asked for.
        """
        directory = await replay(hub, Pins.of(self.code))
        entry = directory.agency(self.code.terms.agency, now)
        if entry is None or entry.identity.key_id == _read(self.data_dir).replaces:
            return None
        if (entry.identity, entry.desks) != (self.agency.public, self.code.terms.desks):
            raise EnrolmentRefused(
                "The authority vouched for other keys than those made here. Call it: somebody may have enrolled "
                "in this agency's name."
            )
        return directory

    async def complete(self, hub: HubClient, now: int, officers: Sequence[str] = ()) -> Enrolment:
        """Publish device, delegations and first prekey, and write the enrolment, once `certificate` found one.

        `officers` are the titles (never the names) of people who may act for the agency.
        """
        publication = self._publication(now, officers, await replay(hub, Pins.of(self.code)))
        for raw in publication.statements:
            await hub.submit_statement(raw)
        directory = await replay(hub, Pins.of(self.code))
        code, agency = self.code, self.code.terms.agency
        enrolment = Enrolment(
            hub_url=code.hub_url,
            domain=domain_of(agency),
            root_fingerprint=KeyId(code.root_fingerprint),
            directory=LogIdentity(origin=code.directory.origin, key=code.directory.key, minimum_size=directory.size),
            audit=LogIdentity(origin=code.audit.origin, key=code.audit.key, minimum_size=code.audit.size),
            agency=agency,
            desks=tuple(desk_of(desk, agency) for desk, _ in code.terms.desks),
            device_key_id=self.device.key_id,
            actors=publication.actors,
        )
        places.write_enrolment(self.data_dir, enrolment)
        remove_private(self.data_dir / APPLICATION_FILE)
        return enrolment

    async def _note_what_it_replaces(self, hub: HubClient, now: int) -> None:
        """Remember the identity that the agency has before anything is handed in; whatever comes after is judged."""
        saved = _read(self.data_dir)
        if saved.looked:
            return
        entry = (await replay(hub, Pins.of(self.code))).agency(self.code.terms.agency, now)
        replaces = None if entry is None else entry.identity.key_id
        _write(self.data_dir, saved.model_copy(update={"looked": True, "replaces": replaces}))

    def _publication(self, now: int, officers: Sequence[str], directory: Directory) -> Publication:
        """Return what was made before an interruption, fresh enough for the log, or make it now."""
        saved = _read(self.data_dir)
        if saved.publication is not None:

            def stands(raw: bytes) -> bool:
                return directory.index_of(raw) is not None

            made = renew_publication(saved.publication, stands, self.agency, self.device, now=now)
        else:
            made = make_publication(
                self.code.terms, self.agency, self.device, self.keystore, officers=officers, now=now
            )
        _write(self.data_dir, saved.model_copy(update={"publication": made}))
        return made


def begin(code: EnrolmentCode, data_dir: Path, passphrase: bytes, params: KdfParams = CONNECTOR) -> Application:
    """Make the agency's and the device's keys in `data_dir` and the key request under `code` (ENR-3).

    Where it was cut off before anything was sent, it goes on with the keys that were made. Raises `Conflict` if the
    folder holds an enrolment or an application already.
    """
    taken = (places.ENROLMENT_FILE, places.RESTORATION_FILE)
    if any((data_dir / name).exists() for name in taken) or is_begun(data_dir):
        raise Conflict("This folder holds an enrolment already; its keys are never overwritten.")
    make_folder(data_dir, parents=True, exist_ok=True)
    keystore = _keystore(data_dir / places.KEYSTORE_FOLDER, passphrase, params)
    made = keystore.names()
    seeds = HybridSigner.generate().seeds + DeviceSigner.generate().seeds + (secrets.token_bytes(_STORAGE_KEY_SIZE),)
    for name, seed in zip(_NAMES, seeds, strict=True):
        if name not in made:
            keystore.put(name, name, seed)
    agency, device = places.agency_signer(keystore), places.device_signer(keystore)
    request = key_request(code, agency, device)
    _write(data_dir, _Saved(code=code.text(), request=request))
    sync_folder(data_dir.absolute().parent)  # no power cut takes away what is about to be sent
    return Application(data_dir, code, request, keystore, agency, device)


def _keystore(folder: Path, passphrase: bytes, params: KdfParams) -> Keystore:
    """Make the keystore, or open one in which no more was made than before anything is sent."""
    if not Keystore.is_made(folder):
        return Keystore.create(folder, passphrase, params)
    keystore = Keystore.open(folder, passphrase)
    if not set(keystore.names()) <= set(_NAMES):
        raise Conflict("There is a keystore here already, of an enrolment; it is never overwritten.")
    return keystore


def resume(data_dir: Path, passphrase: bytes) -> Application:
    """Return the application that `begin` left in `data_dir`; `ConfigurationError` if there is none to go on with."""
    if not is_begun(data_dir):
        raise ConfigurationError("This folder holds no application. Type `throughcare enrol --code-file FILE` first.")
    saved = _read(data_dir)
    keystore = Keystore.open(data_dir / places.KEYSTORE_FOLDER, passphrase)
    agency = places.agency_signer(keystore)
    device = places.device_signer(keystore)
    return Application(data_dir, parse_code(saved.code), saved.request, keystore, agency, device)


def is_begun(data_dir: Path) -> bool:
    """Tell whether an application is under way in `data_dir`."""
    return (data_dir / APPLICATION_FILE).exists()


def _read(data_dir: Path) -> _Saved:
    try:
        return _Saved.model_validate_json(read_private(data_dir / APPLICATION_FILE, _MAX_FILE, "file"))
    except ValidationError as error:
        raise ConfigurationError(f"{APPLICATION_FILE} is damaged. Enrol into a new folder with a new code.") from error


def _write(data_dir: Path, saved: _Saved) -> None:
    write_private(data_dir / APPLICATION_FILE, saved.model_dump_json().encode())


def key_request(code: EnrolmentCode, agency: HybridSigner, device: DeviceSigner) -> bytes:
    """Return the key request under `code`, with a proof that its maker holds each key (ENR-3)."""
    address = code.terms.agency
    message = identity_proof_message(code.code_id, address, agency.public)
    return KeyRequest(
        code_id=code.code_id,
        agency=address,
        identity=agency.public,
        device=device.public,
        identity_proof=agency.sign(labels.IDENTITY_PROOF, message),
        device_proof=device_proof(address, device),
        desks=tuple(desk for desk, _ in code.terms.desks),
    ).encode()

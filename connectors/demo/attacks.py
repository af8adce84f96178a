# SPDX-License-Identifier: Apache-2.0
"""Three things that must fail, done against the running hub: tampering, replaying, coming uninvited.

The attacker has more than any real one would: the sending device's own keys.
"""

import json
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass

import aiohttp

from connectors.demo.telling import WentWrong
from connectors.enrolment.application import key_request
from connectors.enrolment.pins import Pins, replay
from connectors.enrolment.visit import now_ms
from connectors.hub_client import HubClient
from connectors.installation import Enrolment, Installation, LogIdentity
from keys.directory import Directory
from keys.sealing import MessageDraft, Recipient, SectionDraft, choose_prekey, seal
from keys.signing import DeviceSigner, HybridSigner
from protocol.address import DeskAddress, agency_of, desk_name
from protocol.clearance import AgencyKind, DeskFunction
from protocol.enrolment import EnrolmentCode, EnrolmentTerms, LogAnchor, request_mac
from protocol.errors import ThroughcareError
from protocol.http.calling import Outgoing, signed
from protocol.http.hub import READ_MAILBOX
from protocol.ids import EnvelopeId, MessageId, ThreadId, new_id
from protocol.limits import DAY
from protocol.rows import EnvelopeClass

_OK, _UNAUTHORISED = 200, 401


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the hub refused: its error's code."""

    code: str


async def tampered(session: aiohttp.ClientSession, hub_url: str, sender: Installation, to: DeskAddress) -> Refusal:
    """Seal an envelope with the sender's own keys, change one bit of its last section, submit it (attack 16)."""
    hub = HubClient(session, hub_url, now_ms, sender.device)
    envelope = _sealed(await _directory(hub, sender.enrolment), sender, to)
    signature = 64 + 2  # the sender's signature stands last, with two bytes of CBOR before it
    at = len(envelope) - signature - 100
    return await _refused(hub.submit_envelope(envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]))


async def replayed(session: aiohttp.ClientSession, hub_url: str, victim: Installation) -> Refusal:
    """Record a signed request that reads the victim's mailbox, and send exactly the same again (HTTP-2)."""
    url = f"{hub_url}{READ_MAILBOX.path}?cursor=0"
    authorize = signed(victim.device.key_id, victim.device.transport.sign_raw, now_ms)
    headers = authorize(Outgoing("GET", url, None, b""))
    async with session.get(url, headers=headers) as response:
        first = response.status
    async with session.get(url, headers=headers) as response:
        second, problem = response.status, await response.read()
    if (first, second) != (_OK, _UNAUTHORISED):
        raise WentWrong(f"the recorded request was answered with {first} and then {second}")
    return Refusal(json.loads(problem)["code"])


async def stranger(session: aiohttp.ClientSession, hub_url: str, like: Installation, to: DeskAddress) -> list[Refusal]:
    """Come with keys that nobody vouched for: submit an envelope, read mail, invent an enrolment code."""
    nobody = DeviceSigner.generate()
    hub = HubClient(session, hub_url, now_ms, nobody)
    disguised = Installation(like.enrolment, nobody, like.keystore, like.storage_key)
    envelope = _sealed(await _directory(hub, like.enrolment), disguised, to)
    code = _invented_code(like.enrolment)
    request = key_request(code, HybridSigner.generate(), nobody)
    return [
        await _refused(hub.submit_envelope(envelope)),
        await _refused(hub.read_mailbox(0, wait_s=0)),
        await _refused(hub.redeem_code(code.code_id, request, request_mac(code.secret, request), code.proof)),
    ]


def _invented_code(enrolment: Enrolment) -> EnrolmentCode:
    """Return a code that is right in everything but that no authority ever made it (attack 59)."""
    return EnrolmentCode(
        secret=secrets.token_bytes(16),
        root_fingerprint=enrolment.root_fingerprint,
        hub_url=enrolment.hub_url,
        directory=_anchor(enrolment.directory),
        audit=_anchor(enrolment.audit),
        terms=EnrolmentTerms(
            agency=enrolment.agency,
            agency_kind=AgencyKind.PRISON,
            desks=((desk_name(enrolment.desks[0]), DeskFunction.PRISON_RELEASE),),
            expires=now_ms() + DAY,
        ),
        name="Nobody",
    )


def _anchor(log: LogIdentity) -> LogAnchor:
    return LogAnchor(log.origin, log.key, log.minimum_size)


async def _refused(attempt: Awaitable[object]) -> Refusal:
    try:
        await attempt
    except ThroughcareError as error:
        return Refusal(error.code)
    raise WentWrong("the hub accepted what it must refuse")


async def _directory(hub: HubClient, enrolment: Enrolment) -> Directory:
    logs = (_anchor(enrolment.directory), _anchor(enrolment.audit))
    return await replay(hub, Pins(enrolment.domain, enrolment.root_fingerprint, *logs))


def _sealed(directory: Directory, sender: Installation, to: DeskAddress) -> bytes:
    """Return an envelope of one section as the sender's connector would make it."""
    now = now_ms()
    choice = choose_prekey(directory, to, now)
    desk = sender.enrolment.desks[0]
    draft = MessageDraft(
        sender_desk=desk,
        agency=agency_of(desk),
        klass=EnvelopeClass.REFERRAL,
        message_id=MessageId(new_id()),
        thread=ThreadId(new_id()),
        after=(),
        expires=now + DAY,
        payload_type="handover.offer",
        payload_version=1,
        payload=b"{}",
        label="standard",
        sections=(SectionDraft("identity", "first-contact", "standard", b"{}"),),
        actor=sender.enrolment.actor(None),
    )
    recipient = Recipient(
        desk=to,
        device_id=choice.device.key_id,
        prekey_epoch=choice.prekey.epoch,
        prekey_public=choice.prekey.public,
        sections=(1,),
        seq=1,
        previous=None,
    )
    at = (directory.size, directory.root)
    return seal(draft, [recipient], sender.device, at, now=now, envelope_id=EnvelopeId(new_id()))

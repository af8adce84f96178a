# SPDX-License-Identifier: Apache-2.0
"""What a new agency signs with its own keys: its device, who may act through it, and the first prekey.

Made once and kept as bytes before anything is published: whoever is interrupted publishes the same bytes
again, which has no second effect (an epoch of prekeys never comes twice, DIR-8). Only what the log would
refuse as too old is signed anew.
"""

from collections.abc import Callable, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from connectors import installation as places
from connectors.installation import ActorName, ActorRecord
from connectors.officers import DELEGATION_LIFE
from keys.keystore import Keystore
from keys.signing import DeviceSigner, HybridSigner, device_proof, sign_statement
from keys.xwing import XWingSecret
from protocol import limits
from protocol.enrolment import EnrolmentTerms
from protocol.http.fields import Base64UrlBytes
from protocol.ids import KeyId, OfficerId, new_id
from protocol.limits import CLOCK_SKEW, DAY
from protocol.sections import ActorKind
from protocol.statements import Body, Delegation, Device, Prekey, Subject, parse_statement

SERVICE_TITLE: Final = "connector service"
FIRST_EPOCH: Final = 1
PUBLISHED_WITHIN: Final = 3 * DAY
"""After which what the log lacks is signed anew before it is published."""


class Publication(BaseModel):
    """Signed statements in the order in which they are published, and the actors that they delegate to."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    statements: tuple[Base64UrlBytes, ...]
    actors: tuple[ActorRecord, ...]


def make_publication(
    terms: EnrolmentTerms,
    agency: HybridSigner,
    device: DeviceSigner,
    keystore: Keystore,
    *,
    officers: Sequence[str],
    now: int,
) -> Publication:
    """Sign device, delegations (the service account, then one for each title of `officers`) and first prekey.

    The prekey's seed is in the keystore before its statement exists.
    """
    desks = tuple(desk for desk, _ in terms.desks)
    certificate = Device(terms.agency, device.public, desks, device_proof(terms.agency, device))
    statements = [_signed(now, limits.DEVICE_LIFE, certificate, agency)]
    actors = []
    for kind, title in [(ActorName.SERVICE, SERVICE_TITLE), *((ActorName.OFFICER, title) for title in officers)]:
        officer = OfficerId(new_id())
        actor_kind = ActorKind.OFFICER if kind is ActorName.OFFICER else ActorKind.SERVICE
        delegation = Delegation(terms.agency, officer, actor_kind, title, desks)
        raw = _signed(now, DELEGATION_LIFE, delegation, agency)
        digest = KeyId(parse_statement(raw).digest)
        statements.append(raw)
        actors.append(ActorRecord(officer_id=officer, kind=kind, name=title, delegation=digest))
    secret = _first_prekey(keystore)
    prekey = Prekey(device.key_id, FIRST_EPOCH, secret.public)
    statements.append(_signed(now, limits.DEVICE_LIFE, prekey, device))
    return Publication(statements=tuple(statements), actors=tuple(actors))


def _first_prekey(keystore: Keystore) -> XWingSecret:
    """Return the secret of the first prekey: what lies there, where the writing was cut off just after it."""
    name = places.prekey_name(FIRST_EPOCH)
    if name in keystore.names():
        return XWingSecret(keystore.get(name, places.PREKEY_PURPOSE))
    secret = XWingSecret.generate()
    keystore.put(name, places.PREKEY_PURPOSE, secret.seed)
    return secret


def renew_publication(
    publication: Publication, stands: Callable[[bytes], bool], agency: HybridSigner, device: DeviceSigner, *, now: int
) -> Publication:
    """Return `publication` with what is too old for the log, or dated ahead, signed anew, and its actors' delegations.

    `stands` tells whether the log holds a statement already; such a one stays as it is.
    """
    statements, renewed = [], dict[bytes, KeyId]()
    for raw in publication.statements:
        old = parse_statement(raw)
        # What is dated ahead was signed while this machine's clock was; the log takes it only when that time has come.
        if 0 <= now - old.body.issued < PUBLISHED_WITHIN or stands(raw):
            statements.append(raw)
            continue
        signer = device if isinstance(old.body.subject, Prekey) else agency
        made = _signed(now, old.body.not_after - old.body.not_before, old.body.subject, signer)
        statements.append(made)
        renewed[old.digest] = KeyId(parse_statement(made).digest)
    actors = tuple(
        actor.model_copy(update={"delegation": renewed.get(actor.delegation, actor.delegation)})
        for actor in publication.actors
    )
    return Publication(statements=tuple(statements), actors=actors)


def _signed(now: int, life: int, subject: Subject, signer: HybridSigner | DeviceSigner) -> bytes:
    """Sign `subject` as valid for `life` ms from a little before now, for clocks that are a little behind ours."""
    begin = now - CLOCK_SKEW
    return sign_statement(Body(now, begin, begin + life, subject), [signer])

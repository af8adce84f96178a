# SPDX-License-Identifier: Apache-2.0
"""Makes the parts of a connector and gives each the two or three things that it needs.

Nothing here runs by itself: `app` runs the parts in loops, a test calls them step by step with a clock of its own.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from connectors.admission import Admission, PayloadForm
from connectors.asking import Asking
from connectors.attachment_files import AttachmentFiles
from connectors.attachments import Attachments
from connectors.calendars import Calendars
from connectors.cases.api import ThreadApi
from connectors.cases.casebook import Casebook
from connectors.cases.clockwork import Clockwork
from connectors.cases.composing import Composing
from connectors.cases.drafts import Drafts
from connectors.cases.forms import composers as kind_composers
from connectors.cases.forms import forms as kind_forms
from connectors.cases.hearing import Hearing
from connectors.cases.listing import Listing
from connectors.cases.messages import Messages
from connectors.cases.moving import Moving
from connectors.cases.onward import Onward
from connectors.cases.register import Register
from connectors.cases.releasing import Releasing
from connectors.cases.threads import Threads
from connectors.composition import Composer, NoSections
from connectors.config import ConnectorSection, check_hub_url
from connectors.connection import Connection
from connectors.directory_sync import DirectorySync, Pinned
from connectors.feed import Feed
from connectors.fhir.drafting import FhirDrafts
from connectors.fhir.services import Services
from connectors.handover_form import HANDOVER_FORM, HandoverComposer
from connectors.handovers import Handovers
from connectors.hub_client import BlobLink, HubClient, HubLink
from connectors.inbox import Inbox, OwnDevice
from connectors.installation import Enrolment, Installation
from connectors.logs import Log
from connectors.metrics import Metrics
from connectors.newcomers import Newcomers
from connectors.officers import Officers, service_id
from connectors.outbox import Outbox, PinnedLog
from connectors.overview import Overview
from connectors.owing import Owing
from connectors.pauses import Pauses
from connectors.predecessor import Predecessor
from connectors.prekeys import Prekeys
from connectors.printing.prints import Prints, Views
from connectors.receipts import (
    CANNOT_OPEN,
    FORK,
    GIVEN_UP,
    MISSING,
    OPENED,
    VERSION,
    read_forked,
    read_given_up,
    read_report,
    read_wanted,
)
from connectors.renewal import Renewal
from connectors.renumbering import Renumbering
from connectors.resealing import Resealing
from connectors.sealer import Sealer
from connectors.store.engine import Store
from connectors.timing import Chance, Clock, system_chance
from connectors.tokens import Tokens
from connectors.transfers import Answering, Downloads, Uploads
from connectors.troubles import TroubledLink, TroubleFile
from connectors.webhooks.courier import Courier
from connectors.webhooks.service import Webhooks
from connectors.webhooks.settings import WebhooksSection
from keys.opening import VerifiedMessage
from protocol.address import AgencyAddress
from protocol.clockwatch import ClockWatch, machine_time
from protocol.errors import ConfigurationError
from protocol.handover import PAYLOAD_TYPE
from protocol.limits import DAY
from protocol.rows import EnvelopeClass


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that works in a connector. `work` is set when there is something to seal or to send."""

    agency: AgencyAddress
    store: Store
    client: HubClient
    connection: Connection
    directory: DirectorySync
    resealing: Resealing
    sealer: Sealer
    outbox: Outbox
    inbox: Inbox
    asking: Asking
    owing: Owing
    prekeys: Prekeys
    renewal: Renewal
    handovers: Handovers
    moving: Moving
    clockwork: Clockwork
    hearing: Hearing
    pauses: Pauses
    thread_api: ThreadApi
    threads: Threads
    overview: Overview
    metrics: Metrics
    attachments: Attachments
    uploads: Uploads
    downloads: Downloads
    courier: Courier
    tokens: Tokens
    prints: Prints
    work: asyncio.Event


def hub_url(settings: ConnectorSection, enrolment: Enrolment) -> str:
    """Return where the hub is, checked against the profile; and check the pinned root once more (DIR-4)."""
    pinned = settings.root_fingerprint
    if pinned is not None and bytes.fromhex(pinned) != enrolment.root_fingerprint:
        raise ConfigurationError(
            "connector.root_fingerprint is not the one that enrolment pinned. Ask the authority which is right."
        )
    return check_hub_url(settings.profile, settings.hub_url or enrolment.hub_url)


def make_parts(
    settings: ConnectorSection,
    installation: Installation,
    store: Store,
    session: aiohttp.ClientSession,
    clock: Clock,
    log: Log,
    *,
    calendars: Calendars | None = None,
    chance: Chance = system_chance,
    elapsed: Clock = machine_time,
    webhooks: WebhooksSection | None = None,
    services: Services | None = None,
) -> Parts:
    """Return the parts of a connector over an opened store, not yet loaded.

    Without `calendars` weekends are free; `chance` spreads its pauses (CON-2); `elapsed` counts ms whatever the clock
    does (CON-23); without `webhooks` nobody is told of events; `services` say which code of a FHIR bundle is which
    service of ours, and which there are.
    """
    enrolment, device = installation.enrolment, installation.device
    told = webhooks or WebhooksSection()
    base = hub_url(settings, enrolment)
    work = asyncio.Event()
    client = HubClient(session, base, clock, device)
    audit = PinnedLog(enrolment.audit.origin, enrolment.audit.key)
    directory = DirectorySync(store, client, _pinned(enrolment), clock, log, ClockWatch(clock, elapsed))
    message_life = settings.message_days * DAY
    officers = Officers(enrolment, lambda: directory.directory, clock)
    calendar = (calendars or Calendars()).of
    register = Register(enrolment.agency)
    threads = Threads(
        enrolment.agency,
        enrolment.actor(None),
        calendar,
        register,
        directory.time,
        log,
        notice_life=message_life,
        # The other side knows the round that a timer's id is made from; it must not take that id beforehand.
        secret=hashlib.sha256(b"tc/1 timer secret\0" + installation.storage_key).digest(),
    )
    predecessor = Predecessor(directory, device.key_id)
    resealing = Resealing(store, directory, audit, predecessor, threads, clock, log)
    owing = Owing(store, enrolment.actor(None), predecessor, threads, directory.time, log, message_life=message_life)
    renumbering = Renumbering(predecessor, threads, clock, log)
    composers: dict[str, Composer] = {
        **kind_composers(),
        PAYLOAD_TYPE: HandoverComposer(),
        OPENED: NoSections(),
        CANNOT_OPEN: NoSections(),
        MISSING: NoSections(),
        GIVEN_UP: NoSections(),
        FORK: NoSections(),
    }
    prekeys = Prekeys(
        store,
        installation.keystore,
        device,
        lambda: directory.directory,
        clock,
        log,
        sound=lambda: directory.clock_is_sound,
        wake=directory.wanted.set,
    )
    own = OwnDevice(device.key_id, enrolment.desks, enrolment.actor(None))
    connection = Connection(
        session,
        base,
        enrolment.domain,
        device,
        clock,
        log,
        websocket=settings.websocket,
        poll_wait_s=settings.poll_wait_s,
        shape=_shape(settings, log),
    )
    files = AttachmentFiles(settings.data_dir)
    blobs = BlobLink(session, base, clock, device)
    outbox = Outbox(store, audit, directory, threads, clock, log, chance=chance)
    newcomers = Newcomers(directory, officers, clock)
    composing = Composing(directory, enrolment, officers, newcomers, directory.time, message_life=message_life)
    moving = Moving(store, composing, threads, clock, work.set)
    handovers = Handovers(
        store, directory, enrolment, officers, newcomers, threads, directory.time, work.set, message_life=message_life
    )
    drafts = Drafts(store, composing, moving, clock, work.set, services or {})
    hearing = Hearing(store, calendar, clock, log)
    casebook = Casebook(store, enrolment.agency, calendar, hearing, clock)
    listing = Listing(store, threads, clock)
    messages = Messages(store, composing, threads, Releasing(moving, threads, clock), hearing, clock, work.set)
    return Parts(
        agency=enrolment.agency,
        store=store,
        client=client,
        connection=connection,
        directory=directory,
        resealing=resealing,
        sealer=Sealer(
            store, directory, device, officers, composers, settings.envelope_days * DAY, clock, log, chance=chance
        ),
        outbox=outbox,
        inbox=Inbox(
            store,
            directory,
            own,
            prekeys.secret,
            audit,
            Admission(enrolment.desks, FORMS),
            resealing,
            owing,
            renumbering,
            threads,
            directory.time,
            log,
            receipt_life=message_life,
        ),
        owing=owing,
        asking=Asking(store, own.service, clock, log, receipt_life=message_life, chance=chance),
        prekeys=prekeys,
        renewal=Renewal(installation.keystore, device, service_id(enrolment), lambda: directory.directory, clock, log),
        handovers=handovers,
        threads=threads,
        moving=moving,
        thread_api=ThreadApi(
            moving,
            listing,
            casebook,
            drafts,
            messages,
            Onward(store, composing, moving, clock, work.set),
            Feed(store, enrolment.agency),
            Webhooks(store, told.urls, clock),
            FhirDrafts(services or {}, drafts.keep_import),
            services or {},
        ),
        clockwork=Clockwork(store, threads, moving, directory, clock, log),
        hearing=hearing,
        pauses=Pauses(store, directory, clock, log),
        overview=Overview(
            store, directory, connection, enrolment, officers, clock, zone=calendar(enrolment.agency).zone
        ),
        metrics=Metrics(store, directory, connection, enrolment, settings.data_dir, clock),
        attachments=Attachments(store, files, clock),
        uploads=Uploads(store, files, blobs, outbox, clock, log, chance=chance),
        downloads=Downloads(
            store, files, blobs, Answering(own.service, message_life), threads, clock, log, chance=chance
        ),
        tokens=Tokens(store, clock, enrolment.desks),
        prints=Prints(
            store,
            Views(casebook, listing, messages, handovers),
            lambda: directory.directory,
            clock,
            zone=calendar(enrolment.agency).zone,
            spoken=settings.print_language,
        ),
        courier=Courier(store, enrolment.agency, told, clock, log),
        work=work,
    )


def _pinned(enrolment: Enrolment) -> Pinned:
    log = enrolment.directory
    return Pinned(enrolment.root_fingerprint, enrolment.domain, log.origin, log.key, log.minimum_size)


def _check_receipt(message: VerifiedMessage) -> None:
    read_report(message.payload)


def _check_wanted(message: VerifiedMessage) -> None:
    read_wanted(message.payload)


def _check_given_up(message: VerifiedMessage) -> None:
    read_given_up(message.payload)


def _check_forked(message: VerifiedMessage) -> None:
    read_forked(message.payload)


FORMS = (
    HANDOVER_FORM,
    *kind_forms(),
    PayloadForm(OPENED, VERSION, EnvelopeClass.RECEIPT, _check_receipt),
    PayloadForm(CANNOT_OPEN, VERSION, EnvelopeClass.RECEIPT, _check_receipt),
    PayloadForm(MISSING, VERSION, EnvelopeClass.RECEIPT, _check_wanted),
    PayloadForm(GIVEN_UP, VERSION, EnvelopeClass.RECEIPT, _check_given_up),
    PayloadForm(FORK, VERSION, EnvelopeClass.RECEIPT, _check_forked),
)
"""Every payload that this connector understands."""


def _shape(settings: ConnectorSection, log: Log) -> Callable[[HubLink], HubLink]:
    """Return what puts a demo's troubles around each link to the hub."""
    if settings.faults_file is None:
        return lambda link: link
    troubles = TroubleFile(settings.faults_file, tell=lambda: log.event("faults-unreadable"))
    return lambda link: TroubledLink(link, troubles)

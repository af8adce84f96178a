# SPDX-License-Identifier: Apache-2.0
"""Turns what somebody here wants to say into a message that can be stored, and says who gets what of it."""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from connectors.bound import Desks, sender
from connectors.cases.forms import SectionComposer, source_of, stored_sections
from connectors.cases.threads import LABEL
from connectors.composition import compose
from connectors.directory_sync import DirectorySync
from connectors.installation import Enrolment
from connectors.newcomers import Newcomers
from connectors.officers import Officers
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.timing import Clock
from protocol import ids
from protocol.address import DeskAddress
from protocol.clearance import DeskFunction
from protocol.content import Content, encode_payload
from protocol.errors import InvalidInput, NothingToSend, PolicyDenied, RecipientUnavailable
from protocol.handover import PackageSection, WithheldReason, share_of
from protocol.http.problems import FieldError, InvalidFields, invalid_fields
from protocol.ids import Kind, MessageId, OfficerId, ThreadId
from protocol.kinds.alerting import NEVER_HALF
from protocol.kinds.base import MessageKind

FIELDS: Final = "/fields"
"""Where in every request that says something the fields of the message stand."""
MAX_FIELDS: Final = 16_384
"""Bytes of the fields of a message as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What somebody here says.

    `fields` are the kind's own fields as JSON gives them; what every kind has (version, subject, time) is filled in.
    `sections` are the words and records that go along. `officer` acts; None is the service account.
    """

    fields: Mapping[str, Any]
    sections: Sequence[PackageSection] = ()
    officer: OfficerId | None = None
    message_id: MessageId | None = None


DEPUTY: Final = "deputy"
"""The field of a referral that names who answers questions while the acting officer is away."""


def named_in(fields: Mapping[str, Any], field: str = "officer") -> OfficerId | None:
    """Return whom a field names; None for nobody, and for what is no id: that the kind's form finds."""
    named = fields.get(field)
    if isinstance(named, str):
        with contextlib.suppress(InvalidInput):
            return OfficerId(ids.raw(Kind.OFFICER, named))
    return None


class Composing:
    """Makes messages of ours. Nothing is stored here."""

    def __init__(
        self,
        directory: DirectorySync,
        enrolment: Enrolment,
        officers: Officers,
        newcomers: Newcomers,
        clock: Clock,
        *,
        message_life: int,
    ) -> None:
        """`message_life` in ms."""
        self._directory = directory
        self._enrolment = enrolment
        self._officers = officers
        self.learn_of = newcomers.learn_of
        self._clock = clock
        self._message_life = message_life

    def check_named(self, officer: OfficerId | None, field: str = "officer") -> None:
        """Raise `InvalidFields` unless the `officer` whom a field names may act here now (LIF-8); None is nobody."""
        if officer is None:
            return
        try:
            self._officers.actor(officer)
        except InvalidInput as error:
            raise InvalidFields([FieldError(f"{FIELDS}/{field}", "not-allowed")], error.detail) from None

    def own_desk(self, wanted: DeskAddress | None, to: Collection[DeskAddress], desks: Desks = None) -> DeskAddress:
        """Return which desk of ours writes to `to`; `InvalidInput` for one that is not ours or writes to itself.

        It is one of `desks`, where the caller is bound to some.
        """
        own = sender(desks, wanted, self._enrolment.desks)
        if own is None:
            raise InvalidInput("The sending desk is not one of this connector's.")
        if own in to or len(set(to)) != len(to):
            raise InvalidInput("A desk cannot write to itself, nor twice to the same desk at once.")
        return own

    def message(
        self,
        kind: MessageKind,
        thread: ThreadId,
        own: DeskAddress,
        subject: str,
        said: Said,
        numbers: Mapping[str, str] | None = None,
    ) -> OutgoingMessage:
        """Return the message of `kind` that says this; `numbers` are those of both registers, as far as they are known.

        `InvalidInput` names fields, `PolicyDenied` what may not go.
        """
        now = self._clock()
        agency = self._directory.directory.agency(self._enrolment.agency, now)
        if agency is not None and kind.name not in agency.payload_types:
            raise PolicyDenied("This agency's certificate does not allow it to send messages of this kind.")
        if kind.klass.bare and said.sections:
            raise InvalidInput("A notice has no sections.")
        return OutgoingMessage(
            message_id=said.message_id or MessageId(ids.new_id()),
            thread=thread,
            klass=kind.klass,
            sender_desk=own,
            payload_type=kind.name,
            payload_version=kind.version,
            label=LABEL,
            actor=self._officers.actor(said.officer),
            created_at=now,
            deadline=now + self._message_life,
            payload=encode_payload(_payload(kind, subject, now, _numbered(said.fields, numbers or {}))),
            source=source_of(said.sections) if said.sections else b"",
        )

    def lacking(self, kind: MessageKind, fields: Mapping[str, Any]) -> tuple[FieldError, ...]:
        """Return what of `fields` is missing, or has not the form that `kind` asks for."""
        try:
            _payload(kind, ids.text(Kind.SUBJECT, bytes(ids.ID_SIZE)), self._clock(), fields)
        except InvalidFields as error:
            return error.fields
        except InvalidInput:
            return (FieldError(FIELDS, "too-long"),)
        return ()

    def plans(
        self,
        message: OutgoingMessage,
        to: Collection[DeskAddress],
        copies: Collection[DeskAddress] = (),
        *,
        known: bool = True,
    ) -> dict[DeskAddress, Plan]:
        """Return what each desk gets; `RecipientUnavailable` if unknown, `NothingToSend` where nothing may go.

        So it is where an alert would go without a section that is meant for its desk (KIND-8).

        One of `copies` that may see no section gets the bare message, and one that is unknown now waits until it is
        there (again), and gets then what it may see. So does any desk of a message without sections, if not `known`.
        """
        if not message.source:
            if known:
                self._functions(to)
            return {desk: Plan() for desk in (*to, *copies)}
        functions = self._functions(to, copies)
        if message.payload_type in NEVER_HALF:
            _check_whole(stored_sections(message), functions)
        plans = dict(compose(SectionComposer(), message, functions).plans)
        if any(not plans[desk].going for desk in to):
            raise NothingToSend
        return plans | {desk: Plan() for desk in copies if desk not in plans}

    def _functions(self, to: Collection[DeskAddress], copies: Collection[DeskAddress] = ()) -> dict[DeskAddress, str]:
        functions = {}
        for desk in (*to, *copies):
            entry = self._directory.directory.desk(desk, self._clock())
            if entry is None and desk in copies:
                continue
            if entry is None:
                raise RecipientUnavailable("The directory has no such desk. `throughcare directory list` shows all.")
            functions[desk] = entry.function
        return functions

    def withheld(self, sections: Sequence[PackageSection], desk: DeskAddress) -> Mapping[int, WithheldReason]:
        """Return which of `sections`, by their place from 0, a desk would not get, and why."""
        function = self._functions([desk])[desk]
        try:
            share = share_of(sections, DeskFunction(function))
        except ValueError:
            return dict.fromkeys(range(len(sections)), WithheldReason.NEVER)
        return {one.position: one.reason for one in share.withheld}


def _check_whole(sections: Sequence[PackageSection], functions: Mapping[DeskAddress, str]) -> None:
    """Refuse an alert of which a section that is meant for a desk's function would be withheld from it (KIND-8)."""
    known = {desk: function for desk, function in functions.items() if function in set(DeskFunction)}
    for desk, function in known.items():
        for one in share_of(sections, DeskFunction(function)).withheld:
            if function in sections[one.position].functions:
                raise NothingToSend(
                    f"Section {one.position + 1} ({one.category.value}) is meant for {desk} and would be withheld from "
                    f"it ({one.reason.value}). An alert goes whole or not at all: name the law or public task and cite "
                    "it, or take the section out, and tell what it says in another way."
                )


def _numbered(fields: Mapping[str, Any], known: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the fields with the register numbers that are known, where the caller named no others (CAS-4)."""
    given = fields.get("register_numbers", {})
    if not known or not isinstance(given, dict):
        return fields
    return {**fields, "register_numbers": {**known, **given}}


def _payload(kind: MessageKind, subject: str, now: int, fields: Mapping[str, Any]) -> Content:
    """Return the payload of `fields`, with what every kind has filled in; an error names fields and no values."""
    whole = {"occurred_at": now, **fields, "kind": kind.name, "version": kind.version, "subject": subject}
    text = json.dumps(whole, ensure_ascii=False)
    if len(text) > MAX_FIELDS:
        raise InvalidInput("The fields are too long; words belong in sections.")
    try:
        return kind.payload.model_validate_json(text)
    except ValidationError as error:
        raise invalid_fields(error, kind.payload, whole, at=FIELDS) from None

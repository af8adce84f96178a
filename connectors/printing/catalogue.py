# SPDX-License-Identifier: Apache-2.0
"""The words of a print: one TOML file for each language, which a translator can correct without knowing the program.

`docs/printing.md` tells how. A test compares every file with what the protocol has: a kind, a state, a reason or a
field without a text fails it, and so does a text that nothing uses.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

from connectors.languages import Language
from connectors.printing.script import latin
from protocol.clearance import Category, Purpose

PACKAGE: Final = "connectors.printing"


class Table(StrEnum):
    """The tables of a catalogue."""

    LABELS = "labels"
    ACTORS = "actors"
    INSTITUTIONS = "institutions"
    FUNCTIONS = "functions"
    STATES = "states"
    JOURNEY = "journey"
    AWAITED = "awaited"
    NOTES = "notes"
    CATEGORIES = "categories"
    PURPOSES = "purposes"
    FORMS = "forms"
    KINDS = "kinds"
    FIELDS = "fields"
    CODES = "codes"


class Label(StrEnum):
    """What stands before, above or below what a message says."""

    CONFIDENTIAL = "confidential"
    CONFIDENTIAL_NOTE = "confidential_note"
    REFERRAL = "referral"
    HANDOVER = "handover"
    CASE_FILE = "case_file"
    PARTICIPANTS = "participants"
    MESSAGES = "messages"
    OLDER = "older"
    SENDER = "sender"
    RECIPIENT = "recipient"
    OWN_SIDE = "own_side"
    OTHER_SIDE = "other_side"
    SIDE = "side"
    NUMBER_OF_SENDER = "number_of_sender"
    NUMBER_OF_RECIPIENT = "number_of_recipient"
    PSEUDONYM = "pseudonym"
    STATE = "state"
    STATE_AFTER = "state_after"
    DELIVERY = "delivery"
    SENT_AT = "sent_at"
    ACCEPTED_AT = "accepted_at"
    RECEIVED_AT = "received_at"
    OFFICER = "officer"
    SERVICE = "service"
    ATTESTED = "attested"
    DELEGATION = "delegation"
    MESSAGE_ID = "message_id"
    THREAD_ID = "thread_id"
    CONTENT = "content"
    SECTION = "section"
    PURPOSE = "purpose"
    HANDLING = "handling"
    LEGAL_BASIS = "legal_basis"
    CITATION = "citation"
    ATTACHMENT = "attachment"
    STEPS = "steps"
    NO_EFFECT = "no_effect"
    NOT_SHOWN = "not_shown"
    CORRECTED = "corrected"
    CORRECTIONS = "corrections"
    RECEIPTS = "receipts"
    RECEIPT = "receipt"
    TIME = "time"
    SIGNER = "signer"
    OPEN = "open"
    LEAD = "lead"
    LEAD_SINCE = "lead_since"
    LEGAL_SUPERVISOR = "legal_supervisor"
    DUE_AT = "due_at"
    ALERTS = "alerts"
    CONCERNS = "concerns"
    INCOMPLETE = "incomplete"
    LACKING = "lacking"
    RESIDUAL = "residual"
    ANSWERS = "answers"
    ANSWER = "answer"
    MARKS = "marks"
    WITHHELD = "withheld"
    SEALINGS = "sealings"
    SEALED_AT = "sealed_at"
    WENT = "went"
    TAKEN_IN = "taken_in"
    CATEGORY = "category"
    REASON = "reason"
    EVIDENCE = "evidence"
    ENVELOPE = "envelope"
    DIGEST = "digest"
    LOG_PLACE = "log_place"
    PRINTED_AT = "printed_at"
    PRINT_NOTE = "print_note"
    SIGNATURE = "signature"
    STAMP = "stamp"
    NOT_UNDERSTOOD = "not_understood"
    UNREADABLE = "unreadable"
    RUNG_OPENED = "rung_opened"
    RUNG_ACKNOWLEDGED = "rung_acknowledged"
    RUNG_ANSWERED = "rung_answered"
    AUTOMATIC_RECEIPT = "automatic_receipt"


class Words:
    """All that a print says of itself, in one language, and how that language writes days."""

    def __init__(self, language: Language, texts: Mapping[Table, Mapping[str, str]], zone: tzinfo) -> None:
        """`texts` are those of the language's catalogue, `zone` is the agency's."""
        self.language = language
        self._texts = texts
        self._zone = zone

    def text(self, table: Table, key: str) -> str:
        """Return the text of a key; the key itself where another version wrote it and there is none."""
        return self._texts[table].get(key, key)

    def label(self, key: Label) -> str:
        """Return a label."""
        return self._texts[Table.LABELS][key]

    def code(self, code: StrEnum) -> str:
        """Return what a code of the protocol means. One with capital letters is the name of something, and stays."""
        if isinstance(code, Category):
            return self.text(Table.CATEGORIES, code)
        if isinstance(code, Purpose):
            return self.text(Table.PURPOSES, code)
        return code.value if is_name(code) else self.text(Table.CODES, code)

    def day(self, day: date) -> str:
        """Return a day as the language writes it."""
        # It takes long to import, and a connector that prints nothing has no need of it.
        from babel.dates import format_date  # noqa: PLC0415

        return format_date(day, "long", locale=self.language.locale)

    def moment(self, at: int) -> str:
        """Return a moment (ms UTC) by the agency's clock, with how far that is from UTC."""
        local = datetime.fromtimestamp(at / 1000, self._zone)
        offset = local.strftime("%z")
        return f"{self.day(local.date())} {local:%H:%M} ({offset[:3]}:{offset[3:]})"


def is_name(code: StrEnum) -> bool:
    """Tell whether a code is a proper name, such as an instrument's: it is the same in every language."""
    return code.value != code.value.lower()


def words(language: Language, zone: tzinfo) -> Words:
    """Return the words of a language, with days by the clock of `zone`."""
    return Words(language, texts_of(language), zone)


@cache
def texts_of(language: Language) -> Mapping[Table, Mapping[str, str]]:
    """Return the tables of a language's catalogue."""
    data = tomllib.loads((resources.files(PACKAGE) / "texts" / f"{language.texts}.toml").read_text(encoding="utf-8"))
    spelled = latin if language.latin else str
    return {Table(name): {key: spelled(text) for key, text in table.items()} for name, table in data.items()}

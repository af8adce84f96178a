# SPDX-License-Identifier: Apache-2.0
"""The last gate before a verified message has its effect: it must be for us, allowed here, and readable.

Signatures say who sent a message; they do not say that it was right to send it. A section that the table never
lets this desk's function see is refused whole here too, even if the sender meant well (CON-7), and content that
cannot be read is found now, not by the officer who opens the case.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from keys.directory import Directory
from keys.opening import VerifiedMessage
from protocol.address import DeskAddress
from protocol.clearance import RESTRICTED, Category, Clearance, DeskFunction, Label, Purpose, clearance
from protocol.errors import MalformedEnvelope, NotARecipient, PolicyDenied
from protocol.rows import EnvelopeClass


@dataclass(frozen=True, slots=True)
class PayloadForm:
    """One payload type and version: its class, and how to tell that payload and sections can be read.

    `check` raises `MalformedEnvelope` for what cannot.
    """

    payload_type: str
    version: int
    klass: EnvelopeClass
    check: Callable[[VerifiedMessage], None]


class Admission:
    """Decides whether a verified message may have its effect here."""

    def __init__(self, desks: Collection[DeskAddress], forms: Collection[PayloadForm]) -> None:
        """`desks` are those of this device, `forms` all that this connector understands."""
        self._desks = frozenset(desks)
        self._forms: Mapping[tuple[str, int], PayloadForm] = {(form.payload_type, form.version): form for form in forms}

    def admit(self, message: VerifiedMessage, directory: Directory) -> None:
        """Return if `message` may have its effect.

        Raises `NotARecipient` for a desk that is not ours, `PolicyDenied` for a payload type that its agency may
        not send, a section that our function may never see, or a category, purpose or label that is not in the
        tables, `MalformedEnvelope` for what cannot be read or is of
        the wrong class.
        """
        if message.recipient_desk not in self._desks:
            raise NotARecipient
        form = self._forms.get((message.payload_type, message.payload_version))
        if form is None or form.klass is not message.klass:
            raise MalformedEnvelope("This connector does not know messages of this type, version and class.")
        self._check_agency(message, directory)
        self._check_clearance(message, directory)
        form.check(message)

    def _check_agency(self, message: VerifiedMessage, directory: Directory) -> None:
        if message.klass is EnvelopeClass.RECEIPT:
            # They carry nothing of people, and a certificate may be older than what is answered today.
            return
        agency = directory.agency(message.sender_agency, message.accepted_at)
        if agency is not None and message.payload_type not in agency.payload_types:
            raise PolicyDenied("The sender's certificate does not allow it to send messages of this type.")

    def _check_clearance(self, message: VerifiedMessage, directory: Directory) -> None:
        _label(message.label)
        if not message.sections:
            return
        desk = directory.desk(message.recipient_desk, message.accepted_at)
        try:
            function = DeskFunction(desk.function if desk else "")
            labels = [(Category(one.category), _label(one.label)) for one in message.sections.values()]
            for section in message.sections.values():
                Purpose(section.purpose)
        except ValueError:
            raise PolicyDenied("A category, a purpose or this desk's function is not in the table.") from None
        if any(category in RESTRICTED and label is not Label.RESTRICTED for category, label in labels):
            raise PolicyDenied("A section of a restricted category is not labelled so.")
        if any(clearance(category, function) is Clearance.NEVER for category, _ in labels):
            raise PolicyDenied("A section is of a category that a desk of this function may never hold.")


def _label(label: str) -> Label:
    try:
        return Label(label)
    except ValueError:
        raise PolicyDenied("A handling label is not in the table.") from None

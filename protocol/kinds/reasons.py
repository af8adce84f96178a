# SPDX-License-Identifier: Apache-2.0
"""Why something ended or stopped: coded reasons, one list for each step that needs one (REF-2).

Lists tell apart who did not want what: a person's refusal, an agency's refusal and a mistake have different
consequences. A person's refusal is recorded without prejudice: no list ranks it.
"""

from enum import StrEnum


class DeclineReason(StrEnum):
    """Why a recipient does not take a referral."""

    PERSON_REFUSED = "person-refused"
    NOT_ELIGIBLE = "not-eligible"
    NO_CAPACITY = "no-capacity"
    OUTSIDE_AREA = "outside-area"
    SERVICE_NOT_OFFERED = "service-not-offered"
    NO_LEGAL_BASIS = "no-legal-basis"
    INFORMATION_MISSING = "information-missing"
    DUPLICATE = "duplicate"
    CONFLICT_OF_INTEREST = "conflict-of-interest"
    SAFETY = "safety"
    OTHER = "other"


class LateDeclineReason(StrEnum):
    """Why a recipient gives back what it had accepted: the shorter list (row 10)."""

    PERSON_REFUSED = "person-refused"
    PERSON_MOVED = "person-moved"
    CAPACITY_LOST = "capacity-lost"
    SERVICE_ENDED = "service-ended"
    SAFETY = "safety"
    OTHER = "other"


class WithdrawReason(StrEnum):
    """Why a requester withdraws (row 16)."""

    MISTAKE = "mistake"
    DUPLICATE = "duplicate"
    PERSON_MOVED = "person-moved"
    IN_CUSTODY_AGAIN = "in-custody-again"
    SENTENCE_ENDED = "sentence-ended"
    RELEASE_REVOKED = "release-revoked"
    PERSON_DIED = "person-died"
    NEEDS_MET = "needs-met"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    OTHER = "other"


class EndReason(StrEnum):
    """Why a service ended before its outcome."""

    PERSON_STOPPED = "person-stopped"
    PERSON_MOVED = "person-moved"
    IN_CUSTODY_AGAIN = "in-custody-again"
    PERSON_DIED = "person-died"
    NEEDS_CHANGED = "needs-changed"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    SERVICE_ENDED = "service-ended"
    OTHER = "other"


class HoldReason(StrEnum):
    """Why a referral rests."""

    PERSON_UNAVAILABLE = "person-unavailable"
    PERSON_ILL = "person-ill"
    WAITING_FOR_RELEASE = "waiting-for-release"
    WAITING_FOR_DOCUMENTS = "waiting-for-documents"
    WAITING_LIST = "waiting-list"
    OTHER = "other"


class CannotAnswerReason(StrEnum):
    """Why a question stays open."""

    NOT_KNOWN = "not-known"
    NOT_PERMITTED = "not-permitted"
    NOT_HELD_HERE = "not-held-here"
    OTHER = "other"


class BlockReason(StrEnum):
    """Why a referral may not go on."""

    CONSENT_WITHDRAWN = "consent-withdrawn"
    CONSENT_EXPIRED = "consent-expired"
    CONSENT_INVALID = "consent-invalid"
    BASIS_CEASED = "basis-ceased"


class ErrorReason(StrEnum):
    """Why something should never have been sent."""

    WRONG_PERSON = "wrong-person"
    WRONG_RECIPIENT = "wrong-recipient"
    WRONG_CONTENT = "wrong-content"
    OPENED_BY_ACCIDENT = "opened-by-accident"


class ReopenReason(StrEnum):
    """Why a referral lives again."""

    NEW_INFORMATION = "new-information"
    PERSON_RETURNED = "person-returned"
    CLOSED_BY_MISTAKE = "closed-by-mistake"
    NEEDS_AGAIN = "needs-again"
    DECISION_CONTESTED = "decision-contested"
    OTHER = "other"


class ForwardReason(StrEnum):
    """Why another agency would be the right one."""

    PERSON_MOVED = "person-moved"
    BETTER_PLACED = "better-placed"
    NOT_ELIGIBLE = "not-eligible"
    NO_CAPACITY = "no-capacity"
    OTHER = "other"


class HandoverDeclineReason(StrEnum):
    """Why an agency does not take responsibility."""

    NO_JURISDICTION = "no-jurisdiction"
    NO_LEGAL_BASIS = "no-legal-basis"
    OUTSIDE_AREA = "outside-area"
    INFORMATION_MISSING = "information-missing"
    OTHER_AGENCY_RESPONSIBLE = "other-agency-responsible"
    OTHER = "other"


class HandoverEndReason(StrEnum):
    """Why a handover is withdrawn, fails or is offered again."""

    RELEASE_CANCELLED = "release-cancelled"
    RELEASE_MOVED = "release-moved"
    RELEASED_EARLY = "released-early"
    CUSTODY_RETURNED = "custody-returned"
    RECEIVER_CHANGED = "receiver-changed"
    MISTAKE = "mistake"
    OTHER = "other"


class DataAction(StrEnum):
    """What a recipient did with the data when its work ended."""

    ERASED = "erased"
    RESTRICTED = "restricted"
    RETAINED = "retained"

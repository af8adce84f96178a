# SPDX-License-Identifier: Apache-2.0
"""Every error of the project, each with one stable code (rule ERR-1).

    ThroughcareError
    ├── PeerError      the other side sent something wrong; retrying the same bytes never helps
    │   ├── EnvelopeError and its kin: what can be wrong with an envelope
    │   └── DirectoryError and its kin: what can be wrong with the directory log
    ├── CallerError    this side asked for something that cannot be done; the text says what to do
    └── OurError       this installation is at fault or not ready; often worth another try

An error's text is written for the person who has to act on it. It never repeats input (ERR-2) and a
failure to open an envelope says one thing only, whatever the cause (ENV-20).
"""

from typing import ClassVar

CODES: dict[str, type["ThroughcareError"]] = {}


class ThroughcareError(Exception):
    """Base of all errors: `code` is stable, `status` is the HTTP status, `retryable` says whether to try again.

    `detail` is the one sentence shown to people; subclasses give a default that tells what to do. `retry_after`
    is the number of seconds to wait before another try, where whoever raised the error knows it; `reason` is why a
    server was not reached: `refused`, `certificate`, `proxy`, `name`, `timeout` or `other`.
    """

    code: ClassVar[str] = ""
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Throughcare error"
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "Something went wrong."
    retry_after: int | None = None
    reason: str | None = None

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.default
        super().__init__(self.detail)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return
        if cls.code in CODES:
            raise TypeError(f"error code {cls.code} is taken by {CODES[cls.code].__name__}")
        CODES[cls.code] = cls


class PeerError(ThroughcareError):
    """The other side's bytes are wrong."""

    status = 422


class CallerError(ThroughcareError):
    """The caller must change something."""

    status = 422


class OurError(ThroughcareError):
    """This installation cannot do it now."""

    status = 503
    retryable = True


# Envelopes (docs/protocol.md, ENV)


class EnvelopeError(PeerError):
    """Base of all that can be wrong with an envelope or a slice."""


class MalformedEnvelope(EnvelopeError):
    code = "malformed-envelope"
    status = 400
    title = "Malformed bytes"
    default = "The bytes do not follow the strict encoding of docs/protocol.md."


class UnsupportedSuite(EnvelopeError):
    code = "unsupported-suite"
    title = "Unsupported suite"
    default = "Only suite tc/1 is understood. Update the older of the two sides."


class Expired(EnvelopeError):
    code = "expired"
    title = "Expired or wrongly dated"
    default = "The envelope's times are outside what is accepted. Check the sender's clock and seal again."


class Replayed(EnvelopeError):
    code = "replayed"
    status = 409
    title = "Replayed envelope"
    default = "This envelope was received before; it has no second effect."


class NotARecipient(EnvelopeError):
    code = "not-a-recipient"
    title = "Not a recipient"
    default = "The envelope is not addressed to this device."


class CannotOpen(EnvelopeError):
    code = "cannot-open"
    title = "Cannot open"
    default = "The envelope cannot be opened."

    def __init__(self) -> None:
        super().__init__()


class BadSignature(EnvelopeError):
    code = "bad-signature"
    title = "Bad signature"
    default = "A signature does not verify."


class SenderMismatch(EnvelopeError):
    code = "sender-mismatch"
    title = "Sender mismatch"
    default = "The signed sender and the envelope's sender are not the same."


class SequenceError(EnvelopeError):
    code = "sequence-error"
    status = 409
    title = "Out of sequence"
    default = "The message does not continue its thread; the gap or fork is shown and delivery is held."


class ConsentDenied(EnvelopeError):
    code = "consent-denied"
    status = 403
    title = "No grant covers this"
    default = "No active grant covers what was asked."


class PolicyDenied(EnvelopeError):
    code = "policy-denied"
    status = 403
    title = "Not allowed by policy"
    default = "A rule of the programme forbids this."


class AttachmentMissing(EnvelopeError):
    code = "attachment-missing"
    title = "Attachment missing"
    default = "An attachment is not at the hub whole. Upload it, then submit the same envelope again."


# Identities and the directory (docs/protocol.md, DIR)


class DirectoryError(PeerError):
    """Base of all that can be wrong with identities and the directory log."""


class UntrustedKey(DirectoryError):
    code = "untrusted-key"
    title = "Untrusted key"
    default = "A key or certificate is not vouched for by the programme's root."


class Revoked(DirectoryError):
    code = "revoked"
    status = 403
    title = "Revoked"
    default = "The certificate was revoked."


class DirectoryInconsistent(DirectoryError):
    code = "directory-inconsistent"
    title = "Directory inconsistent"
    default = "The directory log contradicts what was seen before. Stop and call the hub's operator and your authority."


class DirectoryStale(DirectoryError):
    code = "directory-stale"
    status = 503
    retryable = True
    title = "Directory too old"
    default = "The directory was last confirmed over 72 hours ago; sealing waits until the hub is reached again."


class RecipientUnavailable(DirectoryError):
    code = "recipient-unavailable"
    title = "Recipient unavailable"
    default = "The desk has no device with a usable prekey. Ask that agency to bring its connector online."


class UnexpectedAnswer(PeerError):
    code = "unexpected-answer"
    status = 502
    title = "Unexpected answer"
    default = "The server answered in a way that its interface does not name. Look for a proxy in between."


# Enrolment


class EnrolmentRefused(PeerError):
    code = "enrolment-refused"
    status = 403
    title = "Enrolment refused"
    default = "The enrolment code is unknown, used, expired or meant for another agency. Ask for a new one."


# What callers do


class InvalidInput(CallerError):
    code = "invalid-input"
    title = "Invalid input"
    default = "A field is missing, unknown or of the wrong form."


class MalformedRequest(CallerError):
    code = "malformed-request"
    status = 400
    title = "Malformed request"
    default = "The request is not well-formed."


class NotAuthenticated(CallerError):
    code = "not-authenticated"
    status = 401
    title = "Not authenticated"
    default = "The request carries no valid signature or token."


class Forbidden(CallerError):
    code = "forbidden"
    status = 403
    title = "Forbidden"
    default = "The caller may not do this."


class NotFound(CallerError):
    code = "not-found"
    status = 404
    title = "Not found"
    default = "There is no such thing here, or it is not yours."


class MethodNotAllowed(CallerError):
    code = "method-not-allowed"
    status = 405
    title = "Method not allowed"
    default = "The path exists, but not for this method."


class Conflict(CallerError):
    code = "conflict"
    status = 409
    title = "Conflict"
    default = "The request contradicts what is stored."


class EnvelopeIdReused(CallerError):
    code = "envelope-id-reused"
    status = 409
    title = "Envelope id reused"
    default = "Another envelope with this id was accepted before; seal anew with a fresh id."


class IdempotencyKeyMissing(CallerError):
    code = "idempotency-key-missing"
    status = 400
    title = "Idempotency-Key missing"
    default = "Send an Idempotency-Key header of 16 to 255 visible ASCII characters."


class IdempotencyKeyReused(CallerError):
    code = "idempotency-key-reused"
    title = "Idempotency-Key reused"
    default = "The key was used before with another body; use a new key."


class TooLarge(CallerError):
    code = "too-large"
    status = 413
    title = "Too large"
    default = "The body is larger than this operation takes."


class UnsupportedMediaType(CallerError):
    code = "unsupported-media-type"
    status = 415
    title = "Unsupported media type"
    default = "Send the media type that the operation names, without Content-Encoding."


class MisdirectedRequest(CallerError):
    code = "misdirected-request"
    status = 421
    title = "Misdirected request"
    default = "The Host header names a server that this is not."


class ConfigurationError(CallerError):
    code = "configuration-error"
    title = "Configuration error"
    default = "The configuration cannot be used; `throughcare config check` names the line."


class KeystoreError(CallerError):
    code = "keystore-error"
    title = "Keystore cannot be opened"
    default = "The keystore cannot be opened: wrong passphrase, or the file is damaged or altered."


class MappingInvalid(CallerError):
    code = "mapping-invalid"
    title = "Mapping file invalid"
    default = "The mapping file cannot be used."


class ExportUnreadable(CallerError):
    code = "export-unreadable"
    title = "Export unreadable"
    default = "The agency's export cannot be read. Nothing was sent."


class PackageIncomplete(CallerError):
    code = "package-incomplete"
    title = "Package incomplete"
    default = "The export lacks what a handover package needs. Nothing was sent."


class NothingToSend(CallerError):
    code = "nothing-to-send"
    title = "Nothing to send"
    default = "No section of the package may go to this desk."


# Ours


class InternalError(OurError):
    code = "internal-error"
    status = 500
    title = "Internal error"
    default = "Something failed here; the request id finds it in the log. Try again later."


class Unavailable(OurError):
    code = "unavailable"
    title = "Unavailable"
    default = "The service cannot answer now. Try again after the time in Retry-After."


class StoreFull(OurError):
    code = "store-full"
    status = 507
    title = "Store full"
    default = "The store is full. Nothing was accepted; the operator must free space."


class QuotaReached(OurError):
    code = "quota-reached"
    status = 507
    title = "Quota reached"
    default = "Too many attachments of this agency wait at the hub. Try again when some are collected."


class StoreBehind(OurError):
    code = "store-behind"
    retryable = False
    title = "Store behind its guard"
    default = "The database is older than, or differs from, what was already signed. Restore the newest copy."


class StoreFailed(OurError):
    code = "store-failed"
    retryable = False
    title = "Store failed"
    default = "The disk or the database failed and the hub has stopped. What it acknowledged is stored; check the disk."


class SelfTestFailed(OurError):
    code = "self-test-failed"
    retryable = False
    title = "Self-test failed"
    default = "The installed cryptography library lacks what tc/1 needs. Install the locked versions."


class HubUnreachable(OurError):
    code = "hub-unreachable"
    title = "Hub unreachable"
    default = "The hub cannot be reached; what was queued is kept and sent when it answers."


class ClockSkewed(OurError):
    code = "clock-skewed"
    title = "Clock wrong"
    default = "This machine's clock is over 10 minutes from the hub's. Set the clock; sealing waits until then."

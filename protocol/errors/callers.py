# SPDX-License-Identifier: Apache-2.0
"""What the caller has to change."""

from protocol.errors.base import CallerError


class InvalidInput(CallerError):
    code = "invalid-input"
    title = "Invalid input"
    default = "A field is missing, unknown or of the wrong form."


class ThreadNeeded(InvalidInput):
    code = "thread-needed"
    title = "Thread not named"
    default = (
        "Say which referral or handover this is about: `thread`, or --thread. In a conversation of its own it moves "
        "nothing and keeps nothing back. Nothing was sent."
    )


class UnknownLanguage(CallerError):
    code = "unknown-language"
    title = "Unknown language"
    default = "There are no texts in this language. docs/printing.md lists the languages that there are."


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
    default = "The path exists, but not for this method. The header Allow names those that are."


class Conflict(CallerError):
    code = "conflict"
    status = 409
    title = "Conflict"
    default = "The request contradicts what is stored."


class PossibleDuplicate(Conflict):
    code = "possible-duplicate"
    title = "Possibly sent before"
    default = "A referral of this person to this agency for the same service is not over."


class PreconditionFailed(CallerError):
    code = "precondition-failed"
    status = 412
    title = "Changed meanwhile"
    default = "It has changed since you looked. Get it again, look at what is new, and then decide."


class PreconditionRequired(CallerError):
    code = "precondition-required"
    status = 428
    title = "If-Match missing"
    default = "Send an If-Match header with the ETag that you saw, so that nothing is decided on an old state."


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


class TooManyRequests(CallerError):
    """`policy` names what there was too much of, `quota` how much of it a minute has; empty where that is not known."""

    code = "too-many-requests"
    status = 429
    retryable = True
    title = "Too many requests"
    default = "More was asked than one agency or one address may ask in a minute. Go on after the time in Retry-After."
    policy: str = ""
    quota: int = 0


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


class FhirUnreadable(CallerError):
    code = "fhir-unreadable"
    title = "FHIR bundle unreadable"
    default = "The file is not a FHIR bundle with one referral. Nothing was drafted."


class FhirContradiction(CallerError):
    code = "fhir-contradiction"
    title = "FHIR bundle contradicts itself"
    default = "A Task of the bundle contradicts itself. Nothing was drafted; have its sender mend it."


class NothingToSend(CallerError):
    code = "nothing-to-send"
    title = "Nothing to send"
    default = "No section of the package may go to this desk."


class NotCovered(CallerError):
    code = "not-covered"
    title = "Basis does not cover this recipient"
    default = "A section that would be carried on may not go to this agency on the basis on which it was sent."


class SectionCorrected(CallerError):
    code = "section-corrected"
    status = 409
    title = "Was corrected since"
    default = "A section that would be carried on was corrected after it was sent. Give the sections anew."


class IllegalTransition(CallerError):
    code = "illegal-transition"
    status = 409
    title = "Not possible now"
    default = "This step is not possible in the present state, or not by this side. Look at the thread as it is now."


class TooLate(IllegalTransition):
    code = "too-late"
    title = "Too late"
    default = "The time for this step is over. Begin a new referral that names this one (`reopens`)."


class MoveIncomplete(CallerError):
    code = "move-incomplete"
    title = "Something is missing"
    default = "The step lacks something that it has to carry."


class TableUnreadable(CallerError):
    code = "table-unreadable"
    title = "Table unreadable"
    default = "The life cycle's table cannot be read."

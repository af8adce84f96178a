# SPDX-License-Identifier: Apache-2.0
"""What the other side did wrong: envelopes, the directory, enrolment."""

from protocol.errors.base import PeerError

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


class TooManyHeld(EnvelopeError):
    code = "too-many-held"
    status = 429
    title = "Too much waits for gaps"
    default = "Too many messages of its agency wait for earlier ones. It counts once it is sealed anew and those came."


class PlacesDiffer(EnvelopeError):
    code = "places-differ"
    status = 409
    title = "Two places in the log"
    default = (
        "The desk that opened a message of ours names another place of it in the hub's log than the hub's receipt to "
        "us. The hub has signed two, or that desk does not say the truth: save this item and compare both receipts."
    )


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


class DelegationEnded(DirectoryError):
    code = "delegation-ended"
    status = 503
    retryable = True
    title = "Nobody may sign now"
    default = (
        "No delegation of this agency under which the message could be signed counts now, so it waits. The connector "
        "renews its own by itself; `throughcare doctor` says why if it does not."
    )


class Revoked(DirectoryError):
    code = "revoked"
    status = 403
    title = "Revoked"
    default = "The certificate was revoked."


class DirectoryInconsistent(DirectoryError):
    code = "directory-inconsistent"
    title = "Directory inconsistent"
    default = "The directory log contradicts what was seen before. Stop; call your authority, then the hub's operator."


class DirectorySplit(DirectoryInconsistent):
    code = "directory-split"
    title = "The hub shows two directories"
    default = (
        "The hub signed two different directories, or one that it does not show here. No agency is at fault. "
        "Nothing is sealed: take out the proof (throughcare directory evidence) and call your authority."
    )


class DirectoryDisputed(DirectoryError):
    code = "directory-disputed"
    title = "The sender was shown another directory"
    default = (
        "Its sender sealed it by another directory than the hub shows here: the hub shows two, or that agency's "
        "connector errs. Call that agency and your authority, and compare what each of you is shown."
    )


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

# SPDX-License-Identifier: Apache-2.0
"""What a hub can check of an envelope without opening anything (ENV-17)."""

from keys.directory import Directory
from keys.verifying import verify_sender
from protocol.envelope import UnverifiedEnvelope
from protocol.errors import ConsentDenied, Expired, RecipientUnavailable, SenderMismatch
from protocol.limits import CLOCK_SKEW
from protocol.rows import Row


def check_envelope(envelope: UnverifiedEnvelope, directory: Directory, now: int) -> int:
    """Check sender, times and recipients at `now`, and return until when that holds for `directory`, both in ms UTC.

    Raises Expired, SenderMismatch, RecipientUnavailable, ConsentDenied, BadSignature, or the DirectoryError that says
    why the sender's device is not in force.
    """
    common = envelope.common
    if common.created > now + CLOCK_SKEW:
        raise Expired("The envelope is dated over 10 minutes ahead. Check the sender's clock and seal again.")
    if common.expires <= now:
        raise Expired
    device = directory.device_in_force(common.device_id, at=now, size=directory.size)
    desk = directory.desk(common.sender_desk, now)
    if desk is None or desk.device is None or desk.device.key_id != device.key_id:
        raise SenderMismatch("The sending desk is not served by this device.")
    verify_sender(envelope, device.key)
    for row in envelope.rows:
        _check_row(row, directory, now)
    return min(common.expires, device.not_after)


def _check_row(row: Row, directory: Directory, now: int) -> None:
    if any(section.handle is not None for section in row.sections):
        raise ConsentDenied("Handles and tickets are not in force yet; they must be null (ENV-5).")
    desk = directory.desk(row.desk, now)
    if desk is None or desk.device is None or desk.device.key_id != row.device_id:
        raise RecipientUnavailable(
            "A recipient's desk is not served by the device that the envelope names. Refresh the directory and "
            "seal again."
        )

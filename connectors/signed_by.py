# SPDX-License-Identifier: Apache-2.0
"""Whose signature stands on what was not believed: evidence against an agency, against the hub, or none (CON-10).

The hub can deliver as much rubbish as it likes, sign receipts for it, and repeat what agencies once sent. None of that
may push out of the quarantine what an agency signed and must answer for.
"""

from typing import Final

from connectors.outbox import PinnedLog
from connectors.store.quarantine import SignedBy
from keys.directory import Directory
from keys.verifying import verify_digest, verify_receipt
from protocol.errors import (
    DirectoryDisputed,
    MalformedEnvelope,
    PolicyDenied,
    Revoked,
    SenderMismatch,
    SequenceError,
    ThroughcareError,
    TooManyHeld,
    UntrustedKey,
)
from protocol.frames import Item, ItemKind
from protocol.slices import parse_slice

_OF_WHAT_IS_NEW: Final = (
    DirectoryDisputed,
    MalformedEnvelope,
    PolicyDenied,
    Revoked,
    SenderMismatch,
    SequenceError,
    TooManyHeld,
    UntrustedKey,
)
"""Faults that are found in what never came before and was meant for this device.

Whatever else is wrong the hub can make of any envelope that it has ever carried, as often as it likes.
"""


def signed_by(item: Item, error: ThroughcareError, directory: Directory, audit: PinnedLog) -> SignedBy:
    """Return who signed an item that was refused with `error`."""
    try:
        slice_ = parse_slice(item.data) if item.kind is ItemKind.SLICE else None
    except ThroughcareError:
        return SignedBy.NOBODY
    if slice_ is not None and isinstance(error, _OF_WHAT_IS_NEW):
        device = directory.device(slice_.common.device_id)
        try:
            if device is not None:
                verify_digest(device.key, slice_.digest, slice_.sender_sig)
                return SignedBy.SENDER
        except ThroughcareError:
            pass
    try:
        verify_receipt(item.data if slice_ is None else slice_.receipt, audit.origin, audit.key, directory.audit_starts)
    except ThroughcareError:
        return SignedBy.NOBODY
    return SignedBy.HUB

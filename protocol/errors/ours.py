# SPDX-License-Identifier: Apache-2.0
"""What this installation cannot do, now or at all."""

from protocol.errors.base import OurError


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
    default = "Too much of this agency waits at the hub. Try again when some of it is collected."


class StoreBehind(OurError):
    code = "store-behind"
    retryable = False
    title = "Store behind its guard"
    default = (
        "The database is older than, or differs from, what was already signed. Put no copy back: docs/operations.md, "
        "section 5, says how it is restored."
    )


class StoreFailed(OurError):
    code = "store-failed"
    retryable = False
    title = "Store failed"
    default = "The disk or the database failed and the hub has stopped. What it acknowledged is stored; check the disk."


class StoreDamaged(OurError):
    code = "store-damaged"
    status = 500
    retryable = False
    title = "Stored data damaged"
    default = (
        "What is stored here of this cannot be read any more: the disk has damaged it. The request is not wrong. "
        "Whoever looks after this connector finds out what it is with `throughcare doctor`; a backup may still have it."
    )


class SelfTestFailed(OurError):
    code = "self-test-failed"
    retryable = False
    title = "Self-test failed"
    default = "The installed cryptography library lacks what tc/1 needs. Install the locked versions."


class ExtraMissing(OurError):
    code = "extra-missing"
    status = 501
    retryable = False
    title = "Optional part not installed"
    default = "An optional part of the program is needed that is not installed."


class HubUnreachable(OurError):
    code = "hub-unreachable"
    title = "Hub unreachable"
    default = "The hub cannot be reached. Mend the way to it, or try again when it answers."


class ClockSkewed(OurError):
    code = "clock-skewed"
    title = "Clock wrong"
    default = (
        "This machine's clock is wrong. Over a minute from the hub's the hub refuses its requests, and from 10 minutes "
        "on nothing is sealed either. Set the clock, and keep it set (NTP)."
    )

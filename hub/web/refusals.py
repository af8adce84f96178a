# SPDX-License-Identifier: Apache-2.0
"""How an error is told for one of several submissions, where no status code can tell it."""

from protocol.errors import ThroughcareError
from protocol.frames import Refused
from protocol.http.problems import RETRY_AFTER_S


def refusal(ref: int, error: ThroughcareError) -> Refused:
    """Return the refusal of submission `ref`; a wait is advised where another try may help."""
    wait = error.retry_after
    if wait is None and error.retryable:
        wait = RETRY_AFTER_S
    return Refused(ref, error.code, error.detail, wait)

# SPDX-License-Identifier: Apache-2.0
"""The tree that every error hangs in, and the registry that refuses a code used twice (rule ERR-1).

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

# SPDX-License-Identifier: Apache-2.0
"""What each code of a field that is wrong says to people: on a command line, and on an interface's page (HTTP-3)."""

from typing import Final, LiteralString

from pydantic_core import PydanticCustomError

RULES: Final = {
    "supervisor-or-reason": "needs the legal supervisor, or the reason why there is none, and not both",
    "date-or-reason": "needs the date of release, or the reason why there is none, and not both",
    "late-or-else": "needs the acknowledgement that is late, or what else is, and not both",
    "event-or-date": "needs the event by which it becomes effective, or the date",
    "reason-for-no": "needs a reason where a service is declined, and takes none where it is accepted",
    "some-of-each": "needs a service that is accepted and one that is declined: else it is no answer in part",
    "ends-before-it-begins": "ends before it begins",
    "service-twice": "names one service twice",
    "body-of-another-category": "has a body of a form that does not stand under its category",
    "label-missing": "is of a category that is restricted, and must carry that label",
    "not-clean": "holds signs that no text may hold, or is not in normal form C",
    "not-one-line": "is not one line",
    "spaces-around": "begins or ends with spaces",
}
"""Rules of this protocol's own on what is said, by the code that tells whoever broke one which it was."""
FIELD_CODES: Final = {
    "missing": "is missing",
    "unknown-field": "holds a name that is not known here: check the spelling",
    "wrong-form": "has the wrong form",
    "wrong-type": "is of the wrong type",
    "not-allowed": "is none of the values that can be",
    "out-of-range": "is out of range",
    "too-long": "is too long",
    "too-short": "is too short",
    "invalid": "cannot be right: look at its form (a day is written 2027-01-21)",
    **RULES,
}
"""By the code that stands in `errors` of a problem document."""


def broken(rule: LiteralString) -> PydanticCustomError:
    """Return what a model raises where one of `RULES` is broken; it names the rule and echoes nothing (HTTP-3)."""
    return PydanticCustomError(rule, RULES[rule])


def of_wrong_form() -> PydanticCustomError:
    """Return what a model raises for a text that is none of its form, such as an id or an address."""
    return PydanticCustomError("wrong-form", "has the wrong form")

# SPDX-License-Identifier: Apache-2.0
"""What each code of a field that is wrong says to people: on a command line, and on an interface's page (HTTP-3)."""

from typing import Final

FIELD_CODES: Final = {
    "missing": "is missing",
    "unknown-field": "holds a name that is not known here: check the spelling",
    "wrong-form": "has the wrong form",
    "wrong-type": "is of the wrong type",
    "not-allowed": "is none of the values that can be",
    "out-of-range": "is out of range",
    "too-long": "is too long",
    "too-short": "is too short",
    "invalid": (
        "cannot be right: look at its form (a day is written 2027-01-21) and at what the rest says (a section of a "
        "category that is restricted carries that label)"
    ),
}
"""By the code that stands in `errors` of a problem document."""

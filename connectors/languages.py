# SPDX-License-Identifier: Apache-2.0
"""The official languages in which a print speaks, each with its script (PRT-3).

The table is our own. Babel takes Montenegrin in Cyrillic for Latin and does not know `sh`, so neither the names by
which a language may be asked for nor the form of its dates are left to a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocol.errors import UnknownLanguage

MAX_TAG: Final = 20
"""Characters of a language's name, as somebody may write it."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language in one script.

    `tag` is its name (BCP 47), `texts` the catalogue with its words, `locale` the form of dates (CLDR). The words of a
    `latin` language are those of a catalogue in Cyrillic, written in Latin letters by `connectors.printing.script`.
    """

    tag: str
    texts: str
    locale: str
    latin: bool = False


ENGLISH: Final = "en"
"""The language of a connector that was told no other."""

LANGUAGES: Final[Mapping[str, Language]] = {
    one.tag: one
    for one in (
        Language("bs", "bs", "bs_Latn"),
        Language("cnr-Cyrl", "cnr", "sr_Cyrl_ME"),
        Language("cnr-Latn", "cnr", "sr_Latn_ME", latin=True),
        Language(ENGLISH, "en", "en_GB"),
        Language("hr", "hr", "hr"),
        Language("mk", "mk", "mk"),
        Language("sq", "sq", "sq"),
        Language("sr-Cyrl", "sr", "sr_Cyrl"),
        Language("sr-Latn", "sr", "sr_Latn", latin=True),
    )
}
"""Every language, by its name."""

_ALIASES: Final[Mapping[str, str]] = {
    "bs-latn": "bs",
    "bs-ba": "bs",
    "cnr": "cnr-Latn",
    "cnr-me": "cnr-Latn",
    "en-gb": "en",
    "hr-hr": "hr",
    "hr-ba": "hr",
    "mk-mk": "mk",
    "sh": "sr-Latn",
    "sh-latn": "sr-Latn",
    "sq-al": "sq",
    "sq-xk": "sq",
    "sq-mk": "sq",
    "sr": "sr-Cyrl",
    "sr-rs": "sr-Cyrl",
    "sr-cyrl-rs": "sr-Cyrl",
    "sr-latn-rs": "sr-Latn",
    "sr-cyrl-ba": "sr-Cyrl",
    "sr-latn-ba": "sr-Latn",
    "sr-me": "cnr-Latn",
    "sr-cyrl-me": "cnr-Cyrl",
    "sr-latn-me": "cnr-Latn",
}
"""Other names, in small letters; a name without a script means the one that the official gazette is printed in."""


def language(name: str) -> Language:
    """Return the language of a name, whatever its letters' case; `UnknownLanguage` names those that there are."""
    wanted = name.replace("_", "-").lower()
    tag = _ALIASES.get(wanted, wanted)
    for known, found in LANGUAGES.items():
        if known.lower() == tag.lower():
            return found
    raise UnknownLanguage(f"Prints know these languages: {', '.join(LANGUAGES)}.")

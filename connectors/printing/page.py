# SPDX-License-Identifier: Apache-2.0
"""The sheet: A4, a head that is repeated on each page, a place for signature and stamp, and nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from connectors.printing.catalogue import Label, Words
from connectors.printing.markup import BREAK, Html, Part, element, joined

_STYLE: Final = """
@page { size: A4; margin: 15mm 18mm;
  @bottom-right { content: counter(page) " / " counter(pages); font-size: 9pt; } }
body { font: 11pt/1.4 "Noto Serif", "DejaVu Serif", serif; color: #000; background: #fff; margin: 0 auto;
  max-width: 178mm; }
.sheet { width: 100%; border-collapse: collapse; }
.sheet > thead td { border-bottom: 1pt solid #000; padding: 0 0 2mm; font-size: 9pt; }
.sheet > tbody > tr > td { padding: 4mm 0 0; }
h1 { font-size: 16pt; margin: 0 0 3mm; }
h2 { font-size: 13pt; margin: 6mm 0 2mm; border-bottom: .5pt solid #555; break-after: avoid; }
h3, h4, h5 { font-size: 11pt; margin: 4mm 0 1mm; break-after: avoid; }
.facts { width: 100%; border-collapse: collapse; }
.facts th { width: 38%; text-align: left; vertical-align: top; font-weight: 600; padding: .6mm 3mm .6mm 0; }
.facts td { vertical-align: top; padding: .6mm 0; overflow-wrap: anywhere; }
.grid { width: 100%; border-collapse: collapse; font-size: 10pt; }
.grid th, .grid td { border: .5pt solid #555; text-align: left; vertical-align: top; padding: .6mm 1.5mm;
  overflow-wrap: anywhere; }
tr { break-inside: avoid; }
.sheet > tbody > tr { break-inside: auto; }
.part { break-before: page; }
ul { margin: 0; padding-left: 5mm; }
.said { white-space: pre-wrap; unicode-bidi: isolate; }
.blank { display: inline-block; min-width: 45mm; border-bottom: .5pt solid #000; }
.evidence { font-size: 8.5pt; border-left: 2pt solid #555; padding-left: 3mm; margin-top: 3mm; }
.refused { border: 1.5pt solid #000; padding: 1mm 2mm; }
.signing { width: 100%; margin-top: 12mm; break-inside: avoid; }
.signing td { width: 50%; padding-top: 12mm; }
.note { font-size: 8.5pt; margin-top: 5mm; }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_ALLOWED: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
POLICY: Final = f"{_ALLOWED}; frame-ancestors 'none'; sandbox allow-modals"
"""The Content-Security-Policy of a print: its own style and nothing else; no script stands in it (PRT-4)."""


def page(title: str, content: Html, words: Words, *, reference: str, printed_at: int) -> bytes:
    """Return the whole document; `reference` stands on each page beside the title, `printed_at` is in ms UTC."""
    head = joined(
        [
            # A saved file has no header of its own.
            Html(f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", title),
            Html(f"<style>{_STYLE}</style>"),
        ]
    )
    confidential = joined(
        [
            element("strong", words.label(Label.CONFIDENTIAL)),
            ". ",
            words.label(Label.CONFIDENTIAL_NOTE),
            BREAK,
            # Sheets come apart, and each has to say which file it is from.
            f"{title} · {reference}",
        ]
    )
    sheet = element(
        "table",
        element("thead", element("tr", element("td", confidential))),
        element(
            "tbody",
            element("tr", element("td", element("main", element("h1", title), content, _end(words, printed_at)))),
        ),
        class_="sheet",
        role="presentation",
    )
    document = element("html", element("head", head), element("body", sheet), lang=words.language.tag)
    return f"<!DOCTYPE html>\n{document.markup}\n".encode()


def _end(words: Words, printed_at: int) -> Html:
    places = [element("td", words.label(key), ": ", blank()) for key in (Label.SIGNATURE, Label.STAMP)]
    return joined(
        [
            element("table", element("tr", *places), class_="signing", role="presentation"),
            element("p", words.label(Label.PRINT_NOTE), class_="note"),
            element("p", words.label(Label.PRINTED_AT), ": ", words.moment(printed_at), class_="note"),
        ]
    )


def blank() -> Html:
    """Return a line to write on."""
    return element("span", "\N{NO-BREAK SPACE}", class_="blank")


def grid(heads: Sequence[str], rows: Sequence[Sequence[Part]]) -> Html:
    """Return rows under headings."""
    top = element("tr", *(element("th", head, scope="col") for head in heads))
    below = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return element("table", element("thead", top), element("tbody", *below), class_="grid")

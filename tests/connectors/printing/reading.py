# SPDX-License-Identifier: Apache-2.0
"""Reads a print as a browser does: which elements there are, and which words somebody else wrote."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "br"})
PARTS = {"html", "head", "meta", "title", "style", "body", "main", "section", "div", "p", "span", "strong", "bdi", "br"}
TABLES = {"table", "thead", "tbody", "tr", "td", "th"}
ELEMENTS = frozenset({*PARTS, *TABLES, "h1", "h2", "h3", "h4", "h5", "ul", "li"})
ATTRIBUTES = frozenset({"lang", "charset", "http-equiv", "content", "name", "class", "role", "scope"})


@dataclass
class Page:
    """What was found in a page: the texts of each `bdi`, and the text outside of them and of the style."""

    elements: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    well_formed: bool = True


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.add(tag)
        self.page.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)
        if tag == "bdi":
            self.page.said.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.page.well_formed = False

    def handle_data(self, data: str) -> None:
        if "bdi" in self._open:
            self.page.said[-1] += data
        elif "style" not in self._open:
            self.page.own.append(data)

    def handle_comment(self, data: str) -> None:
        self.page.well_formed = False

    def close(self) -> None:
        super().close()
        self.page.well_formed = self.page.well_formed and not self._open


def read(markup: str) -> Page:
    """Return what stands in a page."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.page


def harmless(page: Page) -> bool:
    """Tell whether a page is well-formed and holds nothing that acts, loads or leads elsewhere (PRT-4)."""
    return page.well_formed and page.elements <= ELEMENTS and page.attributes <= ATTRIBUTES

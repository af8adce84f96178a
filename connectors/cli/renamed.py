# SPDX-License-Identifier: Apache-2.0
"""Options and words of a choice that got a better name: the older one does what it did, and no help shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

import click


class RenamedOption(click.Option):
    """An option that is shown and asked for under its new name, and is taken under its `older` names too."""

    def __init__(self, declarations: Sequence[str] | None = None, *, older: Sequence[str], **rest: Any) -> None:
        """`declarations` and `rest` are what `click.option` takes; `older` is written as it is typed: `--output`."""
        super().__init__(declarations, **rest)
        self.older = tuple(older)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have the parser take every name; help, errors and completion go by `opts`, which has the new one only."""
        shown = self.opts
        self.opts = [*shown, *self.older]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


class RenamedChoice(click.Choice[str]):
    """A choice that takes for some of its words another word as well: an older one, or that of a like command."""

    def __init__(self, choices: Sequence[str], other: Mapping[str, str]) -> None:
        """`other` has the word that is shown by the word that is taken for it too."""
        super().__init__(choices)
        self.other = dict(other)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word that is shown."""
        return super().convert(self.other.get(value, value), param, ctx)

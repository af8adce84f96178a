# SPDX-License-Identifier: Apache-2.0
"""Compares the rules of docs/protocol.md with the code and the tests that name them.

A rule is a paragraph or list item of docs/protocol.md that starts with its id, as in `**ENV-3**`. The
code that keeps it says `ENV-3` in a docstring or comment; a test that proves it carries `env_3` in its
name. `python -m tests.rules` prints what is missing and what exists only in code or tests, and ends
with 1 if there is anything.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = ROOT / "docs" / "protocol.md"
CODE = ("protocol", "keys", "hub", "connectors")

RULE = re.compile(r"^(?:[-*] +)?\*\*([A-Z][A-Z0-9]*-[0-9]+)\*\*", re.MULTILINE)
MENTION = re.compile(r"(?<![\w-])([A-Z][A-Z0-9]*)-([0-9]+)(?![\w-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What does not fit between the rules, the tests and the code; each a list of ids, in reading order."""

    repeated: list[str]
    untested: list[str]
    unmentioned: list[str]
    unknown: list[str]

    def lines(self) -> Iterator[str]:
        """Yield one line for each finding."""
        yield from (f"{rule}: stands twice in docs/protocol.md" for rule in self.repeated)
        yield from (f"{rule}: no test names it" for rule in self.untested)
        yield from (f"{rule}: no code names it" for rule in self.unmentioned)
        yield from (f"{rule}: not in docs/protocol.md" for rule in self.unknown)


def rules_in(text: str) -> list[str]:
    """Return the ids that start a paragraph or a list item of `text`, repetitions included."""
    return RULE.findall(text)


def prefixes_of(rules: Iterable[str]) -> frozenset[str]:
    """Return the letters before the numbers; they tell `ENV-3` from `SHA-256`."""
    return frozenset(rule.rpartition("-")[0] for rule in rules)


def rules_in_test_names(source: str, prefixes: frozenset[str]) -> set[str]:
    """Return the rules that test functions of a Python file name: `test_env_3_…` is ENV-3, never ENV-33."""
    functions = (
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )
    return {rule for name in functions for rule in rules_in_name(name, prefixes)}


def rules_in_name(name: str, prefixes: frozenset[str]) -> Iterator[str]:
    """Yield each `prefix_number` of a name whose words are joined by underscores."""
    words = name.upper().split("_")
    for word, number in pairwise(words):
        if word in prefixes and number.isdecimal():
            yield f"{word}-{number}"


def mentions_in(text: str, prefixes: frozenset[str]) -> set[str]:
    """Return the rules that a text names in the form `ENV-3`."""
    return {f"{prefix}-{number}" for prefix, number in MENTION.findall(text) if prefix in prefixes}


def compare(rules: list[str], tested: set[str], mentioned: set[str]) -> Findings:
    """Return everything that is missing on one side."""
    known = list(dict.fromkeys(rules))
    return Findings(
        repeated=[rule for rule in known if rules.count(rule) > 1],
        untested=[rule for rule in known if rule not in tested],
        unmentioned=[rule for rule in known if rule not in mentioned],
        unknown=sorted((tested | mentioned).difference(known)),
    )


def python_files(folder: Path, pattern: str = "*.py") -> Iterator[str]:
    """Yield the text of each Python file under `folder`."""
    for path in sorted(folder.rglob(pattern)):
        yield path.read_text(encoding="utf-8")


def main() -> int:
    """Compare the project's own files; print the findings and return the exit code."""
    rules = rules_in(PROTOCOL.read_text(encoding="utf-8"))
    prefixes = prefixes_of(rules)
    tested = {
        rule for source in python_files(ROOT / "tests", "test_*.py") for rule in rules_in_test_names(source, prefixes)
    }
    mentioned = {
        rule for package in CODE for text in python_files(ROOT / package) for rule in mentions_in(text, prefixes)
    }
    lines = list(compare(rules, tested, mentioned).lines())
    for line in lines:
        print(line)
    print(f"{len(rules)} rules, {len(lines)} findings")
    return 1 if lines or not rules else 0


if __name__ == "__main__":
    sys.exit(main())

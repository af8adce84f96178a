# SPDX-License-Identifier: Apache-2.0
"""Evaluates JMESPath expressions over an export and knows which of its leaves each expression read.

The library interprets the expressions; the document is made of dictionaries and lists that note the path of
every leaf they give out. So "what did the mapping not understand" needs no second interpreter: it is the
leaves that nobody was given. A path is a JSON pointer: `/file-stem/key/0/key`, with `~0` and `~1` for `~` and
`/`. A leaf that cannot be followed (inside a function's own copy) counts as not read, so that the
report errs on the side of naming too much.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, SupportsIndex

import jmespath
from jmespath import exceptions, functions
from jmespath.parser import ParsedResult

_UNFOLLOWED = frozenset({"merge"})
"""Functions that copy leaves out of reach of the tracing."""


class Unfit(Exception):
    """The expression cannot be applied to data of this type."""


class Trace:
    """Collects the paths of the leaves that are read."""

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def note(self, path: str) -> None:
        """Note that the leaf at `path` was given out."""
        self._paths[path] = None

    @contextmanager
    def reading(self) -> Iterator[dict[str, None]]:
        """Collect apart, in order, what is read inside the block."""
        outer, self._paths = self._paths, {}
        try:
            yield self._paths
        finally:
            self._paths = outer


def step(path: str, key: str | int) -> str:
    """Return the path of a child."""
    part = str(key).replace("~", "~0").replace("/", "~1")
    return f"{path}/{part}"


def displayed(path: str) -> str:
    """Return a path as reports show it: without the first slash, so that it begins with the file's stem."""
    return path.removeprefix("/")


class TracedObject(dict[str, Any]):
    """An object of the export that notes which of its leaves are read."""

    def __init__(self, path: str, children: dict[str, Any], trace: Trace) -> None:
        super().__init__(children)
        self.path = path
        self._trace = trace

    def get(self, key: str, default: Any = None) -> Any:
        """Return a child; a leaf is noted."""
        value = super().get(key, default)
        if key in self and not is_container(value):
            self._trace.note(step(self.path, key))
        return value

    def values(self) -> Any:
        """Return the children; leaves are noted."""
        return [self.get(key) for key in self]

    def items(self) -> Any:
        """Return the pairs of key and child; leaves are noted."""
        return [(key, self.get(key)) for key in self]


class TracedList(list[Any]):
    """A list of the export that notes which of its leaves are read."""

    def __init__(self, path: str, children: list[Any], trace: Trace) -> None:
        super().__init__(children)
        self.path = path
        self._trace = trace

    def _given(self, index: int, value: Any) -> Any:
        if not is_container(value):
            self._trace.note(step(self.path, index))
        return value

    def __iter__(self) -> Iterator[Any]:
        return (self._given(index, value) for index, value in enumerate(super().__iter__()))

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(self)[::-1])

    def __contains__(self, wanted: object) -> bool:
        return wanted in list(self)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [self._given(i, super(TracedList, self).__getitem__(i)) for i in range(*index.indices(len(self)))]
        value = super().__getitem__(index)
        return self._given(range(len(self))[index], value)


def is_container(value: object) -> bool:
    """Tell whether `value` is an object or a list."""
    return isinstance(value, dict | list)


def is_hollow(value: object) -> bool:
    """Tell whether a leaf holds nothing: null or an empty text."""
    return value is None or value == ""


def traced(value: Any, trace: Trace, path: str = "") -> Any:
    """Return a copy of a JSON value whose containers note what is read."""
    match value:
        case dict():
            return TracedObject(path, {k: traced(v, trace, step(path, k)) for k, v in value.items()}, trace)
        case list():
            return TracedList(path, [traced(v, trace, step(path, i)) for i, v in enumerate(value)], trace)
        case _:
            return value


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all leaves that hold something, in the document's order."""
    match value:
        case dict():
            for key in value:
                yield from leaves(dict.__getitem__(value, key), step(path, key))
        case list():
            for index, child in enumerate(list.__iter__(value)):
                yield from leaves(child, step(path, index))
        case _:
            if not is_hollow(value):
                yield path


def leaves_within(result: Any) -> Iterator[str]:
    """Yield the paths of the leaves of the traced containers in an expression's result."""
    if isinstance(result, TracedObject | TracedList):
        yield from leaves(result, result.path)
    elif isinstance(result, dict):
        for child in result.values():
            yield from leaves_within(child)
    elif isinstance(result, list):
        for child in result:
            yield from leaves_within(child)


class _Functions(functions.Functions):
    """The library's functions, which compare type names and must take our containers for its own."""

    def _type_check_single(self, current: Any, types: Any, function_name: str) -> None:
        if isinstance(current, TracedObject):
            current = dict.copy(current)
        elif isinstance(current, TracedList):
            current = list.copy(current)
        super()._type_check_single(current, types, function_name)  # type: ignore[misc]  # not in the stubs


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def compile_expression(text: str) -> ParsedResult:
    """Return the compiled expression, or raise `ValueError` with one line that says where it is wrong."""
    try:
        parsed = jmespath.compile(text)
    except exceptions.LexerError as error:
        raise ValueError(f"not a JMESPath expression at character {error.lexer_position + 1}") from None
    except exceptions.IncompleteExpressionError:
        raise ValueError("the JMESPath expression is not complete") from None
    except exceptions.ParseError as error:
        raise ValueError(f"not a JMESPath expression at character {error.lex_position + 1}") from None
    except (exceptions.JMESPathError, RecursionError):
        raise ValueError("not a JMESPath expression") from None
    _check_functions(parsed.parsed)
    return parsed


def _check_functions(node: Mapping[str, Any]) -> None:
    if node.get("type") == "function_expression":
        name = node["value"]
        if name not in _Functions.FUNCTION_TABLE:
            raise ValueError(f"JMESPath has no function {name}()")
        if name in _UNFOLLOWED:
            raise ValueError(f"the function {name}() is not available in mapping files")
    for child in node.get("children", ()):
        if isinstance(child, Mapping):
            _check_functions(child)


def evaluate(expression: ParsedResult, document: Any) -> Any:
    """Return what the expression finds in a traced document, or raise `Unfit`.

    The library lets any error of Python's own operators through when the data are of another type than the
    expression expects; all of them mean the same here.
    """
    try:
        return expression.search(document, options=_OPTIONS)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise Unfit from None

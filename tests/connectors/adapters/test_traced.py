# SPDX-License-Identifier: Apache-2.0
"""Tracing: what an expression read is known, its result is that of the library, and doubt counts as unread."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adapters.traced import (
    Trace,
    Unfit,
    compile_expression,
    displayed,
    evaluate,
    is_hollow,
    leaves,
    leaves_within,
    step,
    traced,
)

DOCUMENT: dict[str, Any] = {
    "person": {"name": "n", "age": 4, "none": None, "empty": "", "a/b~c": "slash"},
    "items": [{"k": "a", "v": 1}, {"k": "b", "v": 2, "deep": {"x": [True, False]}}],
    "words": ["one", "two", "three"],
}


def read(text: str) -> tuple[Any, list[str]]:
    trace = Trace()
    root = traced(DOCUMENT, trace)
    with trace.reading() as paths:
        result = evaluate(compile_expression(text), root)
    return result, [displayed(path) for path in paths]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("person.name", ["person/name"]),
        ('person."a/b~c"', ["person/a~1b~0c"]),
        ("person.missing", []),
        ("person.none || person.name", ["person/none", "person/name"]),
        ("person.name || person.age", ["person/name"]),
        ("items[?k=='b'].v", ["items/0/k", "items/1/k", "items/1/v"]),
        ("items[-1].v", ["items/1/v"]),
        ("items[].k", ["items/0/k", "items/1/k"]),
        ("items[1].deep.x[0]", ["items/1/deep/x/0"]),
        ("words[1:]", ["words/1", "words/2"]),
        ("words[::-2]", ["words/2", "words/0"]),
        ("person.*", ["person/name", "person/age", "person/none", "person/empty", "person/a~1b~0c"]),
        ("person.[name, age]", ["person/name", "person/age"]),
        ("person.{n: name}", ["person/name"]),
        ("join(', ', words)", ["words/0", "words/1", "words/2"]),
        ("reverse(words)", ["words/0", "words/1", "words/2"]),
        ("contains(words, 'two')", ["words/0", "words/1", "words/2"]),
        ("sort_by(items, &v)[-1].k", ["items/0/v", "items/1/v", "items/1/k"]),
        ("length(words)", []),
        ("items", []),
        ("`true`", []),
        ("not_null(person.none, person.name)", ["person/none", "person/name"]),
        ("starts_with(to_string(person.none), 'x')", ["person/none"]),
        ("words | [0]", ["words/0"]),
        ("max(words)", ["words/0", "words/1", "words/2"]),
        ("values(person)", ["person/name", "person/age", "person/none", "person/empty", "person/a~1b~0c"]),
    ],
)
def test_an_expression_reads_exactly_these_leaves(text: str, paths: list[str]) -> None:
    assert read(text)[1] == paths


@pytest.mark.parametrize(
    "text",
    [
        "person.name",
        "items[?v > `1`].deep.x[]",
        "items[*].[k, v]",
        "items[].{key: k}",
        "keys(person)",
        "map(&k, items)",
        "sum(items[].v)",
        "max_by(items, &v).k",
        "to_array(words)",
        "type(items)",
        "length(items)",
        "words[0:2]",
        "sort(words)",
        "items[?contains(['a'], k)]",
        "[person][?!none]",
        "person == person",
        "to_string(items)",
    ],
)
def test_a_traced_document_gives_what_the_library_gives(text: str) -> None:
    result, _ = read(text)
    assert result == jmespath.search(text, DOCUMENT)


def test_an_ignored_result_covers_all_leaves_under_it() -> None:
    result, _ = read("items[?k=='b']")
    assert list(leaves_within(result)) == ["/items/1/k", "/items/1/v", "/items/1/deep/x/0", "/items/1/deep/x/1"]
    assert list(leaves_within(read("{all: items[0]}")[0])) == ["/items/0/k", "/items/0/v"]


@pytest.mark.parametrize(
    "text", ["starts_with(person.age, 'a')", "contains(person.name, `5`)", "abs(words)", "sum(words)"]
)
def test_an_expression_that_does_not_fit_says_nothing_of_the_data(text: str) -> None:
    with pytest.raises(Unfit) as refusal:
        read(text)
    assert str(refusal.value) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("person.", "at character 8"),
        ("", "not a JMESPath"),
        ("person..name", "at character 8"),
        ("a b", "at character 3"),
        ("#", "at character 1"),
        ("nothing(person)", "no function nothing"),
        ("merge(person, person)", "not available"),
        ("items[?nothing(k)]", "no function nothing"),
    ],
)
def test_a_wrong_expression_is_explained_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        compile_expression(text)
    assert "\n" not in str(refusal.value)


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abk/~", max_size=3), inner, max_size=3),
)


def _at(document: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in _scalars(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in _scalars(child)]
    return [value]


@given(st.dictionaries(st.text("abk/~", max_size=3), DOCUMENTS, max_size=4))
def test_every_leaf_that_holds_something_has_one_path_that_leads_to_it(document: dict[str, Any]) -> None:
    paths = list(leaves(document))
    assert len(set(paths)) == len(paths)
    assert [_at(document, path) for path in paths] == [v for v in _scalars(document) if not is_hollow(v)]


@given(
    st.dictionaries(st.sampled_from("abk"), DOCUMENTS, max_size=3),
    st.sampled_from(["a.b", "a[].k", "*.a", "a[?k]", "b || a", "a[0]", "[a, b][]"]),
)
def test_tracing_changes_no_result_and_names_only_leaves(document: dict[str, Any], text: str) -> None:
    trace = Trace()
    root = traced(document, trace)
    with trace.reading() as paths:
        result = evaluate(compile_expression(text), root)
    assert json.dumps(result) == json.dumps(jmespath.search(text, document))
    assert all(not isinstance(_at(document, path), dict | list) for path in paths)


def test_a_path_keeps_slashes_in_keys_apart() -> None:
    assert step(step("", "a/b"), "c~d") == "/a~1b/c~0d"
    assert step(step("", ""), "a") != step("", "a")

# SPDX-License-Identifier: Apache-2.0
"""Alert rules judged as Prometheus judges them: metrics are scraped by the minute, and `firing` says what is told.

The language is parsed by a library; what is evaluated here are the few functions that our rules use, over the samples
as they are (Prometheus also reckons a rate to the edges of its window, which changes no rule's answer here).
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families

FOLDER = Path(__file__).parents[1] / "docs" / "monitoring"
LOOKBACK_S = 300.0
EVERY_S = 60.0

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Samples = list[tuple[float, float]]


@cache
def rules() -> Mapping[str, Mapping[str, Any]]:
    """Return the rules by name."""
    document = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


class Prometheus:
    """What was scraped, and the rules over it; times are seconds."""

    def __init__(self) -> None:
        self._series = defaultdict[Labels, list[tuple[float, float | None]]](list)
        self._seen = defaultdict[tuple[str, str], set[Labels]](set)

    def scrape(self, at: float, job: str, text: str | None, instance: str = "x") -> None:
        """Take what a target of `job` tells at `at`; None if it does not answer."""
        told: Vector = {_labels("up", job=job, instance=instance): 0.0 if text is None else 1.0}
        for name, labels, value in _told(text or ""):
            told[_labels(name, job=job, instance=instance, **dict(labels))] = value
        for gone in self._seen[job, instance] - told.keys():
            self._series[gone].append((at, None))  # stale: no sample is taken for the present from now on
        self._seen[job, instance] = set(told)
        for labels, value in told.items():
            self._series[labels].append((at, value))

    def run(self, begin: float, end: float, job: str, told: Callable[[float], str | None], instance: str = "x") -> None:
        """Scrape every minute what `told` tells of the moment."""
        at = begin
        while at <= end:
            self.scrape(at, job, told(at), instance)
            at += EVERY_S

    def firing(self, alert: str, at: float) -> list[dict[str, str]]:
        """Return the labels of each alert of this rule that fires at `at`."""
        rule = rules()[alert]
        pending = _seconds(rule.get("for", "0m"))
        moments = [at - pending + step * EVERY_S for step in range(int(pending / EVERY_S) + 1)]
        kept: set[Labels] | None = None
        for moment in moments:
            now = set(self._vector(promql.parse(rule["expr"]), moment))
            kept = now if kept is None else kept & now
        return [dict(labels) for labels in kept or ()]

    def _vector(self, node: Any, at: float) -> Vector:
        found = self._value(node, at)
        assert isinstance(found, dict)
        return found

    def _value(self, node: Any, at: float) -> Vector | float:
        match node:
            case promql.NumberLiteral():
                return float(node.val)
            case promql.ParenExpr():
                return self._value(node.expr, at)
            case promql.VectorSelector():
                return {labels: value for labels, (_, value) in self._instant(node, at).items()}
            case promql.AggregateExpr():
                return self._aggregate(node, at)
            case promql.BinaryExpr():
                return _binary(node, self._value(node.lhs, at), self._value(node.rhs, at))
            case promql.Call():
                return self._call(node, at)
            case _:
                raise AssertionError(f"{type(node).__name__} is not evaluated here")

    def _matching(self, selector: Any) -> Iterable[tuple[Labels, list[tuple[float, float | None]]]]:
        for labels, samples in self._series.items():
            own = dict(labels)
            if own["__name__"] == selector.name and all(_fits(one, own) for one in selector.matchers.matchers):
                yield labels, samples

    def _instant(self, selector: Any, at: float) -> dict[Labels, tuple[float, float]]:
        found = {}
        for labels, samples in self._matching(selector):
            place = bisect_right(samples, at, key=lambda one: one[0])
            if place and (value := samples[place - 1][1]) is not None and samples[place - 1][0] > at - LOOKBACK_S:
                found[labels] = (samples[place - 1][0], value)
        return found

    def _windows(self, node: Any, at: float) -> Iterable[tuple[Labels, Samples]]:
        begin = at - node.range.total_seconds()
        for labels, samples in self._matching(node.vector_selector):
            window = [(time, value) for time, value in samples if begin < time <= at and value is not None]
            if window:
                yield labels, window

    def _call(self, node: Any, at: float) -> Vector:
        name, last = node.func.name, node.args[-1]
        if name == "timestamp":
            return {_unnamed(labels): time for labels, (time, _) in self._instant(last, at).items()}
        if name == "abs":
            return {_unnamed(labels): abs(value) for labels, value in self._vector(last, at).items()}
        if name == "histogram_quantile":
            return _quantile(node.args[0].val, self._vector(last, at))
        window = node.args[0]
        spread = 2 if name in ("rate", "predict_linear") else 1
        ahead = self._value(node.args[1], at) if name == "predict_linear" else 0.0
        return {
            _unnamed(labels): _OVER_TIME[name](samples, window.range.total_seconds(), ahead)
            for labels, samples in self._windows(window, at)
            if len(samples) >= spread
        }

    def _aggregate(self, node: Any, at: float) -> Vector:
        by, names = node.modifier.type == promql.AggModifierType.By, set(node.modifier.labels)
        groups = defaultdict[Labels, list[float]](list)
        for labels, value in self._vector(node.expr, at).items():
            groups[frozenset(one for one in _unnamed(labels) if (one[0] in names) is by)].append(value)
        reckon: Callable[[list[float]], float] = sum if str(node.op) == "sum" else min
        return {labels: reckon(values) for labels, values in groups.items()}


@cache
def _told(text: str) -> list[tuple[str, Labels, float]]:
    families = text_string_to_metric_families(text)
    return [(one.name, frozenset(one.labels.items()), one.value) for family in families for one in family.samples]


def _labels(name: str, **labels: str) -> Labels:
    return frozenset({"__name__": name, **labels}.items())


def _unnamed(labels: Labels) -> Labels:
    return frozenset(one for one in labels if one[0] != "__name__")


def _seconds(text: str) -> float:
    return int(text[:-1]) * {"m": 60.0, "h": 3_600.0, "d": 86_400.0}[text[-1]]


def _fits(matcher: Any, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    match str(matcher.op):
        case "MatchOp.Equal":
            return bool(value == matcher.value)
        case "MatchOp.NotEqual":
            return bool(value != matcher.value)
        case "MatchOp.Re":
            return re.fullmatch(matcher.value, value) is not None
        case _:
            return re.fullmatch(matcher.value, value) is None


def _binary(node: Any, left: Vector | float, right: Vector | float) -> Vector | float:
    assert node.modifier is None or node.modifier.matching is None, "no rule matches by named labels"
    operator = str(node.op)
    if operator == "or":
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        known = set(map(_unnamed, left))
        return left | {labels: value for labels, value in right.items() if _unnamed(labels) not in known}
    if operator in _COMPARED:
        assert isinstance(left, dict)
        compare = _COMPARED[operator]
        return {labels: one for labels, one, other in _pairs(left, right) if compare(one, other)}
    reckon = _RECKONED[operator]
    if isinstance(left, float) and isinstance(right, float):
        return reckon(left, right)
    if isinstance(left, float):
        assert isinstance(right, dict)
        return {_unnamed(labels): reckon(left, value) for labels, value in right.items()}
    return {_unnamed(labels): reckon(one, other) for labels, one, other in _pairs(left, right)}


def _pairs(left: Vector, right: Vector | float) -> Iterable[tuple[Labels, float, float]]:
    others = {} if isinstance(right, float) else {_unnamed(labels): value for labels, value in right.items()}
    for labels, value in left.items():
        other = right if isinstance(right, float) else others.get(_unnamed(labels))
        if other is not None:
            yield labels, value, other


def _resets(samples: Samples) -> int:
    return sum(new < old for (_, old), (_, new) in pairwise(samples))


def _increase(samples: Samples) -> float:
    steps = ((old, new) for (_, old), (_, new) in pairwise(samples))
    return sum(new - old if new >= old else new for old, new in steps)


def _line(samples: Samples, ahead: float) -> float:
    begin, count = samples[-1][0], len(samples)
    times, values = [time - begin for time, _ in samples], [value for _, value in samples]
    middle, mean = sum(times) / count, sum(values) / count
    slope = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
    slope /= sum((t - middle) ** 2 for t in times)
    return mean + slope * (ahead - middle)


def _quantile(share: float, buckets: Vector) -> Vector:
    groups = defaultdict[Labels, list[tuple[float, float]]](list)
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        groups[frozenset(one for one in labels if one[0] not in ("le", "__name__"))].append((bound, count))
    found = {}
    for labels, bounds in groups.items():
        bounds.sort()
        rank = share * bounds[-1][1]
        place = next(number for number, (_, count) in enumerate(bounds) if count >= rank)
        low, below = bounds[place - 1] if place else (0.0, 0.0)
        high, count = bounds[place]
        if bounds[-1][1]:
            found[labels] = low if high == float("inf") else low + (high - low) * (rank - below) / (count - below)
    return found


_OVER_TIME: Mapping[str, Callable[[Samples, float, Any], float]] = {
    "resets": lambda samples, _, __: _resets(samples),
    "changes": lambda samples, _, __: sum(a != b for (_, a), (_, b) in pairwise(samples)),
    "min_over_time": lambda samples, _, __: min(value for _, value in samples),
    "rate": lambda samples, seconds, _: _increase(samples) / seconds,
    "predict_linear": lambda samples, _, ahead: _line(samples, ahead),
}
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
    "==": lambda one, other: one == other,
}
_RECKONED: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "^": lambda one, other: one**other,
}

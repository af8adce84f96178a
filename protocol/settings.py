# SPDX-License-Identifier: Apache-2.0
"""Configuration for hub and connectors: one TOML text and an environment become checked, frozen models.

A program describes its configuration as a pydantic model whose fields are sections (`Section`) and whose
sections' fields are plain values with a description. Everything here is pure: the caller reads the file
and hands over its text and the environment. Own code rather than a library's loader, because three things
are wanted together: every value remembers where it came from (`explain`), an unknown key is an error with
a suggestion, and no message ever repeats a value, since it may be a secret typed into the wrong place.
"""

import ipaddress
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from protocol.errors import ConfigurationError

PREFIX = "THROUGHCARE_"


class Section(BaseModel):
    """Base of one `[section]`: unknown keys are refused, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


class Settings(BaseModel):
    """Base of a program's whole configuration: each field is a `Section`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return Path(base) / path if base is not None else path


class Profile(StrEnum):
    """`demo` runs on one machine with throw-away keys; `production` refuses what only a demo may do."""

    DEMO = "demo"
    PRODUCTION = "production"


def is_loopback(host: str) -> bool:
    """Tell whether `host` is an address of the loopback interface, or the name localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("write the root fingerprint as 64 lower-case hexadecimal digits")
    return text


RootFingerprint = Annotated[str, AfterValidator(_fingerprint)]
"""The programme root's fingerprint as people copy it (DIR-4)."""

ConfigPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; a relative one counts from the directory of the configuration file."""


class LogSection(Section):
    """`[log]`: the running log, which is not the evidence."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    form: Literal["auto", "json", "text"] = Field(
        "auto", description="json lines, text for people, or auto: text on a terminal."
    )


class Origin(StrEnum):
    """Where a value comes from; the environment goes before the file, the file before the default."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A checked configuration, and for each key set by somebody (`section.key`) where it was set."""

    settings: S
    origins: Mapping[str, Origin]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one key: its meaning, its form, its value and where that comes from."""

    key: str
    description: str
    form: str
    value: str
    origin: Origin


def load(
    model: type[S],
    text: str,
    environment: Mapping[str, str],
    *,
    base: Path | None = None,
    others: Collection[str] = (),
) -> Loaded[S]:
    """Check `text` (TOML) and `environment` against `model`.

    `base` is the directory of the file, for relative paths; `others` names sections of other programs,
    which are left alone so that one file can serve several. Raises ConfigurationError, naming the key and
    what to do, never a value.
    """
    raw = _parse(text)
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, Origin] = {}
    for section, table in raw.items():
        if section in others:
            continue
        _section_field(model, section)
        if not isinstance(table, dict):
            raise ConfigurationError(f"`{section}` is a section: write [{section}] and its keys below.")
        for key, value in table.items():
            _field(model, section, key)
            values.setdefault(section, {})[key] = value
            origins[f"{section}.{key}"] = Origin.FILE
    for section, key, name, value in _from_environment(environment):
        if section in others:
            continue
        _section_field(model, section, where=f"the environment's {name}")
        field = _field(model, section, key, where=f"the environment's {name}")
        values.setdefault(section, {})[key] = _typed(field, value, name)
        origins[f"{section}.{key}"] = Origin.ENVIRONMENT
    for section in model.model_fields:
        values.setdefault(section, {})
    try:
        settings = model.model_validate(values, context={"base": base})
    except ValidationError as error:
        raise ConfigurationError(_first_fault(error)) from None
    return Loaded(settings, origins)


def explain(loaded: Loaded[Any], key: str) -> Explanation:
    """Tell what `section.key` means, its value now and where that was set; raises ConfigurationError."""
    section, _, name = key.partition(".")
    model = type(loaded.settings)
    _section_field(model, section)
    field = _field(model, section, name)
    value = getattr(getattr(loaded.settings, section), name)
    origin = loaded.origins.get(key, Origin.DEFAULT)
    return Explanation(key, field.description or "", _form(field), _toml(value), origin)


def render_example(models: Sequence[tuple[str, type[Settings]]]) -> str:
    """Return a commented TOML file for several programs, given as (name, model).

    Keys that must be set stand uncommented with an invented value; all others are comments that show the
    default. Sections of the same name are written once, with the keys of every program that reads them.
    """
    sections: dict[str, dict[str, tuple[FieldInfo, list[str]]]] = {}
    readers: dict[str, list[str]] = {}
    for program, model in models:
        for section, field in model.model_fields.items():
            readers.setdefault(section, []).append(program)
            for key, inner in _keys(field).items():
                known = sections.setdefault(section, {}).setdefault(key, (inner, []))
                if (known[0].description, known[0].default) != (inner.description, inner.default):
                    raise TypeError(f"{section}.{key} means different things to {known[1]} and {program}")
                known[1].append(program)
    return "\n".join(_render(section, keys, readers[section]) for section, keys in sections.items())


def _render(section: str, keys: Mapping[str, tuple[FieldInfo, list[str]]], readers: list[str]) -> str:
    lines = [f"[{section}]  # read by {' and '.join(readers)}"]
    for key, (field, programs) in keys.items():
        only = "" if programs == readers else f" ({' and '.join(programs)} only)"
        lines += [f"# {line}" for line in _wrapped(f"{field.description or key}{only}")]
        if field.is_required():
            if not field.examples:
                raise TypeError(f"{section}.{key} must be set and so needs an example to show")
            lines.append(f"{key} = {_toml(field.examples[0])}")
        else:
            default = field.get_default(call_default_factory=True)
            if default is None and not field.examples:
                raise TypeError(f"{section}.{key} has neither a default nor an example to show")
            lines.append(f"# {key} = {_toml(field.examples[0] if field.examples else default)}")
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str, width: int = 96) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _toml(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at (line \d+, column \d+|end of document)\)$", str(error))
        where = place.group(1) if place else "an unknown place"
        raise ConfigurationError(f"The configuration is not valid TOML at {where}.") from None


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for name in sorted(environment):
        section, separator, key = name.removeprefix(PREFIX).partition("__")
        if name.startswith(PREFIX) and separator:
            yield section.lower(), key.lower(), name, environment[name]


def _keys(field: FieldInfo) -> dict[str, FieldInfo]:
    section = field.annotation
    if not (isinstance(section, type) and issubclass(section, Section)):
        raise TypeError("every field of a Settings model is a Section")
    return section.model_fields


def _section_field(model: type[Settings], section: str, where: str = "the configuration") -> FieldInfo:
    field = model.model_fields.get(section)
    if field is None:
        raise ConfigurationError(_unknown(f"section [{section}]", where, section, model.model_fields))
    return field


def _field(model: type[Settings], section: str, key: str, where: str = "the configuration") -> FieldInfo:
    keys = _keys(model.model_fields[section])
    field = keys.get(key)
    if field is not None:
        return field
    if f"{key}_file" in keys:
        raise ConfigurationError(
            f"{where} sets {section}.{key}; secrets are never written there. "
            f"Put it into a file only you can read and name that in {section}.{key}_file."
        )
    raise ConfigurationError(_unknown(f"key {section}.{key}", where, key, keys, prefix=f"{section}."))


def _unknown(what: str, where: str, name: str, known: Collection[str], prefix: str = "") -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f"did you mean {prefix}{near[0]}?" if near else f"known are: {', '.join(sorted(known))}."
    return f"Unknown {what} in {where}; {hint}"


def _typed(field: FieldInfo, value: str, name: str) -> object:
    """Environment values are text; lists are written as JSON or separated by commas."""
    if get_origin(field.annotation) not in (list, tuple, set, frozenset):
        return value
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    try:
        return json.loads(value)
    except ValueError:
        raise ConfigurationError(f"The environment's {name} is not a JSON list.") from None


def _form(field: FieldInfo) -> str:
    annotation = field.annotation
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(part) for part in fault["loc"][:2])
    if fault["type"] == "missing":
        return f"{key} must be set; see config.example.toml for what it means."
    text = fault["msg"].removeprefix("Value error, ")
    return f"{key} cannot be used: {text}." if key else f"{text}."


__all__ = [
    "PREFIX",
    "ConfigPath",
    "Explanation",
    "Loaded",
    "Origin",
    "Section",
    "Settings",
    "explain",
    "load",
    "render_example",
]

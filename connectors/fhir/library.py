# SPDX-License-Identifier: Apache-2.0
"""The library that knows FHIR: loaded when something is imported, since it is an extra and takes a second."""

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from protocol.errors import ExtraMissing

CHECKED: Final = ("Communication", "Patient", "ServiceRequest", "Task")
"""The resources that are read, and therefore checked first."""
_SHOWN: Final = 20
_WRONG: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""All that the library lets through when a resource is of another shape than it expects."""


@cache
def models() -> Mapping[str, type[BaseModel]]:
    """Return the library's model of each resource that is read; `ExtraMissing` where it is not installed.

    They are those of R4B, which differs from R4 in none of the elements that are read or written here.
    """
    try:
        return {name: _model(name) for name in CHECKED}
    except ImportError:
        raise ExtraMissing("Reading FHIR needs the extra `fhir`, which is not installed.") from None


def _model(name: str) -> type[BaseModel]:
    module = importlib.import_module(f"fhir.resources.R4B.{name.lower()}")
    model: type[BaseModel] = getattr(module, name)
    return model


def faults(kind: str, resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the places in `resource` that are not R4, as `/key/0/key`; none if all is well, never what stands there.

    A fault that has no place of its own stands at the resource, which is the empty text.
    """
    model = models()[kind]
    try:
        model.model_validate(dict(resource))
    except ValidationError as error:
        return tuple(dict.fromkeys(_places(error, resource)))[:_SHOWN]
    except _WRONG:
        return ("",)
    return ()


def _places(error: ValidationError, resource: Any) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place, value = "", resource
        for part in fault["loc"]:
            # The library adds names of its own, such as `root`; what is not in the resource is not shown.
            if isinstance(value, dict) and part in value:
                value = value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                break
            place += "/" + str(part).replace("~", "~0").replace("/", "~1")
        yield place

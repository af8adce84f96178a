# SPDX-License-Identifier: Apache-2.0
"""A table of services: which code of another's list is which service of ours. The jurisdiction keeps it (TOML).

    [services."http://snomed.info/sct|467771000124109"]
    code = "food-help"
    pathway = "finance-id"
    outcome = "help-received"

A code that stands in no table is not understood: which service somebody means is never guessed.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import MappingInvalid
from protocol.http.threads import MAX_KNOWN
from protocol.kinds.referral.request import ServiceWanted

MAX_TABLE: Final = 1 << 20

Services: TypeAlias = Mapping[str, ServiceWanted]
"""By `system|code`."""


class _Table(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    services: dict[str, dict[str, str]]


def unknown(services: Services, fields: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return which services a referral of these fields asks for that the table does not have, and which it has.

    Both are empty where there is no table, or nothing is asked for that it does not have (REF-13).
    """
    known, asked = {one.code for one in services.values()}, fields.get("services")
    codes = [one.get("code") for one in asked if isinstance(one, Mapping)] if isinstance(asked, list) else []
    missing = [one for one in codes if isinstance(one, str) and one not in known]
    return (missing, sorted(known)[:MAX_KNOWN]) if known and missing else ([], [])


def read_services(file: Path) -> Services:
    """Return the table in `file`; `MappingInvalid` names the line that cannot be used."""
    try:
        with file.open("rb") as opened:
            table = _Table.model_validate(tomllib.loads(opened.read(MAX_TABLE).decode()))
    except OSError:
        raise MappingInvalid("The table of services cannot be read. Check its path.") from None
    except (ValidationError, ValueError, RecursionError):
        raise MappingInvalid('The table of services is not TOML with parts [services."system|code"].') from None
    found = {}
    for number, (name, values) in enumerate(table.services.items(), start=1):
        system, bar, code = name.rpartition("|")
        if not (system and bar and code):
            raise MappingInvalid(f"Service {number} of the table is not named by system|code.")
        try:
            # In strict mode an enumeration is read from its text in JSON only.
            found[name] = ServiceWanted.model_validate_strings(values)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors(include_input=False))
            raise MappingInvalid(
                f"Service {number} of the table is not complete or not of its form: {places}."
            ) from None
    return found

# SPDX-License-Identifier: Apache-2.0
"""Adapters: how an agency's own records become what Throughcare sends.

The first adapter is a mapping file: an IT officer says in TOML, with JMESPath expressions, where in the
agency's own JSON export each field of a handover is found (docs/mapping.md). What the mapping does not
understand is reported by place, never by value, and what is not understood is not sent.

    mapping = load_mapping(find_mapping("resettlement"))
    mapped = transform(mapping, read_export(Path("export")), now_ms=clock(), zone=calendar.zone)
"""

from connectors.adapters.exports import Export, read_export
from connectors.adapters.mapping import Mapping, find_mapping, load_mapping
from connectors.adapters.report import Ignored, NotUnderstood
from connectors.adapters.transform import Mapped, transform

__all__ = [
    "Export",
    "Ignored",
    "Mapped",
    "Mapping",
    "NotUnderstood",
    "find_mapping",
    "load_mapping",
    "read_export",
    "transform",
]

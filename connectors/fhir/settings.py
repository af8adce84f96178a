# SPDX-License-Identifier: Apache-2.0
"""`[fhir]`: how the local interface reads bundles of others (docs/fhir.md)."""

from pydantic import Field

from protocol.settings import ConfigPath, Section


class FhirSection(Section):
    """`[fhir]`: which code of others is which service of ours."""

    services: ConfigPath | None = Field(
        None,
        description="A TOML table: which code of another's list is which service of ours. Without it only our own "
        "codes are understood.",
        examples=["/etc/throughcare/fhir-services.toml"],
    )

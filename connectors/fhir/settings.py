# SPDX-License-Identifier: Apache-2.0
"""`[fhir]`: how the local interface reads bundles of others (docs/fhir.md)."""

from pydantic import Field

from protocol.settings import ConfigPath, Section


class FhirSection(Section):
    """`[fhir]`: which code of others is which service of ours."""

    services: ConfigPath | None = Field(
        None,
        description="A TOML table: which code of another's list is which service of ours. Without it only our own "
        "codes are understood. With it, whoever refers is told of a service that it does not have, as where a code is "
        "mistyped; the referral is sent all the same.",
        examples=["/etc/throughcare/fhir-services.toml"],
    )

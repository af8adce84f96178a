# SPDX-License-Identifier: Apache-2.0
"""The three invented agencies of sandbox and demo, and their hub."""

from dataclasses import dataclass
from typing import Final

from protocol.clearance import AgencyKind, DeskFunction

DOMAIN: Final = "hub.example"
PROGRAMME: Final = "Throughcare DEMO programme"
JURISDICTION: Final = "DEMO"


@dataclass(frozen=True, slots=True)
class Part:
    """One agency: its name in addresses, how people call it, and its one desk."""

    name: str
    title: str
    kind: AgencyKind
    desk: str
    function: DeskFunction

    @property
    def address(self) -> str:
        """The desk's address."""
        return f"{self.desk}.{self.name}@{DOMAIN}"


GORA: Final = Part("gora-prison", "Gora Prison (DEMO)", AgencyKind.PRISON, "release", DeskFunction.PRISON_RELEASE)
REKA: Final = Part(
    "reka-probation", "Reka Probation Office (DEMO)", AgencyKind.PROBATION, "intake", DeskFunction.PROBATION_INTAKE
)
POLJE: Final = Part(
    "polje-csw", "Polje Centre for Social Work (DEMO)", AgencyKind.CSW, "intake", DeskFunction.SOCIAL_WORK
)
CAST: Final = (GORA, REKA, POLJE)

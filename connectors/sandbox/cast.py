# SPDX-License-Identifier: Apache-2.0
"""The invented agencies of sandbox and demo, and their hub."""

from dataclasses import dataclass
from typing import Final

from protocol.clearance import AgencyKind, DeskFunction

DOMAIN: Final = "hub.example"
PROGRAMME: Final = "Throughcare DEMO programme"
JURISDICTION: Final = "DEMO"


@dataclass(frozen=True, slots=True)
class Part:
    """One agency: its name in addresses, how people call it, its one desk, and the title of who acts there."""

    name: str
    title: str
    kind: AgencyKind
    desk: str
    function: DeskFunction
    officer: str

    @property
    def short(self) -> str:
        """What people call it for short."""
        return self.title.split()[0]

    @property
    def address(self) -> str:
        """The desk's address."""
        return f"{self.desk}.{self.name}@{DOMAIN}"


GORA: Final = Part(
    "gora-prison", "Gora Prison (DEMO)", AgencyKind.PRISON, "release", DeskFunction.PRISON_RELEASE, "release officer"
)
REKA: Final = Part(
    "reka-probation",
    "Reka Probation Office (DEMO)",
    AgencyKind.PROBATION,
    "intake",
    DeskFunction.PROBATION_INTAKE,
    "probation officer",
)
POLJE: Final = Part(
    "polje-csw",
    "Polje Centre for Social Work (DEMO)",
    AgencyKind.CSW,
    "intake",
    DeskFunction.SOCIAL_WORK,
    "social worker",
)
CAST: Final = (GORA, REKA, POLJE)
"""Who plays in a sandbox."""
DOLINA: Final = Part(
    "dolina-municipality",
    "Dolina Municipality (DEMO)",
    AgencyKind.MUNICIPALITY,
    "social-affairs",
    DeskFunction.MUNICIPALITY,
    "local coordinator",
)
OBALA: Final = Part(
    "obala-support", "Obala Support Centre (DEMO)", AgencyKind.NGO, "intake", DeskFunction.NGO, "counsellor"
)
WHOLE_CAST: Final = (*CAST, DOLINA, OBALA)
"""Who plays in the demo."""

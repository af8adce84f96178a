# SPDX-License-Identifier: Apache-2.0
"""How a sandbox gets its authority and its agencies: the functions behind `throughcare authority` and `enrol`.

They are called here, in one process, so that nobody waits for eleven starts of a program. Nothing else is
left out: codes are written and read, key requests go through the hub, two approvers sign, words are compared.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from connectors.authority import approval, invitation
from connectors.authority.founding import create_office
from connectors.authority.office import Office, read_hub_facts
from connectors.enrolment import application
from connectors.enrolment.application import Application
from connectors.enrolment.configuration import write_configuration
from connectors.enrolment.passphrases import passphrase_in, passphrase_path
from connectors.enrolment.pins import Pins, check_hub
from connectors.enrolment.visit import now_ms, visiting
from connectors.hub_client import HubClient
from connectors.sandbox.cast import DOMAIN, JURISDICTION, PROGRAMME, Part
from keys.sealedfile import SMALL
from keys.signing import HybridSigner
from protocol.enrolment import parse_code
from protocol.errors import EnrolmentRefused
from protocol.limits import DAY
from protocol.settings import Profile

_APPROVERS: Final = (1, 2)
_OWN_STATEMENTS: Final = 2
"""Root and authority: how many statements the directory has before the first agency."""


class Founding:
    """The authority of a sandbox, in `folder/authority`, while it enrols its agencies."""

    def __init__(self, folder: Path) -> None:
        """Make the authority and its people's keys; takes half a second, because Argon2id does."""
        passphrases = folder / "passphrases"
        self._passphrases = passphrases
        self.office: Office = create_office(
            folder / "authority",
            programme=PROGRAMME,
            jurisdiction=JURISDICTION,
            domain=DOMAIN,
            root_persons=1,
            approvers=len(_APPROVERS),
            passphrase_of=lambda name: passphrase_in(passphrases, name),
            now=now_ms(),
            params=SMALL,
        )
        self._approvers: list[HybridSigner] = [
            self.office.approver(n, passphrase_in(passphrases, f"approver-{n}")) for n in _APPROVERS
        ]

    @property
    def root_fingerprint(self) -> bytes:
        """What hub and agencies pin (DIR-4)."""
        return self.office.facts.root_fingerprint

    def meet_hub(self, hub_public: Path) -> None:
        """Take in what the hub's operator hands over."""
        self.office = self.office.connect(read_hub_facts(hub_public))

    async def publish(self) -> None:
        """Bring root and authority into the hub's directory."""
        pins = Pins(DOMAIN, self.root_fingerprint, *self.office.anchors(0))
        async with visiting(self.office.hub.url) as hub:
            await check_hub(hub, pins)
            for raw in self.office.statements():
                await hub.submit_statement(raw)

    async def apply(self, part: Part, data_dir: Path) -> Application:
        """Give an agency its code, and let it make its keys and its key request (ENR-1, ENR-3)."""
        code = invitation.make_code(
            self.office,
            agency=part.name,
            name=part.title,
            kind=part.kind,
            desks=((part.desk, part.function),),
            expires=now_ms() + DAY,
            directory_size=_OWN_STATEMENTS,
        )
        invitation.keep_code(self.office, code)
        delivered = parse_code(self.office.code_file(part.name).read_text(encoding="ascii"))
        passphrase = passphrase_in(self._passphrases, part.name)
        return await asyncio.to_thread(application.begin, delivered, data_dir, passphrase, SMALL)

    async def enrol(
        self, part: Part, applied: Application, port: int, rehearsal: Mapping[str, Path]
    ) -> tuple[str, ...]:
        """Enrol one agency and return the words that both sides compared (ENR-2 to ENR-5).

        `port` is that of its connector's local interface; `rehearsal` are the files of its clock and its troubles.
        """
        async with visiting(self.office.hub.url) as hub:
            await hub.register_code(invitation.registration(applied.code, self._approvers[0]))
            await applied.hand_in(hub, now_ms())
            for approver in self._approvers:
                await self._approve(hub, part, approver, heard=applied.words)
            if await applied.certificate(hub, now_ms()) is None:
                raise EnrolmentRefused(f"The authority signed {part.name}, and the directory does not show it.")
            await applied.complete(hub, now_ms(), officers=(part.officer,))
        secret = passphrase_path(self._passphrases, part.name)
        write_configuration(applied.data_dir, secret, profile=Profile.DEMO, port=port, rehearsal=rehearsal)
        return applied.words

    async def _approve(self, hub: HubClient, part: Part, approver: HybridSigner, heard: tuple[str, ...]) -> None:
        code = self.office.code(part.name)
        view = await hub.key_request(code.code_id)
        checked = approval.check_request(code, view.request, view.mac, view.received_at)
        turn = approval.approve(self.office, checked, approver, " ".join(heard), now_ms())
        if not turn.lacking:
            await hub.submit_statement(turn.raw)
            approval.conclude(self.office, checked, turn.raw)

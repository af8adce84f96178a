# SPDX-License-Identifier: Apache-2.0
"""A sandbox: an authority, a hub and three agencies in one folder, made as real ones are made.

    authority/            keys and statements of root and approvers, passphrases beside them
    hub/                  hub.toml, passphrase; hub/data is the hub's own data directory
    agencies/NAME/        one connector's data directory, with its configuration and passphrase
    logs/                 what each process said
    sandbox.json          the ports, so that the same sandbox can be started again

Hub and connectors are processes of their own. Authority and enrolment are the functions behind
`throughcare authority` and `throughcare enrol`, called here so that nobody waits for eleven program starts.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connectors import home
from connectors.authority import approval, invitation
from connectors.authority.office import Office, create_office, open_office, read_hub_facts
from connectors.config import Profile
from connectors.enrolment import application
from connectors.enrolment.configuration import CONFIG_FILE, write_configuration
from connectors.enrolment.passphrases import passphrase_in, passphrase_path
from connectors.enrolment.pins import Pins, check_hub
from connectors.enrolment.visit import now_ms, visiting
from connectors.hub_client import HubClient
from connectors.installation import ENROLMENT_FILE
from connectors.sandbox.cast import CAST, DOMAIN, JURISDICTION, PROGRAMME, Part
from connectors.sandbox.ports import free_ports
from connectors.sandbox.processes import Child, Supervisor, program
from keys.sealedfile import SMALL
from keys.signing import HybridSigner
from protocol.enrolment import EnrolmentCode, parse_code
from protocol.errors import ConfigurationError
from protocol.limits import DAY

STATE_FILE: Final = "sandbox.json"
HUB: Final = "hub"
_APPROVERS: Final = (1, 2)
_OWN_STATEMENTS: Final = 2
"""Root and authority: how many statements the directory has before the first agency."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one sandbox."""

    hub: int
    admin: int
    agencies: dict[str, int]

    @classmethod
    def find(cls, base: int | None) -> "Ports":
        """Return ports that are free now, the next ones from `base` if it is given."""
        hub, admin, *rest = free_ports(2 + len(CAST), base)
        return cls(hub, admin, {part.name: port for part, port in zip(CAST, rest, strict=True)})


class Sandbox:
    """The sandbox in `folder`; its processes are `supervisor`'s children."""

    def __init__(self, folder: Path, supervisor: Supervisor, *, port_base: int | None = None) -> None:
        self.folder = folder.absolute()
        self.supervisor = supervisor
        self.ports = self._known_ports() or Ports.find(port_base)
        self.hub: Child | None = None
        self.connectors: dict[str, Child] = {}
        self._office: Office | None = None
        self._approvers: list[HybridSigner] = []

    # Where things are

    @property
    def hub_url(self) -> str:
        """The hub's base URL."""
        return f"http://localhost:{self.ports.hub}"

    @property
    def hub_data(self) -> Path:
        """The hub's own data directory: what its operator sees."""
        return self.folder / "hub" / "data"

    def data_dir(self, part: Part) -> Path:
        """Return the data directory of an agency's connector."""
        return self.folder / "agencies" / part.name

    def profile(self, part: Part) -> home.Profile:
        """Return how the command line finds an agency's connector."""
        return home.Profile(
            name=part.name,
            desk=part.address,
            api_url=f"http://localhost:{self.ports.agencies[part.name]}",
            token_file=str(self.data_dir(part) / "api-token"),
            data_dir=str(self.data_dir(part)),
        )

    def passphrase(self, part: Part) -> bytes:
        """Return the passphrase of an agency's keystore; it is a sandbox."""
        return passphrase_in(self.folder / "passphrases", part.name)

    def description(self) -> dict[str, Any]:
        """Return where everything is, as `throughcare sandbox --json` prints it."""
        admin_url = f"http://localhost:{self.ports.admin}"
        shown = ("name", "desk", "api_url", "token_file", "data_dir")
        return {
            "hub": {"url": self.hub_url, "admin_url": admin_url, "data_dir": str(self.hub_data)},
            "agencies": [{key: getattr(self.profile(part), key) for key in shown} for part in CAST],
        }

    def is_enrolled(self) -> bool:
        """Tell whether all agencies are enrolled; `ConfigurationError` if only some are."""
        enrolled = [part for part in CAST if (self.data_dir(part) / ENROLMENT_FILE).exists()]
        if enrolled and len(enrolled) < len(CAST):
            raise ConfigurationError("The folder holds half a sandbox. Delete it, or name another with --data.")
        return bool(enrolled)

    # The hub

    async def prepare(self) -> None:
        """Make what must exist before the hub runs: authority, root fingerprint, the hub's own keys."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self.folder / "authority").exists():
            self._office = open_office(self.folder / "authority")
            return
        self._write_hub_config(None)
        keys = self.supervisor.run(HUB, [program("throughcare-hub"), "init", "--config", str(self._hub_config)])
        office, _ = await asyncio.gather(asyncio.to_thread(self._create_office), keys)
        self._office = office.connect(read_hub_facts(self.hub_data / "hub-public.json"))
        self._write_hub_config(office.facts.root_fingerprint)
        state = {"hub": self.ports.hub, "admin": self.ports.admin, "agencies": self.ports.agencies}
        (self.folder / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    async def start_hub(self) -> None:
        """Start the hub, or start it again after its end."""
        command = [program("throughcare-hub"), "run", "--config", str(self._hub_config), "--ready-json"]
        self.hub = await self.supervisor.start(HUB, command)

    # The agencies

    async def found(self) -> dict[Part, application.Application]:
        """Start the hub while the agencies make their keys; bring root and authority into its directory."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.start_hub())
            applying = {part: tasks.create_task(self.apply(part)) for part in CAST}
        async with visiting(self.hub_url) as hub:
            await check_hub(hub, self._pins)
            for raw in self.office.statements():
                await hub.submit_statement(raw)
        return {part: task.result() for part, task in applying.items()}

    async def apply(self, part: Part) -> application.Application:
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
        delivered: EnrolmentCode = parse_code(self.office.code_file(part.name).read_text(encoding="ascii"))
        folder, passphrase = self.data_dir(part), self.passphrase(part)
        return await asyncio.to_thread(application.begin, delivered, folder, passphrase, SMALL)

    async def enrol(self, part: Part, applied: application.Application) -> tuple[str, ...]:
        """Enrol one agency and return the words that both sides compared (ENR-2 to ENR-5)."""
        async with visiting(self.hub_url) as hub:
            await hub.register_code(invitation.registration(applied.code, self._approvers[0]))
            await applied.hand_in(hub)
            for approver in self._approvers:
                await self._approve(hub, part, approver, spoken=applied.words)
            if await applied.certificate(hub, now_ms()) is None:
                raise ConfigurationError(f"The authority signed {part.name}, and the directory does not show it.")
            await applied.complete(hub, now_ms())
        write_configuration(
            self.data_dir(part),
            passphrase_path(self.folder / "passphrases", part.name),
            profile=Profile.DEMO,
            port=self.ports.agencies[part.name],
        )
        return applied.words

    async def _approve(self, hub: HubClient, part: Part, approver: HybridSigner, spoken: tuple[str, ...]) -> None:
        code = self.office.code(part.name)
        view = await hub.key_request(code.code_id)
        checked = approval.check_request(code, view.request, view.mac, view.received_at)
        raw, lacking = approval.approve(self.office, checked, approver, " ".join(spoken), now_ms())
        if not lacking:
            await hub.submit_statement(raw)
            approval.conclude(self.office, checked, raw)

    async def stand_by(self, *parts: Part) -> None:
        """Let connectors load their libraries while something else is waited for; they begin when started."""
        for part in parts:
            command = [*self._connector_command(part), "--stand-by"]
            self.connectors[part.name] = await self.supervisor.stand_by(part.name, command)

    async def start_connector(self, part: Part) -> None:
        """Start an agency's connector, or start it again after its end."""
        waiting = self.connectors.get(part.name)
        if waiting is not None and waiting.stands_by:
            await self.supervisor.release(waiting)
        else:
            self.connectors[part.name] = await self.supervisor.start(part.name, self._connector_command(part))

    def _connector_command(self, part: Part) -> list[str]:
        config = self.data_dir(part) / CONFIG_FILE
        return [program("throughcare"), "connector", "run", "--config", str(config), "--ready-json"]

    async def start_all(self) -> None:
        """Bring everything up: what `throughcare sandbox` does."""
        await self.stand_by(*CAST)
        await self.prepare()
        if self.is_enrolled():
            await self.start_hub()
        else:
            for part, applied in (await self.found()).items():
                await self.enrol(part, applied)
        await asyncio.gather(*(self.start_connector(part) for part in CAST))

    def forget(self) -> None:
        """Remove the agencies' profiles from this machine, as far as they are this sandbox's."""
        for part in CAST:
            home.forget(self.profile(part))

    # Inside

    @property
    def office(self) -> Office:
        """The authority; only after `prepare`."""
        if self._office is None:
            raise ConfigurationError("The sandbox has no authority yet.")
        return self._office

    @property
    def _pins(self) -> Pins:
        return Pins(DOMAIN, self.office.facts.root_fingerprint, *self.office.anchors(0))

    @property
    def _hub_config(self) -> Path:
        return self.folder / "hub" / "hub.toml"

    def _create_office(self) -> Office:
        folder, passphrases = self.folder / "authority", self.folder / "passphrases"
        office = create_office(
            folder,
            programme=PROGRAMME,
            jurisdiction=JURISDICTION,
            domain=DOMAIN,
            root_persons=1,
            approvers=len(_APPROVERS),
            passphrase_of=lambda name: passphrase_in(passphrases, name),
            now=now_ms(),
            params=SMALL,
        )
        self._approvers = [office.approver(n, passphrase_in(passphrases, f"approver-{n}")) for n in _APPROVERS]
        return office

    def _write_hub_config(self, root_fingerprint: bytes | None) -> None:
        passphrase_in(self.folder / "passphrases", HUB)
        self._hub_config.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "[hub]",
            f'domain = "{DOMAIN}"',
            'data_dir = "data"',
            'profile = "demo"',
            f"port = {self.ports.hub}",
            f"admin_port = {self.ports.admin}",
            'passphrase_file = "../passphrases/hub.passphrase"',
        ]
        if root_fingerprint is not None:
            lines.append(f'root_fingerprint = "{root_fingerprint.hex()}"')
        self._hub_config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _known_ports(self) -> Ports | None:
        path = self.folder / STATE_FILE
        if not path.exists():
            if self.folder.exists() and any(path.name != "logs" for path in self.folder.iterdir()):
                raise ConfigurationError("The folder is not empty and holds no sandbox. Name an empty one with --data.")
            return None
        state = json.loads(path.read_text(encoding="utf-8"))
        return Ports(state["hub"], state["admin"], state["agencies"])

# SPDX-License-Identifier: Apache-2.0
"""A sandbox: an authority, a hub and three agencies in one folder, made as real ones are made.

    authority/            keys and statements of root and approvers
    passphrases/          everybody's: it is a sandbox
    hub/                  hub.toml; hub/data is the hub's own data directory
    agencies/NAME/        one connector's data directory, with its configuration
    logs/                 what each process said
    clock                 how far all clocks are ahead, if they are: `echo 14d > clock` skips two weeks
    faults                troubles to be rehearsed, if there are any: `echo 'drop 0.1' > faults`
    sandbox.json          the ports, so that the same sandbox can be started again

Hub and connectors are processes of their own. Only what these need is imported here; what authority and
enrolment need is loaded while the hub makes its keys.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors import home
from connectors.enrolment.configuration import CONFIG_FILE
from connectors.enrolment.passphrases import passphrase_in
from connectors.listening import url_of
from connectors.sandbox.cast import CAST, DOMAIN, Part
from connectors.sandbox.ports import check_free, free_ports
from connectors.sandbox.processes import Child, Supervisor, program
from connectors.timing import system_clock
from protocol.errors import ConfigurationError
from protocol.http.skipping import SkippingClock, skip_to

if TYPE_CHECKING:
    from connectors.enrolment.application import Application
    from connectors.sandbox.founding import Founding

STATE_FILE: Final = "sandbox.json"
HUB: Final = "hub"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one sandbox."""

    hub: int
    admin: int
    agencies: dict[str, int]

    @classmethod
    def find(cls, base: int | None, cast: Sequence[Part] = CAST) -> "Ports":
        """Return ports that are free now, the next ones from `base` if it is given."""
        hub, admin, *rest = free_ports(2 + len(cast), base)
        return cls(hub, admin, {part.name: port for part, port in zip(cast, rest, strict=True)})


class Sandbox:
    """The sandbox in `folder`; its processes are `supervisor`'s children."""

    def __init__(
        self, folder: Path, supervisor: Supervisor, *, port_base: int | None = None, cast: Sequence[Part] = CAST
    ) -> None:
        self.folder = folder.absolute()
        self.supervisor = supervisor
        self.cast = cast
        known = self._known_ports()
        self.is_enrolled = known is not None
        """Whether this sandbox was up before, and only has to be started again."""
        self.ports = known or Ports.find(port_base, cast)
        self.hub: Child | None = None
        self.connectors: dict[str, Child] = {}
        self._hub_keys: asyncio.Task[None] | None = None

    # Where things are

    @property
    def hub_url(self) -> str:
        """The hub's base URL."""
        return f"http://localhost:{self.ports.hub}"

    @property
    def hub_data(self) -> Path:
        """The hub's own data directory: what its operator sees."""
        return self.folder / "hub" / "data"

    @property
    def clock_file(self) -> Path:
        """The file that puts the clocks of hub and connectors ahead of the machine's (`echo 14d > FILE`)."""
        return self.folder / "clock"

    @property
    def _rehearsal(self) -> dict[str, Path]:
        return {"clock_file": self.clock_file, "faults_file": self.folder / "faults"}

    def now(self) -> int:
        """Return what time it is in the sandbox, in ms UTC."""
        return SkippingClock(self.clock_file, system_clock)()

    def skip_to(self, at: int) -> None:
        """Let it be `at` (ms UTC) for hub and connectors, at once; time never goes back."""
        skip_to(self.clock_file, max(0, at - system_clock()))

    def data_dir(self, part: Part) -> Path:
        """Return the data directory of an agency's connector."""
        return self.folder / "agencies" / part.name

    def profile(self, part: Part) -> home.Profile:
        """Return how the command line finds an agency's connector."""
        return home.Profile(
            name=part.name,
            desk=part.address,
            api_url=url_of("127.0.0.1", self.ports.agencies[part.name]),
            token_file=str(self.data_dir(part) / "api-token"),
            data_dir=str(self.data_dir(part)),
            config_file=str(self.data_dir(part) / CONFIG_FILE),
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
            "agencies": [{key: getattr(self.profile(part), key) for key in shown} for part in self.cast],
        }

    # Coming up

    async def begin(self, *parts: Part) -> None:
        """Set in motion what takes long and needs nothing: the hub's keys, and the libraries of some connectors."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.is_enrolled:
            self._write_hub_config(None)
            command = [program("throughcare-hub"), "init", "--config", str(self._hub_config)]
            self._hub_keys = asyncio.create_task(self.supervisor.run(HUB, command))
        await self.stand_by(*parts)

    async def found(self) -> "tuple[Founding, dict[Part, Application]]":
        """Make the authority, start the hub, and let the agencies make their keys and key requests."""
        founding = await asyncio.to_thread(self._found)
        if self._hub_keys is not None:
            await self._hub_keys
        founding.meet_hub(self.hub_data / "hub-public.json")
        self._write_hub_config(founding.root_fingerprint)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.start_hub())
            applying = {part: tasks.create_task(founding.apply(part, self.data_dir(part))) for part in self.cast}
        await founding.publish()
        return founding, {part: task.result() for part, task in applying.items()}

    def _found(self) -> "Founding":
        from connectors.sandbox.founding import Founding  # noqa: PLC0415  # loads while the hub makes its keys

        return Founding(self.folder)

    async def enrol(self, founding: "Founding", part: Part, applied: "Application") -> tuple[str, ...]:
        """Enrol one agency and return the words that both sides compared."""
        return await founding.enrol(part, applied, self.ports.agencies[part.name], self._rehearsal)

    def enrolled(self) -> None:
        """Note that all agencies are enrolled: from now on the sandbox can be started again."""
        state = {"hub": self.ports.hub, "admin": self.ports.admin, "agencies": self.ports.agencies}
        (self.folder / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    async def start_hub(self) -> None:
        """Start the hub, or start it again after its end."""
        command = [program("throughcare-hub"), "run", "--config", str(self._hub_config), "--ready-json"]
        self.hub = await self.supervisor.start(HUB, command)

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

    async def start_all(self) -> None:
        """Bring everything up: what `throughcare sandbox` does; `Unavailable` where a port is taken by now."""
        if self.is_enrolled:
            # Four programs would load for seconds before the first of them finds out.
            check_free((self.ports.hub, self.ports.admin, *self.ports.agencies.values()))
        await self.begin(*self.cast)
        if self.is_enrolled:
            await self.start_hub()
        else:
            founding, applied = await self.found()
            for part, one in applied.items():
                await self.enrol(founding, part, one)
            self.enrolled()
        await asyncio.gather(*(self.start_connector(part) for part in self.cast))

    def forget(self) -> None:
        """Remove the agencies' profiles from this machine, as far as they are this sandbox's."""
        for part in self.cast:
            home.forget(self.profile(part))

    # Inside

    @property
    def _hub_config(self) -> Path:
        return self.folder / "hub" / "hub.toml"

    def _connector_command(self, part: Part) -> list[str]:
        config = self.data_dir(part) / CONFIG_FILE
        return [program("throughcare"), "connector", "run", "--config", str(config), "--ready-json"]

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
            'clock_file = "../clock"',
        ]
        if root_fingerprint is not None:
            lines.append(f'root_fingerprint = "{root_fingerprint.hex()}"')
        self._hub_config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _known_ports(self) -> Ports | None:
        path = self.folder / STATE_FILE
        if path.exists():
            state = json.loads(path.read_text(encoding="utf-8"))
            return Ports(state["hub"], state["admin"], state["agencies"])
        if self.folder.exists() and any(path.name != "logs" for path in self.folder.iterdir()):
            raise ConfigurationError(
                "The folder is not empty and holds no whole sandbox. Name an empty one with --data."
            )
        return None

# SPDX-License-Identifier: Apache-2.0
"""Synapse under the bench's load: a server on SQLite without rate limits, and clients for its two ways to send."""

import asyncio
import base64
import json
import secrets
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.bench.links import Link

_PLENTY = {"per_second": 100_000, "burst_count": 100_000}
_POLL_MS = "10000"
_TYPE = "m.room.encrypted"


def write_configuration(folder: Path, port: int) -> Path:
    """Write the configuration of a server for clients on `port` of the loopback interface; return its file."""
    quiet = {
        "version": 1,
        "root": {"level": "ERROR", "handlers": ["file"]},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(folder / "synapse.log")}},
        "disable_existing_loggers": False,
    }
    (folder / "log.yaml").write_text(json.dumps(quiet))
    listener = {
        "port": port,
        "type": "http",
        "bind_addresses": ["127.0.0.1"],
        "resources": [{"names": ["client"], "compress": False}],
    }
    configuration = {
        "server_name": "bench.example",
        "pid_file": str(folder / "pid"),
        "report_stats": False,
        "signing_key_path": str(folder / "signing.key"),
        "media_store_path": str(folder / "media"),
        "trusted_key_servers": [],
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "presence": {"enabled": False},
        "log_config": str(folder / "log.yaml"),
        "listeners": [listener],
        "rc_message": _PLENTY,
        "rc_registration": _PLENTY,
        "rc_joins": {"local": _PLENTY, "remote": _PLENTY},
        "rc_login": {"address": _PLENTY, "account": _PLENTY, "failed_attempts": _PLENTY},
        "rc_invites": {"per_room": _PLENTY, "per_user": _PLENTY, "per_issuer": _PLENTY},
        "rc_room_creation": _PLENTY,
        "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}},
    }
    path = folder / "synapse.yaml"
    path.write_text(json.dumps(configuration))
    return path


class SynapseLink(Link):
    """A sender and a recipient who syncs; what is sent holds as many bytes as an envelope, in base64."""

    _prefix: ClassVar[str]

    def __init__(self, url: str, size: int) -> None:
        super().__init__(f"{url}/_matrix/client/v3")
        self._body = base64.b64encode(secrets.token_bytes(size)).decode()
        self._sent = 0

    async def _open(self) -> None:
        tag = f"{self._prefix}{secrets.token_hex(3)}"
        self._sender, self._recipient = [await self._register(f"{name}{tag}") for name in ("sender", "recipient")]
        await self._meet()
        listening = asyncio.Event()

        async def collect() -> None:
            since = (await self._sync({}))["next_batch"]
            listening.set()
            while True:
                answer = await self._sync({"since": since, "timeout": _POLL_MS})
                since = answer["next_batch"]
                at = time.perf_counter()
                last = ""
                for event in self._events(answer):
                    self.times[event["content"]["number"]] = at
                    last = event.get("event_id", "")
                if last:
                    await self._read_up_to(last)

        self._keep(collect)
        await listening.wait()

    async def _call(self, method: str, path: str, token: str = "", **more: Any) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            answer: Mapping[str, Any] = await response.json()
            if response.status != 200:
                raise RuntimeError(f"Synapse answered {response.status} to {method} {path}: {answer}")
            return answer

    async def _register(self, name: str) -> Mapping[str, Any]:
        login = {
            "username": name,
            "password": secrets.token_hex(8),
            "auth": {"type": "m.login.dummy"},
            "device_id": "D",
        }
        return await self._call("POST", "/register", json=login)

    async def _sync(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        only = json.dumps({"room": {"timeline": {"limit": 1_000}}, "presence": {"types": []}})
        return await self._call("GET", "/sync", self._recipient["access_token"], params={"filter": only, **query})

    def prepare(self, messages: int) -> Sequence[Any]:
        """Return numbers."""
        self._sent += messages
        return range(self._sent - messages, self._sent)

    def numbers(self, answer: int) -> list[int]:
        """Return the number."""
        return [answer]

    def _content(self, number: int) -> dict[str, Any]:
        return {"number": number, "algorithm": "bench", "ciphertext": self._body}

    @abstractmethod
    async def _meet(self) -> None:
        """Do what must be done once before anything can be sent."""

    @abstractmethod
    def _events(self, answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the messages in the answer of a sync."""

    @abstractmethod
    async def _read_up_to(self, event_id: str) -> None:
        """Acknowledge."""


class ToDevice(SynapseLink):
    """To-device messages: store-and-forward like ours; the next sync is the acknowledgement."""

    name = "Synapse, to-device"
    _prefix = "d"

    async def _meet(self) -> None:
        pass

    async def send(self, prepared: int) -> int:
        """Send to the recipient's one device."""
        messages = {self._recipient["user_id"]: {"D": self._content(prepared)}}
        path = f"/sendToDevice/{_TYPE}/{secrets.token_hex(8)}"
        await self._call("PUT", path, self._sender["access_token"], json={"messages": messages})
        return prepared

    def _events(self, answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield from answer.get("to_device", {}).get("events", [])

    async def _read_up_to(self, event_id: str) -> None:
        pass


class Room(SynapseLink):
    """Events in a room of two, acknowledged by read receipts."""

    name = "Synapse, room"
    _prefix = "r"

    async def _meet(self) -> None:
        made = await self._call("POST", "/createRoom", self._sender["access_token"], json={"preset": "public_chat"})
        self._room = made["room_id"]
        await self._call("POST", f"/join/{self._room}", self._recipient["access_token"], json={})

    async def send(self, prepared: int) -> int:
        """Send an event into the room."""
        path = f"/rooms/{self._room}/send/{_TYPE}/{secrets.token_hex(8)}"
        await self._call("PUT", path, self._sender["access_token"], json=self._content(prepared))
        return prepared

    def _events(self, answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for room in answer.get("rooms", {}).get("join", {}).values():
            yield from (event for event in room["timeline"]["events"] if "number" in event["content"])

    async def _read_up_to(self, event_id: str) -> None:
        path = f"/rooms/{self._room}/receipt/m.read/{event_id}"
        await self._call("POST", path, self._recipient["access_token"], json={})

# SPDX-License-Identifier: Apache-2.0
"""How far one gets on the way to a hub: name, port, TLS, HTTP, websocket; for the doctors, which name what stops it.

`Client` tells its callers only that a server is unreachable, because they can do nothing but wait. Whoever is to
mend the way has to know where on it things end. Nothing secret is sent, and nothing that is answered is believed.
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError

from protocol.diagnosis import Finding, fault, fine, skipped, warning
from protocol.errors import MalformedEnvelope, MalformedRequest
from protocol.frames import MAX_INCOMING, Challenge, parse_frame
from protocol.http import strictjson
from protocol.http.hub import CONNECT, GET_HUB, HubInfo
from protocol.http.problems import PROBLEM_LIMIT
from protocol.limits import SECOND, SIGNATURE_WINDOW

STEP_S = 10.0
"""Seconds that each step may take."""
SLOW_S = 3.0
"""Seconds for one small answer from which on the way is called slow."""
CLOCK_MARKED = 10 * SECOND
"""Difference of clocks, in ms, above which it is worth a word."""

_PORTS = {"http": 80, "https": 443}
# OpenSSL's X509_V_ERR_ numbers for what can be told apart and mended in different ways.
_EXPIRED, _NOT_YET, _WRONG_NAME = 10, 9, 62


@dataclass(frozen=True, slots=True)
class Way:
    """A way to a server: its base URL, the proxy in between, and how the settings that it is made of are called."""

    base: str
    proxy: str | None
    url_setting: str
    proxy_setting: str | None
    """None where no proxy can be set."""
    ca_setting: str
    credentials_setting: str = "the proxy's settings"
    credentials: bool = False
    """Whether name and password for the proxy are set."""

    @property
    def first_setting(self) -> str:
        """What sets whom to call."""
        return self.proxy_setting if self.proxy and self.proxy_setting else self.url_setting

    @property
    def first_stop(self) -> tuple[str, int]:
        """Host and port of whom to call: the proxy if there is one, else the server."""
        parts = urlsplit(self.proxy or self.base)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)


async def examine_way(
    way: Way, session: aiohttp.ClientSession, clock: Callable[[], int]
) -> tuple[list[Finding], HubInfo | None]:
    """Go the way step by step; return what was found, and what the hub says of itself if it answered.

    `session` must go by `way.proxy` and trust what the settings say; `clock` gives ms UTC.
    """
    found: list[Finding] = []
    for step in (_name, _port):
        found.append(await step(way))
        if found[-1].fix is not None:
            return [*found, skipped("hub", "The hub was not asked.")], None
    before = clock()
    answer, info = await _ask(way, session)
    found.append(answer)
    if info is not None:
        found.append(_clocks((before + clock()) // 2 - info.server_time))
    return found, info


async def _name(way: Way) -> Finding:
    host, port = way.first_stop
    try:
        async with asyncio.timeout(STEP_S):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        fix = f"Check {way.first_setting} and this machine's name server."
        if way.proxy_setting:
            fix += f" Where names are resolved by a proxy only, set {way.proxy_setting}."
        return fault("name", f"The name {host} cannot be resolved (DNS).", fix)
    return fine("name", f"{host} is known.")


async def _port(way: Way) -> Finding:
    host, port = way.first_stop
    what = "proxy" if way.proxy else "hub"
    try:
        async with asyncio.timeout(STEP_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except ConnectionRefusedError:
        return fault(
            "port",
            f"Nothing listens at {host} port {port}: the connection is refused.",
            f"Ask whether the {what} is running, and check the port in {way.first_setting}.",
        )
    except (OSError, TimeoutError):
        return fault(
            "port",
            f"{host} port {port} does not answer: something on the way drops it.",
            f"Have the firewall let this machine out to {host} port {port}"
            f"{f', or set {way.proxy_setting}' if way.proxy_setting else ''}.",
        )
    return fine("port", f"The {what} at {host} port {port} takes connections.")


async def _ask(way: Way, session: aiohttp.ClientSession) -> tuple[Finding, HubInfo | None]:
    timeout, begin = aiohttp.ClientTimeout(total=STEP_S), time.monotonic()
    try:
        async with session.get(way.base + GET_HUB.url_path({}), allow_redirects=False, timeout=timeout) as response:
            status, media, body = response.status, response.content_type, await _body(response)
    except aiohttp.ClientConnectorCertificateError as error:
        return _certificate(way, error), None
    except aiohttp.ClientSSLError:
        return fault("tls", "What answers does not speak TLS.", f"Check scheme and port in {way.url_setting}."), None
    except aiohttp.ClientHttpProxyError as error:
        return _proxy_refused(way, error.status), None
    except TimeoutError:
        return fault(
            "hub",
            f"The connection stands, and nothing is answered for {STEP_S:.0f} seconds.",
            "Something in between holds back what is sent, or the hub hangs. Ask whoever runs the network, then the "
            "hub's operator.",
        ), None
    except (aiohttp.ClientError, OSError):
        return fault(
            "hub",
            "The connection is cut before the hub has answered.",
            "Try again. If it stays so, ask whoever runs the network whether a firewall cuts it, then the hub's "
            "operator.",
        ), None
    if 300 <= status < 400 or media == "text/html":
        return fault(
            "hub",
            f"A web page answers in place of the hub (HTTP {status}): the login page of a network, or a proxy's own.",
            "Log in to the network with a browser on this machine, or have it let this machine pass without.",
        ), None
    if status == 421:
        fix = f"Write {way.url_setting} exactly as the hub's operator names it (hub.public_url there)."
        return fault("hub", "The server answers, but not to this name.", fix), None
    try:
        strictjson.parse(body)
        info = HubInfo.model_validate_json(body)
    except (MalformedRequest, ValidationError):
        return fault(
            "hub",
            f"Something answers (HTTP {status}) that is not a hub: another server, or a proxy's own page.",
            f"Check {way.url_setting}; look for a proxy or a login page in between.",
        ), None
    seconds = time.monotonic() - begin
    if seconds > SLOW_S:
        return warning(
            "hub",
            f"The hub of {info.domain} answers slowly: {seconds:.0f} s for a small answer.",
            "All works, and is late. Ask whoever runs the network; then the hub's operator.",
        ), info
    return fine("hub", f"The hub of {info.domain} answers at {way.base}."), info


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, or as much as is looked at of one that is too long; one `read` gives only a piece."""
    parts, size = [], 0
    async for piece in response.content.iter_any():
        parts.append(piece)
        size += len(piece)
        if size > PROBLEM_LIMIT:
            break
    return b"".join(parts)


def _certificate(way: Way, error: aiohttp.ClientConnectorCertificateError) -> Finding:
    cause = error.certificate_error
    code = cause.verify_code if isinstance(cause, ssl.SSLCertVerificationError) else 0
    if code == _EXPIRED:
        return fault("tls", "The hub's certificate has ended.", "Call the hub's operator; check this machine's clock.")
    if code == _NOT_YET:
        return fault("tls", "The hub's certificate does not count yet.", "Check this machine's clock and date.")
    if code == _WRONG_NAME:
        return fault(
            "tls",
            "The certificate is for another name than the hub's.",
            f"Write {way.url_setting} with the name that the operator gave. If it is right, something is in between.",
        )
    return fault(
        "tls",
        "The hub's certificate is from an authority that is not trusted here.",
        f"Where the hub, or a proxy that looks into TLS, has a CA of its own: name its PEM file in {way.ca_setting}.",
    )


def _proxy_refused(way: Way, status: int) -> Finding:
    if status == 407 and way.credentials:
        fix = f"Check NAME:PASSWORD in {way.credentials_setting}."
        return fault("proxy", "The proxy does not take this name and password.", fix)
    if status == 407:
        fix = f"Write NAME:PASSWORD into a file (chmod 600) and name it in {way.credentials_setting}."
        return fault("proxy", "The proxy asks for a name and password.", fix)
    host = urlsplit(way.base).hostname
    if status in (502, 503, 504):
        fix = f"Check {way.url_setting}, and whether the hub runs; have the proxy find and reach {host}."
        return fault("proxy", f"The proxy cannot reach the hub (HTTP {status}).", fix)
    return fault("proxy", f"The proxy refuses to pass on (HTTP {status}).", f"Have the proxy allow {host}.")


def _clocks(ahead: int) -> Finding:
    """Judge a clock that is `ahead` ms of the hub's (HTTP-2)."""
    seconds = abs(ahead) // SECOND
    side = "ahead of" if ahead > 0 else "behind"
    fix = "Set this machine's clock, and keep it set (NTP)."
    if abs(ahead) > SIGNATURE_WINDOW:
        return fault("clock", f"This clock is {seconds} s {side} the hub's: the hub refuses every request.", fix)
    if abs(ahead) > CLOCK_MARKED:
        return warning("clock", f"This clock is {seconds} s {side} the hub's; from 60 s on the hub refuses.", fix)
    return fine("clock", "This clock agrees with the hub's.")


async def examine_websocket(way: Way, session: aiohttp.ClientSession, fix: str) -> Finding:
    """See whether a websocket comes through as far as the hub's challenge (HTTP-9); `fix` is what mends it."""
    try:
        async with (
            asyncio.timeout(STEP_S),
            session.ws_connect(way.base + CONNECT.url_path({}), max_msg_size=MAX_INCOMING) as opened,
        ):
            message = await opened.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return _blocked("it is closed at once", fix)
            if not isinstance(parse_frame(message.data, limit=MAX_INCOMING), Challenge):
                return _blocked("something else than the hub answers", fix)
    except aiohttp.WSServerHandshakeError as error:
        return _blocked(f"it is refused (HTTP {error.status})", fix)
    except TimeoutError:
        return _blocked(f"nothing is answered for {STEP_S:.0f} seconds", fix)
    except MalformedEnvelope:
        return _blocked("something else than the hub answers", fix)
    except (aiohttp.ClientError, OSError):
        return _blocked("it is cut off", fix)
    return fine("websocket", "A websocket comes through.")


def _blocked(how: str, fix: str) -> Finding:
    return warning(
        "websocket", f"No websocket comes through ({how}); mail is polled instead, which works and is slower.", fix
    )


async def examine_health(url: str, session: aiohttp.ClientSession) -> dict[str, bool] | None:
    """Return what `/readyz` at a hub's admin listener says, or None if nothing answers there."""
    try:
        async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=STEP_S)) as response:
            said = json.loads(await _body(response))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    return {str(name): bool(good) for name, good in said.items()} if isinstance(said, dict) else None

# SPDX-License-Identifier: Apache-2.0
"""Who calls: a device that is in force now, by its signature over this very request (HTTP-1, HTTP-2, HTTP-12)."""

import asyncio

from aiohttp import web

from hub.service.clocktrust import ClockTrust
from hub.service.directory import DirectoryLog
from hub.service.nonces import Nonces
from hub.web.strangers import VISIT
from keys.directory import DeviceEntry
from protocol.clockwatch import Clock
from protocol.errors import NotAuthenticated, UntrustedKey
from protocol.http.operation import Method, Operation
from protocol.http.serving import EXCHANGE, ReadBody
from protocol.http.signatures import SignedRequest, verify_request
from protocol.ids import KeyId


class Authenticator:
    """Checks request signatures against the directory as it is at this moment."""

    def __init__(self, directory: DirectoryLog, nonces: Nonces, clock: Clock, scheme: str, trust: ClockTrust) -> None:
        """`scheme` is that of the hub's public URL; which host names are answered to is decided before.

        `trust` is told of each agency whose device has shown the same time as this hub's clock (AUD-11).
        """
        self._log = directory
        self._nonces = nonces
        self._clock = clock
        self._scheme = scheme
        self._trust = trust

    async def __call__(self, request: web.Request, operation: Operation, read_body: ReadBody) -> KeyId:
        """Return the calling device's key id; raises NotAuthenticated, Revoked, or what HTTP-14 says of its agency.

        Only the body of a device in force, whose agency has some of its share left, is read at all: what strangers
        send takes no memory.
        """
        try:
            signed = self._verified(request)
        except NotAuthenticated:
            # The device may have been enrolled at another process a moment ago (HTTP-23).
            before = self._log.directory.size
            await self._log.refresh()
            if self._log.directory.size == before:
                raise
            signed = self._verified(request)
        visit = request[VISIT]
        agency = self.in_force(signed.device_id).agency
        visit.recognise(agency)
        self._trust.seen(agency)
        # Before the body: while it comes, the time passes for which nonces are kept.
        reads_only = operation.method is Method.GET
        try:
            stored = self._nonces.use(signed.device_id, signed.nonce, signed.created, reads_only=reads_only)
        except NotAuthenticated:
            # Whoever has seen a signed request can repeat it, and its agency must not pay for that (HTTP-14).
            visit.doubt()
            raise
        # Stored with the same group as what the request brings, if it brings anything.
        request[EXCHANGE].pending = asyncio.create_task(stored)
        with visit.coming():
            body = await read_body()
            visit.charge(len(body))
            signed.check_body(body)
        # A device that was revoked while its body came does nothing any more (HTTP-12).
        self.in_force(signed.device_id)
        return signed.device_id

    def _verified(self, request: web.Request) -> SignedRequest:
        return verify_request(
            method=request.method,
            url=f"{self._scheme}://{request.host}{request.raw_path}",
            headers=request.headers,
            resolve=lambda key_id: self.in_force(key_id).key.transport,
            now=self._clock(),
        )

    async def known(self, device_id: KeyId) -> DeviceEntry:
        """Return the certificate as `in_force`, also if another process enrolled the device a moment ago."""
        try:
            return self.in_force(device_id)
        except NotAuthenticated:
            await self._log.refresh()
            return self.in_force(device_id)

    def in_force(self, device_id: KeyId) -> DeviceEntry:
        """Return the device's certificate; raises Revoked, or NotAuthenticated if it is unknown or out of time."""
        directory = self._log.directory
        try:
            return directory.device_in_force(device_id, at=self._clock(), size=directory.size)
        except UntrustedKey:
            raise NotAuthenticated("The device is not in the directory, or its certificate has ended.") from None

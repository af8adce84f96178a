# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of a running hub: its health, its metrics, and the requests that failed or were refused."""

from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy import text

from hub.config import HubSettings
from hub.logs import Event, Log, where
from hub.service.certificates import Certificates
from hub.service.clocktrust import is_only_unsure
from hub.service.directory import DirectoryLog
from hub.service.tally import Tally
from hub.service.transaction import Transaction
from hub.service.uncollected import gone
from hub.service.writer import Writer
from hub.store import envelopes, trees
from hub.store.engine import Store
from hub.web.admin import Check, Health, disk_check
from hub.web.metrics import Metrics, Sources, Stored
from hub.web.tls import certificate_end
from protocol.clockwatch import Clock
from protocol.http.serving import Exchange


class Watch:
    """Looks at the parts of one hub, and changes none of them.

    `connections` gives the number of open websockets, `writes` tells whether changes are committed, `audit_size` is
    the audit log's size at the start, `clock` gives ms UTC.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        directory: DirectoryLog,
        tally: Tally,
        connections: Callable[[], int],
        writes: Check,
        settings: HubSettings,
        clock: Clock,
        log: Log,
        audit_size: int,
    ) -> None:
        self._store = store
        self._writer = writer
        self._directory = directory
        self._writes = writes
        self._settings = settings
        self._clock = clock
        self._log = log
        self._audit_size = audit_size
        self._tls_ends: int | None = None
        self.certificates = Certificates(directory, clock)
        self.metrics = Metrics(
            Sources(
                writer,
                tally,
                connections,
                self._log_sizes,
                lambda: directory.directory.generation,
                lambda: {**self.certificates.ends(), "tls": self._tls_ends},
                clock,
                settings.hub.data_dir,
            )
        )
        writer.on_commit(self._note_size)

    def answer(self, health: Health) -> None:
        """Give the admin listener something to ask."""
        health.checks = {
            "store": self._store_answers,
            "writer": self._writes,
            "disk": disk_check(self._settings.hub.data_dir),
            "clock": self._clock_is_sound,
        }
        health.unsure = partial(is_only_unsure, self._writer.check_clock)
        health.metrics = self.metrics_text
        self._tls_ends = certificate_end(self._settings)

    async def metrics_text(self, checks: Mapping[str, bool] | None = None) -> bytes:
        """Return the metrics as they are now, with the results of the health checks if there are some.

        A database that is away is no reason to say nothing: then least of all.
        """
        checks = checks or {}
        try:
            depth, devices = await self._store.read(lambda at: (envelopes.waiting(at), envelopes.devices_with_mail(at)))
            away = gone(devices, self._directory.directory, self._clock())
            oldest = await self._store.read(partial(envelopes.oldest_waiting, besides=away))
            begun = await self._store.read(trees.begun)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the check `store` tells of it
            self._log.warning(Event.JOB_FAILED, job="metrics", where=where(error))
            return self.metrics.text(Stored(checks=checks))
        return self.metrics.text(Stored(oldest, depth, begun, checks))

    def observe(self, exchange: Exchange) -> None:
        """Count a finished exchange, and log it if it failed or was not permitted."""
        self.metrics.observe(exchange)
        operation = exchange.operation.id if exchange.operation else None
        if exchange.failure is not None:
            self._log.error(
                Event.REQUEST_FAILED, request_id=exchange.request_id, op=operation, where=where(exchange.failure)
            )
        elif exchange.status in (401, 403):
            self._log.info(Event.REQUEST_REFUSED, request_id=exchange.request_id, op=operation, code=exchange.code)

    def _note_size(self, transaction: Transaction) -> None:
        self._audit_size = transaction.size(trees.Log.AUDIT)

    def _log_sizes(self) -> dict[str, int]:
        return {"audit_head_index": self._audit_size, "directory_head_index": self._directory.directory.size}

    async def _store_answers(self) -> bool:
        found: int | None = await self._store.read(lambda connection: connection.scalar(text("SELECT 1")))
        return found == 1

    async def _clock_is_sound(self) -> bool:
        """Tell whether the clock can be right, and is believed (AUD-7, AUD-11)."""
        return self._writer.clock_is_sound

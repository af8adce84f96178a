# SPDX-License-Identifier: Apache-2.0
"""Which attachments have a whole file on this machine's disk, others' and ours: for whoever looks whether they do."""

from contextlib import suppress
from typing import Final

from sqlalchemy import select

from connectors.faults import DAMAGED
from connectors.store import attachments
from connectors.store.attachments import HERE, Expected, OwnAttachment
from connectors.store.engine import Transaction
from connectors.store.tables import attachment_in, attachment_out

_HERE: Final = select(attachment_in).where(attachment_in.c.state.in_(HERE)).order_by(attachment_in.c.position.desc())
_OURS: Final = select(attachment_out.c.blob_id).order_by(attachment_out.c.created_at.desc())


async def theirs(tx: Transaction) -> list[Expected]:
    """Return all that came and was stored, the newest first; what of the store is damaged is left out."""
    return attachments.readable(tx, await tx.connection.execute(_HERE))


async def ours(tx: Transaction) -> list[OwnAttachment]:
    """Return all of ours that are stored, as `theirs` does."""
    found = []
    for blob_id in await tx.connection.scalars(_OURS):
        with suppress(*DAMAGED):
            found.append(await attachments.own(tx, blob_id))
    return found

# SPDX-License-Identifier: Apache-2.0
"""Every kind of message, by its payload type (KIND-1)."""

from typing import Final

from pydantic import TypeAdapter

from protocol.content import Content, decode_content
from protocol.kinds.base import MAX_PAYLOAD, MessageKind, registry
from protocol.kinds.community import COMMUNITY_KINDS
from protocol.kinds.handover import HANDOVER_KINDS
from protocol.kinds.records import RECORD_KINDS
from protocol.kinds.referral.table import REFERRAL_KINDS
from protocol.kinds.release import RELEASE_KINDS
from protocol.kinds.thread import THREAD_KINDS

KINDS = registry(RELEASE_KINDS, REFERRAL_KINDS, HANDOVER_KINDS, COMMUNITY_KINDS, RECORD_KINDS, THREAD_KINDS)
"""All kinds that this version understands."""
SENT_HERE: Final = frozenset(kind.name for kind in KINDS.values() if kind.machine is None and not kind.klass.bare)
"""Kinds that are sent as they are; steps of a life cycle are made, and notices about threads make themselves."""
NEEDS_THREAD: Final = frozenset({"release.notice", "release.cancelled", "release.date-changed", "consent.changed"})
"""Kinds of these that do what they say only in the thread that they are about (KIND-10)."""

_ADAPTERS: dict[str, TypeAdapter[Content]] = {name: TypeAdapter(kind.payload) for name, kind in KINDS.items()}


_BY_EVENT = {(kind.machine.name, kind.event): kind for kind in KINDS.values() if kind.machine is not None}


def kind_for(machine: str, event: str) -> MessageKind | None:
    """Return the kind that is `event` of the machine named `machine`; None for the automatic receipt."""
    return _BY_EVENT.get((machine, event))


def decode_payload(kind: MessageKind, data: bytes) -> Content:
    """Read the payload of section 0, or raise MalformedEnvelope; the text never repeats the input (ERR-2, CNT-1)."""
    return decode_content(
        _ADAPTERS[kind.name], data, what=f"a {kind.name} of version {kind.version}", limit=MAX_PAYLOAD
    )

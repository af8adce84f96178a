# SPDX-License-Identifier: Apache-2.0
"""What a token that is bound to desks of ours reaches: what they sent and what came for them, nothing else (CON-19).

The table says which function may never have a category, and desks of one connector have different functions. So what
is another desk's does not exist for such a token. What cannot be cut by desks, a case above all, is refused to it.
"""

from collections.abc import Collection
from typing import Final, TypeAlias

from protocol.address import DeskAddress
from protocol.errors import Forbidden, NotFound

Desks: TypeAlias = frozenset[DeskAddress] | None
"""The desks that a caller is bound to; None for one that is bound to none, and reaches them all."""

OPERATIONS: Final = frozenset(
    {
        "sendHandover",
        "listHandovers",
        "getHandover",
        "storeAttachment",
        "readAttachment",
        "sendReferral",
        "listThreads",
        "getThread",
        "makeStep",
        "sendMessage",
        "listMessages",
        "getMessage",
        "listEvents",
        # They say nothing about a person.
        "listDesks",
        "getStatus",
        "getMetrics",
    }
)
"""Operations that know desks, and those that need not. Any other is refused, also one that is added later."""
WHOLE_CASE: Final = frozenset({"custody.transferred"})
"""Kinds of messages that move every referral of a case, whichever desk's it is."""
_REFUSED: Final = "This token is bound to desks, and this goes over all of them. It needs a token without --desk."


def check(desks: Desks, operation: str) -> None:
    """Raise `Forbidden` for an operation that cannot be cut by desks."""
    if desks is not None and operation not in OPERATIONS:
        raise Forbidden(_REFUSED)


def check_kind(desks: Desks, kind: str) -> None:
    """Raise `Forbidden` for a message that moves what is other desks'."""
    if desks is not None and kind in WHOLE_CASE:
        raise Forbidden(_REFUSED)


def sees(desks: Desks, desk: DeskAddress) -> bool:
    """Tell whether what is this desk's exists for the caller."""
    return desks is None or desk in desks


def sees_either(desks: Desks, *those: DeskAddress) -> bool:
    """Tell whether what is between two desks exists for the caller: one of them is one of his."""
    return any(sees(desks, one) for one in those)


def must_see(desks: Desks, desk: DeskAddress) -> None:
    """Raise `NotFound`, as for what does not exist, for what is another desk's."""
    if not sees(desks, desk):
        raise NotFound


def sender(desks: Desks, wanted: DeskAddress | None, own: Collection[DeskAddress]) -> DeskAddress | None:
    """Return which of our `own` desks sends: the one that is `wanted`, or the first; None if that is none of these."""
    mine = [one for one in own if sees(desks, one)]
    return next((one for one in mine if wanted in (None, one)), None)

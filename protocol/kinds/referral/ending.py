# SPDX-License-Identifier: Apache-2.0
"""What ends a referral from outside its work, and what brings it back."""

from typing import Annotated, Literal

from pydantic import Field

from protocol.kinds.base import (
    HELD,
    Capacity,
    Code,
    Day,
    MessageRef,
    OfficerRef,
    Payload,
)
from protocol.kinds.reasons import (
    BlockReason,
    DataAction,
    ErrorReason,
    ReopenReason,
    WithdrawReason,
)
from protocol.kinds.referral.request import MAX_SERVICES


class Withdraw(Payload):
    """`referral.withdraw`: before anybody took it up it is cancelled; afterwards the recipient confirms."""

    kind: Literal["referral.withdraw"] = "referral.withdraw"
    reason: Annotated[WithdrawReason, HELD]


class ConfirmCancel(Payload):
    """`referral.confirm-cancel`: what was delivered, and what became of the data."""

    kind: Literal["referral.confirm-cancel"] = "referral.confirm-cancel"
    done: Annotated[tuple[Code, ...], Field(max_length=MAX_SERVICES), HELD]
    data_action: Annotated[DataAction, HELD]


class Lapse(Payload):
    """`referral.lapse`: nobody confirmed the withdrawal within five working days."""

    kind: Literal["referral.lapse"] = "referral.lapse"


class Expire(Payload):
    """`referral.expire`: nobody answered."""

    kind: Literal["referral.expire"] = "referral.expire"


class Block(Payload):
    """`referral.block`: no basis stands any more."""

    kind: Literal["referral.block"] = "referral.block"
    reason: Annotated[BlockReason, HELD]
    capacity: Annotated[Capacity | None, HELD] = None


class Unblock(Payload):
    """`referral.unblock`: another basis stands, and the data-protection officer agreed."""

    kind: Literal["referral.unblock"] = "referral.unblock"
    basis: Code
    agreed_by: OfficerRef


class EnteredInError(Payload):
    """`referral.entered-in-error`: it should never have been sent."""

    kind: Literal["referral.entered-in-error"] = "referral.entered-in-error"
    reason: Annotated[ErrorReason, HELD]
    capacity: Annotated[Capacity | None, HELD] = None


class CustodyMoved(Payload):
    """`referral.custody-moved`: the person changed prison; here is the new lead, and the question what still works."""

    kind: Literal["referral.custody-moved"] = "referral.custody-moved"
    officer: OfficerRef
    moved_on: Day
    notice: MessageRef | None = None


class Reopen(Payload):
    """`referral.reopen`: within thirty days; later a new referral names this one."""

    kind: Literal["referral.reopen"] = "referral.reopen"
    reason: Annotated[ReopenReason, HELD]


class Appeal(Payload):
    """`referral.appeal`: a second reader at the recipient is asked to look again."""

    kind: Literal["referral.appeal"] = "referral.appeal"
    reason: Annotated[ReopenReason, HELD]

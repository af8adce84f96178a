# SPDX-License-Identifier: Apache-2.0
"""What a catalogue has to say: every word of the protocol that can come on paper, found in the protocol itself."""

import ast
import inspect
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, get_args

from pydantic import BaseModel

from connectors.cases.returned import NOTE
from connectors.cases.sides import OBSERVER, ROLES, STRANGER
from connectors.cases.threads import FORGOTTEN, MESSAGE_LOST
from connectors.cases.twice import END_ONE
from connectors.printing.catalogue import Label, Table, is_name
from connectors.printing.contents import is_constant
from connectors.sealer import BARE
from connectors.store.recipients import DAMAGED
from connectors.store.sealings import CALLED_BACK, UNKNOWN
from protocol.bodies import FORMS
from protocol.clearance import AgencyKind, Basis, Category, DeskFunction, Purpose
from protocol.clearance import Label as Handling
from protocol.errors import IllegalTransition, MoveIncomplete, TooLate
from protocol.handover import WithheldReason
from protocol.http.handovers import MessageState
from protocol.kinds.catalogue import KINDS
from protocol.lifecycle import handover, owed, referral
from protocol.lifecycle.alerts import AlertKind
from protocol.lifecycle.history import GIVEN_UP
from protocol.lifecycle.owed import HEARD, REVIEW, Awaited

MARKS: Final = frozenset({"revoked-since", "old-prekey", "old-directory", BARE, CALLED_BACK, DAMAGED, UNKNOWN})
MESSAGE_ALERTS: Final = frozenset({"no-show", "risk", "safeguarding"})
UNKNOWN_FUNCTION: Final = "unknown-function"


def values(*kinds: Iterable[StrEnum]) -> frozenset[str]:
    """Return the codes of enumerations."""
    return frozenset(one.value for kind in kinds for one in kind)


def roles() -> frozenset[str]:
    """Return as whom somebody can make a move."""
    named = (word for role in ROLES.values() for word in (role.begins, role.answers, role.clock, role.protection))
    return frozenset({*named, STRANGER, OBSERVER})


class Said:
    """The fields and codes of every kind and every form, gone through to the last."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self.codes: set[str] = {"yes", "no"}
        self._seen: set[Any] = set()
        for kind in KINDS.values():
            self._walk(kind.payload)
        for form in FORMS.values():
            self._walk(form)

    def _walk(self, kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            if kind not in (Category, Purpose):
                self.codes |= {one.value for one in kind if not is_name(one)}
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind in self._seen:
                return
            self._seen.add(kind)
            for name, info in kind.model_fields.items():
                if not is_constant(info):
                    self.fields.add(name)
                    self._walk(info.annotation)
        else:
            for part in get_args(kind):
                self._walk(part)


def _owed() -> frozenset[str]:
    """Return what a thread can wait for, as the rules name it where they make one."""
    made = {"Owed", "_by_day"}
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(owed))) if isinstance(node, ast.Call)]
    first = [one.args[0] for one in calls if isinstance(one.func, ast.Name) and one.func.id in made and one.args]
    return frozenset(str(one.value) for one in first if isinstance(one, ast.Constant))


AWAITED: Final = _owed() | values(Awaited) | {REVIEW, HEARD, NOTE, END_ONE}
_SAID: Final = Said()
NEEDED: Final[dict[Table, frozenset[str]]] = {
    Table.LABELS: values(Label),
    Table.ACTORS: roles(),
    Table.INSTITUTIONS: values(AgencyKind),
    Table.FUNCTIONS: values(DeskFunction),
    Table.STATES: values(referral.State, handover.State),
    Table.JOURNEY: values(MessageState),
    Table.AWAITED: AWAITED,
    Table.NOTES: values(WithheldReason, AlertKind)
    | {IllegalTransition.code, MoveIncomplete.code, TooLate.code, FORGOTTEN, GIVEN_UP, MESSAGE_LOST, UNKNOWN_FUNCTION}
    | MARKS
    | MESSAGE_ALERTS,
    Table.CATEGORIES: values(Category),
    Table.PURPOSES: values(Purpose),
    Table.FORMS: frozenset(FORMS),
    Table.KINDS: frozenset(KINDS),
    Table.FIELDS: frozenset(_SAID.fields),
    Table.CODES: frozenset(_SAID.codes) | values(Handling, Basis),
}

# SPDX-License-Identifier: Apache-2.0
"""Every kind is strict, declares what it holds, stays machine state, and fits the row that it moves."""

import json
from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from protocol import ids
from protocol.bodies import FORMS
from protocol.clearance import Category
from protocol.content import Content, TextForm, category_of, encode_payload, held_by
from protocol.errors import MalformedEnvelope
from protocol.holding import POLICY, SAME_AS_SECTION, STATE, Access, Retention
from protocol.kinds.base import MessageKind, Payload, registry
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.handover import HANDOVER_KINDS
from protocol.kinds.referral.table import REFERRAL_KINDS
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.machine import Machine
from protocol.lifecycle.referral import REFERRAL

ALL = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
IN_SECTIONS = frozenset({"text"})
"""What a row needs that are words: they stand in a section, and the composer asks for them."""
WHOLE = {"send": {"request"}, "offer": {"offer"}}
"""What the row calls the message itself."""


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        pending: list[object] = [field.annotation]
        while pending:
            one = pending.pop()
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from models(one)
            pending.extend(get_args(one))


@ALL
def test_kind_2_every_field_declares_that_it_is_machine_state(kind: MessageKind) -> None:
    for model in models(kind.payload):
        for name in set(model.model_fields) - {"kind"}:
            assert category_of(model, name) == STATE, f"{model.__name__}.{name}"


@ALL
def test_env_12_no_field_of_section_0_takes_free_text(kind: MessageKind) -> None:
    for model in models(kind.payload):
        for name, field in model.model_fields.items():
            assert TextForm.PASSAGE not in field.metadata, f"{model.__name__}.{name}"
            if TextForm.LINE in field.metadata:
                assert "register" in name or model.__name__ in ("RegisterNumbers", "RegisterNumber")


@ALL
def test_kind_1_a_kind_says_its_own_name_and_version(kind: MessageKind) -> None:
    assert kind.payload.model_fields["kind"].default == kind.name
    assert kind.payload.model_fields["version"].default == kind.version
    assert KINDS[kind.name] is kind


def test_kind_1_a_type_stands_once() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        registry(REFERRAL_KINDS, REFERRAL_KINDS[:1])


@pytest.mark.parametrize(
    ("machine", "kinds"), [(REFERRAL, REFERRAL_KINDS), (HANDOVER, HANDOVER_KINDS)], ids=["referral", "handover"]
)
def test_kind_3_each_event_but_the_receipt_is_one_kind_and_carries_what_its_rows_need(
    machine: Machine, kinds: tuple[MessageKind, ...]
) -> None:
    assert sorted(str(kind.event) for kind in kinds) == sorted(set(machine.events) - {"receive"})
    for kind in kinds:
        assert kind.machine is machine
        required = {name for name, field in kind.payload.model_fields.items() if field.is_required()}
        for row in machine.rows:
            if row.event == kind.event:
                assert row.needs - IN_SECTIONS - WHOLE.get(row.event, set()) <= required, kind.name


SUBJECT = ids.text(ids.Kind.SUBJECT, bytes(16))
REQUEST = {
    "kind": "referral.request",
    "version": 1,
    "subject": SUBJECT,
    "occurred_at": 1_795_680_000_000,
    "register_numbers": {"sender": "03-114/2026"},
    "priority": "normal",
    "services": [{"code": "psychosocial-support", "pathway": "health", "outcome": "contact-kept"}],
    "whereabouts": "custody",
    "release_on": "2027-01-20",
    "language": "sr-Latn",
    "interpreter": False,
    "person_knows": "agreed",
    "contact": "through-requester",
    "duplicates": "none-found",
    "answer_by": "2026-12-10",
}


def bytes_of(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def test_cnt_1_a_request_is_read_as_it_was_written() -> None:
    kind = KINDS["referral.request"]
    payload = decode_payload(kind, bytes_of(REQUEST))
    assert encode_payload(payload) == bytes_of(REQUEST)
    assert isinstance(payload, Payload)
    assert SUBJECT not in repr(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Ana"},
        {"version": 2},
        {"version": True},
        {"kind": "referral.accept"},
        {"subject": "sub_x"},
        {"occurred_at": "2026-11-26T10:00:00Z"},
        {"occurred_at": -1},
        {"services": []},
        {"services": [{"code": "Words with spaces", "pathway": "health", "outcome": "x"}]},
        {"services": REQUEST["services"] * 2},  # type: ignore[operator]
        {"release_unknown": "not-told"},
        {"release_on": None},
        {"language": "Serbian"},
        {"priority": "whenever"},
        {"register_numbers": {"sender": "1\n2"}},
    ],
)
def test_cnt_1_what_a_request_may_not_hold_is_refused_and_never_repeated(change: dict[str, object]) -> None:
    with pytest.raises(MalformedEnvelope) as caught:
        decode_payload(KINDS["referral.request"], bytes_of({**REQUEST, **change}))
    assert "Words with" not in caught.value.detail
    assert "Ana" not in caught.value.detail


@ALL
def test_cnt_1_every_kind_refuses_an_unknown_field(kind: MessageKind) -> None:
    with pytest.raises(ValidationError, match=r"extra_forbidden|Extra inputs"):
        kind.payload.model_validate({"surplus": 1})


@ALL
def test_kind_4_the_published_schema_of_a_kind_says_what_each_field_holds(kind: MessageKind) -> None:
    schema = kind.payload.model_json_schema()
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        if name != "kind":
            assert f'"x-category": "{STATE}"' in json.dumps(field), name


def test_kind_2_every_category_promises_how_long_it_is_kept_and_what_the_person_is_told() -> None:
    assert set(POLICY) == {*Category, STATE, SAME_AS_SECTION}
    for category, policy in POLICY.items():
        assert (policy.retention is Retention.SECTION) == (category == SAME_AS_SECTION)
    for category in (Category.VICTIM, Category.THIRD_PARTY, Category.STAFF_CONTACT):
        assert POLICY[category].access is Access.THIRD_PARTY


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_kind_2_every_field_of_every_body_makes_both_promises_in_the_published_schema(form: type[Content]) -> None:
    for model in models(form):
        schema = model.model_json_schema()
        for name in set(model.model_fields) - {"kind"}:
            policy = held_by(model, name).policy
            assert json.dumps(schema["properties"][name]).count(f'"x-retention": "{policy.retention}"') == 1, name
            assert f'"x-access": "{policy.access}"' in json.dumps(schema["properties"][name])

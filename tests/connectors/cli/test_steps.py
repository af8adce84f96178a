# SPDX-License-Identifier: Apache-2.0
"""Each step has one command, made from its kind: every field can be said, and none is taken for another option."""

import json

import click
import pytest

from connectors.cli import steps, tree
from protocol.kinds.base import MessageKind
from protocol.kinds.catalogue import kind_for

COMMANDS = [
    (machine, event)
    for machine, verbs in (("referral", tree.REFERRAL), ("handover", tree.HANDOVER))
    for event, entry in verbs.items()
    if entry.target.startswith("steps:")
]


def command(machine: str, event: str) -> tuple[MessageKind, click.Command]:
    kind = kind_for(machine, event)
    assert kind is not None
    made = getattr(steps, f"{machine}_{event.replace('-', '_')}")
    assert isinstance(made, click.Command)
    return kind, made


@pytest.mark.parametrize(("machine", "event"), COMMANDS)
def test_every_field_is_an_option_or_named_for_the_file_and_no_two_share_a_name(machine: str, event: str) -> None:
    kind, made = command(machine, event)
    options = [one for one in made.params if isinstance(one, click.Option)]
    flags = [flag for one in options for flag in (*one.opts, *one.secondary_opts)]
    assert len(flags) == len(set(flags)), "one flag stands for one thing"
    assert len({one.name for one in made.params}) == len(made.params)
    in_file = next(one.help or "" for one in options if one.name == "file")
    for name in kind.payload.model_fields.keys() - {"kind", "version", "subject", "occurred_at"}:
        assert f"field_{name}" in {one.name for one in options} or name in in_file


@pytest.mark.parametrize(("machine", "event"), COMMANDS)
def test_help_says_what_a_step_needs(machine: str, event: str) -> None:
    kind, made = command(machine, event)
    told = {one.name: one.help or "" for one in made.params if isinstance(one, click.Option)}
    for name, field in kind.payload.model_fields.items():
        if field.is_required() and name not in {"subject", "occurred_at"}:
            assert "[needed]" in told.get(f"field_{name}", "") or f"{name} (needed)" in told["file"]


@pytest.mark.parametrize(("machine", "event"), COMMANDS)
def test_help_shows_how_a_field_with_parts_is_written(machine: str, event: str) -> None:
    _, made = command(machine, event)
    shown = json.loads((made.epilog or "").partition("  {")[2].join(["{", ""]))["fields"]
    options = {one.name for one in made.params}
    for name in shown:
        assert f"field_{name}" not in options


def test_the_shown_form_of_an_answer_in_part_is_one_that_is_taken() -> None:
    kind, made = command("referral", "accept-part")
    (shown,) = json.loads((made.epilog or "").partition("  {")[2].join(["{", ""]))["fields"]["services"]
    assert "The first is needed." in (made.epilog or "")
    first = {name: value.partition("|")[0] if isinstance(value, str) else value for name, value in shown.items()}
    taken, left = {"code": "a", "accepted": True}, {**first, "code": "b", "accepted": False}
    fields = {"subject": "sub_" + "a" * 26, "occurred_at": 1, "officer": "off_" + "a" * 26, "start_by": "2027-01-05"}
    kind.payload.model_validate_json(json.dumps({**fields, "services": [taken, left]}))

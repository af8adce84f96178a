# SPDX-License-Identifier: Apache-2.0
"""A failure says what happened, why, and what to type next; it never shows a traceback or input."""

import errno

import pytest

from connectors.cli import failures
from hub.failures import report as operator_report
from protocol import errors
from protocol.http.problems import FieldError, InvalidFields


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CannotOpen(), 1),
        (errors.BadSignature(), 1),
        (errors.ExportUnreadable(), 1),
        (errors.InvalidInput(), 2),
        (errors.ConfigurationError(), 3),
        (errors.MappingInvalid(), 3),
        (errors.NotAuthenticated(), 4),
        (errors.EnrolmentRefused(), 4),
        (errors.NotFound(), 5),
        (errors.Conflict(), 6),
        (errors.HubUnreachable(), 7),
        (errors.Unavailable(), 7),
        (errors.KeystoreError(), 8),
        (errors.StoreBehind(), 8),
        (errors.StoreFull(), 7),
        (errors.SelfTestFailed(), 3),
        (OSError(errno.ENOSPC, "full"), 7),
        (OSError(errno.EDQUOT, "full"), 7),
        (OSError(errno.EACCES, "denied"), 1),
        (ValueError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert failures.exit_code(error) == code


@pytest.mark.parametrize("error", list(errors.CODES.values()))
def test_every_error_is_told_in_three_lines(
    error: type[errors.ThroughcareError], capsys: pytest.CaptureFixture[str]
) -> None:
    code = failures.report(error())
    spoken = capsys.readouterr()
    assert 1 <= code <= 8
    assert spoken.out == ""
    assert [line.split(":")[0] for line in spoken.err.splitlines()] == ["error", "why", "next"]


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigurationError(),
        errors.Conflict(),
        errors.InvalidInput(),
        errors.SelfTestFailed(),
        errors.KeystoreError(),
        errors.StoreBehind(),
        errors.StoreFailed(),
        errors.StoreFull(),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EACCES, "denied"),
        ValueError("x"),
    ],
)
def test_the_operators_program_has_the_same_exit_codes(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that restores at 8 must not do so because a disk is full, at either program."""
    with pytest.raises(type(error)) as caught:
        raise error
    assert operator_report(caught.value) == failures.exit_code(caught.value)
    assert capsys.readouterr().err.startswith("error: ")


def test_the_place_that_raises_may_name_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    failures.report(failures.then(errors.NotFound(), "throughcare sandbox"))
    assert capsys.readouterr().err.endswith("next:  throughcare sandbox\n")


def test_an_unforeseen_error_shows_its_place_but_neither_traceback_nor_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("Marko Marković, born 1990")
    assert failures.report(caught.value) == 1
    spoken = capsys.readouterr().err
    assert "RuntimeError at test_failures.py:" in spoken
    assert "Marko" not in spoken
    assert "Traceback" not in spoken


def test_an_error_of_the_system_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    failures.report(PermissionError(13, "Permission denied", "/some/file"))
    assert "/some/file" in capsys.readouterr().err


def test_why_the_hub_was_not_reached_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.HubUnreachable()
    error.reason = "name"
    failures.report(error)
    assert "note:  the hub's name is not found (DNS)\n" in capsys.readouterr().err


def test_a_lone_error_of_a_task_group_is_told_as_itself() -> None:
    assert failures.report(ExceptionGroup("tasks", [errors.HubUnreachable()])) == 7


def test_the_fields_that_are_wrong_are_named_and_nothing_else_of_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    fields = [
        FieldError("/fields/officer", "missing"),
        FieldError("/services/0/code", "not-allowed"),
        FieldError("", "unknown-field"),
        FieldError("/\x1b[2J", "missing"),
        FieldError("/officer", "Marko"),
    ]
    assert failures.report(InvalidFields(fields)) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("field")] == [
        "field: officer is missing",
        "field: services/0/code is none of the values that can be",
        "field: what was sent holds a name that is not known here: check the spelling",
    ]

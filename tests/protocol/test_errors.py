# SPDX-License-Identifier: Apache-2.0
"""One tree of errors, one code each, texts for people."""

import re

import pytest

from protocol.errors import CODES, CannotOpen, NotFound, PeerError, ThroughcareError


def test_err_1_every_error_has_one_code_in_one_registry() -> None:
    assert len(set(CODES.values())) == len(CODES)
    for code, error in CODES.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        assert error.code == code
        assert 400 <= error.status < 600
        assert error.title != ThroughcareError.title


def test_err_1_a_second_owner_of_a_code_is_refused_and_changes_nothing() -> None:
    with pytest.raises(TypeError, match="taken by NotFound"):
        type("Impostor", (ThroughcareError,), {"code": "not-found"})
    assert CODES["not-found"] is NotFound


@pytest.mark.parametrize("error", CODES.values(), ids=lambda error: error.code)
def test_err_2_an_errors_own_text_is_a_plain_sentence(error: type[ThroughcareError]) -> None:
    text = error().detail
    assert text == error.default
    assert text.endswith(".")
    assert len(text) < 250


def test_env_20_a_failure_to_open_takes_no_text_of_its_own() -> None:
    with pytest.raises(TypeError):
        CannotOpen("the padding was wrong")  # type: ignore[call-arg]
    assert issubclass(CannotOpen, PeerError)
    assert {str(CannotOpen()) for _ in range(3)} == {CannotOpen.default}

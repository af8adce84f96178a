# SPDX-License-Identifier: Apache-2.0
"""Ids and addresses have one spelling; key ids carry their type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address import agency_of, desk_name, desk_of, domain_of, parse_agency, parse_desk
from protocol.errors import InvalidInput
from protocol.identities import DeviceKey, IdentityKey, KeyType, key_id
from protocol.ids import Kind, new_id, raw, text


@given(st.binary(min_size=16, max_size=16), st.sampled_from(Kind))
def test_id_1_an_id_has_one_text_and_the_text_one_id(value: bytes, kind: Kind) -> None:
    written = text(kind, value)
    assert len(written) == len(kind.value) + 27
    assert raw(kind, written) == value


@given(st.text(max_size=40), st.sampled_from(Kind))
def test_id_1_any_other_text_is_refused_without_an_echo(written: str, kind: Kind) -> None:
    try:
        value = raw(kind, written)
    except InvalidInput as caught:
        error = caught
    else:
        assert text(kind, value) == written
        return
    assert len(written) < 3 or written not in error.detail


def test_id_1_other_spellings_of_the_same_bytes_are_refused() -> None:
    written = text(Kind.MESSAGE, bytes(16))
    # The last of 26 characters carries two spare bits: only zero is right.
    for wrong in (written.upper(), written + "=", written[:-1] + "b", written.replace("msg", "env"), " " + written):
        with pytest.raises(InvalidInput):
            raw(Kind.MESSAGE, wrong)


def test_new_ids_are_16_random_bytes() -> None:
    assert len({new_id() for _ in range(1_000)}) == 1_000
    assert len(new_id()) == 16


def test_id_2_addresses_are_read_and_taken_apart() -> None:
    desk = parse_desk("intake.reka-probation@hub.example")
    assert desk_name(desk) == "intake"
    assert agency_of(desk) == "reka-probation@hub.example" == parse_agency("reka-probation@hub.example")
    assert domain_of(desk) == "hub.example"
    assert desk_of("intake", agency_of(desk)) == desk


@pytest.mark.parametrize(
    "wrong",
    [
        "intake.reka",
        "Intake.reka@hub",
        "intake..reka@hub",
        "-a.reka@hub",
        "a-.reka@hub",
        "a.b.c@hub",
        "a.reka@",
        "a.reka@hub\n",
        "ć.reka@hub",
        "a.reka@hub@hub",
        "a" * 41 + ".reka@hub",
        "a.reka@" + "h" * 101,
        "",
    ],
)
def test_id_2_what_is_no_address_is_refused_without_an_echo(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_desk(wrong)
    assert not wrong or wrong not in caught.value.detail


def test_id_3_the_type_keeps_a_key_of_one_use_from_passing_for_another() -> None:
    parts = (bytes(32), bytes(1952))
    assert len({key_id(kind, *parts) for kind in KeyType}) == len(KeyType)
    assert key_id(KeyType.LOG, b"ab", b"c") != key_id(KeyType.LOG, b"a", b"bc")
    assert IdentityKey(*parts).key_id == key_id(KeyType.IDENTITY, *parts)
    assert DeviceKey(*parts, bytes(32)).key_id != IdentityKey(*parts).key_id

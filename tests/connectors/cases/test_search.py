# SPDX-License-Identifier: Apache-2.0
"""Finding a case by what is known of the person, over what this agency holds, and telling nobody else (CAS-5)."""

import io
import secrets
import sys
from datetime import date

import pytest
from sqlalchemy import text

from connectors.store import facts
from protocol.bodies.person import Identifiers, Number, OtherName, Person
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.errors import Forbidden, InvalidInput
from protocol.handover import PackageSection
from protocol.http.cases import CaseSearch
from protocol.http.operation import Scope
from protocol.ids import CaseId
from tests.connectors.cases.test_cases import about, refer, step
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.test_tokens import make, showing
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]


async def found(served: Served, looked_for: str) -> list[str]:
    """Return the family names of the cases that are found."""
    items = (await served.client.search(CaseSearch(text=looked_for))).items
    return sorted(item.person.family_name for item in items if item.person)


async def test_cas_5_a_person_is_found_in_either_script_with_marks_or_without(prison: Served, csw: Served) -> None:
    await refer(prison, csw, about("Ђурђевић", "5", given_names="Ђорђе"), register_numbers={"sender": "G-17/2027"})
    await refer(prison, csw, about("Çela", "6", given_names="Përparim"))
    for served in (prison, csw):
        for looked_for in ("Djordje", "djurdj", "Đorđe Đurđević", "ђурђевић", "durdevic dorde", "G-17/2027", "g17"):
            assert await found(served, looked_for) == ["Ђурђевић"], looked_for
        for looked_for in ("cela", "PËRP", "6 Çela"):
            assert await found(served, looked_for) == ["Çela"], looked_for
        for looked_for in ("Djordje cela", "elez", "G-18/2027", "jo"):
            assert await found(served, looked_for) == [], looked_for


async def test_cas_5_all_words_are_found_in_one_case_in_whichever_of_its_threads(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw, about("Invented", "51"))
    await refer(prison, csw, about("Invented", "51", known_as="Nickname"), duplicates="sent-anyway")
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "P-3/2027"})
    assert await found(csw, "nick P-3") == ["Invented"]
    first = await csw.client.search(CaseSearch(text="invented", limit=1))
    assert (len(first.items), first.next_cursor) == (1, None)


async def test_cas_5_other_names_and_numbers_find_and_those_of_nobody_else(prison: Served, csw: Served) -> None:
    other = PackageSection(
        category=Category.IDENTITY,
        purpose=Purpose.CONTINUITY_OF_CARE,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 1",
        label=Label.STANDARD,
        functions=(DeskFunction.SOCIAL_WORK,),
        body=Identifiers(
            other_names=(OtherName(family_name="Maiden"),),
            numbers=(Number(register_name="invented register", number="0101990-1"),),
        ),
    )
    born = about("Invented", "51")
    dated = born.model_copy(update={"body": Person(family_name="Invented", date_of_birth=date(1990, 1, 31))})
    await refer(prison, csw, dated, other)
    for looked_for in ("maiden", "0101990-1", "01019901", "1990-01-31"):
        assert await found(csw, looked_for) == ["Invented"], looked_for
    # Words of a section are not looked into, and neither is whose machine it is.
    for looked_for in ("need", "polje", "register"):
        assert await found(csw, looked_for) == [], looked_for


@pytest.mark.parametrize("nothing", ["...", " - ", "()"])
async def test_a_search_for_nothing_is_refused(prison: Served, nothing: str) -> None:
    with pytest.raises(InvalidInput):
        await prison.client.search(CaseSearch(text=nothing))


async def test_con_5_the_index_shows_no_word_and_is_walked_by_its_key(prison: Served, csw: Served) -> None:
    await refer(prison, csw, about("Plantedname", "planted5"))
    assert await found(csw, "plantedn") == ["Plantedname"]
    for served in (prison, csw):
        for file in served.station.folder.glob("connector.db*"):
            assert b"plantedn" not in file.read_bytes().lower()
        assert "planted" not in served.station.logged.getvalue().lower()
    async with csw.station.parts.store.read() as tx:
        plan = await tx.connection.execute(text("EXPLAIN QUERY PLAN SELECT thread FROM found_by WHERE word = x'00'"))
        assert ["SEARCH" in row[3] for row in plan.all()] == [True]


async def test_cas_5_what_was_stored_before_is_found_after_the_next_start(prison: Served, csw: Served) -> None:
    await refer(prison, csw, about("Invented", "51"))
    parts = csw.station.parts
    async with parts.store.write() as tx:
        await tx.connection.execute(text("DELETE FROM found_by"))
        await facts.put(tx, "cases made", b"1")
    assert await found(csw, "invented") == []
    assert await parts.threads.register.catch_up(parts.store) > 0
    assert await found(csw, "invented") == ["Invented"]


async def test_con_14_who_may_only_watch_finds_nobody(prison: Served) -> None:
    made = await make(prison, Scope.WATCH, Scope.SEND, Scope.MOVE, Scope.ADMIN)
    async with showing(prison, made.secret) as other:
        with pytest.raises(Forbidden, match="scope read"):
            await other.search(CaseSearch(text="Invented"))
        with pytest.raises(Forbidden, match="scope read"):
            await other.case(CaseId(secrets.token_bytes(16)))


async def test_a_case_is_searched_by_command_without_its_name_in_the_shells_history(
    prison: Served, csw: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await refer(prison, csw, about("Ђурђевић", "5"))
    assert await type_at(prison.station, prison.url, "case", "search", "djurdj") == 0
    told = capsys.readouterr().out
    assert "Ђурђевић" in told
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("đurđević\n".encode()), encoding="utf-8"))
    assert await type_at(prison.station, prison.url, "case", "search", "-") == 0
    assert capsys.readouterr().out == told

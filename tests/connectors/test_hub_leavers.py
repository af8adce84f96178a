# SPDX-License-Identifier: Apache-2.0
"""Until an exchange stands again in a restored hub's directory, nothing new counts there that who left has signed."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hub_restored import check_restored
from connectors.hub_signers import Signing, lacking
from keys.directory import Directory
from keys.signing import HybridSigner, sign_statement
from protocol.errors import DirectoryInconsistent
from protocol.limits import DAY, HOUR
from protocol.statements import Body, Revocation, Root, Subject, parse_statement
from tests.connectors.exchanges import authority, exchange, ghost, restoration
from tests.connectors.restoredhub import Story, shown
from tests.keys.world import identity
from tests.programme import NOW, Programme, make_programme

pytestmark = pytest.mark.usefixtures("quick_keys", "databases_in_the_loop")

BEFORE: Final = make_programme()
KEPT: Final = BEFORE.directory.size
PERSONS: Final = BEFORE.root_persons
A, B, C = BEFORE.approvers
COMES, NEXT, STRANGERS = identity("root comes"), identity("root next"), [identity(f"stranger {n}") for n in (1, 2)]
REFUSED: Final = "before the exchange was back"


def signed(subject: Subject, issued: int, signers: Sequence[HybridSigner]) -> bytes:
    return sign_statement(Body(issued, NOW - HOUR, NOW + 80 * DAY, subject), signers)


def root(version: int, people: Iterable[HybridSigner], signers: Sequence[HybridSigner]) -> bytes:
    said = Root(version, 2, tuple(one.public for one in people), "Demo programme")
    return signed(said, NOW + version, signers)


def approvers(people: Iterable[HybridSigner], signers: Sequence[HybridSigner], issued: int) -> bytes:
    return signed(authority(BEFORE, list(people)), issued, signers)


OLD_AGENCY: Final = signed(parse_statement(ghost(BEFORE, [A, B])).body.subject, NOW - 1, [A, B])
STAY: Final = [PERSONS[0], PERSONS[2]]
"""The second person of the root has left, and so has the second approver; `NOW_THERE` sign for the authority by now."""
SECOND: Final = root(2, [*STAY, COMES], [*STAY, COMES])
NOW_THERE: Final = [A, identity("newcomer 1"), C]
EXCHANGE: Final = approvers(NOW_THERE, STAY, NOW + 10)


def holds(*more: bytes) -> Programme:
    """Return who has seen the exchange of both, and `more` before it."""
    programme = BEFORE.copy()
    for raw in (*more, SECOND, EXCHANGE):
        programme.add(raw)
    return programme


KNOWS: Final = holds(OLD_AGENCY)


def shows(*line: bytes | list[HybridSigner]) -> Programme:
    """Return a hub restored to before it that shows `line`, with a restoration by whom it names."""
    programme = BEFORE.copy()
    for one in line:
        programme.add(one if isinstance(one, bytes) else restoration(programme, programme.directory.size, one))
    return programme


def follow(programme: Programme, knows: Programme = KNOWS) -> None:
    """Look at the hub as a connector that has seen the exchange, up to handing back."""
    lost = knows.statements[KEPT:]
    signing = Signing.of(knows.directory)
    check_restored(programme.directory, 0, 1, KEPT, signing, programme.statements[KEPT:], lost)
    assert not list(lacking(programme.directory, lost))


FOLDER: Final = Signing.said(parse_statement(SECOND), parse_statement(EXCHANGE))


LATER_BY_LEAVER: Final = approvers(STRANGERS, PERSONS[:2], NOW + 11)
KEPT_BACK: Final = approvers([*STRANGERS, A], STAY, NOW + 9)


@pytest.mark.parametrize(
    "line",
    [(LATER_BY_LEAVER, SECOND), (EXCHANGE, LATER_BY_LEAVER, SECOND)],
    ids=["instead", "behind the exchange"],
)
def test_gen_9_who_left_the_root_makes_no_newer_authority_in_front_of_the_root_without_him(
    line: tuple[bytes, ...],
) -> None:
    """With one more key of the first root he names strangers, who restore the hub: the second root comes after that."""
    programme = shows(*line, STRANGERS)
    with pytest.raises(DirectoryInconsistent, match=REFUSED):
        follow(programme)
    assert FOLDER is not None
    with pytest.raises(DirectoryInconsistent, match=REFUSED):
        FOLDER.check(programme.directory, 0)
    FOLDER.check(programme.directory, 1)


def test_gen_9_between_a_restoration_and_the_exchange_who_left_signs_nothing_new() -> None:
    """Those who restored it are there before and after, and were told a lie about what the backup lacks."""
    revoked = signed(Revocation(parse_statement(EXCHANGE).digest, "gone"), NOW + 12, PERSONS[:2])
    for line in (
        ([A, C], ghost(BEFORE, [A, B]), SECOND, EXCHANGE),
        ([A, C], SECOND, ghost(BEFORE, [A, B]), EXCHANGE),
        ([A, C], EXCHANGE, revoked, SECOND),
    ):
        with pytest.raises(DirectoryInconsistent, match=REFUSED):
            follow(shows(*line))


def test_gen_9_a_statement_of_the_authority_that_was_given_up_does_not_come_before_the_exchange() -> None:
    """People of now had signed it, and it is older than what they signed after it: nobody may lean on it."""
    with pytest.raises(DirectoryInconsistent, match=REFUSED):
        follow(shows([A, C], KEPT_BACK, ghost(BEFORE, STRANGERS), SECOND, EXCHANGE))


def test_gen_9_who_stays_restores_it_and_all_that_is_honest_is_followed() -> None:
    newer = approvers([A, COMES_TO_SIGN, C], STAY, NOW + 11)
    third = root(3, [PERSONS[0], COMES, NEXT], [PERSONS[0], COMES, NEXT])
    for line in (
        ([A, C], SECOND, EXCHANGE),
        # What others have handed back, an agency that is new, and a prekey.
        ([A, C], OLD_AGENCY, PREKEY, ANOTHER_AGENCY, SECOND, EXCHANGE),
        # The folder brings its newest back, by date: in front of a root that was signed later.
        (newer, SECOND, [A, COMES_TO_SIGN]),
        ([A, C], newer, ghost(BEFORE, [C, COMES_TO_SIGN]), SECOND),
        # The root went on, and so did the authority.
        ([A, C], SECOND, third, approvers([A, COMES_TO_SIGN, C], [COMES, NEXT], NOW + 12)),
        (SECOND, EXCHANGE, [A, NOW_THERE[1]], approvers([*STRANGERS, A], [COMES, PERSONS[0]], NOW + 12)),
    ):
        held = holds() if OLD_AGENCY not in line else KNOWS
        programme = shows(*line)
        follow(programme, held)
        assert FOLDER is not None
        FOLDER.check(programme.directory, 0)


COMES_TO_SIGN: Final = identity("another newcomer")
ANOTHER_AGENCY: Final = ghost(BEFORE, [A, C])
_MEMBER: Final = BEFORE.members["gora-prison"]
PREKEY: Final = BEFORE.copy().add_prekey(_MEMBER, epoch=2)


@given(
    st.sampled_from(list(combinations([0, 1, 2], 2))), st.sampled_from(list(combinations([0, 1, 2], 2))),
    st.booleans(), st.integers(0, 2),
)  # fmt: skip
def test_gen_9_what_is_new_before_the_exchange_counts_by_people_of_now_and_no_others(
    by: tuple[int, int], above: tuple[int, int], names: bool, place: int
) -> None:
    """Whoever of then signs an agency, or strangers' authority, wherever it stands before both are back."""
    line: list[bytes | list[HybridSigner]] = [[A, C], SECOND, EXCHANGE]
    if names:
        new, left = approvers([A, C, *STRANGERS], [PERSONS[one] for one in above], NOW + 11), 1 in above
        line[2:] = []
        place = min(place, 1)
    else:
        # In front of a restoration nothing new may stand but what is above agencies (GEN-10).
        new, left, place = ghost(BEFORE, [BEFORE.approvers[one] for one in by]), 1 in by, max(place, 1)
    line.insert(place, new)
    programme = shows(*line)
    if left:
        with pytest.raises(DirectoryInconsistent, match=REFUSED):
            follow(programme, holds())
    else:
        follow(programme, holds())


ENDED: Final = signed(Revocation(parse_statement(EXCHANGE).digest, "gone"), NOW + 12, STAY)


@given(st.integers(2, KEPT - 1), st.booleans(), st.integers(0, 3))
def test_gen_9_who_signs_is_known_also_behind_what_the_disk_has_damaged(row: int, ended: bool, cut: int) -> None:
    """Whatever row cannot be read, and up to wherever the directory goes: of who signs nothing is forgotten."""
    whole = KNOWS.copy()
    if ended:
        whole.add(ENDED)
    line = whole.statements[: len(whole.statements) - cut]
    before, there = Directory(whole.fingerprint, whole.domain), Directory(whole.fingerprint, whole.domain)
    for raw in line:
        there.apply(raw, verified=True)
    for raw in line[:row]:
        before.apply(raw, verified=True)
    assert Signing.of(before, line[row + 1 :]) == Signing.of(there)


def looks_again(programme: Programme, knows: Programme, row: int) -> None:
    """Look at a hub as a connector that holds what `knows` says, of which the disk has damaged a row."""
    before = Directory(knows.fingerprint, knows.domain)
    for raw in knows.statements[:row]:
        before.apply(raw, verified=True)
    behind = knows.statements[row + 1 :]
    signing = Signing.of(before, behind)
    check_restored(programme.directory, 0, 1, None, signing, programme.statements[row:], [], behind)
    assert not list(lacking(programme.directory, behind))


@pytest.mark.parametrize("row", [1, 2, 5])
def test_gen_9_what_was_followed_before_a_row_was_damaged_is_followed_after_it(row: int) -> None:
    """Those who signed the restoration then have left since: it was judged by who signed then."""
    last = approvers([*STRANGERS, NOW_THERE[1]], STAY, NOW + 12)
    programme = shows([A, C], SECOND, EXCHANGE, last)
    looks_again(programme, programme.copy(), row)
    looks_again(shows(OLD_AGENCY, [A, C], SECOND, EXCHANGE), KNOWS, row)


@pytest.mark.parametrize("line", [(LATER_BY_LEAVER,), (LATER_BY_LEAVER, PREKEY), (EXCHANGE, LATER_BY_LEAVER, PREKEY)])
def test_gen_9_no_damaged_row_lets_who_left_the_root_make_a_newer_authority(line: tuple[bytes, ...]) -> None:
    """An agency's statement behind it makes it look as if it had been in the backup."""
    with pytest.raises(DirectoryInconsistent, match=REFUSED):
        looks_again(shows(*line, SECOND, STRANGERS), KNOWS, 3)


async def test_gen_9_an_agency_by_who_left_keeps_a_connector_with_the_hub_of_before(tmp_path: Path) -> None:
    """A hub with two former keys shows it right behind a restoration that people who stayed have signed."""
    story = Story(tmp_path)
    programme = story.programme
    kept = programme.directory.size
    exchanged = exchange(programme, 1)
    forged = [restoration(programme, kept, [A, C]), ghost(programme, [A, B]), exchanged]
    async with story.lied_to() as (prison, liar):
        sync, before = prison.parts.directory, prison.parts.directory.directory.root
        shown(story, kept, forged, [kept])(liar)
        with pytest.raises(DirectoryInconsistent, match=REFUSED):
            await sync.sync()
        assert (sync.directory.root, sync.directory.generation) == (before, 0)
        with pytest.raises(DirectoryInconsistent):
            sync.check_sealing()
        liar.bends.clear()
        shown(story, kept, [forged[0], exchanged], [kept])(liar)
        await sync.sync()
        assert (sync.directory.generation, sync.check_sealing()) == (1, False), "without that it is followed"

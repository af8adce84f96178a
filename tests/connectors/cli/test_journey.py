# SPDX-License-Identifier: Apache-2.0
"""How far a message has come is said in the words of a print, and never as if somebody had accepted anything."""

from connectors.cli.journey import COME, come
from connectors.languages import LANGUAGES
from connectors.printing.catalogue import Table, texts_of
from connectors.store.recipients import RecipientState
from protocol import ids
from protocol.http.handovers import MessageState
from protocol.ids import Kind
from protocol.lifecycle import handover
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cli.test_mistakes import Typed, typed_

__all__ = ["csw", "prison", "typed_"]


def test_a_screen_has_the_words_of_a_print_for_each_state_of_a_message_and_those_of_no_life_cycle() -> None:
    printed = texts_of(LANGUAGES["en"])
    assert {state: come(state) for state in MessageState} == {
        state: printed[Table.JOURNEY][state].replace("’", "'") for state in MessageState
    }
    assert set(COME) == {*MessageState, *RecipientState}
    assert not set(COME.values()) & {*handover.State, *printed[Table.STATES].values()}
    assert come("later-state") == "later-state"


async def test_a_handover_that_only_the_hub_has_is_shown_as_accepted_on_no_screen(
    typed: Typed, prison: Served, csw: Served
) -> None:
    message = ids.text(Kind.MESSAGE, await prison.station.send(csw.station.desk))
    for words in (["handover", "list"], ["handover", "show", message]):
        status, shown, _ = await typed(*words)
        assert status == 0
        assert "at the hub" in shown
        assert "accepted" not in shown
    status, shown, _ = await typed("handover", "list", "--json")
    assert '"state":"accepted"' in shown, "programs read the codes that they know"

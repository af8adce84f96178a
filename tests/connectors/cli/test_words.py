# SPDX-License-Identifier: Apache-2.0
"""Steps that are for words: whoever forgets them hears of it before the other side's clock runs again."""

import json
from pathlib import Path

import pytest

from connectors.cli import steps
from connectors.cli.shapes import SECTION, section
from connectors.cli.threads import sections_of
from protocol import ids
from protocol.errors import InvalidInput
from protocol.handover import PackageSection
from protocol.ids import Kind
from tests.connectors.cases.test_cases import refer, step
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cli.test_mistakes import Typed, typed_

__all__ = ["csw", "prison", "typed_"]


async def test_an_answer_without_words_is_not_sent_and_one_with_them_is(
    typed: Typed, prison: Served, csw: Served, tmp_path: Path
) -> None:
    thread = await refer(prison, csw)
    for event in ("acknowledge", "ask"):
        await step(csw, thread, event, prison)
    words = "referral", "answer", ids.text(Kind.THREAD, thread)
    status, _, told = await typed(*words)
    assert status == 2
    assert "An answer without words answers nothing" in told
    assert "next:  throughcare referral answer --help" in told
    assert (await prison.client.thread(thread)).item.state == "info-requested"
    file = tmp_path / "answer.json"
    file.write_text(json.dumps({"sections": [SECTION]}), encoding="utf-8")
    status, said, told = await typed(*words, "--input", file)
    assert (status, "warning" in told) == (0, False)
    assert "sections 1 needs" in said
    assert (await prison.client.thread(thread)).item.state == "acknowledged"


async def test_an_answer_that_is_a_number_needs_no_words(
    typed: Typed, prison: Served, csw: Served, tmp_path: Path
) -> None:
    thread = await refer(prison, csw)
    for event in ("acknowledge", "ask"):
        await step(csw, thread, event, prison)
    file = tmp_path / "number.json"
    file.write_text(json.dumps({"fields": {"register_numbers": {"sender": "G-17"}}}), encoding="utf-8")
    assert (await typed("referral", "answer", ids.text(Kind.THREAD, thread), "--input", file))[0] == 0


async def test_a_step_that_says_little_without_words_warns(typed: Typed, prison: Served, csw: Served) -> None:
    thread = (await csw.refer(prison.station)).thread
    await settle(csw.station, prison.station)
    await step(prison, thread, "acknowledge", csw)
    reason = "--reason", "no-capacity", "--no-alternative"
    status, _, told = await typed("referral", "decline", ids.text(Kind.THREAD, thread), *reason)
    assert status == 0
    assert "warning: no words went with it" in told


def test_the_shown_section_is_one_that_is_taken() -> None:
    assert json.loads("".join(section())) == SECTION
    PackageSection.model_validate_json(json.dumps(SECTION))
    with pytest.raises(InvalidInput, match='"kind": "narrative"'):
        sections_of({"sections": [{"category": "planted-phrase"}]})


@pytest.mark.parametrize("name", ["referral_answer", "referral_decline", "referral_decline_late", "handover_review"])
def test_help_of_a_step_for_words_shows_a_section_and_others_do_not(name: str) -> None:
    made = getattr(steps, name)
    (shown,) = json.loads(made.epilog.partition("  {")[2].join(["{", ""]))["sections"]
    assert shown == SECTION
    assert "sections" not in (steps.__getattr__("referral_withdraw").epilog or "")

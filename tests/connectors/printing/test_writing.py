# SPDX-License-Identifier: Apache-2.0
"""What stands on paper: the golden pages, everybody's words as written, and nothing that a browser would do."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from connectors.languages import LANGUAGES, Language
from connectors.printing import contents
from connectors.printing.catalogue import Table, Words, words
from connectors.printing.contents import numbers
from connectors.printing.documents import Writer
from connectors.printing.markup import element, said
from connectors.printing.page import POLICY, page
from protocol import ids
from protocol.bodies import FORMS
from protocol.content import is_clean
from protocol.http.handovers import SectionView
from protocol.http.threads import AlertView
from protocol.ids import Kind, ThreadId
from tests.connectors.printing.reading import harmless, read
from tests.connectors.printing.test_catalogue import ALL, scripts
from tests.prints import EVIDENCE, FOLDER, KNOWN, NAME, OFFICER, OTHER_NAME, RELEASE, VIEW, ZONE, printed, texts

MARKUP = st.sampled_from(
    ["<script>", "</bdi>", "</style>", "<!--", "&lt;", '" onload="x', "<img src=x>", "]]>", "&#0;"]
)
# Marks that pile up have a test of their own.
PLAIN = st.text(st.characters(exclude_categories=("Cs", "Me", "Mn")), max_size=12)
HOSTILE = st.lists(MARKUP | PLAIN, max_size=6).map("".join)


def english() -> Words:
    return words(LANGUAGES["en"], ZONE)


def shown(text: str) -> str:
    """Return a text as paper shows it: what hides or turns around is a replacement character."""
    turning = "\u061c\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f"
    return re.sub(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{turning}]", "\ufffd", text)


def test_prt_1_the_pages_are_those_that_are_published() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == texts()


@ALL
def test_prt_2_names_and_words_stand_as_they_were_written_in_every_language(spoken: Language) -> None:
    found = read(printed(spoken))
    assert {NAME, OTHER_NAME, "housing-advice", "035-1/2027", "social worker"} <= set(found.said)
    # A word that somebody wrote is no code, whatever it is.
    assert "other" in found.said


@ALL
def test_prt_3_what_a_print_says_of_itself_is_in_the_script_of_its_language(spoken: Language) -> None:
    own = " ".join(read(printed(spoken)).own)
    addresses = r"[a-z0-9.-]+@hub\.example|\b(thr|msg|env|sub|off)_[a-z2-7]+|\b[0-9a-f]{64}\b|SHA-256"
    wanted = "CYRILLIC" if spoken.tag in {"mk", "sr-Cyrl", "cnr-Cyrl"} else "LATIN"
    assert scripts(re.sub(addresses, "", own)) == {wanted}


@ALL
def test_prt_4_a_print_holds_nothing_that_acts_or_loads(spoken: Language) -> None:
    markup = printed(spoken)
    assert harmless(read(markup))
    assert not re.search(r"url\(|@import|javascript:|https?:", markup)
    assert f'lang="{spoken.tag}"' in markup
    assert "@page { size: A4;" in markup


def test_prt_4_the_policy_lets_only_its_own_style_in() -> None:
    assert POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in POLICY
    assert POLICY.split("; frame-ancestors")[0].replace("'", "&#x27;") not in printed(LANGUAGES["en"])
    assert POLICY.split("; frame-ancestors")[0] in printed(LANGUAGES["en"])


def test_a_sheet_that_comes_apart_says_on_each_page_which_file_it_is_of() -> None:
    head = printed(LANGUAGES["en"]).split("<main>")[0].split("<thead>")[1]
    assert f"Referral · {ids.text(Kind.THREAD, VIEW.item.thread)}" in head


def test_an_officer_that_a_message_names_is_shown_by_title_and_by_id_where_nobody_is_known() -> None:
    assert f"social worker</bdi> ({OFFICER})" in printed(LANGUAGES["en"])
    payload = VIEW.steps[2].payload
    assert f'<bdi class="said">{OFFICER}</bdi>' in contents.payload(payload, english()).markup
    elsewhere = {**payload, "officer": ids.text(Kind.OFFICER, b"x" * 16)}
    found = contents.payload(elsewhere, english(), title=lambda one: "judge" if one == OFFICER else None)
    assert "judge" not in found.markup


def test_the_ways_to_several_desks_are_told_apart_and_one_envelope_stands_once() -> None:
    evidence = EVIDENCE[VIEW.steps[0].message]
    other = replace(evidence.journeys[0], desk=RELEASE, opened_at=None)
    for journeys, named in ((evidence.journeys, 0), ((*evidence.journeys, other), 2)):
        both = replace(evidence, journeys=journeys)
        sheet = Writer(english(), KNOWN).step(VIEW, VIEW.steps[0], both)
        told = sheet.content.markup
        assert len(re.findall(r"Accepted by the hub on</th><td>[^<]+<br>[a-z]+\.[a-z-]+@", told)) == named
        assert told.count(">Sealed envelope<") == 1


@given(text=HOSTILE, known=st.booleans())
def test_prt_4_hostile_text_stays_text(text: str, known: bool) -> None:
    # With `known` the body has the form that it names where the text allows; otherwise it is shown as it came.
    body: dict[str, Any] = {"kind": "narrative", "entries": [{"text": text}]} if known else {"kind": text, text: [text]}
    section = SectionView(number=1, category="needs", purpose="housing", label="standard", body=body)
    view = VIEW.model_copy(
        update={"steps": [VIEW.steps[0].model_copy(update={"sections": [section], "signer": text[:200]})]}
    )
    spoken = english()
    sheet = Writer(spoken, KNOWN).thread(view, {})
    found = read(page(sheet.title, sheet.content, spoken, reference=sheet.reference, printed_at=0).decode())
    assert harmless(found)
    assert shown(text).replace("\r", "\ufffd") in found.said


@given(HOSTILE)
def test_prt_4_an_elements_text_and_attributes_are_escaped(text: str) -> None:
    found = read(element("td", said(text), class_=text).markup)
    assert harmless(found)
    assert found.said == [shown(text)]


@pytest.mark.parametrize(
    "text",
    [
        # A browser takes the direction of the whole from its first mark, and shows 5.3. – 1.2.
        "\u200f1.2. – 5.3.",
        "\u061c10 – 20 mg",
        "Invented\u2028Consent: withdrawn",
        "Invented\u2029Consent: withdrawn",
        "seen\ufff9unseen\ufffb",
        "seen" + "".join(chr(0xE0000 + ord(one)) for one in "unseen"),
    ],
)
def test_prt_4_what_turns_or_hides_text_that_a_message_may_hold_is_shown_on_paper(text: str) -> None:
    assert is_clean(text), "a message can hold it"
    (found,) = read(element("td", said(text)).markup).said
    assert "\ufffd" in found
    assert found.replace("\ufffd", "").isprintable()
    assert len(found) == len(text)
    for plain in ("Đorđe", "Ђорђе 👍🏽", "a\u00adb", "\u200e12", "नी"):
        assert read(element("td", said(plain)).markup).said == [plain]


@pytest.mark.parametrize("joiner", ["", "\u200d"])
def test_prt_4_marks_are_not_piled_up_over_the_lines_around_them(joiner: str) -> None:
    marks = ["\u0300", "\u0489", "\u20dd", "\u0336"] * 40
    pile = joiner.join(marks)
    few = joiner.join(marks[:4])
    (found,) = read(element("td", said(f"s{pile}t s{few}t")).markup).said
    assert found.replace(joiner, "") == "s{0}\ufffdt s{0}t".format("".join(marks[:4]))
    assert NAME in read(element("td", said(NAME)).markup).said


@pytest.mark.parametrize("form", FORMS)
def test_a_body_of_another_version_is_shown_as_it_came(form: str) -> None:
    body: dict[str, JsonValue] = {"kind": form, "something_new": {"given": ["yes", 1, True, None]}}
    markup = contents.body(body, english()).markup
    assert "has a form that this program does not know" in markup
    assert {"yes", "1", "true", "null"} <= set(read(markup).said)


def test_what_a_message_of_an_unknown_kind_says_is_shown_as_it_came() -> None:
    markup = contents.payload({"kind": "later.kind", "reason": "other"}, english()).markup
    assert read(markup).said == ["later.kind", "other"]


def test_register_numbers_of_an_offer_are_those_of_its_terms_and_parties() -> None:
    offer = {
        "kind": "handover.offer",
        "terms": {"sender_register_number": "035-1/2027"},
        "parties": {"recipient_register_numbers": [{"agency": "reka-probation@hub.example", "number": "7/27"}]},
    }
    assert numbers(offer) == ("035-1/2027", "7/27 (reka-probation@hub.example)")
    assert numbers({"kind": "handover.offer"}) == numbers({"kind": "referral.ask"}) == (None, None)


def test_a_moment_is_shown_by_the_agencys_clock_with_its_distance_from_utc() -> None:
    summer, winter = 1_814_400_000_000, 1_800_000_000_000
    assert english().moment(winter) == "15 January 2027 09:00 (+01:00)"
    assert english().moment(summer).endswith("(+02:00)")
    assert words(LANGUAGES["sq"], ZONE).moment(winter) == "15 janar 2027 09:00 (+01:00)"


def test_a_code_that_a_later_version_added_is_shown_itself() -> None:
    assert english().text(Table.STATES, "later-state") == "later-state"


def test_one_step_is_printed_without_the_others() -> None:
    spoken = english()
    sheet = Writer(spoken, KNOWN).step(VIEW, VIEW.steps[2], None)
    text = " ".join(read(sheet.content.markup).own)
    assert sheet.title == "Referral: taken up by an officer"
    assert ids.text(Kind.MESSAGE, VIEW.steps[2].message) in text
    assert ids.text(Kind.MESSAGE, VIEW.steps[0].message) not in text


def test_an_automatic_receipt_is_signed_by_a_machine_and_names_no_officer() -> None:
    step = VIEW.steps[1]
    sheet = Writer(english(), KNOWN).step(VIEW, step, EVIDENCE[step.message])
    found = read(sheet.content.markup)
    assert (sheet.title, "connector service" in found.said) == ("Automatic receipt (A1)", True)
    assert "Acting service account" in found.own
    assert "Acting officer" not in found.own
    assert "Opened by the recipient’s system on" in printed(LANGUAGES["en"])


def test_an_alert_says_what_is_waited_for_and_of_which_side_and_names_the_other_matter() -> None:
    told = printed(LANGUAGES["en"])
    assert ">Concerns<" in told
    assert "start of the service: receiving institution" in told
    assert "Appointment: 21 January 2027 10:00 (+01:00)" in told
    other = ThreadId(b"u" * 16)
    twice = AlertView(
        kind="handed-over-twice", since=0, what="end-one", by="sender", message=VIEW.steps[0].message, threads=[other]
    )
    sheet = Writer(english(), KNOWN).thread(VIEW.model_copy(update={"alerts": [twice]}), {})
    told = sheet.content.markup
    assert f"end of one of the two handovers: handing over<br>{ids.text(Kind.THREAD, other)}" in told


def test_what_another_version_waits_for_stands_as_its_code() -> None:
    later = AlertView(kind="overdue", since=0, what="later-thing", by="sender", message=VIEW.steps[0].message)
    sheet = Writer(english(), KNOWN).thread(VIEW.model_copy(update={"alerts": [later]}), {})
    assert "later-thing: handing over" in sheet.content.markup

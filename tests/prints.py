# SPDX-License-Identifier: Apache-2.0
"""Writes one invented referral as it is printed in each language: `python -m tests.prints`, into `docs/prints`.

A translator looks at these pages; a test compares them, so that nothing on paper changes unseen.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.languages import LANGUAGES, Language
from connectors.printing.catalogue import words
from connectors.printing.documents import Known, Party, Writer
from connectors.printing.evidence import Evidence, Journey, Sealing
from connectors.printing.page import page
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, parse_agency, parse_desk
from protocol.http.handovers import SectionView
from protocol.http.threads import AlertView, ResidualView, RungView, ServiceLeft, StepView, ThreadItem, ThreadView
from protocol.ids import EnvelopeId, Kind, MessageId, OfficerId, ThreadId
from protocol.sections import Actor, ActorKind

FOLDER: Final = Path(__file__).parent.parent / "docs" / "prints"
ZONE: Final = ZoneInfo("Europe/Belgrade")
GORA, POLJE = parse_agency("gora-prison@hub.example"), parse_agency("polje-csw@hub.example")
RELEASE, INTAKE = parse_desk("release.gora-prison@hub.example"), parse_desk("intake.polje-csw@hub.example")
SUBJECT: Final = ids.text(Kind.SUBJECT, b"s" * 16)
OFFICER: Final = ids.text(Kind.OFFICER, b"o" * 16)
SERVICE: Final = "connector service"
"""A machine signs the automatic receipt."""
NAME: Final = "Измишљена"
"""An invented name in Cyrillic: it stays so in every print (PRT-2)."""
OTHER_NAME: Final = "Njegoslava <Primjer> & Džana"
"""And one in Latin letters, with what a browser would take for markup."""


def at(day: int, hour: int) -> int:
    """Return a moment in January 2027, in ms UTC."""
    return int(datetime(2027, 1, day, hour, tzinfo=UTC).timestamp() * 1000)


def message(number: int) -> MessageId:
    """Return the id of a step's message."""
    return MessageId(bytes([number]) * 16)


def payload(kind: str, sender: str | None, recipient: str | None, **fields: Any) -> dict[str, Any]:
    """Return section 0 of a message, with what every kind has."""
    numbers = {"sender": sender, "recipient": recipient}
    return {
        "kind": kind,
        "version": 1,
        "subject": SUBJECT,
        "occurred_at": at(4, 9),
        "priority": "urgent",
        "register_numbers": {side: number for side, number in numbers.items() if number},
        **fields,
    }


def step(number: int, event: str, actor: str, state: str, said: dict[str, Any], **more: Any) -> StepView:
    """Return one step."""
    values: dict[str, Any] = {"refused": None, "sections": [], **more}
    people = "social worker" if actor == "recipient" else "release officer"
    return StepView(
        message=message(number),
        event=event,
        actor=actor,
        signer=SERVICE if event == "receive" else people,
        at=at(4 + number, 9),
        leaf_index=40 + number,
        state=state,
        payload=said,
        **values,
    )


REQUEST: Final = payload(
    "referral.request",
    "035-1/2027",
    None,
    services=[
        {"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"},
        {"code": "debt-advice", "pathway": "finance-id", "outcome": "debts-listed"},
    ],
    whereabouts="custody",
    release_on="2027-01-20",
    language="sr-Cyrl",
    person_knows="agreed",
    contact="through-requester",
    duplicates="none-found",
    answer_by="2027-01-15",
)
PERSON: Final = SectionView(
    number=1,
    category="identity",
    purpose="continuity-of-care",
    label="standard",
    basis="statute",
    citation="Измишљени закон, члан 1",
    body={"kind": "person", "family_name": NAME, "given_names": OTHER_NAME, "date_of_birth": "1990-12-31"},
)
NEEDS: Final = SectionView(
    number=2,
    category="needs",
    purpose="housing",
    label="standard",
    body={
        "kind": "needs",
        "needs": [
            {"pathway": "accommodation", "status": "support-required", "recorded_on": "2027-01-04"},
            {"pathway": "finance-id", "note": "other"},
        ],
    },
)
VIEW: Final = ThreadView(
    item=ThreadItem(
        thread=ThreadId(b"t" * 16),
        machine="referral",
        side="requester",
        state="accepted-partial",
        live=True,
        own_desk=RELEASE,
        peer_desk=INTAKE,
        priority="urgent",
        begun_at=at(4, 9),
        changed_at=at(8, 9),
        due_at=at(15, 16),
        officer=None,
        alert=None,
        similar=[],
        similar_more=False,
        version=5,
    ),
    case=None,
    subject=SUBJECT,
    lead=None,
    lead_since=None,
    supervisor=None,
    no_supervisor=None,
    residual=ResidualView(services=[ServiceLeft(code="debt-advice", reason="no-capacity")], draft=None),
    goes_on_from=None,
    children=[],
    ladder=[
        RungView(ack="opened", at=at(6, 9), signer=SERVICE, message=message(2)),
        RungView(ack="acknowledged", at=at(7, 9), signer="social worker", message=message(3)),
    ],
    alerts=[
        AlertView(kind="first-missed", since=at(22, 10), appointment=at(21, 9), message=message(5)),
        AlertView(kind="overdue", since=at(21, 16), what="start", by="recipient", message=message(4)),
    ],
    steps=[
        step(1, "send", "requester", "sent", REQUEST, sections=[PERSON, NEEDS]),
        step(2, "receive", "recipient", "delivered", {"digest": "00" * 32}),
        step(
            3,
            "acknowledge",
            "recipient",
            "acknowledged",
            payload("referral.acknowledge", "11-20/2027", "035-1/2027", officer=OFFICER, answer_by="2027-01-15"),
        ),
        step(
            4,
            "accept-part",
            "recipient",
            "accepted-partial",
            payload(
                "referral.accept-part",
                "11-20/2027",
                "035-1/2027",
                officer=OFFICER,
                start_by="2027-01-21",
                services=[
                    {"code": "housing-advice", "accepted": True},
                    {"code": "debt-advice", "accepted": False, "reason": "no-capacity"},
                ],
            ),
        ),
        step(
            5,
            "withdraw",
            "requester",
            "accepted-partial",
            payload("referral.withdraw", "035-1/2027", "11-20/2027", reason="mistake"),
            refused="illegal-transition",
        ),
    ],
    possible=[],
)


def _evidence(number: int) -> Evidence:
    ours = number in (1, 5)
    signer = VIEW.steps[number - 1].signer
    kind = ActorKind.SERVICE if signer == SERVICE else ActorKind.OFFICER
    actor = Actor(OfficerId(b"o" * 16), kind, signer, bytes([number]) * 32)
    withheld = (("medical", "never-for-this-function"), ("offence", "no-basis-in-law-named")) if number == 1 else ()
    sealing = Sealing(
        accepted_at=at(4 + number, 9),
        opened_at=at(4 + number, 10),
        envelope_id=EnvelopeId(bytes([100 + number]) * 16),
        digest=bytes([200 + number]) * 32,
        withheld=withheld,
        marks=("old-prekey",) if number == 1 else (),
        leaf_index=40 + number,
        taken_in=True,
    )
    desk = INTAKE if ours else RELEASE
    journey = Journey(desk, sealing.opened_at, sealing, (sealing,), withheld, sealing.marks)
    sent_at = at(4 + number, 8) if ours else None
    return Evidence(RELEASE if ours else INTAKE, actor, (journey,), sent_at=sent_at)


EVIDENCE: Final = {message(number): _evidence(number) for number in range(1, 6)}
_PARTIES: Final = {
    GORA: Party(GORA, "Gora Prison (DEMO)", "prison"),
    POLJE: Party(POLJE, "Центар за социјални рад Поље (DEMO)", "csw"),
}
_FUNCTIONS: Final = {RELEASE: "prison-release", INTAKE: "social-work"}


def _party(address: AgencyAddress) -> Party:
    return _PARTIES[address]


def _function(desk: DeskAddress, _at: int | None) -> str | None:
    return _FUNCTIONS[desk]


def _title(agency: AgencyAddress, officer: str) -> str | None:
    return "social worker" if (agency, officer) == (POLJE, OFFICER) else None


KNOWN: Final = Known(_party, _function, _title)


def printed(language: Language, view: ThreadView = VIEW) -> str:
    """Return the page of a referral in a language."""
    spoken = words(language, ZONE)
    sheet = Writer(spoken, KNOWN).thread(view, EVIDENCE)
    return page(sheet.title, sheet.content, spoken, reference=sheet.reference, printed_at=at(25, 8)).decode()


def texts() -> dict[str, str]:
    """Return every page by its file's name."""
    return {f"{tag}.html": printed(language) for tag, language in LANGUAGES.items()}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""From pre-release start to a closed loop: nine things that officers of five agencies do in about two months.

Only the clock is not real: it is put ahead by days at a time, for hub and connectors alike. Each step is done through
the connectors' APIs, and then looked at from every side that has a part in it.
"""

from datetime import date, timedelta
from typing import Any, Final

from connectors.demo.stage import Stage
from connectors.demo.telling import Step, WentWrong
from connectors.sandbox.cast import DOLINA, GORA, OBALA, POLJE, REKA, Part
from protocol import ids
from protocol.http.handovers import HandoverQueued
from protocol.http.messages import MessageView
from protocol.http.threads import ListName, StepView, ThreadFilter, ThreadView
from protocol.ids import Kind, ThreadId

DAYS_TO_RELEASE: Final = 15
"""Working days from the beginning to the release as it was expected at first."""
MOVED_BY: Final = timedelta(days=14)
_SIDES: Final = (GORA, REKA, POLJE)
"""Who has to do with the handover: who gives, who takes, and who got a copy."""


class Release:
    """One telling of it. `day(n)` is the nth working day from the beginning."""

    def __init__(self, stage: Stage, handover: HandoverQueued, began: int) -> None:
        """`handover` is the one that was offered at `began` (ms UTC)."""
        self._stage = stage
        self._handover = handover.thread
        self._first = stage.calendar.first_day(began)
        self._expected = self.day(DAYS_TO_RELEASE)
        self._release = self._expected + MOVED_BY

    def day(self, working_days: int, since: date | None = None) -> date:
        """Return the day that is so many working days after the beginning, or after `since`."""
        return self._stage.calendar.add(since or self._first, working_days)

    async def tell(self) -> None:
        """Tell it; raises what went wrong."""
        referral = await self._prepare()
        await self._accept_in_part(referral)
        await self._decline_late(referral)
        await self._accept_handover()
        await self._move_release(referral)
        await self._instant()
        await self._miss(referral)
        await self._close(referral)

    # Before the release

    async def _prepare(self) -> ThreadId:
        stage, tell = self._stage, self._stage.teller
        with tell.step("Gora Prison starts the preparation: a referral, and a notice to the municipality.") as step:
            self._when(step)
            referral = await stage.refer(GORA, POLJE, self._request())
            year, week, _ = self._expected.isocalendar()
            area: dict[str, Any] = {"area": "dolina", "week": f"{year}-W{week:02d}"}
            notice = await stage.tell(GORA, "contact.area-notice", [DOLINA], area)
            last = await stage.agreed(referral, "delivered", GORA, POLJE)
            step.detail("Polje is asked for housing-advice and psychosocial-support; responsibility stays with Gora")
            view = await stage.message(DOLINA, notice, _any)
            step.detail(f"Dolina learns the area and the week ({area['week']}), and nothing of who or why")
            if view.sections:
                raise WentWrong("the municipality has got a section")
            step.detail(f"Gora and Polje see: {last.state}; {_proof(last, POLJE)}")
        await stage.skip_to(stage.moment(self.day(1), 10))
        with tell.step("Dolina Municipality notes the notice, and answers it.") as step:
            self._when(step)
            for answer in ("noted", "agreed"):
                said = {"answers": ids.text(Kind.MESSAGE, notice), "answer": answer, "officer": stage.officer(DOLINA)}
                await stage.tell(DOLINA, "message.answer", [GORA], said)
            seen = await stage.message(GORA, notice, lambda view: len(view.answers) == 2)
            for one in seen.answers:
                step.detail(f"Gora sees: {one.ack} by the {one.signer} of Dolina, who says: {one.answer}")
        return referral

    async def _accept_in_part(self, referral: ThreadId) -> None:
        stage = self._stage
        with stage.teller.step("Polje accepts in part; what is left comes back as a draft.") as step:
            self._when(step)
            officer = stage.officer(POLJE)
            await stage.step(POLJE, referral, "acknowledge", officer=officer, answer_by=self.day(5).isoformat())
            services = [
                {"code": "housing-advice", "accepted": True},
                {"code": "psychosocial-support", "accepted": False, "reason": "no-capacity"},
            ]
            start = self._expected.isoformat()
            await stage.step(POLJE, referral, "accept-part", officer=officer, start_by=start, services=services)
            last = await stage.agreed(referral, "accepted-partial", GORA, POLJE)
            view = await stage.clients[GORA.name].thread(referral)
            if view.residual is None or view.residual.draft is None:
                raise WentWrong("the prison sees no residual")
            left = ", ".join(f"{one.code} ({one.reason})" for one in view.residual.services)
            step.detail(f"Polje takes housing-advice; Gora sees what is left: {left}, as a draft")
            step.detail(f"Gora and Polje see: {last.state}; {_proof(last, POLJE)}")
            step.detail(_ladder(view))

    async def _decline_late(self, referral: ThreadId) -> None:
        stage = self._stage
        with stage.teller.step("Obala Support Centre takes what was left, and a week later gives it back.") as step:
            self._when(step)
            residual = (await stage.clients[GORA.name].thread(referral)).residual
            draft = residual.draft if residual is not None else None
            thread = await stage.refer(GORA, OBALA, draft or {})
            await stage.agreed(thread, "delivered", GORA, OBALA)
            officer = stage.officer(OBALA)
            await stage.step(OBALA, thread, "acknowledge", officer=officer, answer_by=self.day(4).isoformat())
            await stage.step(OBALA, thread, "accept", officer=officer, start_by=self._expected.isoformat())
            await stage.agreed(thread, "accepted", GORA, OBALA)
            await stage.skip_to(stage.moment(self.day(6), 10))
            await stage.step(OBALA, thread, "decline-late", reason="capacity-lost", handback=[])
            last = await stage.agreed(thread, "declined", GORA, OBALA)
            step.detail(f"{stage.said(stage.sandbox.now())}: given back with a coded reason, {last.payload['reason']}")
            step.detail(f"Gora and Obala see: {last.state}; {_proof(last, OBALA)}")

    async def _accept_handover(self) -> None:
        stage = self._stage
        with stage.teller.step("Reka Probation Office accepts the handover.") as step:
            self._when(step)
            officer = stage.officer(REKA)
            by = self.day(8).isoformat()
            await stage.step(REKA, self._handover, "acknowledge", officer=officer, answer_by=by)
            await stage.step(
                REKA,
                self._handover,
                "accept",
                officer=officer,
                supervisor={"agency": _agency(REKA)},
                items=[],
                risks_read=True,
                first_appointment=stage.moment(self.day(1, self._release), 9),
            )
            last = await stage.agreed(self._handover, "accepted", GORA, REKA)
            view = await stage.clients[GORA.name].thread(self._handover)
            self._check_responsible(view, GORA, None)
            step.detail(f"Reka will lead and supervise from {self._expected:%a %d %b} on; until then Gora does both")
            step.detail(f"Gora and Reka see: {last.state}; {_proof(last, REKA)}")
            step.detail(_ladder(view))

    async def _move_release(self, referral: ThreadId) -> None:
        stage = self._stage
        with stage.teller.step("The release moves by two weeks, and the instant moves with it.") as step:
            await stage.skip_to(stage.moment(self.day(DAYS_TO_RELEASE - 2), 11))
            self._when(step)
            trigger = {"expected_on": self._release.isoformat()}
            await stage.step(GORA, self._handover, "change-date", trigger=trigger, reason="release-moved")
            changed = {
                "was": self._expected.isoformat(),
                "becomes": self._release.isoformat(),
                "reason": "decision",
                "certainty": "decided",
            }
            told = await stage.tell(GORA, "release.date-changed", [POLJE], changed, thread=referral)
            last = await stage.agreed(self._handover, "accepted", GORA, REKA)
            await stage.message(POLJE, told, _any)
            await stage.step(
                POLJE, referral, "schedule", appointment=self._appointment(), place="polje-office", mode="in-person"
            )
            await stage.agreed(referral, "scheduled", GORA, POLJE)
            step.detail(f"from {self._expected:%a %d %b} to {self._release:%a %d %b}; nobody has to accept again")
            step.detail(f"all three are told; {_proof(last, GORA)}")
            step.detail(f"Polje makes its first appointment for {stage.said(self._appointment())}")
            await stage.skip_to(stage.moment(self.day(1, self._expected), 10))
            for part in _SIDES:
                self._check_responsible(await stage.clients[part.name].thread(self._handover), GORA, None)
            step.detail(f"{stage.said(stage.sandbox.now())}: the old day has passed, and on no side anything changed")

    # The instant

    async def _instant(self) -> None:
        stage = self._stage
        at = stage.moment(self._release, 9)
        with stage.teller.step("The instant: lead and legal supervisor change, on every side at once.") as step:
            await stage.skip_to(at - 1_000 * 60)
            before = [await stage.clients[part.name].thread(self._handover) for part in _SIDES]
            for view in before:
                self._check_responsible(view, GORA, None)
            await stage.skip_to(at)
            after = [
                await stage.sees(part, self._handover, lambda view: view.item.state == "effective") for part in _SIDES
            ]
            for view in after:
                self._check_responsible(view, REKA, at)
            last = await stage.agreed(self._handover, "effective", GORA, REKA)
            self._when(step)
            step.detail("nobody pressed a button: it was due, and the prison's connector made and signed the move")
            step.detail(_proof(last, GORA))
        columns = [
            (f"{part.short} says", _turn(old, new)) for part, old, new in zip(_SIDES, before, after, strict=True)
        ]
        stage.teller.side_by_side(columns)

    # After the release

    async def _miss(self, referral: ThreadId) -> None:
        stage = self._stage
        with stage.teller.step(
            "The person does not come to the first appointment, and whoever must hear of it does."
        ) as step:
            await stage.skip_to(self._appointment() + 3_600_000)
            self._when(step)
            await stage.step(POLJE, referral, "no-show", appointment=self._appointment())
            view = await stage.sees(GORA, referral, lambda view: bool(view.alerts))
            [alert] = view.alerts
            if await self._alerted(GORA) != [referral] or await self._alerted(POLJE):
                raise WentWrong("the alert stands in the wrong list")
            step.detail(f"Polje reports it; Gora, who asked, has it in its list of alerts: {alert.kind}")
            missed = {"appointment": self._appointment(), "attendance": "no-show"}
            told = await stage.tell(POLJE, "appointment.attendance", [REKA], missed)
            await stage.message(REKA, told, lambda view: view.item.alert == "no-show")
            step.detail("Polje knows from its copy of the handover that Reka leads now: Reka is alerted too (no-show)")
            last = next(one for one in view.steps if one.message == alert.message)
            step.detail(f"the alert follows from what is signed; {_proof(last, POLJE)}")

    async def _close(self, referral: ThreadId) -> None:
        stage = self._stage
        with stage.teller.step("A second appointment is kept, the work is done, and the loop is closed.") as step:
            second = stage.moment(self.day(4, self._release), 11)
            await stage.step(POLJE, referral, "schedule", appointment=second, place="polje-office")
            await stage.skip_to(second + 3_600_000)
            self._when(step)
            await stage.step(POLJE, referral, "attended", appointment=second)
            await stage.agreed(referral, "active", GORA, POLJE)
            if await self._alerted(GORA):
                raise WentWrong("the alert stands although the person came")
            step.detail("the person comes, and with that Gora's alert is over")
            await stage.skip_to(stage.moment(self.day(14, self._release), 10))
            outcome = [{"code": "housing-advice", "outcome": "achieved"}]
            await stage.step(POLJE, referral, "complete", outcome=outcome, data_action="restricted")
            await stage.agreed(referral, "completed", GORA, POLJE)
            await stage.step(GORA, referral, "close", changed="better")
            last = await stage.agreed(referral, "closed", GORA, POLJE)
            await stage.step(REKA, self._handover, "complete", items=[])
            await stage.agreed(self._handover, "completed", GORA, REKA)
            step.detail(f"{stage.said(stage.sandbox.now())}: Polje reports the outcome, and Gora what changed: better")
            step.detail(f"Gora and Polje see: {last.state}; {_proof(last, GORA)}")
            step.detail("Reka completes the handover; every thread is over, and every side says so")

    # Asking

    def _request(self) -> dict[str, Any]:
        return {
            "services": [
                {"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"},
                {"code": "psychosocial-support", "pathway": "health", "outcome": "contact-kept"},
            ],
            "whereabouts": "custody",
            "release_on": self._expected.isoformat(),
            "language": "sr-Latn",
            "person_knows": "agreed",
            "contact": "through-requester",
            "duplicates": "none-found",
            "answer_by": self.day(8).isoformat(),
        }

    def _appointment(self) -> int:
        """Return when Polje wants to see the person first: the working day after the release."""
        return self._stage.moment(self.day(1, self._release), 11)

    async def _alerted(self, part: Part) -> list[ThreadId]:
        page = await self._stage.clients[part.name].threads(ThreadFilter(list=ListName.ALERTS))
        return [one.thread for one in page.items]

    def _when(self, step: Step) -> None:
        step.when = self._stage.said(self._stage.sandbox.now())

    def _check_responsible(self, view: ThreadView, part: Part, since: int | None) -> None:
        found = (view.lead, view.supervisor, view.lead_since)
        if found != (_agency(part), _agency(part), since):
            raise WentWrong(f"{view.lead} leads and {view.supervisor} supervises, where {part.name} should")


def _any(view: MessageView) -> bool:
    return True


def _agency(part: Part) -> str:
    return part.address.partition(".")[2]


def _named(agency: str | None) -> str:
    return next((part.short for part in _SIDES if _agency(part) == agency), "nobody")


def _proof(step: StepView, part: Part) -> str:
    """Say what proves a step: its place in the hub's log, and who signed it."""
    return f"proof: leaf {step.leaf_index} of the hub's log, signed by {part.short}'s {step.signer}"


def _ladder(view: ThreadView) -> str:
    return f"and Gora holds a signed receipt for each rung: {', '.join(one.ack for one in view.ladder)}"


def _turn(before: ThreadView, after: ThreadView) -> list[str]:
    """Return what one side says of who is responsible, a minute before the instant and at it."""
    return [
        f"before  lead        {_named(before.lead)}",
        f"        supervisor  {_named(before.supervisor)}",
        f"after   lead        {_named(after.lead)}",
        f"        supervisor  {_named(after.supervisor)}",
    ]

# SPDX-License-Identifier: Apache-2.0
"""What was said to be wrong later on, beside what it is about: the correction of a message by its own agency (KIND-9).

Nothing of the corrected message is changed or taken away: it is what was sent, and is shown as that, with the mark.
Whether the correction or what it corrects came first makes no difference, since it is asked for when it is shown.
"""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from connectors.bound import Desks, sees
from connectors.cases.forms import stored_sections
from connectors.cases.stopped import withheld_here
from connectors.faults import DAMAGED
from connectors.handover_views import came_sections, sent_sections
from connectors.store import corrections, incoming, outgoing, recipients
from connectors.store.corrections import CORRECTION, MOST, Corrects
from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientRow, RecipientState
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import InvalidInput, NotFound, SectionCorrected
from protocol.http.cases import CaseEntry
from protocol.http.handovers import Corrected, CorrectionView, SectionView
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.records import RecordCorrection


@dataclass(frozen=True, slots=True)
class Under:
    """The desks of ours at which a message stands, and those at which its agency sent another under its id (CON-9).

    An agency that does so corrects either at the desk that has it. Of a correction that came elsewhere, or where both
    stand, nobody can say which is meant: that there is one is told with both, and what it says with neither.
    """

    this: list[DeskAddress]
    others: list[DeskAddress]

    def is_of_another(self, one: Corrects) -> bool:
        """Tell whether a correction is about another message than this."""
        return one.own_desk in self.others and one.own_desk not in self.this

    def may_be_of_another(self, one: Corrects) -> bool:
        """Tell whether it is not certain that a correction is about this message."""
        return bool(self.others) and (one.own_desk in self.others or one.own_desk not in self.this)

    def certain(self, message_id: MessageId, found: Sequence[Corrects]) -> set[MessageId]:
        """Return the message `message_id`, and those that certainly correct it, or one of these."""
        known, clear = {message_id}, [one for one in found if not self.may_be_of_another(one)]
        while more := {one.message_id for one in clear if one.corrects in known} - known:
            known |= more
        return known


async def check_ours(tx: Transaction, fields: Mapping[str, object]) -> None:
    """Raise `InvalidInput` for the correction of a message that only another agency has sent.

    It would correct nothing anywhere. What is known here neither as ours nor as another's may be of another connector.
    """
    named = fields.get("corrects")
    if not isinstance(named, str):
        return
    message_id = MessageId(ids.raw(Kind.MESSAGE, named))
    if await incoming.under(tx, message_id):
        try:
            await outgoing.load(tx, message_id)
        except NotFound:
            raise InvalidInput(
                "Only the agency that sent a message corrects it. Tell that agency in an answer what is wrong."
            ) from None


async def missed(
    tx: Transaction, fields: Mapping[str, object], to: Collection[DeskAddress], desks: Desks = None
) -> list[DeskAddress]:
    """Return the desks that have the message of ours which is corrected, or will, and do not get the correction.

    None of a message that is not known here as one of ours, or of another of our desks than `desks` (CON-19).
    """
    named = fields.get("corrects")
    if not isinstance(named, str):
        return []
    message_id = MessageId(ids.raw(Kind.MESSAGE, named))
    went = await recipients.of(tx, message_id)
    if desks is not None and went:
        try:
            went = went if sees(desks, (await outgoing.load(tx, message_id)).sender_desk) else []
        except DAMAGED:
            went = []
    return [one.desk for one in went if one.desk not in to and _has(one)]


def _has(one: RecipientRow) -> bool:
    """Tell whether a desk may have a message: what the hub never took for it came to nobody there."""
    lost = one.state in (RecipientState.FAILED, RecipientState.EXPIRED)
    return not lost or one.accepted_at is not None or one.opened_at is not None


async def views(
    tx: Transaction,
    message_id: MessageId,
    sender: DeskAddress,
    desks: Desks = None,
    *,
    came: tuple[ThreadId, bytes] | None = None,
    in_error: bool = False,
) -> list[CorrectionView]:
    """Return the corrections of a message of the desk `sender`, and those of these, the oldest first.

    Only its own agency corrects a message. Of those at other desks of ours nothing is said (CON-19). Those of an alert
    that is shown although it came `in_error` are shown with it (KIND-8). `came` is the thread and the payload of one
    that came: what is about another under its id does not stand with it (CON-9).
    """
    found = await _all(tx, message_id, agency_of(sender), desks)
    under = Under([], []) if came is None or not found else await _under(tx, message_id, sender, *came)
    certain = under.certain(message_id, found)
    shown = dict[tuple[MessageId, DeskAddress], CorrectionView]()
    for one in found:
        if under.is_of_another(one):
            continue
        view = await _view(tx, one, in_error=in_error)
        # What corrects a correction of another message came here all the same.
        if under.may_be_of_another(one) or (under.others and one.corrects not in certain):
            view = view.model_copy(update={"sections": []})
        before = shown.setdefault((one.message_id, one.sender_desk), view)
        if before is not view:
            # It came for several desks of ours, each with its own sections.
            before.sections.extend(view.sections)
    return list(shown.values())


def marked(sections: Sequence[SectionView], found: Sequence[CorrectionView]) -> list[SectionView]:
    """Return sections with the mark of the newest correction of the message that they are of."""
    if not found:
        return list(sections)
    mark = Corrected(message=found[-1].message, at=found[-1].at)
    return [one.model_copy(update={"corrected": mark}) for one in sections]


def without_sections(found: Sequence[CorrectionView]) -> list[CorrectionView]:
    """Return the corrections of a message that is withheld: that there are some, and not what they say (CON-26)."""
    return [one.model_copy(update={"sections": []}) for one in found]


async def check_carried(tx: Transaction, message_id: MessageId, sender: DeskAddress) -> None:
    """Raise `SectionCorrected` for sections that would be carried on as they were before they were corrected."""
    found = await corrections.of(tx, [message_id], agency_of(sender))
    if found:
        raise SectionCorrected(
            f"What was sent with it was corrected by {ids.text(Kind.MESSAGE, found[0].message_id)}. Give the sections "
            "anew in `sections`, as they are right now; what is left out of them does not go."
        )


async def mark_entries(tx: Transaction, entries: Sequence[CaseEntry]) -> list[CaseEntry]:
    """Return the entries of a case, with the newest correction of those that were corrected."""
    newest = dict[tuple[MessageId, AgencyAddress], Corrects]()
    for agency in sorted({one.agency for one in entries}):
        mine = {one.message for one in entries if one.agency == agency}
        for one in await corrections.of(tx, mine, agency, most=1):
            newest[one.corrects, agency] = one
    return [
        entry
        if (found := await _of_entry(tx, entry, newest.get((entry.message, entry.agency)))) is None
        else entry.model_copy(update={"corrected": Corrected(message=found.message_id, at=found.at)})
        for entry in entries
    ]


async def _of_entry(tx: Transaction, entry: CaseEntry, newest: Corrects | None) -> Corrects | None:
    """Return the newest correction of what an entry is of, where its agency sent something else under its id too."""
    if newest is None or newest.ours:
        return newest
    came = [one for one in await incoming.under(tx, entry.message) if agency_of(one.sender_desk) == entry.agency]
    under = Under(
        [one.recipient_desk for one in came if one.thread == entry.thread],
        [one.recipient_desk for one in came if one.thread != entry.thread],
    )
    every = await corrections.of(tx, [entry.message], entry.agency) if under.others else [newest]
    return next((one for one in every if not under.is_of_another(one)), None)


async def _under(
    tx: Transaction, message_id: MessageId, sender: DeskAddress, thread: ThreadId, payload: bytes
) -> Under:
    """Return where the message of that thread and payload stands, and where others of its agency under its id."""
    under = Under([], [])
    every = [one for one in await incoming.under(tx, message_id) if agency_of(one.sender_desk) == agency_of(sender)]
    for one in every:
        same = (one.sender_desk, one.thread) == (sender, thread)
        if same and len(every) > 1:
            with contextlib.suppress(*DAMAGED):
                message = await incoming.known(tx, message_id, sender, one.recipient_desk)
                same = message is None or message.payload == payload
        (under.this if same else under.others).append(one.recipient_desk)
    return under


async def _all(tx: Transaction, message_id: MessageId, agency: AgencyAddress, desks: Desks) -> list[Corrects]:
    """Return what corrects a message and what corrects that, the newest of them; a circle ends where it began."""
    found, asked, wanted = list[Corrects](), set[MessageId](), {message_id}
    while wanted and len(found) < MOST:
        asked |= wanted
        more = await corrections.of(tx, wanted, agency, desks=desks)
        found += [one for one in reversed(more) if one.message_id != message_id]
        wanted = {one.message_id for one in more} - asked
    return sorted(found, key=lambda one: one.at)[-MOST:]


async def _view(tx: Transaction, one: Corrects, *, in_error: bool) -> CorrectionView:
    bare = CorrectionView(
        message=one.message_id,
        thread=one.thread,
        corrects=one.corrects,
        sender=one.sender_desk,
        signer="",
        at=one.at,
        act_on=[],
        sections=[],
    )
    try:
        if one.ours:
            sent = await outgoing.load(tx, one.message_id)
            signer, payload, sections = sent.actor.name, sent.payload, sent_sections(sent, stored_sections(sent))
        else:
            came = await incoming.known(tx, one.message_id, one.sender_desk, one.own_desk)
            if came is None:
                raise NotFound
            signer, payload = came.actor.name, came.payload
            sections = [] if not in_error and await withheld_here(tx, came) else came_sections(came)
        said = decode_payload(KINDS[CORRECTION], payload)
    except (*DAMAGED, NotFound):
        # That there is one is known all the same (CON-8).
        return bare
    acts = list(said.act_on) if isinstance(said, RecordCorrection) else []
    return bare.model_copy(update={"signer": signer, "act_on": acts, "sections": sections})

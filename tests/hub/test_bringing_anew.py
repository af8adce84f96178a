# SPDX-License-Identifier: Apache-2.0
"""A restore that waits takes what is found later: what it has brought back itself is taken off again first (GEN-10)."""

from pathlib import Path

import pytest

from hub.backups import restoring
from hub.backups.restoring import Evidence, restore_in_place
from hub.backups.standing import Standing
from hub.service.logcheck import check_everything
from hub.service.restorerequest import REQUEST_NAME, read_request
from hub.store.trees import Log
from keys.signing import sign_head
from protocol.errors import StoreBehind
from protocol.limits import DAY
from protocol.receipts import Head
from protocol.statements import parse_statement
from protocol.witness import Witness, encode_witness
from tests.hub.backups import agreed, resume_at
from tests.hub.loss import LATER
from tests.hub.running import KEYS, make_settings, on_postgres
from tests.hub.test_bringing import NEW, Exchanged, authority_of
from tests.keys.world import identity

pytestmark = pytest.mark.usefixtures("quick_keys")


@pytest.fixture
async def lost(tmp_path: Path) -> Exchanged:
    """Give a hub that was restored with the exchange brought back; a prekey before it is lost."""
    made = Exchanged(tmp_path)
    await made.happen(before=True)
    await made.restore()
    return made


def witness(lost: Exchanged, size: int) -> Path:
    """Return what a connector that saw so many statements shows."""
    path, root = lost.folder / "witness", lost.programme.directory.root_at(size)
    assert root is not None
    head = sign_head(Head("hub.example/directory", size, root, LATER), KEYS.directory)
    path.write_bytes(b"".join(encode_witness(Witness(head, None, tuple(lost.programme.statements[:size])))))
    return path


async def again(
    lost: Exchanged, *witnesses: Path, guards: tuple[Path, ...] = (), stated: tuple[Path, ...] = ()
) -> Standing:
    settings = make_settings(lost.new, lost.programme, *lost.more)
    return await restore_in_place(settings, Evidence(guards, witnesses, stated), LATER, agreed)


async def test_gen_10_a_witness_of_what_stood_in_its_place_is_taken_later(lost: Exchanged) -> None:
    standing = await again(lost, witness(lost, lost.kept + 1), guards=(lost.guards[2],))
    assert (standing.brought, standing.found.directory.size) == (1, lost.kept + 2)
    request = read_request(lost.new)
    assert request.before is not None
    assert (request.before.size, request.directory.size) == (lost.kept + 1, lost.kept + 2)
    assert request.before.root == lost.programme.directory.root_at(lost.kept + 1)
    raw = lost.signed(NEW, lost.programme.approvers[2])
    assert (await resume_at(lost.new, lost.programme, now=LATER, statement=raw)).generation == 1


async def test_gen_10_in_a_database_that_processes_share_what_was_brought_is_taken_off_too(
    tmp_path: Path, postgres_url: str
) -> None:
    lost = Exchanged(tmp_path)
    lost.more = on_postgres(postgres_url)
    await lost.happen(before=True)
    assert (await lost.restore()).brought == 1
    first = read_request(lost.new)
    standing = await again(lost, witness(lost, lost.kept + 1), guards=(lost.guards[2],))
    assert (standing.brought, standing.found.directory.size) == (1, lost.kept + 2)
    request = read_request(lost.new)
    assert request.before is not None
    assert (request.before.size, request.before.root) == (
        lost.kept + 1,
        lost.programme.directory.root_at(lost.kept + 1),
    )
    assert request.leaves[: lost.kept] == first.leaves[: lost.kept]
    assert request.leaves[lost.kept + 1 :] == first.leaves[lost.kept :]
    raw = lost.signed(NEW, lost.programme.approvers[2])
    await resume_at(lost.new, lost.programme, now=LATER, statement=raw, more=lost.more)
    settings = make_settings(lost.new, lost.programme, *lost.more)
    assert (await check_everything(settings))["hub.example/directory/1"] == lost.kept + 3


async def test_gen_10_a_witness_of_the_exchange_itself_leaves_nothing_to_bring(lost: Exchanged) -> None:
    standing = await again(lost, witness(lost, lost.kept + 2))
    assert (standing.brought, standing.found.directory.size, list(standing.lost(Log.DIRECTORY))) == (
        0,
        lost.kept + 2,
        [],
    )
    assert read_request(lost.new).before is None


async def test_gen_10_typed_again_a_restore_still_knows_what_was_there_before(
    lost: Exchanged, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_request(lost.new)
    await again(lost)
    assert read_request(lost.new) == first

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_conclude", killed)
        with pytest.raises(KeyboardInterrupt):
            await again(lost, witness(lost, lost.kept + 1))
    await again(lost)
    before = read_request(lost.new).before
    assert before is not None
    assert before.size == lost.kept + 1


async def test_gen_10_a_newer_statement_of_the_authority_takes_the_place_of_one_that_was_brought(
    lost: Exchanged,
) -> None:
    programme = lost.programme
    programme.now += DAY
    people = [programme.approvers[0], NEW, identity("newcomer 2")]
    newer = programme.state(authority_of(programme, people), programme.root_persons[:2], age=0)
    lost.state("newer.statement", newer)
    assert (await again(lost, stated=(lost.stated[0],))).brought == 1
    assert read_request(lost.new).authorities[-1:] == [parse_statement(newer).digest]


async def test_gen_10_a_guard_that_shows_that_nothing_was_lost_ends_the_waiting(lost: Exchanged) -> None:
    standing = await again(lost, guards=(lost.guards[0],))
    assert (standing.certain, standing.found.directory.size) == (True, lost.kept)
    assert not (lost.new / REQUEST_NAME).exists()


async def test_gen_10_nothing_is_taken_off_by_a_request_that_is_of_another_database(lost: Exchanged) -> None:
    """Somebody, or a damaged disk, has changed the file: no statement is lost by what it says."""
    path = lost.new / REQUEST_NAME
    right = read_request(lost.new)
    assert right.before is not None
    for changed in (
        right.model_copy(update={"directory": right.directory.model_copy(update={"root": b"x" * 32})}),
        right.model_copy(update={"before": right.before.model_copy(update={"size": 3}), "leaves": [b"x" * 32] * 4}),
        right.model_copy(update={"leaves": []}),
    ):
        path.write_text(changed.model_dump_json())
        assert (await again(lost)).found.directory.size == lost.kept + 1
        path.write_text(changed.model_dump_json())
        with pytest.raises(StoreBehind, match="do not lead to"):
            await again(lost, witness(lost, lost.kept + 1))

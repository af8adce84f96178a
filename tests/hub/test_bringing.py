# SPDX-License-Identifier: Apache-2.0
"""A restore takes who signs from the authority's folder, where its backup is of before an exchange (GEN-10)."""

import shutil
from pathlib import Path

import pytest

from hub.backups.restoring import Evidence, restore_in_place
from hub.backups.standing import Standing
from hub.config import DATABASE_NAME
from hub.service.logcheck import check_everything
from hub.service.restorerequest import read_request
from hub.store.trees import Log
from keys.directory import Directory
from keys.signing import HybridSigner, sign_statement
from protocol.errors import ConfigurationError, SenderMismatch, UntrustedKey
from protocol.limits import DAY, HOUR
from protocol.statements import Authority, Body, Root, parse_statement
from protocol.tree import CompactRange, leaf_hash
from tests.hub.backups import agreed, back_up, restore_at, resume_at, seal_keys
from tests.hub.loss import LATER
from tests.hub.running import RunningHub, TestClock, make_settings
from tests.keys.world import identity
from tests.programme import NOW, Programme, make_programme, open_as

pytestmark = pytest.mark.usefixtures("quick_keys")

NEW = identity("newcomer 1")


class Exchanged:
    """A hub that was lost after approver 2 was exchanged, which no backup knows of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programme = make_programme()
        self.kept = self.programme.directory.size
        self.old, self.new, self.file = folder / "old", folder / "new", folder / "hub.backup"
        self.guards: list[Path] = []
        self.stated: list[Path] = []
        self.more: tuple[str, ...] = ()
        """Lines of the configuration of the restored hub."""
        self.old.mkdir()
        seal_keys(self.old)

    async def happen(self, *, before: bool = False, root: bool = False) -> None:
        """Exchange the approver, behind another statement that is lost too if `before`, and by a new `root`."""
        programme = self.programme
        async with RunningHub(self.old, programme) as hub:
            await back_up(hub, self.file)
            self._guard("backup")
            if before:
                programme.add_prekey(programme.members["reka-probation"], epoch=2)
                await hub.catch_up()
            self.sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk).data
            self._guard("between")
            persons = programme.root_persons
            if root:
                persons = [*persons[:2], identity("newcomer to the root")]
                programme.state(root_of(persons), persons, age=0)
                self.state("root-2.statement", programme.statements[-1])
                persons = persons[1:]
            people = [programme.approvers[0], NEW, programme.approvers[2]]
            self.state("authority.statement", programme.state(authority_of(programme, people), persons[:2], age=0))
            await hub.catch_up()
        self._guard("end")

    def state(self, name: str, raw: bytes) -> None:
        path = self.folder / name
        path.write_bytes(raw)
        self.stated.insert(0, path)  # in an order that no directory takes

    def _guard(self, name: str) -> None:
        path = self.folder / f"{name}.guard"
        shutil.copy(self.old / "hub.guard", path)
        self.guards.append(path)

    async def restore(self, *guards: Path) -> Standing:
        return await restore_at(
            self.new, self.programme, self.file, *guards, stated=self.stated, now=LATER, more=self.more
        )

    def signed(self, *signers: HybridSigner) -> bytes:
        return sign_statement(Body(NOW, NOW - HOUR, NOW + DAY, read_request(self.new).subject()), signers)


def authority_of(programme: Programme, people: list[HybridSigner], domain: str = "hub.example") -> Authority:
    return Authority("Demo jurisdiction", 2, tuple(one.public for one in people), domain)


def root_of(persons: list[HybridSigner], version: int = 2, programme: str = "Demo programme") -> Root:
    return Root(version, 2, tuple(one.public for one in persons), programme)


@pytest.fixture
def lost(tmp_path: Path) -> Exchanged:
    return Exchanged(tmp_path)


async def test_gen_10_who_is_approver_by_now_signs_what_an_older_backup_brought(lost: Exchanged) -> None:
    await lost.happen(before=True, root=True)
    standing = await lost.restore(lost.guards[-1])
    assert (standing.brought, list(standing.lost(Log.DIRECTORY))) == (2, [lost.kept, lost.kept + 1, lost.kept + 2])
    assert standing.lacks_statements
    request, kept = read_request(lost.new), lost.kept
    assert request.before is not None
    assert (request.directory.size, request.directory.known_size) == (kept + 2, kept + 3)
    assert (request.before.size, request.before.known_size) == (kept, kept + 3)
    tree = CompactRange()
    tree.extend(request.leaves[:kept])
    assert tree.root == request.before.root
    assert request.before.brought == [parse_statement(one.read_bytes()).digest for one in reversed(lost.stated)]
    assert request.leaves[kept:] == [leaf_hash(one.read_bytes()) for one in reversed(lost.stated)]
    tree.extend(request.leaves[kept:])
    assert (tree.size, tree.root) == (request.directory.size, request.directory.root)
    assert [len(request.roots), len(request.authorities)] == [2, 2]
    assert request.authorities[-1] == parse_statement(lost.stated[0].read_bytes()).digest
    first, leaver, _ = lost.programme.approvers
    with pytest.raises(UntrustedKey) as told:
        await resume_at(lost.new, lost.programme, now=LATER, statement=lost.signed(first, leaver))
    assert told.value.__notes__[0].startswith("next: throughcare authority restore DIR --request restore-request.json")
    raw = lost.signed(first, NEW)
    await resume_at(lost.new, lost.programme, now=LATER, statement=raw)
    settings = make_settings(lost.new, lost.programme)
    assert await check_everything(settings) == {"hub.example/directory/1": kept + 3, "hub.example/audit/1": 1}
    whole = [*lost.programme.statements[:kept], *lost.programme.statements[kept + 1 :]]
    lost.programme.statements, lost.programme.directory = [], Directory(lost.programme.fingerprint, "hub.example")
    for one in (*whole, raw):
        lost.programme.add(one)
    prison, office, _ = lost.programme.members.values()
    async with RunningHub(lost.new, lost.programme, TestClock(LATER)) as hub:
        directory = hub.hub.directory.directory
        assert (directory.generation, directory.size, directory.restorations[0].kept) == (1, kept + 3, kept)
        authority = directory.authority("hub.example")
        assert authority is not None
        assert authority.identities[1] == NEW.public
        # Sealed by a directory whose last statement stood where the root stands now: its sender seals it anew (GEN-4).
        await hub.device(prison).submit(lost.sealed)
        (item,) = await hub.device(office).items()
        with pytest.raises(SenderMismatch, match="had lost"):
            open_as(office, item.data, programme=lost.programme, audit_key=hub.audit_key)


async def test_gen_10_brought_back_as_it_stood_nothing_of_the_directory_is_lost(lost: Exchanged) -> None:
    await lost.happen()
    standing = await lost.restore(lost.guards[-1])
    assert (standing.brought, list(standing.lost(Log.DIRECTORY)), standing.lacks_statements) == (1, [], False)
    request = read_request(lost.new)
    assert (request.directory.size, request.directory.known_size) == (lost.kept + 1, lost.kept + 1)


async def test_gen_10_in_the_place_of_others_they_do_not_pass_for_those(lost: Exchanged) -> None:
    """The guard knows of one statement more, which is another one than that which is brought back."""
    await lost.happen(before=True)
    standing = await lost.restore(lost.guards[1])
    assert (list(standing.lost(Log.DIRECTORY)), standing.lacks_statements) == ([lost.kept], True)
    request = read_request(lost.new)
    assert request.before is not None
    assert request.before.known_size == request.directory.known_size == request.directory.size == lost.kept + 1
    assert request.before.known_root != request.directory.root
    assert request.subject().directory.known_root == request.directory.root


async def test_gen_10_where_nothing_newer_was_signed_nothing_is_brought_back(lost: Exchanged) -> None:
    await lost.happen()
    standing = await lost.restore(lost.guards[0])
    assert (standing.certain, standing.brought) == (True, 0)
    assert standing.found.directory.size == lost.kept


async def test_gen_10_a_restore_that_waits_takes_them_in_place(lost: Exchanged) -> None:
    await lost.happen(before=True)
    stated, lost.stated = lost.stated, []
    await lost.restore()
    assert read_request(lost.new).before is None
    settings = make_settings(lost.new, lost.programme)
    await restore_in_place(settings, Evidence(stated=stated), LATER, agreed)
    request = read_request(lost.new)
    assert request.directory.size == lost.kept + 1
    raw = lost.signed(NEW, lost.programme.approvers[2])
    assert (await resume_at(lost.new, lost.programme, now=LATER, statement=raw)).generation == 1


async def test_gen_10_only_what_the_root_signed_is_brought_back(lost: Exchanged) -> None:
    await lost.happen()
    programme, persons = lost.programme, lost.programme.root_persons
    other = make_programme(domain="other.example")
    body = Body(NOW, NOW - HOUR, NOW + 80 * DAY, authority_of(programme, [identity("a"), identity("b")]))
    for raw, said in (
        (b"x", "is no root.statement or authority.statement"),
        (programme.statements[-2], "is no root.statement or authority.statement"),  # a prekey
        (other.statements[1], "is no root.statement or authority.statement"),
        (sign_statement(body, programme.approvers[:2]), "does not take"),
        (sign_statement(body, persons[:1]), "does not take"),
        (sign_statement(Body(NOW, NOW - HOUR, NOW + DAY, root_of(persons, 2, "Other")), persons[:2]), "does not take"),
        (sign_statement(Body(NOW, NOW - HOUR, NOW + DAY, root_of(persons, 3)), persons[:2]), "does not take"),
    ):
        lost.stated[0].write_bytes(raw)
        with pytest.raises(ConfigurationError, match=said) as told:
            await lost.restore()
        if said == "does not take":
            assert "--authority for each root-2.statement" in told.value.__notes__[0]
        assert not (lost.new / DATABASE_NAME).exists()

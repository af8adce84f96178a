# SPDX-License-Identifier: Apache-2.0
"""The drop folder: what a system drops is done once or put aside with the reason, and nothing is ever lost (DRP-1)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from connectors.doctor.dropped import examine_drop
from connectors.dropfolder import files
from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import DropFolder
from connectors.dropfolder.settings import DropSection
from connectors.logs import Log
from protocol.diagnosis import Condition
from protocol.errors import ConfigurationError, StoreFull
from protocol.http.call import Answer, Call
from protocol.ids import Kind, ThreadId, raw, text
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.running import installed, running, until
from tests.connectors.stations import Station, api_of, package


class Dropped:
    """A station's drop folder."""

    def __init__(self, station: Station, root: Path, log: Log) -> None:
        self.station = station
        self.folders = Folders(root)
        self.log = log
        self.folder = self.opened(api_of(station).by_operation())

    def opened(self, handlers: Any, *, out: bool = True) -> DropFolder:
        parts = self.station.parts
        return DropFolder(self.folders, handlers, parts.store, parts.agency, parts.sealer._clock, self.log, out=out)

    def drop(self, name: str, content: Any) -> Path:
        """Put a file there as a careful system does."""
        draft = self.folders.incoming / f".{name}.part"
        draft.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return draft.rename(self.folders.incoming / name)

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    def note(self, folder: Path, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / name).read_bytes())
        return found


@pytest.fixture
async def dropped(world: World, tmp_path: Path) -> Dropped:
    one = Dropped(world.prison, tmp_path / "drop", Log(world.prison.logged, json=True))
    await one.folder.prepare()
    return one


def referral(world: World) -> dict[str, Any]:
    body = {"to": world.social_work.desk, "fields": REQUEST, "sections": [WORDS.model_dump(mode="json")]}
    return {"operation": "sendReferral", "body": body}


async def given(dropped: Dropped) -> list[dict[str, Any]]:
    while await dropped.folder.step():
        pass
    return [json.loads((dropped.folders.out / name).read_bytes()) for name in dropped.names(dropped.folders.out)]


async def test_drp_1_a_dropped_referral_is_sent_and_its_answers_lie_in_the_folder(
    dropped: Dropped, world: World
) -> None:
    dropped.drop("first.json", referral(world))
    assert await dropped.folder.step() > 0
    assert dropped.names(dropped.folders.incoming) == []
    assert dropped.names(dropped.folders.done) == ["first.answer.json", "first.json"]
    answer = dropped.note(dropped.folders.done, "first.answer.json")
    thread = ThreadId(raw(Kind.THREAD, answer["thread"]))
    await settle(world.prison, world.social_work)
    csw = Dropped(world.social_work, world.social_work.folder / "drop", Log(world.social_work.logged, json=True))
    await csw.folder.prepare()
    step = {"operation": "makeStep", "thread": answer["thread"]}
    csw.drop("step.json", {**step, "body": {"event": "acknowledge", "fields": FIELDS["acknowledge"]}})
    await csw.folder.step()
    await settle(world.prison, world.social_work)
    assert (await row(world.prison, thread)).state == "acknowledged"
    told = await given(dropped)
    assert [one["event"]["type"].split(".")[-2] for one in told][-1] == "acknowledged"
    assert told[-1]["thread"]["item"]["state"] == "acknowledged"
    assert [step["event"] for step in told[-1]["thread"]["steps"]] == ["send", "receive", "acknowledge"]


async def test_drp_1_what_goes_on_to_another_agency_is_dropped_like_a_step(dropped: Dropped, world: World) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    for event in ("acknowledge", "accept"):
        await do(world.social_work, thread, event)
    await do(
        world.social_work, thread, "propose-forward", agency=world.probation.member.address, reason="better-placed"
    )
    await settle(world.prison, world.social_work)
    csw = Dropped(world.social_work, world.social_work.folder / "drop", Log(world.social_work.logged, json=True))
    await csw.folder.prepare()
    on = {"to": world.probation.desk, "fields": {"answer_by": "2027-03-01"}}
    body = {**on, "services": ["housing-advice"], "sections": [WORDS.model_dump(mode="json")]}
    for one, name, operation, asked in (
        (csw, "sub", "sendSubReferral", body),
        (dropped, "forward", "forwardReferral", {**on, "planted": 1}),
        (dropped, "again", "forwardReferral", on),
    ):
        one.drop(f"{name}.json", {"operation": operation, "thread": text(Kind.THREAD, thread), "body": asked})
        await one.folder.step()
    assert csw.note(csw.folders.done, "sub.answer.json")["state"] == "sent"
    assert dropped.note(dropped.folders.refused, "forward.reason.json")["type"].endswith("invalid-input")
    assert dropped.note(dropped.folders.done, "again.answer.json")["state"] == "superseded"
    await settle(world.prison, world.social_work, world.probation)
    assert (await row(world.prison, thread)).state == "superseded"


async def test_drp_1_a_handover_that_came_lies_in_the_folder_with_its_sections(dropped: Dropped, world: World) -> None:
    probation = Dropped(world.probation, world.probation.folder / "drop", Log(world.probation.logged, json=True))
    await probation.folder.prepare()
    body = {"to": [world.probation.desk], "package": package().model_dump(mode="json", exclude_none=True)}
    dropped.drop("handover.json", {"operation": "sendHandover", "body": body})
    await dropped.folder.step()
    await settle(world.prison, world.probation)
    (message,) = [one["message"] for one in await given(probation) if one["message"]]
    assert [section["category"] for section in message["sections"]] == ["identity", "risk-summary"]


POISON: list[tuple[Any, str]] = [
    (b"", "malformed-request"),
    (b"{", "malformed-request"),
    (b'{"operation": "sendReferral", "operation": "x", "body": {}}', "malformed-request"),
    (b"[]", "invalid-input"),
    ({"operation": "sendReferral"}, "invalid-input"),
    ({"operation": "listThreads", "body": {}}, "invalid-input"),
    ({"operation": "sendReferral", "body": {}, "more": 1}, "invalid-input"),
    ({"operation": "sendReferral", "thread": "thr_" + "a" * 26, "body": {}}, "invalid-input"),
    ({"operation": "sendReferral", "body": {"planted-field": "planted-value"}}, "invalid-input"),
    ({"operation": "makeStep", "body": {"event": "accept"}}, "invalid-input"),
    (
        {"operation": "makeStep", "thread": "thr_" + "a" * 26, "version": "1", "body": {"event": "accept"}},
        "invalid-input",
    ),
    ({"operation": "makeStep", "thread": "thr_" + "a" * 26, "body": {"event": "accept"}}, "not-found"),
    (b" " * (files.MAX_FILE + 1), "too-large"),
]


async def test_drp_2_poison_is_put_aside_with_the_reason_and_blocks_nothing(dropped: Dropped, world: World) -> None:
    for number, (content, _) in enumerate(POISON):
        dropped.drop(f"{number:02d}.json", content)
    dropped.drop("zz.json", referral(world))
    await dropped.folder.step()
    assert dropped.names(dropped.folders.incoming) == []
    assert dropped.names(dropped.folders.done) == ["zz.answer.json", "zz.json"]
    for number, (content, code) in enumerate(POISON):
        reason = dropped.note(dropped.folders.refused, f"{number:02d}.reason.json")
        assert (reason["code"], "planted" in json.dumps(reason)) == (code, False), number
        kept = (dropped.folders.refused / f"{number:02d}.json").read_bytes()
        assert kept == (content if isinstance(content, bytes) else json.dumps(content).encode())
    assert "planted" not in world.prison.logged.getvalue()


async def test_drp_2_a_name_that_was_used_before_overwrites_nothing(dropped: Dropped, world: World) -> None:
    for content in (b"1", b"2", b"3"):
        dropped.drop("same.json", content)
        await dropped.folder.step()
    assert dropped.names(dropped.folders.refused) == [
        "same.2.json",
        "same.2.reason.json",
        "same.3.json",
        "same.3.reason.json",
        "same.json",
        "same.reason.json",
    ]
    assert (dropped.folders.refused / "same.2.json").read_bytes() == b"2"


class MachineStops(BaseException):
    """No error that anybody could handle."""


@pytest.mark.parametrize("moment", ["write_private", "rename"])
async def test_drp_2_a_crash_after_the_effect_does_it_once(
    dropped: Dropped, world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = dropped.drop("first.json", referral(world))

    def crash(*_: object, **__: object) -> None:
        raise MachineStops

    with monkeypatch.context() as patch:
        if moment == "rename":
            patch.setattr(Path, "rename", crash)
        else:
            patch.setattr(files, "write_private", crash)
        with pytest.raises(MachineStops):
            await dropped.folder.step()
    assert path.exists()
    async with world.prison.parts.store.read() as tx:
        (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM thread")).one()
        assert count == 1
    await dropped.folder.step()
    assert not path.exists()
    async with world.prison.parts.store.read() as tx:
        (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM thread")).one()
        assert count == 1
    assert dropped.names(dropped.folders.done) == ["first.answer.json", "first.json"]


async def test_drp_2_what_is_no_fault_of_the_file_is_taken_again(dropped: Dropped, world: World) -> None:
    good = api_of(dropped.station).by_operation()
    full = True

    async def send(call: Call[str]) -> Answer:
        if full:
            raise StoreFull
        return await good["sendReferral"](call)

    folder = dropped.opened({**good, "sendReferral": send}, out=False)
    path = dropped.drop("first.json", referral(world))
    assert await folder.step() == 0
    assert path.exists()
    full = False
    assert await folder.step() == 1
    assert "first.json" in dropped.names(dropped.folders.done)


async def test_drp_2_a_name_that_leaves_no_room_for_the_note_holds_up_no_other(dropped: Dropped, world: World) -> None:
    for content, letter in ((b"1", "a"), (b"2", "č")):
        name = (letter * 255).encode()[:250].decode() + ".json"
        draft = dropped.folders.incoming / ".draft"
        draft.write_bytes(content)
        os.utime(draft.rename(dropped.folders.incoming / name), (1, 1))
    dropped.drop("zz.json", referral(world))
    await dropped.folder.step()
    assert dropped.names(dropped.folders.incoming) == []
    assert dropped.names(dropped.folders.refused) == [
        "a" * 200 + ".json",
        "a" * 200 + ".reason.json",
        "č" * 100 + ".json",
        "č" * 100 + ".reason.json",
    ]
    assert "zz.json" in dropped.names(dropped.folders.done)


async def test_drp_2_a_note_never_takes_the_place_of_a_file(dropped: Dropped) -> None:
    for name, content in (("a.reason.json", b"1"), ("a.json", b"2"), ("a.reason.json", b"3"), ("a.json", b"4")):
        dropped.drop(name, content)
        await dropped.folder.step()
    contents = {path.read_bytes() for path in dropped.folders.refused.iterdir()}
    assert {b"1", b"2", b"3", b"4"} <= contents
    assert len(list(dropped.folders.refused.iterdir())) == 8


@pytest.mark.parametrize("then", ["another", "none"])
async def test_drp_2_a_file_that_comes_while_one_of_its_name_is_taken_is_taken_too(
    dropped: Dropped, world: World, then: str
) -> None:
    good = api_of(dropped.station).by_operation()
    first, second = referral(world), referral(world)
    second["body"]["fields"] = {**REQUEST, "services": REQUEST["services"][:1]}
    early = True

    async def send(call: Call[str]) -> Answer:
        nonlocal early
        answer = await good["sendReferral"](call)
        if early and then == "another":
            dropped.drop("same.json", second)
        elif early:
            (dropped.folders.incoming / "same.json").unlink()
        early = False
        return answer

    folder = dropped.opened({**good, "sendReferral": send}, out=False)
    dropped.drop("same.json", first)
    assert (await folder.step(), await folder.step()) == (1, int(then == "another"))
    done = [json.loads((dropped.folders.done / "same.json").read_bytes())]
    if then == "another":
        done.append(json.loads((dropped.folders.done / "same.2.json").read_bytes()))
    assert done == [first, second][: len(done)]
    async with world.prison.parts.store.read() as tx:
        (count,) = (await tx.connection.exec_driver_sql("SELECT count(*) FROM thread")).one()
    assert count == len(done)


@pytest.mark.parametrize("error", [StoreFull(), ValueError("planted-value")])
async def test_drp_2_files_that_fail_again_and_again_hold_up_no_other(
    dropped: Dropped, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def step(_: Call[str]) -> Answer:
        raise error

    monkeypatch.setattr(files, "AT_ONCE", 3)
    folder = dropped.opened({**api_of(dropped.station).by_operation(), "makeStep": step}, out=False)
    for number in range(4):
        move = {"operation": "makeStep", "thread": "thr_" + "a" * 26, "body": {"event": "acknowledge"}}
        os.utime(dropped.drop(f"{number}.json", move), (1, 1))
    dropped.drop("zz.json", referral(world))
    assert [await folder.step() for _ in range(3)] == [0, 1, 0]
    assert dropped.names(dropped.folders.incoming) == ["0.json", "1.json", "2.json", "3.json"]
    assert dropped.names(dropped.folders.done) == ["zz.answer.json", "zz.json"]
    assert "planted" not in world.prison.logged.getvalue()


async def test_drp_2_only_whole_plain_visible_files_are_taken(dropped: Dropped, tmp_path: Path) -> None:
    incoming = dropped.folders.incoming
    (tmp_path / "elsewhere.json").write_bytes(b"{}")
    (incoming / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (incoming / "folder.json").mkdir()
    os.mkfifo(incoming / "pipe.json")
    (incoming / ".hidden.json").write_bytes(b"{}")
    (incoming / "draft.part").write_bytes(b"{}")
    assert await dropped.folder.step() == 0
    assert len(dropped.names(incoming)) == 5
    assert (tmp_path / "elsewhere.json").read_bytes() == b"{}"


async def test_drp_3_what_happens_is_given_out_once_from_then_on_and_again_after_a_crash(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = Dropped(world.prison, tmp_path / "drop", Log(world.prison.logged, json=True))
    await early.folder.prepare()
    early.drop("first.json", referral(world))
    await early.folder.step()
    names = early.names(early.folders.out)
    assert len(names) == 1
    # Whoever takes files away gets each once.
    for name in names:
        (early.folders.out / name).unlink()
    assert await early.folder.step() == 0
    await early.folder.prepare()
    assert await early.folder.step() == 0
    # A crash before the place moved on gives the same file again, under the same name.
    early.drop("second.json", referral(world))
    with monkeypatch.context() as patch:

        async def crash(*_: object) -> None:
            raise OSError("the machine stops here")

        patch.setattr("connectors.dropfolder.folder.facts.put", crash)
        with pytest.raises(OSError, match="stops here"):
            await early.folder.step()
    first = {name: (early.folders.out / name).read_bytes() for name in early.names(early.folders.out)}
    assert await early.folder.step() == 1
    assert {name: (early.folders.out / name).read_bytes() for name in early.names(early.folders.out)} == first
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in early.folders.out.iterdir())


async def test_a_folder_that_cannot_be_made_is_named_at_the_start(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    wrong = Dropped(world.prison, tmp_path / "file", Log(world.prison.logged, json=True))
    with pytest.raises(ConfigurationError, match=r"drop\.folder"):
        await wrong.folder.prepare()


async def test_drp_1_a_running_connector_looks_into_its_folder(world: World, tmp_path: Path) -> None:
    folder, member = installed(tmp_path, world.hub.programme, "gora-prison", world.hub.url)
    drop = Folders(tmp_path / "drop")
    async with running(folder, member, f'[drop]\nfolder = "{drop.root}"\n'):
        draft = drop.incoming / "first.tmp"
        draft.write_bytes(json.dumps({"operation": "sendReferral", "body": {}}).encode())
        draft.rename(drop.incoming / "first.json")

        async def refused() -> bool:
            return (drop.refused / "first.json").exists()

        await until(refused)
    assert json.loads((drop.refused / "first.reason.json").read_bytes())["code"] == "invalid-input"


async def test_the_doctor_says_what_was_refused_and_what_nobody_takes(dropped: Dropped, world: World) -> None:
    settings = DropSection(folder=dropped.folders.root)
    assert examine_drop(DropSection()).condition is examine_drop(settings).condition is Condition.OK
    path = dropped.drop("old.json", referral(world))
    os.utime(path, (1, 1))
    assert "over an hour" in examine_drop(settings).found
    dropped.drop("wrong.json", b"{")
    await dropped.folder.step()
    assert (examine_drop(settings).condition, examine_drop(settings).found) == (
        Condition.WARNING,
        "1 file was refused.",
    )
    assert examine_drop(DropSection(folder=dropped.folders.root / "absent")).condition is Condition.FAULT

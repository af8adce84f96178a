# SPDX-License-Identifier: Apache-2.0
"""The bench runs: every target is measured at a tiny size, and no number of that is believed."""

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.service import checking, receipts, submission
from protocol.envelope import parse_envelope
from protocol.errors import BadSignature
from tests.bench import __main__ as program
from tests.bench import unchecked
from tests.bench.attachments import attachments
from tests.bench.delivery import Systems, at_half_load, bounds, one_in_flight, systems, throughput
from tests.bench.further import catch_up, wire_sizes
from tests.bench.growth import full_stores
from tests.bench.load import Loader, Run
from tests.bench.parts import parts
from tests.bench.peers.envelopes import against_libraries
from tests.bench.peers.systems import Peers
from tests.bench.proofs import batched_acceptance, log_checks
from tests.bench.report import Report
from tests.bench.rounds import TINY, interleave, median_ratio
from tests.bench.sealing import bytes_over_plaintext, open_many_against_one, seal_against_primitives
from tests.bench.stock import Stock
from tests.bench.targets import TARGETS, Figure, Part, Result, Target
from tests.bench.writing import audit_against_none, groups_against_single_commits
from tests.programme import make_programme

GATED = {1, 2, 4, 9, 10}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the bench reads what Linux tells of processes"
)


def measured(result: Result, *but: str) -> bool:
    """Tell whether every part has a positive value, except those that are skipped with a reason."""
    names = {part.name for part in result.target.parts}
    assert set(result.skipped) == set(but)
    return result.values.keys() == names - set(but) and all(value > 0 for value in result.values.values())


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[Systems]:
    """Run a hub and a floor."""
    async with systems(tmp_path, TINY) as running:
        yield running


def test_there_are_fifteen_targets_and_five_of_them_gate() -> None:
    assert list(TARGETS) == list(range(1, 16))
    assert {number for number, target in TARGETS.items() if target.gated} == GATED
    for target in TARGETS.values():
        assert all(part.keeps(part.moonshot, part.must) for part in target.parts), target.name


async def test_sealing_and_opening_are_measured() -> None:
    for measure in (seal_against_primitives, open_many_against_one, bytes_over_plaintext):
        assert measured(await measure(TINY))


async def test_the_writer_is_measured_and_its_syncs_are_counted(tmp_path: Path) -> None:
    result = await groups_against_single_commits(tmp_path, TINY)
    assert measured(result)
    # A commit and a line of the guard, each synced, for each message that is alone.
    assert next(one.value for one in result.figures if one.name == "syncs per message, single") >= 2
    assert measured(await audit_against_none(tmp_path, TINY))


async def test_whole_servers_are_measured_one_message_at_a_time(
    found: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, alone = list[int](), Loader.one_by_one

    async def one_by_one(loader: Loader, messages: int) -> Run:
        counted.append(messages)
        return await alone(loader, messages)

    monkeypatch.setattr(Loader, "one_by_one", one_by_one)
    assert measured(await one_in_flight(found, TINY))
    assert counted == [TINY.latencies] * 2 * TINY.rounds


@pytest.mark.full
async def test_whole_servers_are_measured_under_load(found: Systems, tmp_path: Path) -> None:
    against_floor, synapse, nats, cpu = await throughput(found, tmp_path, TINY, None)
    assert measured(against_floor)
    assert measured(synapse, "÷ to-device", "÷ room")
    assert measured(nats, "÷ NATS")
    assert measured(cpu, "÷ Synapse to-device")
    assert measured(await at_half_load(found, TINY))


@pytest.mark.full
async def test_growth_memory_and_drain_are_measured(tmp_path: Path) -> None:
    growth, memory, drain = await full_stores(tmp_path, TINY, long=False)
    assert measured(growth, "10^6 stored")
    # So few websockets may fit into memory that is there already.
    assert memory.values.keys() == {"start", "10^5 stored", "1,000 idle websockets"}
    assert measured(drain)


@pytest.mark.full
async def test_a_connector_and_the_wire_are_measured(tmp_path: Path) -> None:
    promises = [*await wire_sizes(tmp_path), *await catch_up(tmp_path, TINY)]
    assert len(promises) == 7
    assert promises[0].ok


async def test_the_steps_of_one_message_are_measured(tmp_path: Path) -> None:
    found = await parts(tmp_path, TINY)
    assert len(found) == len({one.name for one in found}) > 5
    assert all(one.value > 0 for one in found)


def test_a_hub_whose_checks_are_free_takes_what_the_hub_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the bound would be that of some other hub: a stranger's envelope under the sender's name goes through."""
    for module, name in (
        (checking, "verify_sender"),
        (receipts, "sign_receipt"),
        (submission, "parse_envelope"),
        (submission, "check_envelope"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # to have it back afterwards
    programme = make_programme()
    stock, directory = Stock(programme), programme.directory
    forged = bytearray(stock.copy())
    forged[-1] ^= 1
    envelope = parse_envelope(bytes(forged))
    with pytest.raises(BadSignature):
        checking.check_envelope(envelope, directory, programme.now)
    with pytest.raises(ValueError, match="say signatures or reading"):
        unchecked.free("everything")
    unchecked.free(unchecked.READING)
    assert checking.check_envelope(envelope, directory, programme.now) > programme.now
    read = vars(submission)["parse_envelope"]
    read(stock.copy())
    taken = read(bytes(forged))
    assert (taken.common.envelope_id, taken.common_bytes) == (envelope.common.envelope_id, envelope.common_bytes)
    assert (taken.raw, taken.sender_sig) == (envelope.raw, envelope.sender_sig)
    assert vars(submission)["check_envelope"](taken, directory, programme.now) == envelope.common.expires


async def test_a_hub_whose_checks_are_free_is_measured_beside_the_hub(tmp_path: Path) -> None:
    found = await bounds(tmp_path, TINY)
    assert len(found) == len({one.name for one in found}) == 12
    assert all(one.value > 0 for one in found)


@pytest.mark.full
async def test_logs_and_attachments_are_measured(tmp_path: Path) -> None:
    promises = [
        *log_checks(TINY),
        *await batched_acceptance(tmp_path, TINY),
        *await attachments(tmp_path, TINY),
    ]
    assert len(promises) == 8
    assert all(one.figure.value > 0 for one in promises if one.figure.unit != "MiB")


@pytest.mark.full
async def test_peers_are_installed_and_measured(found: Systems, tmp_path: Path) -> None:
    """Fetches packages into a cache of its own outside the project; what cannot be had is told, not hidden."""
    async with Peers() as peers:
        results = await throughput(found, tmp_path, TINY, peers)
        assert all(measured(result) for result in results), peers.skipped
    assert measured(await against_libraries(tmp_path, TINY, peers=True))


async def test_rounds_take_turns_and_their_ratios_are_paired() -> None:
    order: list[str] = []

    async def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = await interleave(2, {"one": lambda: run("one"), "other": lambda: run("other")})
    assert order == ["one", "other", "other", "one"]
    assert found == {"one": [1.0, 4.0], "other": [2.0, 3.0]}
    assert median_ratio([1, 8, 9], [1, 4, 3]) == 2


@pytest.fixture
def target() -> Target:
    """Return a target of two parts, one that shall be small and one that shall be large."""
    return Target(1, "invented", True, "not at all", (Part("cost", 2, 1), Part("rate", 10, 20, at_least=True)))


def test_a_result_shows_the_part_that_is_worst_off(target: Target) -> None:
    result = Result(target, {"cost": 1.5, "rate": 9}, [Figure("beside", 3.0, "ms")], {"third": "not there"})
    line = result.line()
    assert (line["ratio"], line["must"], line["moonshot"], line["ok"]) == (9, 10, 20, False)
    assert line["figures"] == {"beside (ms)": 3.0}
    assert line["skipped"] == {"third": "not there"}
    assert Result(target, {"cost": 1, "rate": 20}).at_moonshot
    assert Result(target).line()["ok"] is None


@pytest.mark.parametrize("as_json", [True, False])
def test_a_report_is_one_line_of_json_for_a_target_or_a_table(target: Target, as_json: bool) -> None:
    out = io.StringIO()
    report = Report(out, as_json=as_json, colour=False)
    result = Result(target, {"cost": 3, "rate": 20}, [Figure("beside", 3.0, "ms")])
    report.begin(["conditions"])
    report.result(result)
    report.end([result], 1.0)
    lines = out.getvalue().splitlines()
    if as_json:
        assert [json.loads(line)["ok"] for line in lines] == [False]
    else:
        assert any("cost" in line and "✗" in line and "≤ 2.00" in line for line in lines)
        assert "Gated and not kept: 1" in lines


@pytest.mark.parametrize("words", [["--only", "77"], ["--only", "one"], ["--rounds", "0"], ["--unknown"]])
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(words)
    assert ended.value.code == 2
    assert "usage: ./run bench" in capsys.readouterr().err


@pytest.mark.parametrize(("rate", "syncs", "breaks"), [(9.0, 0.05, False), (4.0, 0.05, False), (9.0, 0.5, True)])
def test_what_moves_with_the_disk_is_told_and_does_not_gate(rate: float, syncs: float, breaks: bool) -> None:
    result = Result(TARGETS[9], {"messages/s": rate, "syncs per message": syncs})
    assert result.ok is (rate >= 6 and syncs <= 0.1)
    assert result.breaks_gate is breaks


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (False, 1)])
def test_a_gated_target_that_is_not_kept_ends_with_1(
    kept: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(_extent: object) -> Result:
        return Result(TARGETS[2], {"open": 1.0 if kept else 9.0})

    monkeypatch.setattr(program, "open_many_against_one", told)
    assert program.main(["--only", "2", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["ok"] is kept

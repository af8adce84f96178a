# SPDX-License-Identifier: Apache-2.0
"""The mistakes that people make at the keyboard: each is told as what it is, with what to do about it."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import pytest

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.cli import main, outfile, threads, tokens
from connectors.cli.failures import report
from connectors.cli.moments import day
from connectors.cli.threads import _words, read_json, sections_of
from protocol import ids
from protocol.errors import Conflict, InvalidInput
from protocol.http.threads import Relation
from protocol.ids import Kind
from protocol.limits import DAY
from tests.connectors.cases.test_referral import REQUEST, WORDS
from tests.connectors.cases.test_thread_api import Served, csw, prison

__all__ = ["csw", "prison"]

Typed = Callable[..., Awaitable[tuple[int, str, str]]]
_TODAY = "connectors.cli.once.now_ms"
_WHERE = click.Context(click.Command("accept")), click.Option(["--start-by"])


@pytest.fixture(name="typed")
def typed_(
    prison: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """Return what types a command at the prison, and gives its exit code, what it printed, and what it told."""
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path / "home"))
    folder = prison.station.folder
    home.register(home.Profile("gora-prison", prison.station.desk, prison.url, str(folder / TOKEN_FILE), str(folder)))

    async def typed(*words: object) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, [*map(str, words), "--agency", "gora-prison"])
        said = capsys.readouterr()
        return status, said.out, said.err

    return typed


async def test_a_file_in_a_folder_that_is_not_there_is_no_matter_of_keys_and_makes_no_token(
    typed: Typed, prison: Served, csw: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = ids.text(Kind.THREAD, (await prison.refer(csw.station)).thread)
    nowhere = tmp_path / "nowhere" / "file"
    making = ["token", "make", "--name", "case system", "--scope", "read", "--output"]
    for words in (["referral", "print", thread, "--out"], ["fhir", "export", thread, "--output"], making):
        status, _, told = await typed(*words, nowhere)
        assert status == 2
        assert "Name a file in a folder that exists" in told
        assert "passphrase" not in told
    # The folder may also go, or the disk fill up, after the token was made.
    monkeypatch.setattr(tokens, "must_be_writable", lambda _: None)
    assert (await typed(*making, nowhere))[0] == 2
    assert [one.revoked_at is None for one in (await prison.client.tokens()).items] == [False]
    assert (await typed("token", "make", "--scope", "read", "--output", tmp_path / "t", "--name", ""))[0] == 2


async def test_what_is_not_there_leads_to_the_list_of_its_kind_and_a_late_step_to_what_is_possible(
    typed: Typed, prison: Served, csw: Served, tmp_path: Path
) -> None:
    for words, listed in (
        (["referral", "show", "thr_" + "a" * 26], "referral list"),
        (["draft", "show", "dft_" + "a" * 26], "draft list"),
        (["case", "show", "cas_" + "a" * 26], "case list"),
        (["message", "show", "msg_" + "a" * 26], "message list"),
    ):
        status, _, told = await typed(*words)
        assert (status, told.rpartition("next:  ")[2].strip()) == (5, f"throughcare {listed} --agency gora-prison")
    sending = ("referral", "send", "--input")
    status, _, told = await typed(*sending, tmp_path / "absent.json", "--to", csw.station.desk)
    assert (status, "next:  the same command with the path of a file that is there" in told) == (2, True)
    (asked := tmp_path / "asked.json").write_text(
        json.dumps({"fields": REQUEST, "sections": [WORDS.model_dump(mode="json")]})
    )
    status, _, told = await typed(*sending, asked, "--to", "intake.nobody@hub.example")
    assert (status, "next:  throughcare directory list --agency gora-prison" in told) == (7, True)
    thread = ids.text(Kind.THREAD, (await prison.refer(csw.station)).thread)
    status, _, told = await typed("referral", "close", thread, "--changed", "better")
    assert (status, f"next:  throughcare referral show {thread} --agency gora-prison" in told) == (6, True)


def test_a_section_in_a_file_is_refused_with_each_rule_that_it_breaks_and_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = WORDS.model_dump(mode="json", exclude_none=True)
    assert sections_of({"sections": [good]}) == [WORDS]
    for wrong, told in (
        ({"category": "zolotoi"}, "field: sections/1/category is none of the values that can be"),
        ({"category": "risk-summary"}, "field: sections/1 is of a category that is restricted"),
        ({"zolotoi": 1}, "field: sections/1 holds a name that is not known here"),
    ):
        with pytest.raises(InvalidInput) as refused:
            sections_of({"sections": [good, {**good, **wrong}]})
        assert report(refused.value) == 2
        said = capsys.readouterr().err
        assert (told in said, "One looks so: {" in said, "zolotoi" in said) == (True, True, False), said
    strange: list[Any] = [None, 5, "x", [], [[]], {"body": []}]
    for hostile in strange:
        with pytest.raises(InvalidInput):
            sections_of({"sections": [hostile]})


async def test_a_field_that_a_step_lacks_is_named_with_how_it_is_said(
    typed: Typed, prison: Served, csw: Served
) -> None:
    thread = ids.text(Kind.THREAD, (await prison.refer(csw.station)).thread)
    status, _, told = await typed("referral", "accept-part", thread)
    assert status == 2
    fields = {line for line in told.splitlines() if line.startswith("field: ")}
    assert fields >= {
        "field: officer is missing (--assign-to)",
        "field: start_by is missing (--start-by)",
        "field: services is missing (in the file for --input)",
    }
    assert "given:" not in told


async def test_a_draft_tells_a_misspelt_field_from_a_missing_and_from_a_wrong_one_and_null_takes_one_out(
    typed: Typed, tmp_path: Path
) -> None:
    file = tmp_path / "draft.json"
    file.write_text(json.dumps({"fields": {"whereabuts": "custody", "release_on": "20.1.2027"}}), encoding="utf-8")
    status, told, _ = await typed("draft", "make", "--input", file)
    assert status == 0
    draft = told.split()[0]
    assert "no field of a referral: whereabuts" in told
    assert "not right yet: release_on" in told
    assert "missing: whereabouts" in told
    file.write_text(json.dumps({"fields": {"whereabuts": None, "release_on": "2027-01-20"}}), encoding="utf-8")
    _, told, _ = await typed("draft", "change", draft, "--input", file)
    assert "no field" not in told
    assert "release_on" not in told
    assert "missing: whereabouts" in told
    assert (await typed("draft", "change", draft))[0] == 2, "nothing was changed, and that is told"
    status, _, told = await typed("draft", "make", "--key", "short")
    assert (status, "16 to 255 letters" in told) == (2, True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"fields": {"release_on":\n "2027-01-20"', "not JSON from line 2, column 14 on"),
        ("[]", "one JSON object"),
        ('{"fields": []}', "`fields` must be one JSON object"),
        ('{"sections": {}}', "`sections` a list"),
        ('{"services": []}', "stands inside `fields`"),
    ],
)
def test_a_file_says_where_it_is_wrong_and_nothing_of_it_is_repeated(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=told) as refused:
        read_json(tmp_path / "f.json")
    assert "2027" not in refused.value.detail
    with pytest.raises(InvalidInput, match="Check its path"):
        read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("said", ["20.1.2027", "2027-1-20", "20270120", "2027-13-01", "tomorrow"])
def test_a_day_in_another_form_is_refused_with_an_example(said: str) -> None:
    with pytest.raises(click.BadParameter, match="2027-01-05"):
        day(*_WHERE, said)
    assert day(*_WHERE, "2027-01-20") == "2027-01-20"
    assert day(*_WHERE, None) is None


def test_a_file_is_known_to_be_writable_before_anything_is_asked(tmp_path: Path) -> None:
    outfile.must_be_writable(tmp_path / "new")
    for path in (tmp_path, tmp_path / "no" / "new"):
        with pytest.raises(InvalidInput, match="cannot be written"):
            outfile.must_be_writable(path)


def test_a_file_that_lies_there_is_left_as_it_is_also_one_that_comes_meanwhile(tmp_path: Path) -> None:
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "theirs").write_bytes(b"theirs")
    for path in (dangling, tmp_path / "theirs"):
        outfile.must_be_writable(path, replace=True)
        with pytest.raises(Conflict, match="left as it is"):
            outfile.must_be_writable(path)
        with pytest.raises(Conflict, match="left as it is"):
            outfile.write_out(path, b"ours")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert not (tmp_path / "elsewhere").exists()
    outfile.write_out(dangling, b"ours", replace=True)
    assert (dangling.is_symlink(), dangling.read_bytes()) == (False, b"ours")
    assert not (tmp_path / "elsewhere").exists()


async def test_what_was_asked_for_and_the_appointment_are_seen_without_a_print(
    typed: Typed, prison: Served, csw: Served
) -> None:
    thread = (await prison.refer(csw.station)).thread
    _, shown, _ = await typed("referral", "show", ids.text(Kind.THREAD, thread))
    view = await prison.client.thread(thread)
    payload = view.steps[0].payload
    for service in payload["services"]:
        assert f"{service['code']} ({service['outcome']}, {service['pathway']})" in shown
    assert f"answer by {payload['answer_by']}" in shown
    assert "occurred" not in shown
    assert "digest" not in shown, "a receipt says nothing of its own"


async def test_a_handover_typed_twice_is_sent_once_with_its_files_and_another_is_said_by_a_key(
    typed: Typed, prison: Served, csw: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(b"a scan" * 1_000)
    demo = Path(home.__file__).parent / "demo"
    words: list[str | Path] = ["handover", "send", "--mapping", demo / "mapping.toml", "--input", demo / "export"]
    words += ["--to", csw.station.desk, "--wait", "0", "--json"]
    attached = ["--attach", f"{scan}:identity"]
    monkeypatch.setattr(_TODAY, lambda: 7 * DAY)
    first, second = [await typed(*words, *attached) for _ in range(2)]
    assert (first[0], json.loads(first[1])["sent_before"], "already" in first[2]) == (0, False, False)
    assert (second[0], json.loads(second[1])["sent_before"]) == (0, True)
    assert "warning: it was sent already, and nothing was sent now" in second[2]
    assert json.loads(second[1])["id"] == json.loads(first[1])["id"]
    assert len(list((prison.station.folder / "attachments").iterdir())) == 1, "a second copy of the file is not kept"
    key = second[2].partition("the same command with ")[2].split()[:2]
    others = [await typed(*words, *attached, *key), await typed(*words)]
    scan.write_bytes(b"another" * 1_000)
    others.append(await typed(*words, *attached))
    monkeypatch.setattr(_TODAY, lambda: 8 * DAY)
    others.append(await typed(*words, *attached))
    assert [json.loads(one[1])["sent_before"] for one in others] == [False] * 4
    assert len({json.loads(one[1])["id"] for one in (first, *others)}) == 5
    assert (await typed(*words, *attached, *key))[0] == 6, "the key was for another file"


def written_in_utc(folder: Path) -> tuple[Path, Path]:
    """Return the demo's export and mapping as of a system that writes the day of release in UTC."""
    demo = Path(home.__file__).parent / "demo"
    export, mapping = shutil.copytree(demo / "export", folder / "export"), shutil.copy(demo / "mapping.toml", folder)
    for file, old, new in (
        (
            export / "sentence.json",
            '"conditionalRelease": "01.12.2026"',
            '"conditionalRelease": "2027-03-14T23:00:00Z"',
        ),
        (mapping, '{ from = "sentence.conditionalRelease", format = "dd.mm.yyyy" }', '"sentence.conditionalRelease"'),
    ):
        text = Path(file).read_text(encoding="utf-8")
        assert old in text
        Path(file).write_text(text.replace(old, new), encoding="utf-8")
    return export, Path(mapping)


async def test_cnt_7_an_export_is_read_by_the_clock_of_the_agencys_connector(
    typed: Typed, csw: Served, tmp_path: Path
) -> None:
    export, mapping = written_in_utc(tmp_path)
    words = ["handover", "send", "--mapping", mapping, "--input", export, "--wait", "0", "--json"]
    status, out, _ = await typed(*words, "--to", csw.station.desk)
    assert status == 0
    _, shown, _ = await typed("handover", "show", json.loads(out)["id"], "--json")
    assert json.loads(shown)["offer"]["terms"]["trigger"]["expected_on"] == "2027-03-15"


async def test_a_message_is_sent_each_time_that_it_is_typed_unless_a_key_says_that_it_is_the_same(
    typed: Typed, csw: Served, tmp_path: Path
) -> None:
    file = tmp_path / "notice.json"
    file.write_text(json.dumps({"fields": {"area": "invented", "week": "2027-W03"}}), encoding="utf-8")
    words = ["message", "send", "contact.area-notice", "--to", csw.station.desk, "--input", file, "--json"]
    key = ["--key", "our-notice-of-week-3"]
    told = [await typed(*words), await typed(*words), await typed(*words, *key), await typed(*words, *key)]
    assert [status for status, _, _ in told] == [0, 0, 0, 0]
    first, second, third, fourth = [json.loads(out)["id"] for _, out, _ in told]
    assert len({first, second, third}) == 3
    assert fourth == third


async def test_a_referral_typed_twice_is_sent_once_and_another_is_said_by_a_key(
    typed: Typed, csw: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "referral.json"
    words = ["referral", "send", "--to", csw.station.desk, "--input", file, "--json"]
    sections = [WORDS.model_dump(mode="json")]
    file.write_text(json.dumps({"fields": REQUEST, "sections": sections}), encoding="utf-8")
    monkeypatch.setattr(_TODAY, lambda: 7 * DAY)
    first, second = [await typed(*words) for _ in range(2)]
    assert (first[0], json.loads(first[1])["sent_before"], "already" in first[2]) == (0, False, False)
    assert (second[0], json.loads(second[1])["sent_before"]) == (0, True)
    assert json.loads(second[1])["thread"] == json.loads(first[1])["thread"]
    assert "warning: it was sent already, and nothing was sent now" in second[2]
    key = second[2].partition("the same command with ")[2].split()[:2]
    others = [await typed(*words, *key), await typed(*words, *key)]
    assert [json.loads(one[1])["sent_before"] for one in others] == [False, True]
    assert "a --once-key that was never used" in others[1][2]
    file.write_text(json.dumps({"fields": {**REQUEST, "interpreter": True}, "sections": sections}), encoding="utf-8")
    changed = await typed(*words)
    monkeypatch.setattr(_TODAY, lambda: 8 * DAY)
    threads_ = {json.loads(one[1])["thread"] for one in (first, others[0], changed, await typed(*words))}
    assert len(threads_) == 4


async def test_a_message_of_an_unknown_kind_names_the_kinds_and_one_with_wrong_fields_their_form(
    typed: Typed, csw: Served, tmp_path: Path
) -> None:
    file = tmp_path / "notice.json"
    file.write_text(json.dumps({"fields": {}}), encoding="utf-8")
    words = ["--to", csw.station.desk, "--input", file]
    status, _, told = await typed("message", "send", "contact.area-notise", *words)
    assert (status, "'contact.area-notice'" in told) == (2, True)
    status, _, told = await typed("message", "send", "contact.area-notice", *words)
    assert (status, '"area": "…"' in told, "field: area is missing" in told) == (2, True, True)
    status, _, told = await typed("referral", "list", "--list", "mine")
    assert (status, "--officer" in told) == (2, True)


async def test_a_token_file_that_others_can_read_is_told_from_one_that_is_not_there(
    typed: Typed, prison: Served
) -> None:
    token = prison.station.folder / TOKEN_FILE
    token.chmod(0o644)
    status, _, told = await typed("case", "list")
    assert (status, "chmod 600" in told, f"next:  mend {token}" in told) == (3, True, True)
    token.unlink()
    status, _, told = await typed("case", "list")
    assert (status, "There is no token file" in told, "next:  start the connector" in told) == (3, True, True)


def test_a_terminal_obeys_nothing_that_another_agency_wrote() -> None:
    assert "\x1b" not in _words({"place": "office\x1b[2J"})
    answered = [{"code": "a", "accepted": True, "reason": None}, {"code": "b", "accepted": False, "reason": "safety"}]
    assert _words(answered) == "a (accepted) + b (accepted: no, safety)"


def test_every_way_in_which_a_referral_goes_on_has_its_words() -> None:
    assert set(threads._CAME_FROM) == set(threads._WENT_TO) == set(Relation)

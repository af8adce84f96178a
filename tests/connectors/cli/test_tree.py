# SPDX-License-Identifier: Apache-2.0
"""`throughcare --help` answers at once, and its table says what the commands say."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from connectors.cli import main
from connectors.cli.journey import come
from connectors.cli.tree import COMMANDS, Entry, Noun
from connectors.cli.voice import PROGRAM
from protocol.http.handovers import MessageState

HEAVY = [
    "aiohttp",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "cryptography",
    "nacl",
    "cbor2",
    "structlog",
    "asyncio",
    "jmespath",
    "protocol",
    "keys",
]


def entries() -> Iterator[tuple[str, Entry]]:
    for name, entry in COMMANDS.items():
        if isinstance(entry, Noun):
            for verb, inner in entry.verbs.items():
                yield f"{name} {verb}", inner
        else:
            yield name, entry


@pytest.mark.parametrize("arguments", [["--help"], ["handover", "--help"], ["authority", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from connectors.cli import main\n"
        f"code = main({arguments!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}, exit code {code}' if heavy or code else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_what_a_usage_line_says_can_be_pasted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for program in ("throughcare", "./run throughcare"):
        monkeypatch.setenv(PROGRAM, program)
        assert main(["referral", "list", "--list", "none-such"]) == 2
        assert f"Try '{program} referral list --help'" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "entry"), list(entries()))
def test_every_command_can_be_loaded_and_says_the_same_as_the_table(name: str, entry: Entry) -> None:
    command = entry.load()
    assert command.name == name.rsplit(maxsplit=1)[-1]
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == entry.line


@pytest.mark.parametrize(("name", "entry"), list(entries()))
def test_every_option_of_every_command_is_explained(name: str, entry: Entry) -> None:
    for parameter in entry.load().params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_the_list_of_handovers_explains_how_far_in_the_words_that_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["handover", "list", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    said = told.partition("HOW FAR says ")[2].partition(" As they stand")[0]
    came = {MessageState.RECEIVED, MessageState.HELD, MessageState.DAMAGED}
    shown = {come(state) for state in MessageState if state not in came}
    assert [words for words in sorted(shown) if words not in said] == []


def test_wrong_usage_has_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["handover", "frobnicate"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_a_noun_alone_shows_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["handover"])
    spoken = capsys.readouterr()
    assert "send" in spoken.out + spoken.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["refferal", "list"], "referral"), (["referral", "lst"], "list"), (["handover", "acknowlege"], "acknowledge")],
)
def test_a_verb_that_is_mistyped_is_told_with_the_one_that_was_meant(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err


def test_a_verb_that_is_like_no_other_is_told_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qqqq"]) == 2
    assert "Did you mean" not in capsys.readouterr().err

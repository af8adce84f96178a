# SPDX-License-Identifier: Apache-2.0
"""What got a better name is shown under it, and whoever types the older one is served as before."""

from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from connectors.cli import main
from connectors.cli.renamed import RenamedChoice, RenamedOption
from connectors.cli.tree import HANDOVER, ROOT
from tests.connectors.cli.test_tree import entries

OLDER = {
    "handover save": ("--out", "--to"),
    "token make": ("--out", "--output"),
    "fhir import": ("--out", "--output"),
    "fhir export": ("--out", "--output"),
    "message send": ("--once-key", "--key"),
    "handover send": ("--once-key", "--key"),
}


def renamed() -> Iterator[tuple[str, click.Command, RenamedOption]]:
    for name, entry in entries():
        for option in (command := entry.load()).params:
            if isinstance(option, RenamedOption):
                yield name, command, option


def test_an_older_name_says_what_the_new_one_says_and_stands_in_no_help() -> None:
    found = list(renamed())
    assert {(name, *pair) for name, pair in OLDER.items()} <= {
        (name, option.opts[0], option.older[0]) for name, _, option in found
    }
    for name, command, option in found:
        context = click.Context(command, info_name=name, resilient_parsing=True)
        said = "a-name-of-sixteen-or-more"
        parsed = [command.make_parser(context).parse_args([each, said])[0] for each in (*option.opts, *option.older)]
        assert [one[option.name] for one in parsed] == [said] * len(parsed)
        spellings = [record[0] for one in command.get_params(context) if (record := one.get_help_record(context))]
        shown = [word.strip(",") for spelling in spellings for word in spelling.split()]
        own = {each for one in command.params if one is not option for each in one.opts}
        assert set(option.opts) <= set(shown)
        assert not (set(option.older) - own) & set(shown)


def test_a_renamed_option_that_is_missing_is_asked_for_by_its_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "make", "--agency", "gora-prison", "--name", "monitor", "--scope", "watch"]) == 2
    told = capsys.readouterr().err
    assert "'--out'" in told
    assert "--output" not in told


def test_the_older_name_of_a_command_is_served_and_neither_shown_nor_completed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert HANDOVER["standing"].hidden
    assert main(["handover", "standing", "--help"]) == 0
    assert "as they stand" in capsys.readouterr().out
    assert main(["handover", "--help"]) == 0
    assert "standing" not in capsys.readouterr().out
    completions = ShellComplete(ROOT, {}, "throughcare", "_THROUGHCARE_COMPLETE")
    offered = [one.value for one in completions.get_completions(["handover"], "")]
    assert ("list" in offered, "standing" in offered) == (True, False)


def test_a_choice_takes_another_word_for_its_own_and_shows_its_own_only() -> None:
    choice = RenamedChoice(["all", "due"], {"answer-due": "due"})
    option = click.Option(["--list"], type=choice)
    context = click.Context(click.Command("list"))
    assert [choice.convert(word, option, context) for word in ("all", "due", "answer-due")] == ["all", "due", "due"]
    with pytest.raises(click.BadParameter) as caught:
        choice.convert("answer", option, context)
    assert "'answer-due'" not in caught.value.message

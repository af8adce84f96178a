# SPDX-License-Identifier: Apache-2.0
"""The checker of rule ids finds what it should, so that its silence means something."""

from tests.rules import compare, mentions_in, prefixes_of, rules_in, rules_in_test_names

TEXT = """\
# Title

- **ENV-1** The suite must be 1.
- **ENV-12** Section 0 must be small. See **ENV-1**.

**H2-3** A paragraph may be a rule too.

Prose that names **ENV-7** in passing makes no rule.
"""
PREFIXES = frozenset({"ENV", "H2"})


def test_a_rule_is_a_paragraph_or_list_item_that_starts_with_its_id() -> None:
    assert rules_in(TEXT) == ["ENV-1", "ENV-12", "H2-3"]


def test_prefixes_are_the_letters_before_the_number() -> None:
    assert prefixes_of(["ENV-1", "ENV-12", "H2-3"]) == PREFIXES


def test_a_test_name_stands_for_the_whole_number_only() -> None:
    source = "def test_env_12_is_small(): ...\n"
    assert rules_in_test_names(source, PREFIXES) == {"ENV-12"}


def test_one_test_may_name_several_rules_anywhere_in_its_name() -> None:
    source = "async def test_a_stranger_env_1_and_h2_3(): ...\n"
    assert rules_in_test_names(source, PREFIXES) == {"ENV-1", "H2-3"}


def test_methods_count_but_functions_that_are_no_tests_do_not() -> None:
    source = "class TestIt:\n    def test_env_1(self): ...\n\ndef make_env_12(): ...\n"
    assert rules_in_test_names(source, PREFIXES) == {"ENV-1"}


def test_numbers_after_other_words_are_no_rules() -> None:
    source = "def test_attack_16_with_envy_3_and_env_x1(): ...\n"
    assert rules_in_test_names(source, PREFIXES) == set()


def test_a_mention_in_code_is_delimited_on_both_sides() -> None:
    text = "# ENV-1, (ENV-12). Not XENV-3, ENV-4x, ENV-5-6, ML-ENV-8 or SHA-256.\n"
    assert mentions_in(text, PREFIXES) == {"ENV-1", "ENV-12"}


def test_what_is_missing_is_found_on_each_side() -> None:
    found = compare(["ENV-1", "ENV-2", "ENV-3", "ENV-2"], {"ENV-1", "ENV-9"}, {"ENV-2", "H2-4"})
    assert found.repeated == ["ENV-2"]
    assert found.untested == ["ENV-2", "ENV-3"]
    assert found.unmentioned == ["ENV-1", "ENV-3"]
    assert found.unknown == ["ENV-9", "H2-4"]
    assert len(list(found.lines())) == 7


def test_nothing_is_found_when_all_agree() -> None:
    rules = rules_in(TEXT)
    assert list(compare(rules, set(rules), set(rules)).lines()) == []

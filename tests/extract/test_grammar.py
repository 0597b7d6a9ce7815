"""The outputs that are allowed for a page window, and nothing else."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.extract.grammar import END, TagGrammar, numbers_regex, regex_for
from aag_ray.pages.tag_output import HEADER, MAX_RANGE, OutputOutcome, parse_strict

WINDOWS = st.tuples(st.integers(1, 400), st.integers(-1, 120)).map(lambda pair: (pair[0], pair[0] + pair[1]))

ALLOWED = [
    "None",
    " None",
    "[[<T-8>]]",
    " [[<T-8>, <T-12>],[<T-9>]]",
    "[[<T-8>~<T-12>]]",
    "[[<T-8> ~ <T-9>,<T-10>~<T-12>], [<T-8>]]",
    "[[<T-12>, <T-8>], [<T-8>]]",
]
REFUSED = [
    "",
    "none",
    "None.",
    "[]",
    "[[]]",
    "[<T-8>]",
    "[[<T-8>]",
    "[[<T-7>]]",
    "[[<T-13>]]",
    "[[<T-08>]]",
    "[[<T-80>]]",
    "[[<T->]]",
    "[[<T-8>~<T-8>]]",
    "[[<T-9>~<T-8>]]",
    "[[<T-12>~<T-13>]]",
    "[[<T-8>  ~<T-9>]]",
    "[[<T-8>~]]",
    "[[<T-8>,  <T-9>]]",
    "[[ <T-8>]]",
    "[[<T-i>]]",
    "[[<T-8>]] and",
    "[[<T-8>]]\n",
]


@pytest.mark.parametrize("body", ALLOWED)
def test_what_may_be_written_for_spans_8_to_12(body: str) -> None:
    assert TagGrammar(8, 12).accepts(HEADER + body)
    assert TagGrammar(8, 12, header=False).accepts(body)
    assert re.fullmatch(regex_for(8, 12), HEADER + body)
    assert re.fullmatch(regex_for(8, 12, header=False), body)
    assert parse_strict(HEADER + body, 12).outcome is not OutputOutcome.UNREADABLE


@pytest.mark.parametrize("body", REFUSED)
def test_what_may_not_be_written_for_spans_8_to_12(body: str) -> None:
    assert not TagGrammar(8, 12).accepts(HEADER + body)
    assert not re.fullmatch(regex_for(8, 12), HEADER + body)


def test_the_header_is_part_of_an_output() -> None:
    assert not TagGrammar(8, 12).accepts("None")
    assert not TagGrammar(8, 12, header=False).accepts(f"{HEADER}None")


def test_a_window_without_spans_allows_none_only() -> None:
    assert TagGrammar(1, 0).accepts(f"{HEADER}None")
    assert TagGrammar(1, 0).walk(f"{HEADER}[") is None
    assert re.fullmatch(regex_for(1, 0), f"{HEADER} None")


def test_a_range_is_never_longer_than_the_parser_takes() -> None:
    grammar, pattern = TagGrammar(1, 250), regex_for(1, 250)
    for last, allowed in ((5 + MAX_RANGE - 1, True), (5 + MAX_RANGE, False)):
        output = f"{HEADER}[[<T-5>~<T-{last}>]]"
        assert grammar.accepts(output) is allowed
        assert bool(re.fullmatch(pattern, output)) is allowed


def test_spans_count_from_one() -> None:
    with pytest.raises(ValueError, match="first=0: spans count from 1"):
        TagGrammar(0, 3)


def sampled(grammar: TagGrammar, choice: random.Random, longest: int) -> str:
    """A random walk, ended on the shortest way once it is `longest` characters."""
    state, text = grammar.start, ""
    while state != END:
        options = grammar.options(state)
        if len(text) < longest:
            character = choice.choice(sorted(options))
        else:
            character = min(sorted(options), key=lambda each: grammar.distance(options[each]))
        text, state = text + character, options[character]
    return text


@settings(max_examples=80, deadline=None)
@given(WINDOWS, st.booleans(), st.integers(0, 200), st.integers())
def test_every_output_is_read_by_the_strict_parser_and_names_the_window(
    window: tuple[int, int], header: bool, longest: int, seed: int
) -> None:
    first, last = window
    output = sampled(TagGrammar(first, last, header), random.Random(seed), longest)
    read = parse_strict(output if header else HEADER + output, max(last, 0))
    assert read.outcome in (OutputOutcome.TAGS, OutputOutcome.NONE)
    assert all(first <= number <= last for number in read.numbers)
    assert re.fullmatch(regex_for(first, last, header=header), output)


@settings(max_examples=80, deadline=None)
@given(WINDOWS, st.integers(), st.data())
def test_automaton_and_regular_expression_agree_on_damaged_outputs(
    window: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    grammar = TagGrammar(*window)
    output = sampled(grammar, random.Random(seed), 90)
    at = data.draw(st.integers(0, len(output)))
    put, cut = data.draw(st.sampled_from(["", "0", "1", "9", "<", ">", "~", ",", " ", "]", "["])), data.draw(st.integers(0, 2))
    damaged = output[:at] + put + output[at + cut :]
    accepted = grammar.accepts(damaged)
    assert accepted is bool(re.fullmatch(regex_for(*window), damaged))
    if accepted:
        assert parse_strict(damaged, max(window[1], 0)).outcome is not OutputOutcome.UNREADABLE


@settings(max_examples=60, deadline=None)
@given(WINDOWS, st.integers())
def test_the_distance_is_that_of_the_shortest_way(window: tuple[int, int], seed: int) -> None:
    grammar, choice, state = TagGrammar(*window), random.Random(seed), TagGrammar(*window).start
    for _ in range(80):
        options = grammar.options(state)
        if not options:
            break
        assert grammar.distance(state) == 1 + min(grammar.distance(after) for after in options.values())
        state = options[choice.choice(sorted(options))]
    assert grammar.distance(END) == 0


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000))
def test_numbers_as_a_regular_expression(low: int, more: int) -> None:
    pattern = re.compile(numbers_regex(low, low + more))
    near = {low - 1, low, low + 1, low + more - 1, low + more, low + more + 1, *range(0, 7000, 37)}
    for number in near:
        assert bool(pattern.fullmatch(str(number))) is (low <= number <= low + more)
    assert not pattern.fullmatch(f"0{low}")


def test_the_expression_keeps_to_what_every_engine_knows() -> None:
    pattern = regex_for(1, 40)
    assert "\\" not in re.sub(r"\\[\[\]]", "", pattern)
    assert not re.search(r"\(\?(?!:)", pattern)
    assert re.escape(HEADER).replace("\\", "") in pattern

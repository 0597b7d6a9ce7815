"""Reading what an extractor wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.pages.tag_output import HEADER, MAX_RANGE, Ignored, OutputOutcome, TagOutput, parse_strict, parse_tolerant

TAGS, NONE, UNREADABLE = OutputOutcome.TAGS, OutputOutcome.NONE, OutputOutcome.UNREADABLE
RANGES = st.lists(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), min_size=1, max_size=4), min_size=1, max_size=4)


def written(groups: list[list[tuple[int, int]]]) -> str:
    items = [[f"<T-{a}>" if not more else f"<T-{a}>~<T-{a + more}>" for a, more in group] for group in groups]
    return f"{HEADER}[{', '.join('[' + ', '.join(group) + ']' for group in items)}]"


@given(RANGES)
def test_what_keeps_to_the_grammar_is_read_alike_by_both(groups: list[list[tuple[int, int]]]):
    strict = parse_strict(written(groups), 100)
    assert strict == parse_tolerant(written(groups), 100)
    assert strict.outcome is TAGS
    assert strict.groups == tuple(
        tuple(dict.fromkeys(n for a, more in group for n in range(a, a + more + 1))) for group in groups
    )
    assert strict.numbers == tuple(sorted({number for group in strict.groups for number in group}))


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["<T-", "1", "12", "999999999999999999", ">", "~", "[", "]", ",", " ", "<T-3>", "None", "i", HEADER, "<", "T-2"]
        )
    ).map("".join)
)
def test_any_output_is_read_and_stays_on_the_page(output: str):
    for parse in (parse_strict, parse_tolerant):
        result = parse(output, 20)
        assert set(result.numbers) <= set(range(1, 21))
        assert (result.outcome is TAGS) == bool(result.numbers)
        assert (result.outcome is UNREADABLE) == bool(result.detail)


@pytest.mark.parametrize("output", [f"{HEADER}None", f"{HEADER} None", f"  {HEADER}None\n"])
def test_none_in_the_grammar(output: str):
    assert parse_strict(output, 5) == parse_tolerant(output, 5) == TagOutput(NONE)


@pytest.mark.parametrize(
    "output", ["None", "none.", "[None]", '"None"', "#Extracted Information#:None", f"{HEADER}None<|im_end|>"]
)
def test_none_as_models_also_write_it(output: str):
    assert parse_strict(output, 5).outcome is UNREADABLE
    assert parse_tolerant(output, 5) == TagOutput(NONE)


STRICTLY_WRONG = [
    "",
    "[<T-1>]",
    f"{HEADER}[<T-1>]",
    f"{HEADER}[[<T-1>]",
    f"{HEADER}[[]]",
    f"{HEADER}[[<T-1>],]",
    f"{HEADER}[[<T-i>]]",
    f"{HEADER}[[<T-1>~]]",
    f"{HEADER}[[<T-1>]] and more",
    f"{HEADER}none",
    f"{HEADER}[[<T-0>]]",
    f"{HEADER}[[<T-11>]]",
    f"{HEADER}[[<T-5>~<T-2>]]",
    f"{HEADER}[[<T-2>~<T-99>]]",
]


@pytest.mark.parametrize("output", STRICTLY_WRONG)
def test_the_strict_parser_takes_nothing_else(output: str):
    result = parse_strict(output, 10)
    assert result.outcome is UNREADABLE
    assert result.detail
    assert result.groups == ()


TOLERATED = {
    "[<T-3>], [<T-5>]": (((3,), (5,)), {}),
    "<T-3>~<T-5>": (((3, 4, 5),), {}),
    "< T-3 > ~ < T-4 >": (((3, 4),), {}),
    "{TAG-5}": ((), {Ignored.OTHER_TEXT: 1}),
    "<TAG-5>, <TAG-6>": (((5, 6),), {}),
    "[T-3], [T-5]~[T-6]": (((3,), (5, 6)), {}),
    "<T-2>–<T-3>": (((2, 3),), {}),  # noqa: RUF001
    "1. It is Paris [<T-3>~<T-4>]\n2. It is big [<T-6>]": (((3, 4), (6,)), {Ignored.OTHER_TEXT: 2}),
    f"Sure! {HEADER}[[<T-1>]]": (((1,),), {}),
    "<T-3></T-3>": (((3,),), {}),
    "[[<T-1>], [<T-2>": (((1,), (2,)), {}),
    "<T-1>~<T-3>": (((1, 2, 3),), {}),
    "<T-5>~<T-7": (((5,),), {Ignored.CUT_OFF: 1}),
    "<T-5>, <T-": (((5,),), {Ignored.CUT_OFF: 1}),
    "<T-4>, <T-i>, <T-k>~<T-j+1>": (((4,),), {Ignored.TEMPLATE_ECHO: 3}),
    "<T-4>, <T-11>, <T-0>": (((4,),), {Ignored.OUTSIDE_PAGE: 2}),
    "<T-9>~<T-14>": (((9, 10),), {Ignored.CLIPPED_RANGE: 1}),
    "<T-7>~<T-3>": (((3, 7),), {Ignored.REVERSED_RANGE: 1}),
    "<T-2>, there is none other": (((2,),), {Ignored.OTHER_TEXT: 1}),
}


@pytest.mark.parametrize(("output", "read"), TOLERATED.items(), ids=TOLERATED)
def test_the_tolerant_parser_keeps_what_it_can_and_counts_the_rest(
    output: str, read: tuple[tuple[tuple[int, ...], ...], dict[Ignored, int]]
):
    groups, ignored = read
    result = parse_tolerant(output, 10)
    assert result.groups == groups
    assert dict(result.ignored) == ignored


@pytest.mark.parametrize("output", ["", "Sorry, I cannot find any.", "None of these help.", "<T-i>", "<T-99>", "nonetheless"])
def test_an_output_that_names_nothing_is_unreadable_and_not_none(output: str):
    assert parse_tolerant(output, 10).outcome is UNREADABLE


def test_a_huge_range_costs_nothing():
    result = parse_tolerant("<T-1>~<T-99999999999999999999999999>", 10**9)
    assert result.numbers == tuple(range(1, MAX_RANGE + 1))
    assert result.ignored[Ignored.LONG_RANGE] == 1
    assert parse_strict(f"{HEADER}[[<T-1>~<T-99999999>]]", 10**9).outcome is UNREADABLE


def test_a_page_without_spans_has_no_tags():
    assert parse_tolerant("<T-1>", 0).outcome is UNREADABLE

"""The first of several texts that say the same is the original."""

# ruff: noqa: RUF001  (signs of many scripts are the subject here)

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.pages.duplicates import NearDuplicates, originals, shingles

WORDS = [f"word{number}" for number in range(500)]


def text_of(seed: int, length: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_a_changed_word_makes_no_new_text_and_another_text_is_one():
    first = text_of(1)
    changed = first.replace(first.split()[60], "changed", 1)
    assert originals([first, text_of(2), changed, first]) == [0, 1, 0, 0]


def test_case_width_and_punctuation_do_not_count():
    assert originals(["The quick brown fox, jumps!", "the QUICK brown fox jumps", "Ｔｈｅ quick brown fox jumps"]) == [0, 0, 0]


def test_scripts_without_spaces_count_by_character():
    chinese = "人工智能正在改变我们的生活方式和工作方式，许多公司都在投入大量资金进行研究。"
    assert originals([chinese, chinese.replace("许多", "很多"), "今天天气很好，我们去公园散步吧，晚上再回家吃饭。"], 0.7) == [
        0,
        0,
        2,
    ]
    thai = "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน"
    assert originals([thai, thai + "ๆ"], 0.7) == [0, 0]


def test_short_texts_are_alike_only_if_equal():
    assert originals(["Yes.", "yes", "No.", "Yes and no."]) == [0, 0, 2, 3]


def test_texts_without_letters_repeat_nothing():
    assert originals(["---", "---", "", "***"]) == [0, 1, 2, 3]


def test_the_similarity_is_the_exact_jaccard_similarity():
    one = " ".join(WORDS[:100])
    other = " ".join(WORDS[:80] + WORDS[100:120])
    own, theirs = shingles(one, 1), shingles(other, 1)
    similarity = len(own & theirs) / len(own | theirs)
    assert originals([one, other], similarity - 0.01, 1) == [0, 0]
    assert originals([one, other], similarity + 0.01, 1) == [0, 1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12))
def test_an_original_is_always_earlier_and_an_original_itself(texts: list[str]):
    found = originals(texts)
    assert found == originals(texts)
    for index, original in enumerate(found):
        assert original <= index
        assert found[original] == original


def test_most_near_duplicates_are_found_and_no_others():
    texts = [text_of(seed) for seed in range(60)]
    changed = [" ".join(["changed", *text.split()[1:]]) for text in texts]
    found = originals(texts + changed, similarity=0.8)
    assert found[:60] == list(range(60))
    assert sum(found[60 + index] == index for index in range(60)) >= 59
    assert all(original in (index, index - 60) for index, original in enumerate(found))


def test_pages_keep_the_names_they_are_added_by():
    seen = NearDuplicates()
    assert seen.add("https://a.example/", text_of(1)) is None
    assert seen.add("https://b.example/", text_of(1)) == "https://a.example/"
    with pytest.raises(KeyError, match=r"https://a\.example/"):
        seen.add("https://a.example/", "x")


@pytest.mark.parametrize(("similarity", "shingle"), [(0, 4), (1.1, 4), (0.8, 0)])
def test_impossible_settings_are_refused(similarity: float, shingle: int):
    with pytest.raises(ValueError, match="similarity"):
        NearDuplicates(similarity, shingle)

"""Made-up facts for training: in the languages and at the depths that are asked for, on pages that name their split."""

from aag_ray.extract.labelled import hidden_needles
from aag_ray.extract.needles import make_needles
from aag_ray.records import Passage, Question

TEXT = " ".join(f"It rained on day {n} of that long month." for n in range(30))
QUESTIONS = [Question("q", "Why?", ("rain",), contexts=(Passage("p", "Rain", TEXT),))]


def test_languages_come_in_turn_and_depths_are_of_those_given():
    made = list(hidden_needles(QUESTIONS, 24, 400, "train", 29, ("en", "zh"), (0.0, 0.5)))
    assert [each.page.language for each in made] == [needle.language for needle in make_needles(24, 1)]
    depths = [each.spans[each.gold[0] - 1].start / len(each.page.text) for each in made if each.relevant]
    assert all(depth < 0.15 or 0.3 < depth < 0.7 for depth in depths)
    assert min(depths) < 0.15 < 0.3 < max(depths)


def test_english_anywhere_is_what_is_made_unasked():
    made = list(hidden_needles(QUESTIONS, 20, 400, "train", 29))
    assert {each.page.language for each in made} == {"en"}
    assert len({each.spans[each.gold[0] - 1].start for each in made if each.relevant}) > 10


def test_pages_of_two_splits_are_two_pages():
    train, dev = ({each.page.url for each in hidden_needles(QUESTIONS, 5, 200, name, 29)} for name in ("train", "dev"))
    assert len(train) == len(dev) == 5
    assert not train & dev

"""Needles: made-up facts with questions that only they answer, in English and Chinese, the same for the same seed.

Names are put together from syllables, so no model can know the answer. Every needle brings decoys: facts told in the same
words about something else, which make "the odd sentence out" a wrong answer.
"""

# ruff: noqa: RUF001  (Chinese punctuation)

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class NeedleKind(StrEnum):
    """SINGLE: one fact. LIST: several of one subject. MULTI_TOPIC: several questions in one. MULTI_HOP: a chain of facts."""

    SINGLE = "single"
    LIST = "list"
    MULTI_TOPIC = "multi_topic"
    MULTI_HOP = "multi_hop"


@dataclass(frozen=True, slots=True)
class Needle:
    """A question, the sentences that answer it together, and sentences that look like them and do not help."""

    question: str
    sentences: tuple[str, ...]
    answers: tuple[str, ...]
    kind: NeedleKind
    language: Language
    decoys: tuple[str, ...] = ()


class _Relation(NamedTuple):
    """How a fact about `subject` is told and asked. `many`, where set, asks for all of several objects."""

    subject: str
    object: str
    told: dict[Language, tuple[str, ...]]
    asked: dict[Language, str]
    noun: dict[Language, str]
    many: dict[Language, str] | None = None


_RELATIONS = (
    _Relation(
        "company",
        "person",
        {"en": ("{s} was founded by {o}.", "It was {o} who set up {s}."), "zh": ("{s}由{o}创办。", "{o}是{s}的创始人。")},
        {"en": "Who founded {s}?", "zh": "谁创办了{s}？"},
        {"en": "founder", "zh": "创始人"},
    ),
    _Relation(
        "company",
        "town",
        {"en": ("The head office of {s} stands in {o}.", "{s} is run from {o}."), "zh": ("{s}的总部设在{o}。",)},
        {"en": "Where is the head office of {s}?", "zh": "{s}的总部在哪里？"},
        {"en": "seat", "zh": "总部所在地"},
    ),
    _Relation(
        "person",
        "town",
        {"en": ("{s} was born in {o}.", "{o} is the birthplace of {s}."), "zh": ("{s}出生于{o}。", "{o}是{s}的出生地。")},
        {"en": "Where was {s} born?", "zh": "{s}出生在哪里？"},
        {"en": "birthplace", "zh": "出生地"},
    ),
    _Relation(
        "town",
        "river",
        {"en": ("{s} lies on the {o}.", "The {o} flows through {s}."), "zh": ("{o}流经{s}。", "{s}坐落在{o}边。")},
        {"en": "Which river does {s} lie on?", "zh": "哪条河流经{s}？"},
        {"en": "river", "zh": "河流"},
    ),
    _Relation(
        "town",
        "beast",
        {
            "en": ("The {o} is a sacred animal in {s}.", "People in {s} have always revered the {o}."),
            "zh": ("{s}的居民把{o}奉为圣兽。", "在{s}，{o}受人敬奉。"),
        },
        {"en": "Which animal is sacred in {s}?", "zh": "{s}的圣兽是什么？"},
        {"en": "sacred animal", "zh": "圣兽"},
        {"en": "Which animals are sacred in {s}?", "zh": "{s}有哪些圣兽？"},
    ),
    _Relation(
        "beast",
        "plant",
        {"en": ("The {s} eats nothing but {o}.", "A {s} lives on {o} alone."), "zh": ("{s}只吃{o}。", "{s}以{o}为食。")},
        {"en": "What does the {s} eat?", "zh": "{s}吃什么？"},
        {"en": "food", "zh": "食物"},
    ),
    _Relation(
        "town",
        "treasure",
        {"en": ("Buried beneath {s} is {o}.", "{o} was found beneath {s}."), "zh": ("{s}的地下埋藏着{o}。", "{o}藏在{s}。")},
        {"en": "Which treasure was hidden beneath {s}?", "zh": "{s}的地下藏着什么宝物？"},
        {"en": "hidden treasure", "zh": "宝藏"},
        {"en": "Which treasures were hidden beneath {s}?", "zh": "{s}的地下藏着哪些宝物？"},
    ),
    _Relation(
        "treasure",
        "person",
        {"en": ("{s} was made by {o}.", "{o} forged {s}."), "zh": ("{s}由{o}打造。", "{o}铸造了{s}。")},
        {"en": "Who made {s}?", "zh": "谁打造了{s}？"},
        {"en": "maker", "zh": "打造者"},
    ),
    _Relation(
        "person",
        "instrument",
        {"en": ("{s} learned to play the {o}.", "{s} often played the {o}."), "zh": ("{s}会弹{o}。", "{s}常常弹奏{o}。")},
        {"en": "Which instrument did {s} play?", "zh": "{s}会弹什么乐器？"},
        {"en": "instrument", "zh": "乐器"},
        {"en": "Which instruments did {s} play?", "zh": "{s}会弹哪些乐器？"},
    ),
)
_SYLLABLES = tuple(
    first + vowel + last for first in "bdfgklmnrstvz" for vowel in "aeiou" for last in ("", "l", "n", "r", "sk", "th")
)
_SIGNS = (
    "岚曜澜霁璟翊骁珩瑾沅汐朔霖楠梓嵘峤泠湛澈煜烁钧铭锦缇绮苓芷蔻峻崧岱渊涵淳润泓沁溯烨炜焕熙瑜琛琦珞桐桓榆槿棠芸蓉萱蕙薇茗黛"
)
_FORMS: dict[str, dict[Language, tuple[str, ...]]] = {
    "company": {"en": ("{A} Works", "{A} & {B}", "{A} Line"), "zh": ("{甲}公司", "{甲}集团", "{甲}工坊")},
    "person": {"en": ("{A} {B}", "Dr {A} {B}", "{A} of {B}"), "zh": ("{甲}先生", "{甲}女士", "{甲}博士")},
    "town": {"en": ("{A}ford", "{A}", "Port {A}"), "zh": ("{甲}镇", "{甲}城", "{甲}村")},
    "river": {"en": ("River {A}", "{A} Brook", "{A}"), "zh": ("{甲}河", "{甲}江", "{甲}溪")},
    "beast": {"en": ("{a} fox", "{a} heron", "{a}"), "zh": ("{甲}兽", "{甲}鹿", "{甲}鹤")},
    "plant": {"en": ("{a} moss", "{a} berries", "{a}"), "zh": ("{甲}草", "{甲}果", "{甲}花")},
    "treasure": {"en": ("the Lamp of {A}", "the {A} Crown", "the {A} Mirror"), "zh": ("{甲}之灯", "{甲}宝镜", "{甲}王冠")},
    "instrument": {"en": ("{a} harp", "{a} pipe", "{a}"), "zh": ("{甲}琴", "{甲}笛", "{甲}箫")},
}


def make_needles(
    count: int, seed: int, *, kinds: Sequence[NeedleKind] = tuple(NeedleKind), languages: Sequence[Language] = LANGUAGES
) -> list[Needle]:
    """`count` needles, kinds and languages in turn. The first n of a longer list are the list of n. No two share a name.

    Raises ValueError without kinds or languages.
    """
    if not kinds or not languages:
        raise ValueError("needles need at least one kind and one language")
    turns: list[tuple[NeedleKind, Language]] = [(kind, language) for kind in kinds for language in languages]
    names = _Names(random.Random(f"needles:{seed}"))
    return [_MAKERS[kind](names, language) for kind, language in (turns[at % len(turns)] for at in range(count))]


class _Names:
    """Names by type that were never given before."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self._given: set[str] = set()

    def new(self, kind: str, language: Language) -> str:
        size = 3
        while True:
            one, two = ("".join(self.draw.sample(_SYLLABLES, self.draw.randint(2, size))) for _ in range(2))
            sign = "".join(self.draw.sample(_SIGNS, size))
            root = sign if language == "zh" else one
            if root not in self._given:
                self._given.add(root)
                form = self.draw.choice(_FORMS[kind][language])
                return form.format(A=one.title(), a=one, B=two.title(), 甲=sign)
            size = 4

    def told(self, relation: _Relation, language: Language, subject: str, thing: str) -> str:
        sentence = self.draw.choice(relation.told[language]).format(s=subject, o=thing)
        return sentence[0].upper() + sentence[1:]

    def decoy(self, relation: _Relation, language: Language) -> str:
        return self.told(relation, language, self.new(relation.subject, language), self.new(relation.object, language))


def _single(names: _Names, language: Language) -> Needle:
    relation = names.draw.choice(_RELATIONS)
    subject, thing = names.new(relation.subject, language), names.new(relation.object, language)
    sentence = names.told(relation, language, subject, thing)
    decoys = (names.decoy(relation, language), names.decoy(relation, language))
    return Needle(relation.asked[language].format(s=subject), (sentence,), (thing,), NeedleKind.SINGLE, language, decoys)


def _list(names: _Names, language: Language) -> Needle:
    relation = names.draw.choice([relation for relation in _RELATIONS if relation.many])
    subject = names.new(relation.subject, language)
    things = tuple(names.new(relation.object, language) for _ in range(names.draw.randint(3, 5)))
    sentences = tuple(names.told(relation, language, subject, thing) for thing in things)
    question = (relation.many or relation.asked)[language].format(s=subject)
    decoys = (names.decoy(relation, language), names.decoy(relation, language))
    return Needle(question, sentences, things, NeedleKind.LIST, language, decoys)


def _multi_topic(names: _Names, language: Language) -> Needle:
    parts = [_single(names, language) for _ in range(names.draw.randint(2, 3))]
    return Needle(
        (" " if language == "en" else "").join(part.question for part in parts),
        tuple(part.sentences[0] for part in parts),
        tuple(part.answers[0] for part in parts),
        NeedleKind.MULTI_TOPIC,
        language,
        tuple(part.decoys[0] for part in parts),
    )


def _multi_hop(names: _Names, language: Language) -> Needle:
    """A walk over relations in which the object of one fact is the subject of the next; only its end is asked for."""
    path = [names.draw.choice(_RELATIONS)]
    wanted = names.draw.randint(2, 3)
    while len(path) < wanted or len(path) < 2:
        following = [relation for relation in _RELATIONS if relation.subject == path[-1].object and relation not in path]
        if following:
            path.append(names.draw.choice(following))
        elif len(path) > 1:
            break
        else:
            path = [names.draw.choice(_RELATIONS)]
    subject = names.new(path[0].subject, language)
    asked, sentences, here = subject, [], subject
    for relation in path:
        thing = names.new(relation.object, language)
        sentences.append(names.told(relation, language, here, thing))
        noun, here = relation.noun[language], thing
        asked = f"the {noun} of {asked}" if language == "en" else f"{asked}的{noun}"
    question = f"What or who is {asked}?" if language == "en" else f"{asked}是什么或是谁？"
    decoys = tuple(names.decoy(relation, language) for relation in path)
    return Needle(question, tuple(sentences), (here,), NeedleKind.MULTI_HOP, language, decoys)


_MAKERS = {
    NeedleKind.SINGLE: _single,
    NeedleKind.LIST: _list,
    NeedleKind.MULTI_TOPIC: _multi_topic,
    NeedleKind.MULTI_HOP: _multi_hop,
}

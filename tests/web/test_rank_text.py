"""Words, chunks and hosts: what ranking sees of a text and of an address."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.rank.chunks import CHARACTERS_PER_WORD, chunks
from aag_ray.web.rank.hosts import publisher
from aag_ray.web.rank.lexical import bm25, question_words, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The capital of Peru.", ["the", "capital", "of", "peru"]),
        ("Straße ÉCOLE ﬁx", ["strasse", "école", "fix"]),
        ("in 1990/95, 3.5%", ["in", "1990", "95", "3", "5"]),
        ("秘鲁的首都", ["秘鲁", "鲁的", "的首", "首都"]),
        ("京", ["京"]),
        ("iPhone発売日", ["iphone", "発売", "売日"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("!? …", []),
        ("", []),
    ],
)
def test_words_are_folded_and_unspaced_scripts_come_in_pairs(text, found):
    assert words(text) == found


def test_a_question_is_about_its_content_words_or_all_of_its_words():
    assert question_words("what is the capital of Peru") == ["capital", "peru"]
    assert question_words("who are you") == ["who", "are", "you"]


class TestBm25:
    def test_the_text_with_the_rare_word_wins(self):
        texts = ["the capital is large", "the capital of Peru is Lima", "which what is the of"]
        scores = bm25("what is the capital of Peru", texts)
        assert scores[1] > scores[0] > scores[2] == 0.0

    def test_no_word_in_common_scores_nothing(self):
        assert bm25("zebra", ["one", "two"]) == [0.0, 0.0]

    @pytest.mark.parametrize(
        ("query", "texts"), [("", ["a"]), ("q", []), ("q", [""]), ("q", ["", "!"]), ("秘鲁", ["秘鲁的首都"])]
    )
    def test_nothing_is_too_little(self, query, texts):
        assert len(bm25(query, texts)) == len(texts)

    @given(st.text(max_size=20), st.lists(st.text(max_size=30), max_size=5))
    def test_scores_are_never_negative(self, query, texts):
        assert all(score >= 0 for score in bm25(query, texts))


class TestChunks:
    def test_they_overlap_and_reach_the_end(self):
        text = " ".join(map(str, range(10)))
        assert chunks(text, 4, 1) == ["0 1 2 3", "3 4 5 6", "6 7 8 9"]

    def test_a_short_text_is_one(self):
        assert chunks(" a\nb ", 4, 1) == ["a\nb"]
        assert chunks("  ", 4, 1) == [""]

    def test_a_word_without_end_is_cut(self):
        pieces = chunks("字" * 1000, 10, 2)
        assert "".join(pieces) == "字" * 1000
        assert max(map(len, pieces)) == 10 * CHARACTERS_PER_WORD

    @given(st.text("ab 字\n", max_size=300), st.integers(1, 9), st.data())
    def test_every_word_is_in_one_and_none_is_too_long(self, text, size, data):
        overlap = data.draw(st.integers(0, size // 2))
        pieces = chunks(text, size, overlap)
        assert all(piece in text and len(piece) <= size * CHARACTERS_PER_WORD for piece in pieces)
        assert set("".join(text.split())) == set("".join("".join(pieces).split()))
        if overlap == 0:
            assert "".join("".join(pieces).split()) == "".join(text.split())


class TestPublisher:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://www.bbc.co.uk/news", "bbc.co.uk"),
            ("https://NEWS.example.com:8443/", "example.com"),
            ("https://alice.github.io/x", "alice.github.io"),
            ("https://bob.github.io/", "bob.github.io"),
            ("https://example.com./", "example.com"),
            ("https://a.b.example.рф/", "example.xn--p1ai"),
            ("http://127.0.0.1:8081/", "127.0.0.1:8081"),
            ("http://[2001:db8::1]/", "2001:db8::1"),
            ("http://news.localhost:8081/", "news.localhost:8081"),
            ("http://site-a.test/", "site-a.test"),
            ("http://intranet/", "intranet"),
            ("https://com/", "com"),
        ],
    )
    def test_one_publisher_has_one_name(self, url, name):
        assert publisher(url) == name

    def test_no_network_is_asked_for_the_list_of_suffixes(self, monkeypatch):
        from aag_ray.web.rank.hosts import _extractor

        def refuse(*arguments: object, **more: object) -> None:
            raise AssertionError("somebody asked the network")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        _extractor.cache_clear()
        assert publisher("https://www.example.co.jp/") == "example.co.jp"

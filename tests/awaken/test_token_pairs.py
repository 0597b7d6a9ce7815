"""Pairs for tokens: keys that tell a text's own tokens apart, and values that hold what comes next."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.awaken.token_pairs import RIDGE, TokenPairs, WhitenedVocabulary, between, token_keys


class TestBetween:
    @pytest.mark.parametrize(
        ("mask", "inner"),
        [
            ([1, 1, 1, 1], [0, 1, 1, 0]),
            ([1, 1, 1, 0], [0, 1, 0, 0]),
            ([0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0]),
            ([1, 1, 0, 0], [0, 0, 0, 0]),
            ([1], [0]),
            ([0, 0], [0, 0]),
        ],
    )
    def test_first_last_and_padding_are_left_out(self, mask, inner):
        assert between(torch.tensor([mask])).int().tolist() == [inner]


class TestKeys:
    @settings(max_examples=30, deadline=None)
    @given(tokens=st.integers(3, 12), seed=st.integers(0, 99), size=st.floats(1e-3, 1e3))
    def test_each_answers_its_own_token_more_than_any_other(self, tokens, seed, size):
        x = torch.randn(1, tokens, 40, generator=torch.Generator().manual_seed(seed)) * size
        wanted = torch.ones(1, tokens, dtype=torch.bool)
        calls = token_keys(x, wanted)[0] @ (x - x.mean(1, keepdim=True))[0].T
        assert (calls.argmax(1) == torch.arange(tokens)).all()

    def test_they_are_ridge_regression(self):
        x = torch.randn(1, 6, 20, dtype=torch.float64)
        centred = x[0] - x[0].mean(0)
        centred = centred / centred.square().mean().sqrt()
        # the normal equations over all d_in coordinates, in place of the T x T system
        primal = torch.linalg.solve(centred.T @ centred + RIDGE * 20 * torch.eye(20, dtype=torch.float64), centred.T)
        scale = (x[0] - x[0].mean(0)).square().mean().sqrt()
        made = token_keys(x.float(), torch.ones(1, 6, dtype=torch.bool))[0]
        torch.testing.assert_close(made, (primal.T / scale).float(), atol=1e-5, rtol=1e-4)

    def test_they_are_exact_for_long_texts_and_under_autocast(self):
        x = torch.randn(3, 200, 64, generator=torch.Generator().manual_seed(1)) + 3
        wanted = torch.ones(3, 200, dtype=torch.bool)
        made = token_keys(x, wanted)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(token_keys(x, wanted), made)
        centred = (x - x.mean(1, keepdim=True)).double()
        scale = centred.square().mean((1, 2), keepdim=True).rsqrt()
        centred = centred * scale
        gram = centred @ centred.transpose(1, 2) / 64 + RIDGE * torch.eye(200, dtype=torch.float64)
        torch.testing.assert_close(gram @ made.double() / scale, centred / 64, atol=1e-5, rtol=1e-4)

    def test_tokens_that_are_not_wanted_have_no_key_and_no_influence(self):
        x, wanted = torch.randn(2, 7, 12), torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0]]).bool()
        made = token_keys(x, wanted)
        assert not made[~wanted].any()
        other = torch.where(wanted.unsqueeze(-1), x, torch.full_like(x, 1e4))
        torch.testing.assert_close(token_keys(other, wanted), made)

    def test_a_text_without_such_a_token_has_none_and_nothing_is_nan(self):
        assert torch.equal(token_keys(torch.randn(1, 4, 5), torch.zeros(1, 4, dtype=torch.bool)), torch.zeros(1, 4, 5))
        one = torch.tensor([[0, 1, 0, 0]]).bool()
        assert torch.equal(token_keys(torch.randn(1, 4, 5), one), torch.zeros(1, 4, 5))  # one token, centred, is nothing


class TestVocabulary:
    @pytest.fixture
    def alike(self):
        """Embeddings of which ten differ from each other in little of what they are."""
        draw = torch.Generator().manual_seed(4)
        rows = torch.randn(2000, 12, generator=draw) @ torch.diag(torch.logspace(0, -1, 12)) + 3
        rows[:10] = rows[0] + 0.1 * torch.randn(10, 12, generator=draw) * torch.logspace(-1, 0, 12)
        return rows

    def test_embeddings_are_left_as_they_are_before_it_is_fitted(self, alike):
        assert torch.equal(WhitenedVocabulary(12)(alike), alike)

    def test_after_that_they_vary_alike_in_every_direction(self, alike):
        vocabulary = WhitenedVocabulary(12)
        vocabulary.fit(alike)
        made = vocabulary(alike)
        torch.testing.assert_close(made.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
        torch.testing.assert_close(made.T @ made / len(made), torch.eye(12), atol=0.05, rtol=0)

    def test_what_is_alike_is_told_apart_better(self, alike):
        def cosines(rows):
            return torch.nn.functional.cosine_similarity(rows[0:1], rows[1:10])

        vocabulary = WhitenedVocabulary(12)
        vocabulary.fit(alike)
        assert (cosines(vocabulary(alike)) < cosines(alike - alike.mean(0)) - 0.005).all()

    def test_it_is_exact_under_autocast_and_for_narrow_types(self, alike):
        vocabulary = WhitenedVocabulary(12)
        vocabulary.fit(alike)
        exact = vocabulary(alike)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(vocabulary(alike), exact)
        assert vocabulary(alike.bfloat16()).dtype is torch.float32

    def test_directions_that_no_embedding_takes_are_not_blown_up(self):
        rows = torch.randn(50, 12, generator=torch.Generator().manual_seed(5)) @ torch.diag(torch.tensor([1.0] * 6 + [0.0] * 6))
        vocabulary = WhitenedVocabulary(12)
        vocabulary.fit(rows)
        assert vocabulary(rows)[:, 6:].abs().max() < 1e-3
        assert vocabulary.whitening.abs().max() < 100

    def test_it_is_no_weight_that_is_trained(self):
        assert not list(WhitenedVocabulary(4).parameters())
        assert WhitenedVocabulary(4).state_dict().keys() == {"mean", "whitening"}


class TestPairs:
    LAYERS, N, T, WIDTH, D_IN, D_OUT = 3, 2, 5, 8, 10, 6

    @pytest.fixture
    def pairs(self):
        torch.manual_seed(0)
        return TokenPairs(self.WIDTH, 4, self.LAYERS, self.D_IN, self.D_OUT)

    @pytest.fixture
    def given_(self):
        torch.manual_seed(1)
        keys = torch.randn(self.LAYERS, self.N, self.T, self.D_IN)
        states = torch.randn(self.LAYERS, self.N, self.T, self.WIDTH)
        return keys, states, torch.randn(self.N, self.T, self.WIDTH), torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]]).bool()

    def test_at_the_start_a_is_the_key_and_b_is_zero(self, pairs, given_):
        keys, *_, wanted = given_
        a, b = pairs(*given_)
        torch.testing.assert_close(a.transpose(2, 3), keys * wanted[..., None])
        assert not b.any()

    def test_shapes(self, pairs, given_):
        a, b = pairs(*given_)
        assert a.shape == (self.LAYERS, self.N, self.D_IN, self.T)
        assert b.shape == (self.LAYERS, self.N, self.T, self.D_OUT)

    def test_what_a_token_calls_up_is_the_embedding_of_the_one_after_it(self, pairs, given_):
        torch.nn.init.eye_(pairs.next_value)
        keys, states, embeddings, wanted = given_
        _, b = pairs(keys, states, embeddings, wanted)
        scaled = embeddings / embeddings.square().mean(-1, keepdim=True).sqrt()
        torch.testing.assert_close(b[:, :, 1], scaled[:, 2, : self.D_OUT].expand(self.LAYERS, -1, -1), atol=1e-4, rtol=1e-4)

    def test_a_gate_that_is_shut_takes_the_pair_away(self, pairs, given_):
        torch.nn.init.constant_(pairs.gate_bias, -50.0)
        assert pairs(*given_)[0].abs().max() < 1e-12

    def test_every_weight_gets_a_gradient_once_training_has_left_the_start(self, pairs, given_):
        for parameter in pairs.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        a, b = pairs(*given_)
        (a @ b).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in pairs.parameters())

"""The best adapter of a lower rank is the truncated singular value decomposition of every update."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.llm.adapters import Adapter
from aag_ray.llm.low_rank import of_rank


def drawn(rank, examples=2, d_in=11, d_out=7, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return Adapter(
        {"x": (torch.randn(examples, d_in, rank, generator=draw), torch.randn(examples, rank, d_out, generator=draw))}
    )


@settings(max_examples=40, deadline=None)
@given(rank=st.integers(1, 9), wanted=st.integers(1, 9), seed=st.integers(0, 99))
def test_no_adapter_of_that_rank_is_nearer(rank, wanted, seed):
    adapter = drawn(rank, seed=seed)
    left = adapter.deltas("x") - of_rank(adapter, wanted).deltas("x")
    dropped = torch.linalg.svdvals(adapter.deltas("x"))[:, wanted:]
    torch.testing.assert_close(left.square().sum((1, 2)), dropped.square().sum(1), atol=1e-3, rtol=1e-3)


def test_it_has_the_rank_that_was_asked_for():
    a, b = of_rank(drawn(9), 4).factors["x"]
    assert (a.shape, b.shape) == ((2, 11, 4), (2, 4, 7))


def test_what_is_not_above_the_rank_stays_as_it_is():
    adapter = drawn(3)
    assert all(torch.equal(*pair) for pair in zip(of_rank(adapter, 3).factors["x"], adapter.factors["x"], strict=True))


def test_an_update_of_low_rank_survives_however_many_pairs_it_is_made_of():
    one = drawn(2)
    (a, b), idle = one.factors["x"], torch.zeros(2, 6, 7)
    padded = Adapter({"x": (torch.cat([a, torch.randn(2, 11, 6)], 2), torch.cat([b, idle], 1))})
    torch.testing.assert_close(of_rank(padded, 2).deltas("x"), one.deltas("x"), atol=1e-4, rtol=1e-4)


def test_the_type_is_kept():
    a, b = of_rank(drawn(5).map(torch.Tensor.bfloat16), 2).factors["x"]
    assert (a.dtype, b.dtype) == (torch.bfloat16, torch.bfloat16)


def test_an_adapter_of_zeros_stays_one():
    assert not of_rank(drawn(5).zeroed(), 2).deltas("x").any()


def test_a_rank_of_nothing_is_refused():
    with pytest.raises(ValueError, match="an adapter of rank 0; the lowest is 1"):
        of_rank(drawn(5), 0)

"""Attention over states equals its formula, in values and gradients, and keeps nothing that is as large as the states."""

import pytest
import torch
import torch.nn.functional as F

from aag_ray.awaken.state_attention import StateAttention

LAYERS, EXAMPLES, TOKENS, WIDTH, QUERIES, H = 3, 2, 7, 24, 4, 10


def formula(weight, queries, states, mask):
    """Every state normalised, with a key and a value of its own."""
    keys, values = F.linear(F.rms_norm(states, (WIDTH,)), weight).chunk(2, dim=-1)
    expanded = queries.unsqueeze(1).expand(-1, EXAMPLES, -1, -1)
    return F.scaled_dot_product_attention(expanded, keys, values, attn_mask=mask.bool()[None, :, None, :])


@pytest.fixture
def given():
    draw = torch.Generator().manual_seed(4)
    queries = torch.randn(LAYERS, QUERIES, H, generator=draw).requires_grad_()
    states = torch.randn(LAYERS, EXAMPLES, TOKENS, WIDTH, generator=draw) * 10
    mask = torch.ones(EXAMPLES, TOKENS)
    mask[1, 4:] = 0
    torch.manual_seed(4)
    return StateAttention(WIDTH, H), queries, states, mask


def test_values_and_gradients_are_those_of_the_formula(given):
    attention, queries, states, mask = given
    gradients = []
    for made in (attention(queries, states, mask), formula(attention.weight, queries, states, mask)):
        gradients.append([made, *torch.autograd.grad((made * torch.arange(H)).sum(), (attention.weight, queries))])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_bfloat16_states_are_read_as_they_are(given):
    attention, queries, states, mask = given
    half = states.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        made = attention(queries, half, mask)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), formula(attention.weight, queries, half.float(), mask), atol=0.05, rtol=0.05)


def test_nothing_of_the_size_of_the_states_is_kept_but_the_states(given):
    attention, queries, states, mask = given
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attention(queries, states, mask)
    kept.pop(states.data_ptr())
    assert max(kept.values()) < states.nbytes

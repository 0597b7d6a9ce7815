"""A text as pairs of vectors, one for every token: what a layer is given there, and what comes next.

Their sum is a fast weight memory (Schlag et al. 2021, arXiv 2102.11174). Its keys come from ridge regression over what the
layer was given for the text itself, so that each is called up by its own token and not by the text's others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RIDGE = 0.1  # of the mean square of a centred input, which is brought to one
LEAST_VARIANCE = 1e-3  # of a direction of whitened embeddings, as a share of the mean over directions


def between(mask: Tensor) -> Tensor:
    """The tokens that stand between two others, of an (n, tokens) mask padded on either side.

    A text's first token takes up the attention that no other gets, with inputs hundreds of times as large as others' (Xiao et
    al. 2023, arXiv 2309.17453), and nothing follows its last.
    """
    there = mask.bool()
    inner = torch.zeros_like(there)
    inner[:, 1:-1] = there[:, 1:-1] & there[:, :-2] & there[:, 2:]
    return inner


@torch.no_grad()
def token_keys(inputs: Tensor, wanted: Tensor) -> Tensor:
    """Keys a (n, T, d_in) of inputs x (n, T, d_in) for the `wanted` (n, T) tokens, in float32; zero for the others.

    With x centred over the wanted tokens and scaled to mean square one, they minimise, for each token t, the sum over tokens
    s of (a_t . x_s - [s = t])^2 plus RIDGE * d_in |a_t|^2: a = (X X^T / d_in + RIDGE)^-1 X / d_in, which are the least-squares
    keys of a linear associative memory, as Meng et al. use for edits (2022, arXiv 2210.07229).
    """
    with torch.autocast(inputs.device.type, enabled=False):  # which would round the products that are solved for
        x, there = inputs.float(), wanted.unsqueeze(-1).float()
        size = x.shape[-1]
        count = there.sum(1, keepdim=True).clamp_min(1)
        x = (x - (x * there).sum(1, keepdim=True) / count) * there
        scale = (x.square().sum((1, 2), keepdim=True) / (count * size)).clamp_min(torch.finfo(torch.float32).eps).rsqrt()
        x = x * scale
        gram = x @ x.transpose(1, 2) / size
        gram.diagonal(dim1=1, dim2=2).add_(RIDGE)
        return torch.cholesky_solve(x / size, torch.linalg.cholesky(gram)) * scale


class WhitenedVocabulary(nn.Module):
    """Brings a vocabulary's embeddings to variance one in every direction; as it starts, it leaves them as they are.

    A small model's digits are nearly alike: what all of them share outweighs what tells them apart. Whitened, tokens stand as
    far apart as they can.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    @torch.no_grad()
    def fit(self, embeddings: Tensor) -> None:
        """On all embeddings (V, width) of a base model. Mean and matrix are kept with the weights."""
        rows = embeddings.to(self.mean.device, torch.float32)
        self.mean.copy_(rows.mean(0))
        rows = rows - self.mean
        variance, directions = torch.linalg.eigh(rows.T @ rows / len(rows))
        scale = (variance.clamp_min(0) + LEAST_VARIANCE * variance.mean()).rsqrt()
        self.whitening.copy_(directions * scale @ directions.T)

    def forward(self, embeddings: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            return (embeddings.float() - self.mean) @ self.whitening


class TokenPairs(nn.Module):
    """The pairs of `layers` layers of one shape, from keys k (`token_keys`):

    a = g (k + [s ; e] P Q / sqrt(d_in)),   b = c e W + s U V,   g = 2 sigmoid([s ; e] w + d)

    s is the token's state that goes into the block and e the whitened embedding of the token after it, both divided by their
    root mean square. W is shared over the layers, everything else is each layer's own; U and P lead to h dimensions. W, V and Q
    start at zero, so that at the start b is zero and a is k.
    """

    def __init__(self, width: int, h: int, layers: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.next_value = nn.Parameter(torch.zeros(width, d_out))
        self.next_scale = nn.Parameter(torch.ones(layers, 1, 1, 1))
        self.down_value = nn.Parameter(torch.randn(layers, 1, width, h) * width**-0.5)
        self.up_value = nn.Parameter(torch.zeros(layers, 1, h, d_out))
        self.down_key = nn.Parameter(torch.randn(layers, 1, 2 * width, h) * (2 * width) ** -0.5)
        self.up_key = nn.Parameter(torch.zeros(layers, 1, h, d_in))
        self.gate = nn.Parameter(torch.zeros(layers, 1, 2 * width, 1))
        self.gate_bias = nn.Parameter(torch.zeros(layers, 1, 1, 1))

    def forward(self, keys: Tensor, states: Tensor, embeddings: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (L, n, T, d_in), states (L, n, T, width), embeddings (n, T, width) and which of the (n, T) tokens are wanted
        -> a (L, n, d_in, T) and b (L, n, T, d_out), a zero for the others."""
        after = F.rms_norm(embeddings.float(), embeddings.shape[-1:]).roll(-1, dims=1)
        states = F.rms_norm(states.float(), states.shape[-1:])
        both = torch.cat([states, after.expand_as(states)], -1)
        gate = 2 * torch.sigmoid(both @ self.gate + self.gate_bias).to(keys.dtype)
        learned = both @ self.down_key @ self.up_key
        a = gate * (keys + learned * keys.shape[-1] ** -0.5) * wanted.unsqueeze(-1)
        b = self.next_scale * (after @ self.next_value) + states @ self.down_value @ self.up_value
        return a.transpose(-1, -2), b.to(keys.dtype)

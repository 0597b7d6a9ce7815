"""Cross-attention as a score of passages: what the first answer token looks at."""

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from aag_ray.awaken.fid import Fid
from aag_ray.awaken.fid_scores import passage_scores
from aag_ray.awaken.t5_layers import give_attention_maps, placed_shapes
from aag_ray.config import FidLoraSection
from aag_ray.llm.adapters import applied

EXAMPLES = [[[5, 6, 7, 8, 9, 10], [11, 12], [13, 14, 15]], [[16, 17, 18, 19]], [[20, 21], [22, 23, 24, 25, 26, 27, 28]]]


@pytest.fixture
def fid(t5, shape):
    return Fid(t5(shape))


def test_there_is_one_score_for_each_passage_and_the_shares_sum_to_one(fid):
    scores = passage_scores(fid, EXAMPLES)
    assert [len(example) for example in scores] == [3, 1, 2]
    for example in scores:
        assert sum(one.share for one in example) == pytest.approx(1.0, abs=1e-5)
        assert all(0 < one.share <= 1 for one in example)


def test_shares_are_the_model_s_own_attention_maps_over_layers_heads_and_tokens(fid):
    scores = passage_scores(fid, EXAMPLES)
    give_attention_maps(fid.loaded)
    fused = fid.encode(EXAMPLES)
    maps = fid.model(
        encoder_outputs=BaseModelOutput(fused.states),
        attention_mask=fused.mask,
        decoder_input_ids=torch.full((3, 1), 2),
        output_attentions=True,
    ).cross_attentions
    mean = torch.stack(maps).mean((0, 2))[:, 0]
    for row, example in enumerate(scores):
        expected = [mean[row, at : at + size].sum() for at, size in zip(fused.starts(row), fused.lengths[row], strict=True)]
        assert [one.share for one in example] == pytest.approx([float(value) for value in expected], abs=1e-5)


def test_scores_are_means_before_the_softmax_so_that_the_best_token_s_odds_follow(t5):
    """With one layer, one head and passages of one token, a softmax of the scores is the shares."""
    fid = Fid(t5(num_layers=1, num_decoder_layers=1, num_heads=1))
    [scores] = passage_scores(fid, [[[5], [6], [7]]])
    expected = torch.tensor([one.score for one in scores]).softmax(0)
    assert [one.share for one in scores] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_passage_scores_the_same_alone_in_its_batch_or_not(fid):
    together = passage_scores(fid, EXAMPLES)
    for row, inputs in enumerate(EXAMPLES):
        [alone] = passage_scores(fid, [inputs])
        assert [one.score for one in alone] == pytest.approx([one.score for one in together[row]], abs=1e-3)


def test_adapters_count(t5, random_adapter):
    fid = Fid(t5())
    shapes = placed_shapes(fid.loaded, FidLoraSection(modules=("q_proj", "k_proj"), placements=("decoder.cross_attention",)))
    with applied(fid.model, random_adapter(shapes, 3)):
        adapted = passage_scores(fid, EXAMPLES)
    assert abs(adapted[0][0].score - passage_scores(fid, EXAMPLES)[0][0].score) > 1e-3


def test_nothing_stays_on_the_model(fid):
    before = [len(layer._forward_hooks) for layer in fid.model.modules()]
    passage_scores(fid, EXAMPLES)
    assert [len(layer._forward_hooks) for layer in fid.model.modules()] == before

"""Adapters on a reader that fuses passages: every example has its own, on all of its passages, whatever the batch."""

import copy

import pytest
import torch
from peft import PeftModel

from aag_ray.awaken.fid import Fid
from aag_ray.awaken.t5_layers import placed_shapes
from aag_ray.config import FidLoraSection
from aag_ray.llm.adapters import AdapterError, applied, merge, rows_of
from aag_ray.llm.recompute import recompute_activations

ATTENTION, FEED_FORWARD = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
PLACEMENTS = [
    (("encoder.self_attention",), ATTENTION),
    (("decoder.self_attention",), ATTENTION),
    (("decoder.cross_attention",), ATTENTION),
    (("encoder.feed_forward",), FEED_FORWARD),
    (("decoder.feed_forward",), FEED_FORWARD),
    (("encoder.self_attention", "decoder.self_attention", "decoder.cross_attention", "feed_forward"), ATTENTION + FEED_FORWARD),
]
EXAMPLES = [[[5, 6, 7, 8, 9, 10], [11, 12], [13, 14, 15]], [[16, 17, 18, 19]], [[20, 21], [22, 23, 24, 25, 26, 27, 28]]]
TARGETS = ["Au", "the yen", "people"]


@pytest.fixture
def adapted(t5, random_adapter):
    """A reader of a shape, and an adapter of three examples on all or some of its layers."""

    def build(shape, placements=PLACEMENTS[-1], examples=3, size=0.2):
        fid = Fid(t5(shape))
        shapes = placed_shapes(fid.loaded, FidLoraSection(modules=placements[1], placements=placements[0]))
        return fid, random_adapter(shapes, examples, size=size)

    return build


def read(fid, examples, targets, *adapters):
    """(tokens, vocabulary) of each example."""
    batch = fid.targets(targets, 16)
    with torch.no_grad(), applied(fid.model, *adapters):
        logits, _ = fid.decode(fid.encode(examples), batch)
    return [logits[batch.row == row] for row in range(len(examples))]


def merged(fid, adapter, row):
    other = copy.copy(fid)
    other.model = copy.deepcopy(fid.model)
    merge(other.model, adapter.select([row]))
    return other


@pytest.mark.parametrize("placements", PLACEMENTS, ids=lambda placements: "+".join(placements[0]))
def test_each_example_reads_as_with_weights_that_hold_its_update(adapted, shape, placements):
    fid, adapter = adapted(shape, placements)
    together, base = read(fid, EXAMPLES, TARGETS, adapter), read(fid, EXAMPLES, TARGETS)
    for row in range(3):
        expected = read(merged(fid, adapter, row), EXAMPLES[row : row + 1], TARGETS[row : row + 1])[0]
        torch.testing.assert_close(together[row], expected, atol=1e-3, rtol=1e-3)
        assert (together[row] - base[row]).abs().max() > 1e-2


@pytest.mark.parametrize("bucket", [1, 9, None])
def test_groups_of_passages_of_several_examples_keep_their_adapters(adapted, bucket):
    fid, adapter = adapted("3b")
    expected = read(fid, EXAMPLES, TARGETS, adapter)
    fid._bucket = bucket
    for one, two in zip(read(fid, EXAMPLES, TARGETS, adapter), expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_zero_adapters_change_no_bit(adapted, shape):
    fid, adapter = adapted(shape)
    pairs = zip(read(fid, EXAMPLES, TARGETS, adapter.zeroed()), read(fid, EXAMPLES, TARGETS), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_one_shared_adapter_is_every_example_s(adapted):
    fid, adapter = adapted("base", examples=1)
    pairs = zip(read(fid, EXAMPLES, TARGETS, adapter), read(fid, EXAMPLES, TARGETS, adapter.select([0, 0, 0])), strict=True)
    for one, two in pairs:
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_gives_every_beam_its_own_example_s_adapter(adapted, beams):
    fid, adapter = adapted("3b", size=0.5)
    with applied(fid.model, adapter):
        together = fid.generate(EXAMPLES, 5, beams)
    for row in range(3):
        with applied(fid.model, adapter.select([row])):
            assert fid.generate([EXAMPLES[row]], 5, beams) == [together[row]]
    assert [one.text for one in together] != [one.text for one in fid.generate(EXAMPLES, 5, beams)]


def test_activations_computed_again_give_the_same_loss_and_gradients(adapted):
    fid, adapter = adapted("base")
    batch, found = fid.targets(TARGETS, 16), []
    fid._bucket = 9
    for again in (False, True):
        if again:
            recompute_activations(fid.model)
        own = adapter.map(lambda t: t.clone().requires_grad_())
        with applied(fid.model, own):
            logits, _ = fid.decode(fid.encode(EXAMPLES), batch)
        loss = torch.nn.functional.cross_entropy(logits, batch.label)
        loss.backward()
        found.append((loss.detach(), [t.grad for pair in own.factors.values() for t in pair]))
    (one, gradients), (two, others) = found
    torch.testing.assert_close(one, two)
    for gradient, other in zip(gradients, others, strict=True):
        assert gradient is not None
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # of the layers in other places, which PEFT leaves at zero
@pytest.mark.parametrize("placements", [PLACEMENTS[-1], PLACEMENTS[2]], ids=["everywhere", "cross-attention"])
def test_peft_loads_what_is_saved_with_equal_logits(adapted, placements, tmp_path):
    fid, adapter = adapted("3b", placements)
    ids, start = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[2, 9]])
    with torch.no_grad(), applied(fid.model, adapter.select([1])):
        expected = fid.model(input_ids=ids, decoder_input_ids=start).logits
    adapter.save_peft(tmp_path, "a/base-model", example=1)
    loaded = PeftModel.from_pretrained(fid.model, tmp_path).eval()
    assert type(loaded).__name__ == "PeftModelForSeq2SeqLM"
    with torch.no_grad():
        torch.testing.assert_close(loaded(input_ids=ids, decoder_input_ids=start).logits, expected, atol=1e-3, rtol=1e-3)


class TestRowsOf:
    def test_says_whose_each_row_is(self, adapted):
        fid, adapter = adapted("base")
        ids = torch.randint(3, 384, (4, 5))
        owners = torch.tensor([2, 0, 2, 1])
        with torch.no_grad(), applied(fid.model, adapter), rows_of(fid.model, owners, 3):
            mixed = fid.model.encoder(input_ids=ids).last_hidden_state
        for row, owner in enumerate(owners.tolist()):
            with torch.no_grad(), applied(fid.model, adapter.select([owner])):
                alone = fid.model.encoder(input_ids=ids[row : row + 1]).last_hidden_state
            torch.testing.assert_close(mixed[row : row + 1], alone, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize(("owners", "examples"), [([0, 1, 2, 0], 4), ([0, 1], 3)])
    def test_refuses_adapters_or_rows_of_another_number(self, adapted, owners, examples):
        fid, adapter = adapted("base")
        wrong = rf"3 adapters for 4 rows, but the rows said to be here are {len(owners)} of {examples} examples"
        rows = rows_of(fid.model, torch.tensor(owners), examples)
        with applied(fid.model, adapter), rows, pytest.raises(AdapterError, match=wrong):
            fid.model.encoder(input_ids=torch.ones(4, 3, dtype=torch.long))

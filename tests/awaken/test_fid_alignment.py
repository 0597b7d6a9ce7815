"""What is compared of student and teacher: the question's tokens in the encoder, the answer's in the decoder."""

import pytest
import torch
import torch.nn.functional as F

from aag_ray.awaken import losses
from aag_ray.awaken.fid import Fid
from aag_ray.awaken.fid_alignment import Read, alignment, keep_for, shared_beginning
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.t5_layers import give_attention_maps
from aag_ray.config import FidDistillSection

STUDENT = [[[5, 6, 7, 8]], [[9, 10, 30]]]
TEACHER = [[[5, 6, 7, 20, 21, 22], [5, 6, 7, 23]], [[9, 10, 24, 25]]]
QUESTION = [3, 2]
TARGETS = ["Au", "the yen"]


@pytest.mark.parametrize(
    ("mine", "theirs", "count"),
    [
        ([[5, 6, 7]], [[5, 6, 8], [5, 6, 7, 9]], 2),
        ([[5, 6, 7]], [[5, 6, 7]], 3),
        ([[5]], [[5, 6], [5, 7]], 1),
        ([[5, 6]], [[6, 5]], 0),
        ([[5, 6, 7], [5, 9, 9]], [[5, 6, 7]], 1),
    ],
)
def test_what_all_inputs_begin_with_alike_is_shared(mine, theirs, count):
    assert shared_beginning(mine, theirs) == count


def section(**weights):
    return FidDistillSection.model_validate({"kd": False, "layers": "all"} | weights)


@pytest.fixture
def read(t5):
    def build(examples, seed, question, distill, texts=TARGETS):
        reader = FidReader(t5("base", seed))
        give_attention_maps(reader.loaded)
        fid = Fid(reader.loaded)
        batch = fid.targets(texts, 16)
        fused = fid.encode(examples, keep_for(distill, reader, question))
        with torch.no_grad():
            _, output = fid.decode(fused, batch, output_hidden_states=True, output_attentions=True)
        return Read(fused, batch, output, [0, 1])

    return build


@torch.no_grad()
def alone(t5, seed, ids):
    """The encoder's states and attention maps of one input, by layer."""
    loaded = t5("base", seed)
    give_attention_maps(loaded)
    output = loaded.model.encoder(input_ids=torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
    return [state[0] for state in output.hidden_states[1:]], [each[0] for each in output.attentions]


def test_the_encoder_is_compared_on_the_question_with_every_passage_of_the_teacher(t5, read):
    distill = section(encoder_hidden=1.0, encoder_attention=1.0)
    values = alignment(distill, read(STUDENT, 1, QUESTION, distill), read(TEACHER, 2, QUESTION, distill), [0, 1], QUESTION)
    hidden, maps = [], []
    for student, passages, count in zip(STUDENT, TEACHER, QUESTION, strict=True):
        mine = alone(t5, 1, student[0])
        theirs = [alone(t5, 2, passage) for passage in passages]
        pairs = [(mine[0][n][:count], other[0][n][:count]) for other in theirs for n in (0, 1)]
        hidden.append(torch.stack([1 - F.cosine_similarity(a, b, dim=-1).mean() for a, b in pairs]).mean())
        pairs = [(mine[1][n][:, :count, :count], other[1][n][:, :count, :count]) for other in theirs for n in (0, 1)]
        maps.append(torch.stack([F.mse_loss(a, b) for a, b in pairs]).mean())
    torch.testing.assert_close(values["encoder_hidden"], torch.stack(hidden).mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(values["encoder_attention"], torch.stack(maps).mean(), atol=1e-6, rtol=1e-4)


def test_as_many_passages_are_compared_one_with_one(t5, read):
    """A student that reads what its teacher reads, in another order, is not compared crosswise."""
    distill = section(encoder_hidden=1.0)
    both = [TEACHER[0]]
    values = alignment(distill, read(both, 1, [3], distill, ["Au"]), read(both, 1, [3], distill, ["Au"]), [0], [3])
    assert values["encoder_hidden"].item() == pytest.approx(0.0, abs=1e-6)
    crosswise = alignment(
        distill, read([both[0][::-1]], 1, [3], distill, ["Au"]), read(both, 1, [3], distill, ["Au"]), [0], [3]
    )
    assert crosswise["encoder_hidden"].item() > 1e-5


def test_the_decoder_is_compared_on_the_answer_without_its_padding(read):
    distill = section(decoder_hidden=1.0, decoder_attention=1.0)
    student, teacher = read(STUDENT, 1, QUESTION, distill), read(TEACHER, 2, QUESTION, distill)
    values = alignment(distill, student, teacher, [0, 1], QUESTION)
    counts = student.batch.mask.sum(1).tolist()
    assert counts[0] != counts[1]
    hidden, maps = [], []
    for row, count in enumerate(counts):
        states = [[o.decoder_hidden_states[n + 1][row, :count] for n in (0, 1)] for o in (student.output, teacher.output)]
        hidden.append(losses.hidden_alignment(*states))
        attention = [
            [o.decoder_attentions[n][row, :, :count, :count] for n in (0, 1)] for o in (student.output, teacher.output)
        ]
        for part in (each for side in attention for each in side):
            torch.testing.assert_close(part.sum(-1), torch.ones(part.shape[:-1]))
        maps.append(losses.attention_divergence(*attention))
    torch.testing.assert_close(values["decoder_hidden"], torch.stack(hidden).mean())
    torch.testing.assert_close(values["decoder_attention"], torch.stack(maps).mean())


def test_cross_attention_is_compared_on_each_token_of_the_question_summed_over_the_passages_that_repeat_it(read):
    distill = section(cross_attention=1.0)
    student, teacher = read(STUDENT, 1, QUESTION, distill), read(TEACHER, 2, QUESTION, distill)
    value = alignment(distill, student, teacher, [0, 1], QUESTION)["cross_attention"]
    counts, expected = student.batch.mask.sum(1).tolist(), []
    mine = [each[0, :, : counts[0], :3] for each in student.output.cross_attentions]
    theirs = [each[0, :, : counts[0], :3] + each[0, :, : counts[0], 6:9] for each in teacher.output.cross_attentions]
    expected.append(losses.attention_alignment(mine, theirs))
    mine, theirs = ([each[1, :, : counts[1], :2] for each in one.output.cross_attentions] for one in (student, teacher))
    expected.append(losses.attention_alignment(mine, theirs))
    torch.testing.assert_close(value, torch.stack(expected).mean())


def test_an_example_that_shares_no_token_takes_no_part_in_what_is_compared_on_the_question(read):
    distill = section(encoder_hidden=1.0, cross_attention=1.0, decoder_hidden=1.0)
    question = [3, 0]
    student, teacher = read(STUDENT, 1, question, distill), read(TEACHER, 2, question, distill)
    some = alignment(distill, student, teacher, [0, 1], question)
    first = alignment(
        distill, read(STUDENT[:1], 1, [3], distill, TARGETS[:1]), read(TEACHER[:1], 2, [3], distill, TARGETS[:1]), [0], [3]
    )
    assert some["encoder_hidden"].item() == pytest.approx(first["encoder_hidden"].item(), abs=1e-5)
    assert some["cross_attention"].item() == pytest.approx(first["cross_attention"].item(), abs=1e-5)
    none = alignment(distill, student, teacher, [0, 1], [0, 0])
    assert set(none) == {"decoder_hidden"}


def test_nothing_is_kept_of_the_encoder_for_terms_of_the_decoder(t5):
    reader = FidReader(t5())
    assert keep_for(section(decoder_hidden=1.0, cross_attention=1.0), reader, [3]) is None
    kept = keep_for(section(encoder_hidden=1.0), reader, [3])
    assert kept is not None
    assert (kept.states, kept.maps, kept.layers) == (True, False, [0, 1])

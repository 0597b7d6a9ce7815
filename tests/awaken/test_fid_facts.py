"""The proof on T5: facts that are given in the parameters only are answered, on documents that training has not seen."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from aag_ray.awaken.fid_inputs import closed_book
from aag_ray.awaken.fid_objective import FidObjective
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.hypernetwork import build_hypernetwork
from aag_ray.awaken.t5_layers import placed_shapes
from aag_ray.config import FidDistillSection, FidHypernetworkSection
from aag_ray.llm.load import LoadedModel

ATTRIBUTES = {
    "colour": ("red", "blue", "green", "black", "white", "pink"),
    "animal": ("cat", "dog", "cow", "fox", "owl", "bee"),
    "food": ("rice", "bread", "corn", "soup", "figs", "eggs"),
}
TOWNS = tuple(f"town{number}" for number in range(40))


def word_model():
    """A frozen random encoder-decoder over whole words, so that every fact is one token."""
    words = ["<s>", "</s>", "<pad>", "Document", ":", "The", "in", "is", "what", "question:", *ATTRIBUTES, *TOWNS]
    words += [value for values in ATTRIBUTES.values() for value in values]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))  # pyright: ignore[reportCallIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    torch.set_num_threads(1)
    torch.manual_seed(29)
    tokens: dict[str, Any] = {"vocab_size": len(words), "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 2}
    config = T5Config(**tokens, d_model=64, d_kv=16, num_heads=4, d_ff=96, num_layers=2)
    model = T5ForConditionalGeneration(config).eval().requires_grad_(False)
    return LoadedModel(model, fast, torch.device("cpu"), torch.float32, "words", Path())


def fact_example(values, attribute, draw):
    """A town with a colour, an animal and a food in any order; the question, which is all that is read, asks for one."""
    town = draw.choice(TOWNS)
    facts = [f"The {name} in {town} is {value}" for name, value in zip(ATTRIBUTES, values, strict=True)]
    draw.shuffle(facts)
    target = values[list(ATTRIBUTES).index(attribute)]
    condition = f"Document : {' '.join(facts)}"
    return {"id": town, "inputs": closed_book(f"what is {attribute}"), "target": target, "condition": condition}


def test_facts_of_unseen_documents_are_answered_from_the_parameters_alone():
    loaded, draw = word_model(), random.Random(29)
    triples = [(c, a, f) for c in ATTRIBUTES["colour"] for a in ATTRIBUTES["animal"] for f in ATTRIBUTES["food"]]
    draw.shuffle(triples)
    seen, unseen = triples[:160], triples[160:]
    section = FidHypernetworkSection(
        modules=("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"),
        placements=("decoder.cross_attention", "decoder.feed_forward"),
        rank=8,
        width=64,
    )
    network = build_hypernetwork(section, placed_shapes(loaded, section), 64)
    reader = FidReader(loaded, hypernetwork=network, longest=64, longest_answer=3)
    objective = FidObjective(reader, FidDistillSection(kd=False))

    steps, warm_up, rate = 300, 50, 2e-3
    optimiser = torch.optim.AdamW(objective.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        batch = [fact_example(draw.choice(seen), draw.choice(list(ATTRIBUTES)), draw) for _ in range(32)]
        optimiser.param_groups[0]["lr"] = rate * min((step + 1) / warm_up, 1 - step / steps)
        optimiser.zero_grad()
        objective(batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimiser.step()

    asked = [fact_example(triple, attribute, draw) for triple in unseen for attribute in ATTRIBUTES]

    def accuracy(conditions):
        written = reader.answer([e["inputs"] for e in asked], conditions, max_new_tokens=2, batch=256)
        return sum(one.text == e["target"] for one, e in zip(written, asked, strict=True)) / len(asked)

    own = [example["condition"] for example in asked]
    assert accuracy(own) >= 0.8  # chance is one of six values
    assert accuracy([own[(row + 3 * 7) % len(own)] for row in range(len(own))]) <= 0.35  # of another document, seven on

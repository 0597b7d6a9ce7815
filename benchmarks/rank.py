"""Mixed ranking beside each single ranker and the search engine's own order, with and without a promoted wrong page.

    python benchmarks/rank.py [--questions 100] [--results 20] [--nq FILE] [--out benchmarks/results]

`world` asks the embedded world's own search endpoint over HTTP and ranks what it gives, by snippets and then by the pages'
text. Gold are the pages that state an accepted answer. Under `spam` the endpoint puts pages with wrong answers first.
`nq` ranks the ten passages of each question in a file of questions with `ctxs`, whose order (BM25) is the engine's; gold are
the passages with an answer, and under `spam` the best one without an answer is promoted to the first place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ONLY = {"engine": 0.0, "lexical": 0.0, "embedding": 0.0, "cross_encoder": 0.0, "recency": 0.0}
ALONE = {"stuffing_penalty": 0.0}
RANKERS: dict[str, dict[str, Any]] = {
    "engine's order": ALONE | {"weights": ONLY | {"engine": 1.0}},
    "BM25": ALONE | {"weights": ONLY | {"lexical": 1.0}},
    "MiniLM": ALONE | {"weights": ONLY | {"embedding": 1.0}},
    "equal weights": ALONE | {"weights": ONLY | {"engine": 1.0, "lexical": 1.0, "embedding": 1.0}},
    "default without the penalty": ALONE,
    "default": {},
}
SNIPPET_CHARACTERS = 200


class Question(NamedTuple):
    """What was asked, the URLs that answer it, what an engine found, and the text of each page by URL."""

    text: str
    gold: list[str]
    results: list[Any]
    pages: dict[str, str]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--results", type=int, default=20)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "nq_open" / "test.jsonl"
    parser.add_argument("--nq", type=Path, default=shared)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.embed import Embedder

    vectors: dict[str, Any] = {}
    embedder = Embedder.load()

    def embed(texts: list[str]) -> Any:
        import numpy as np

        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        vectors.update(zip(new, embedder.embed(new), strict=True)) if new else None
        return np.stack([vectors[text] for text in texts])

    rows: list[dict[str, Any]] = []
    for bias in ("none", "spam"):
        found = await from_world(bias, options.questions, options.results)
        rows += compared({"source": "world", "bias": bias}, found, options.results, embed)
        if options.nq.exists():
            rows += compared({"source": "nq", "bias": bias}, from_nq(options.nq, bias, options.questions), 10, embed)
        else:
            print(f"{options.nq} is not there: without its passages")
    result = {"questions": options.questions, "results": options.results, "rows": rows, "machine": describe_machine()}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"rank-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")


async def from_world(bias: str, questions: int, results: int) -> list[Question]:
    """What the local search endpoint finds, and the text of each page."""
    from aag_ray.config import FetchSection, SearchSection
    from aag_ray.pages.blocks import read_page
    from aag_ray.web.encoding import decode_page
    from aag_ray.web.fetch import Fetcher
    from aag_ray.web.search.pool import SearchPool
    from aag_ray.web.search.request import SearchRequest
    from aag_ray.world.serve import LocalWeb
    from aag_ray.world.site import SiteSection

    found: list[Question] = []
    async with LocalWeb(SiteSection.model_validate({"bias": bias, "pages": 1600})).running() as web:
        asked = [row for row in web.truth() if row["row"] == "question" and row["gold"]][:questions]
        url = web.search_url.removesuffix("/search")
        search = SearchSection.model_validate({"providers": [{"kind": "searxng", "url": url}]})
        polite = {"delay_seconds": 0, "robots": False}
        fetch = FetchSection.model_validate({"guard": {"allow": web.allow}, "politeness": polite})
        async with SearchPool(search) as pool, Fetcher(fetch) as fetcher:
            for question in asked:
                answer = await pool.search(SearchRequest(question["question"], count=results, language="en"))
                texts: dict[str, str] = {}
                async for page in fetcher.fetch_all([result.url for result in answer.results]):
                    cleaned = read_page(decode_page(page.body, page.content_type).text, page.url).page if page.ok else None
                    texts[page.url] = cleaned.text if cleaned else ""
                found.append(Question(question["question"], question["gold"], list(answer.results), texts))
    return found


def from_nq(file: Path, bias: str, questions: int) -> list[Question]:
    """The passages of the first questions of a file. Each passage is a page of its own host; snippets are its first words."""
    from aag_ray.web.search.answer import SearchResult

    found: list[Question] = []
    for line in file.read_text().splitlines()[:questions]:
        row = json.loads(line)
        passages = sorted(row["ctxs"], key=lambda passage: -passage["score"])
        wrong = next((passage for passage in passages if not passage["has_answer"]), None)
        if bias == "spam" and wrong is not None:
            passages = [wrong, *(passage for passage in passages if passage is not wrong)]
        urls = [f"https://{passage['id']}.example/" for passage in passages]
        results = [
            SearchResult(url, passage["title"], passage["text"][:SNIPPET_CHARACTERS], rank, "bm25", ranks=(("bm25", rank),))
            for rank, (url, passage) in enumerate(zip(urls, passages, strict=True), 1)
        ]
        gold = [url for url, passage in zip(urls, passages, strict=True) if passage["has_answer"]]
        texts = {url: passage["text"] for url, passage in zip(urls, passages, strict=True)}
        found.append(Question(row["question"], gold, results, texts))
    return found


def compared(about: dict[str, str], found: Sequence[Question], most: int, embed: Any) -> list[dict[str, Any]]:
    """One row for each ranker."""
    from aag_ray.config import RankSection
    from aag_ray.pages.duplicates import originals
    from aag_ray.web.rank.mixed import Ranker
    from aag_ray.web.rank.ranked import PageText

    rows: list[dict[str, Any]] = []
    gold = [question.gold for question in found]
    limits = {"per_host": most, "snippets_kept": most, "pages_kept": most}
    for name, changed in RANKERS.items():
        ranker = Ranker(RankSection.model_validate(changed | limits), embed=embed, originals=originals)
        began = time.perf_counter()
        snippets = [[item.url for item in ranker.rank_snippets(each.text, each.results).items] for each in found]
        texts = [[PageText(result, each.pages[result.url]) for result in each.results] for each in found]
        pages = [
            [item.result.url for item in ranker.rank_pages(each.text, read).items]
            for each, read in zip(found, texts, strict=True)
        ]
        milliseconds = 1000 * (time.perf_counter() - began) / len(found)
        row = about | {"ranker": name, "questions": len(found), "ms": milliseconds}
        rows.append(row | measured("snippets", snippets, gold) | measured("pages", pages, gold))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def measured(stage: str, ranked: Sequence[list[str]], gold: Sequence[list[str]]) -> dict[str, float]:
    """nDCG at 5 and the share of questions with a gold page among the first 1 and 5."""
    from aag_ray.evaluate.retrieval_metrics import ndcg

    count = len(ranked)
    pairs = list(zip(ranked, gold, strict=True))
    return {
        f"{stage}_ndcg@5": sum(ndcg(urls, dict.fromkeys(right, 1.0), 5) for urls, right in pairs) / count,
        f"{stage}_gold@1": sum(bool(set(urls[:1]) & set(right)) for urls, right in pairs) / count,
        f"{stage}_gold@5": sum(bool(set(urls[:5]) & set(right)) for urls, right in pairs) / count,
    }


if __name__ == "__main__":
    asyncio.run(main())

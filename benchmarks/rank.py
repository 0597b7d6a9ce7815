"""Mixed ranking beside each single ranker and the search engine's own order, with and without a promoted wrong page.

    python benchmarks/rank.py [--questions 100] [--results 20] [--out benchmarks/results]

Asks the embedded world's own search endpoint over HTTP and ranks what it gives, by snippets and then by the pages' text.
Gold are the pages that state an accepted answer. Under `spam` the endpoint puts pages with wrong answers first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ONLY = {"engine": 0.0, "lexical": 0.0, "embedding": 0.0, "cross_encoder": 0.0, "recency": 0.0}
RANKERS: dict[str, dict[str, float] | None] = {
    "engine's order": ONLY | {"engine": 1.0},
    "BM25": ONLY | {"lexical": 1.0},
    "MiniLM": ONLY | {"embedding": 1.0},
    "equal weights": ONLY | {"engine": 1.0, "lexical": 1.0, "embedding": 1.0},
    "default weights": None,
}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--results", type=int, default=20)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

    from aag_ray.config import FetchSection, RankSection, SearchSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.embed import Embedder
    from aag_ray.pages.blocks import read_page
    from aag_ray.pages.duplicates import originals
    from aag_ray.web.encoding import decode_page
    from aag_ray.web.fetch import Fetcher
    from aag_ray.web.rank.mixed import Ranker
    from aag_ray.web.rank.ranked import PageText
    from aag_ray.web.search.pool import SearchPool
    from aag_ray.web.search.request import SearchRequest
    from aag_ray.world.serve import LocalWeb
    from aag_ray.world.site import SiteSection

    vectors: dict[str, Any] = {}
    embedder = Embedder.load()

    def embed(texts: list[str]) -> Any:
        import numpy as np

        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        vectors.update(zip(new, embedder.embed(new), strict=True)) if new else None
        return np.stack([vectors[text] for text in texts])

    rows: list[dict[str, Any]] = []
    for bias in ("none", "spam"):
        async with LocalWeb(SiteSection(bias=bias, pages=1600)).running() as web:
            asked = [row for row in web.truth() if row["row"] == "question" and row["gold"]][: options.questions]
            search = SearchSection.model_validate(
                {"providers": [{"kind": "searxng", "url": web.search_url.removesuffix("/search")}]}
            )
            fetch = FetchSection.model_validate(
                {"guard": {"allow": web.allow}, "politeness": {"delay_seconds": 0, "robots": False}}
            )
            found: list[tuple[dict[str, Any], list[Any], list[PageText]]] = []
            async with SearchPool(search) as pool, Fetcher(fetch) as fetcher:
                for question in asked:
                    answer = await pool.search(SearchRequest(question["question"], count=options.results, language="en"))
                    texts = {}
                    async for page in fetcher.fetch_all([result.url for result in answer.results]):
                        cleaned = read_page(decode_page(page.body, page.content_type).text, page.url).page if page.ok else None
                        texts[page.url] = cleaned.text if cleaned else ""
                    found.append((question, list(answer.results), [PageText(each, texts[each.url]) for each in answer.results]))
        for name, weights in RANKERS.items():
            changed = {} if weights is None else {"weights": weights}
            limits = {"per_host": options.results, "snippets_kept": options.results, "pages_kept": options.results}
            ranker = Ranker(RankSection.model_validate(changed | limits), embed=embed, originals=originals)
            began = time.perf_counter()
            snippets = [[item.url for item in ranker.rank_snippets(q["question"], results).items] for q, results, _ in found]
            pages = [[item.result.url for item in ranker.rank_pages(q["question"], texts).items] for q, _, texts in found]
            gold = [question["gold"] for question, _, _ in found]
            rows.append(
                {"bias": bias, "ranker": name, "ms": 1000 * (time.perf_counter() - began) / len(found)}
                | measured("snippets", snippets, gold)
                | measured("pages", pages, gold)
            )
            print(json.dumps(rows[-1]), flush=True)
    result = {"questions": options.questions, "results": options.results, "rows": rows, "machine": describe_machine()}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"rank-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")


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

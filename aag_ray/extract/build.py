"""From a configuration to a ready extractor, and from HTML or text to a tagged page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from aag_ray.artifacts import RunError, newest_run
from aag_ray.config import ExtractSection, ModelSection, PagesSection
from aag_ray.extract.evidence import Extractor, TaggedPage
from aag_ray.pages.page import Page, PageOutcome

ADAPTER_FILE = "adapter_config.json"


class ExtractorError(ValueError):
    """An extractor cannot be built as configured. The message names the key, its value and what is allowed."""


class CleanedPage(NamedTuple):
    """A tagged page and how its cleaning ended; without any span where that was not OK, and `detail` says why."""

    tagged: TaggedPage
    outcome: PageOutcome
    detail: str = ""


def build_extractor(section: ExtractSection) -> Extractor:
    """Load what `section.extractor` needs: nothing but words for `bm25` and `all`, otherwise models.

    `checkpoint` is a folder of `SpanScorer.save_pretrained` for `scorer`, and for `tags` a PEFT adapter of the model or a
    whole model. Without a model in the configuration `tags` takes the default language model, the others the default encoder.
    Raises ExtractorError for a checkpoint that cannot be used, ModelNotFound and ModelError for a model.
    """
    folder = _checkpoint(section)
    if section.extractor in ("bm25", "all"):
        from aag_ray.extract.baselines import Bm25Extractor, WholePageExtractor

        return Bm25Extractor(section) if section.extractor == "bm25" else WholePageExtractor(section)
    if section.extractor == "tags":
        return _tag_extractor(section, folder)
    if folder is not None:
        from safetensors import SafetensorError

        from aag_ray.extract.scorer import SpanScorer
        from aag_ray.extract.trained import ScorerExtractor

        try:
            return ScorerExtractor(section, SpanScorer.from_pretrained(folder))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ExtractorError(f"checkpoint={folder} holds no span scorer: {error}") from error
    from aag_ray.extract.baselines import EmbeddingExtractor
    from aag_ray.extract.zero_shot import ZeroShotExtractor
    from aag_ray.llm.embed import Embedder

    kind = EmbeddingExtractor if section.extractor == "embedding" else ZeroShotExtractor
    return kind(section, Embedder.load(section.model))


def with_newest_scorer(section: ExtractSection, runs: Path) -> ExtractSection:
    """The section with the scorer that was trained last below `runs`, where there is one; not if it names another model."""
    named = section.checkpoint is not None or section.model.name != ExtractSection().model.name
    if named or section.extractor != "scorer":
        return section
    try:
        folder = newest_run(runs, "scorer").folder / "scorer" / "model"
    except RunError:
        return section
    return section.model_copy(update={"checkpoint": str(folder)})


def _checkpoint(section: ExtractSection) -> Path | None:
    if section.checkpoint is None:
        return None
    if section.extractor not in ("scorer", "tags"):
        raise ExtractorError(f"checkpoint={section.checkpoint}: extractor={section.extractor} has nothing trained")
    folder = Path(section.checkpoint)
    if not folder.is_dir():
        raise ExtractorError(f"checkpoint={folder} is no folder; a trained extractor's is needed")
    return folder


def _tag_extractor(section: ExtractSection, folder: Path | None) -> Extractor:
    from aag_ray.extract.baselines import Bm25Extractor
    from aag_ray.extract.peft_adapter import load_adapter
    from aag_ray.extract.tag_model import TagExtractor, load_windows
    from aag_ray.llm.load import load_model

    model = section.model if "model" in section.model_fields_set else ModelSection()
    if model.name == ExtractSection().model.name:  # an encoder, which nobody meant: what was set is the rest of the section
        model = model.model_copy(update={"name": ModelSection().name})
    try:
        pages = load_windows(folder) if folder is not None else None
        if folder is not None and not (folder / ADAPTER_FILE).is_file():
            model, folder = ModelSection(name=str(folder.absolute()), dtype=model.dtype), None
        adapters = [load_adapter(folder)] if folder is not None else []
    except ValueError as error:
        raise ExtractorError(f"checkpoint={folder}: {error}") from error
    loaded = load_model(model)
    extractor = TagExtractor(section, loaded, Bm25Extractor(section), adapters=adapters, pages=pages)
    if section.decoding.engine == "vllm":
        from aag_ray.extract.vllm_writing import VllmWriter
        from aag_ray.llm.vllm_engine import VllmEngine

        extractor.writer = VllmWriter(VllmEngine(loaded, section.decoding), adapters, pages, section.batch)
    return extractor


def tag_page(
    source: str, url: str = "", *, kind: Literal["html", "text"] | None = None, config: PagesSection | None = None
) -> CleanedPage:
    """Clean decoded HTML or plain text and cut it into spans. What a page holds never raises: see `outcome`.

    Without a `kind`, what begins with "<" is HTML.
    """
    from aag_ray.pages.blocks import read_page
    from aag_ray.pages.plain import read_text
    from aag_ray.pages.spans import split_spans

    is_html = kind == "html" if kind else source.lstrip("\ufeff \t\r\n").startswith("<")
    result = (read_page if is_html else read_text)(source, url, config)
    page = result.page or Page(url, "", "", "", "", "", ())
    return CleanedPage(TaggedPage(page, split_spans(page, config)), result.outcome, result.detail)

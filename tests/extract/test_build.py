"""From a configuration to an extractor, from HTML or text to a tagged page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from aag_ray.config import ExtractSection, ModelSection, PagesSection
from aag_ray.extract.build import ExtractorError, build_extractor, tag_page, with_newest_scorer
from aag_ray.extract.tag_model import TagExtractor
from aag_ray.llm.adapters import StaticLora
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.resolve import ModelNotFound
from aag_ray.pages.page import PageOutcome

HTML = "<title>T</title><p>One is here. Two is there.</p>"


@pytest.mark.parametrize("name", ["bm25", "all"])
def test_words_need_no_model(name: str) -> None:
    code = (
        "import sys\nfrom aag_ray.config import ExtractSection\nfrom aag_ray.extract.build import build_extractor, tag_page\n"
        f"extractor = build_extractor(ExtractSection(extractor={name!r}))\n"
        "print(extractor.extract('gold', [tag_page('Gold is a metal.').tagged]).outcome)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "relevant\n"


def test_tags_are_emitted_by_the_model_named(tiny_model_folder: Path) -> None:
    model = ModelSection(name=str(tiny_model_folder), dtype="float32")
    extractor = build_extractor(ExtractSection(extractor="tags", model=model))
    extraction = extractor.extract("gold", [tag_page("Gold is a metal.\n\nRain is wet.").tagged])
    assert extraction.extractor == "tags"
    assert extraction.pages[0].detail in ("", "no span scores 0 or more")


@pytest.mark.model
def test_tags_keep_their_own_model_where_another_key_of_it_is_set() -> None:
    extractor = build_extractor(ExtractSection.model_validate({"extractor": "tags", "model": {"dtype": "float32"}}))
    assert isinstance(extractor, TagExtractor)
    assert isinstance(extractor.model, LlamaForCausalLM)
    assert extractor.model.dtype is torch.float32


def test_a_whole_model_can_be_the_checkpoint_of_tags(tiny_model_folder: Path) -> None:
    extractor = build_extractor(ExtractSection(extractor="tags", checkpoint=str(tiny_model_folder)))
    assert extractor.name == "tags"


def test_a_tag_model_reads_windows_of_the_length_that_it_was_trained_on(
    tiny_model_folder: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    whole, adapter = tmp_path / "whole", tmp_path / "adapter"
    shutil.copytree(tiny_model_folder, whole)
    StaticLora.on(tiny.model, ["q_proj"], 2, 4.0, 1)().detach().save_peft(adapter, "base")
    model = {"name": str(tiny_model_folder), "dtype": "float32"}
    for folder in (whole, adapter):
        section = ExtractSection.model_validate({"extractor": "tags", "checkpoint": str(folder), "model": model})
        for file, expected in ((None, (6000, 300)), ('{"window_tokens": 300}', (300, 75))):
            if file:
                (folder / "windows.json").write_text(file)
            pages = build_extractor(section).writer.pages  # type: ignore[attr-defined]
            assert (pages.window_tokens, pages.overlap_tokens) == expected
    (adapter / "windows.json").write_text("[]")
    with pytest.raises(ExtractorError, match=r"windows\.json does not say window_tokens"):
        build_extractor(section)


def test_the_scorer_trained_last_is_taken_where_none_is_named(tmp_path: Path) -> None:
    section = ExtractSection()
    assert with_newest_scorer(section, tmp_path) == section, "there is no run"
    for name, when in (("old", 1_000), ("new", 2_000), ("unfinished", 3_000)):
        folder = tmp_path / name / "scorer"
        (folder / "model").mkdir(parents=True)
        if name != "unfinished":
            (folder / "manifest.json").write_text("{}")
            os.utime(folder / "manifest.json", (when, when))
    assert with_newest_scorer(section, tmp_path).checkpoint == str(tmp_path / "new" / "scorer" / "model")
    other = ExtractSection(model=ModelSection(name="bge-small", dtype="float32"))
    for given in (ExtractSection(checkpoint="mine"), ExtractSection(extractor="bm25"), other):
        assert with_newest_scorer(given, tmp_path) == given


@pytest.mark.parametrize("name", ["bm25", "embedding", "all"])
def test_what_is_not_trained_takes_no_checkpoint(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExtractorError, match=f"extractor={name} has nothing trained"):
        build_extractor(ExtractSection.model_validate({"extractor": name, "checkpoint": str(tmp_path)}))


def test_a_checkpoint_that_is_not_there_or_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExtractorError, match="nowhere is no folder"):
        build_extractor(ExtractSection(checkpoint=str(tmp_path / "nowhere")))
    with pytest.raises(ExtractorError, match="holds no span scorer"):
        build_extractor(ExtractSection(checkpoint=str(tmp_path)))
    (tmp_path / "config.json").write_text('{"features": ["other"]}')
    with pytest.raises(ExtractorError, match="not a span scorer of this version"):
        build_extractor(ExtractSection(checkpoint=str(tmp_path)))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ExtractorError, match="no readable PEFT folder"):
        build_extractor(ExtractSection(extractor="tags", checkpoint=str(tmp_path)))


def test_a_model_that_leads_nowhere_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        build_extractor(ExtractSection(model=ModelSection(name=str(tmp_path / "nowhere"))))


def test_html_and_text_become_spans_on_the_page() -> None:
    for source in (HTML, "One is here. Two is there."):
        cleaned = tag_page(source, "https://a.example/")
        assert cleaned.outcome is PageOutcome.OK
        page = cleaned.tagged.page
        assert page.url == "https://a.example/"
        assert [page.text[s.start : s.end] for s in cleaned.tagged.spans] == ["One is here.", "Two is there."]


def test_the_kind_can_be_said() -> None:
    assert "<p>" in tag_page(HTML, kind="text").tagged.page.text
    assert tag_page("Just <b>this</b>", kind="html").tagged.page.text == "Just this"


@pytest.mark.parametrize(
    ("source", "limits", "outcome"),
    [
        ("", {}, PageOutcome.EMPTY),
        ("<html></html>", {}, PageOutcome.EMPTY),
        ("<p>" + "word " * 50, {"max_characters": 40}, PageOutcome.TOO_LARGE),
        ("word " * 50, {"max_characters": 40}, PageOutcome.TOO_LARGE),
    ],
)
def test_a_page_that_cannot_be_cleaned_has_no_spans_and_says_why(
    source: str, limits: dict[str, int], outcome: PageOutcome
) -> None:
    cleaned = tag_page(source, "https://a.example/", config=PagesSection.model_validate(limits))
    assert cleaned.outcome is outcome
    assert "https://a.example/" in cleaned.detail
    assert (cleaned.tagged.page.url, cleaned.tagged.spans) == ("https://a.example/", ())

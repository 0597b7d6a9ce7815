"""How evidence is taken from pages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from aag_ray.config.aag import DataSection, LoraSection
from aag_ray.config.basics import (
    ClusterSection,
    JobConfig,
    ModelSection,
    Natural,
    Positive,
    RunSection,
    Share,
    TrainingSection,
    UnpackedTraining,
)
from aag_ray.config.decoding import DecodingSection
from aag_ray.config.fetch import FetchSection
from aag_ray.settings import Section


class ExtractSection(Section):
    """Which extractor, and how much it may keep of all pages of one request.

    `budget` is a share of the pages' tokens, `max_tokens` a bound in tokens beside it. Spans that score below `threshold` are
    not evidence (None: what the extractor itself was calibrated to). Pages of fewer than `min_page_tokens` are too short.
    `checkpoint` is a folder of a trained extractor; without one the extractor works untrained and says so. `decoding` is for
    `tags`: with `engine: vllm` an adapter is applied by vLLM, which needs room of its own on the GPU.
    """

    extractor: Literal["scorer", "tags", "bm25", "embedding", "all"] = "scorer"
    model: ModelSection = ModelSection(name="all-minilm-l6-v2", dtype="float32")
    checkpoint: str | None = None
    budget: Share = 0.2
    max_tokens: Positive = 4096
    threshold: Share | None = None
    min_page_tokens: Natural = 1
    batch: Positive = 16
    decoding: DecodingSection = DecodingSection()


class ExtractorDataSection(DataSection):
    """Pages and questions to train an extractor on: QA files, or the embedded world; and made-up needles in their passages.

    A page is the first `contexts` passages of a question. `negatives` is the share of questions that also make a page without
    any passage that holds an answer. `needles` pages of passages get a made-up fact, at a random depth, asked for by name.
    Its language is one of `needle_languages` in turn, its depth one of `needle_depths` (0 the top, 1 the end; none: anywhere).
    `web` pages are those of the local web, with all that stands around an answer there; a third is about other subjects.
    `instructions` is the run of `jobs/build_instructions.py` whose confirmed labels are trained on too, each in its split.
    """

    negatives: Share = 0.5
    needles: Natural = 300
    needle_tokens: Positive = 1500
    needle_languages: tuple[Literal["en", "zh"], ...] = Field(default=("en",), min_length=1)
    needle_depths: tuple[Share, ...] = ()
    web: Natural = 0
    instructions: Path | None = None

    @model_validator(mode="after")
    def the_web_is_about_the_embedded_world(self) -> ExtractorDataSection:
        if self.web and self.files is not None:
            raise ValueError(f"web={self.web} asks for pages of the local web, which knows nothing of the questions in files")
        return self


class ScorerSection(Section):
    """The one-pass span scorer: a pretrained encoder (or decoder) with a small head, read in windows of `window` tokens.

    Spans that help count `positive_weight` times in the loss. For each window with evidence, up to `empty_windows` without
    are trained on: the half of them in which most of the question stands, and as many others. The lowest `frozen_layers`
    stay as they are, and so do the embeddings below. `model.dtype` is that of products; weights are float32.
    What a trained span scorer in the folder `teacher` says of training pages, or what the file `teacher_scores` does
    ({"id", "scores"} a JSON line: a page's id, and for each of its spans a number from 0 to 1), counts `teacher_weight` in the
    labels, gold the rest; where gold says nothing about a span, the teacher does alone.
    """

    model: ModelSection = ModelSection(name="all-minilm-l6-v2")
    window: Positive = 256
    empty_windows: float = Field(default=1.5, ge=0)
    width: Positive = 192
    frozen_layers: Natural = 0
    positive_weight: float = Field(default=4.0, gt=0)
    teacher: Path | None = None
    teacher_scores: Path | None = None
    teacher_weight: Share = 0.5
    training: UnpackedTraining = TrainingSection()

    @model_validator(mode="after")
    def one_teacher_at_most(self) -> ScorerSection:
        if self.teacher is not None and self.teacher_scores is not None:
            raise ValueError(f"teacher={self.teacher} and teacher_scores={self.teacher_scores}: set one of them")
        return self


class TagsSection(Section):
    """The tag-emitting language model, on windows of `window_tokens`, loss on the tags alone.

    `tune` says whether a LoRA on `model` or the whole model is trained; DPO trains a LoRA, which a whole model takes in.
    For each window with evidence, up to `empty_windows` without are trained on. With `dpo.steps` above 0 it then learns to
    prefer gold to its own mistakes: `pairs` of them, found on training windows, under `beta`. Unless `accumulation` is given,
    a worker reads one row at a time, so that none is padded.
    """

    model: ModelSection = ModelSection()
    tune: Literal["lora", "full"] = "lora"
    lora: LoraSection = LoraSection()
    window_tokens: Positive = 768
    empty_windows: float = Field(default=0.5, ge=0)
    sft: TrainingSection = TrainingSection()
    dpo: UnpackedTraining = TrainingSection(steps=0)
    pairs: Positive = 64
    beta: float = Field(default=0.1, gt=0)


class TrainExtractorConfig(JobConfig):
    """Everything `jobs/train_extractor.py` can be told. `stage` runs one stage on what is finished before it.

    `train` says which extractors a run trains.
    """

    run: RunSection = RunSection(name="extractor")
    stage: Literal["all", "data", "scorer", "tags"] = "all"
    seed: Natural = 29
    train: tuple[Literal["scorer", "tags"], ...] = ("scorer",)
    data: ExtractorDataSection = ExtractorDataSection()
    scorer: ScorerSection = ScorerSection()
    tags: TagsSection = TagsSection()
    cluster: ClusterSection = ClusterSection()


class HaystackSection(Section):
    """Texts to hide facts in ({"text"} a JSON line), their language, and the facts as in `grid.needles`."""

    path: Path
    language: Literal["en", "zh"] = "en"
    needles: Path | None = None


class GridSection(Section):
    """The needle grid: made-up facts hidden at `depths` (0 the top, 1 the end) of haystacks of `lengths` tokens.

    Haystacks are laid from the texts of `haystack` ({"text"} a JSON line), or from the test passages of the run without one.
    Facts are made up, or drawn from the rows of `needles` ({"question", "needles"} a JSON line, or NeedleBench's keys).
    `cases` is how many facts each cell hides, 0 for no grid at all. `haystacks` are measured one after another, each under the
    name of its file, instead of `haystack` in `language` with `needles`.
    """

    cases: Natural = 3
    lengths: tuple[Positive, ...] = (1024, 3840, 6656, 9472, 12288)
    depths: tuple[Share, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    haystack: Path | None = None
    needles: Path | None = None
    language: Literal["en", "zh"] = "en"
    haystacks: tuple[HaystackSection, ...] = ()

    @model_validator(mode="after")
    def haystacks_have_names(self) -> GridSection:
        names = [each.path.stem for each in self.haystacks]
        if len(set(names)) < len(names):
            raise ValueError(f"haystacks need files of different names, got {', '.join(names)}")
        if names and (self.haystack or self.needles):
            raise ValueError("haystacks take the place of haystack and needles; set one or the other")
        return self


class EndpointSection(Section):
    """A teacher behind an OpenAI-compatible endpoint. Its key stands in the environment variable `key_env` and nowhere else.

    `base_url` ends before /chat/completions; prices are for a million tokens; `requests_per_minute` None is no limit.
    """

    base_url: str
    model: str
    key_env: str | None = None
    max_tokens: Positive = 4096
    timeout_seconds: float = Field(default=120.0, gt=0)
    retries: Natural = 4
    concurrency: Positive = 10
    requests_per_minute: float | None = Field(default=None, gt=0)
    price_in: float = Field(default=0.0, ge=0)
    price_out: float = Field(default=0.0, ge=0)


class EvidenceAnswersSection(Section):
    """Do the answers come out? A reader answers `questions` of the relevant test pages (0: none) from the evidence alone.

    `reader` is the folder of a trained awakening model, such as `runs/embedded/hypernetwork/model`; without one the base model
    answers in its chat template. `judge` compares every extractor's answers with those from the whole page.
    """

    questions: Natural = 0
    reader: Path | None = None
    max_answer_tokens: Positive = 16
    batch: Positive = 8
    judge: EndpointSection | None = None


class EvaluateExtractorConfig(JobConfig):
    """Everything `jobs/evaluate_extractor.py` can be told: which extractors are measured, on the test pages of the run.

    `tags` is the run's own tag model, or an untrained one; `generating` the same base model writing what it finds: name them
    where there is time, for both decode, and take seconds a page on a CPU. `trafilatura` keeps main text, whatever is asked.
    All count their budget in tokens of `extract.model`, so that an equal budget is equal text.
    """

    run: RunSection = RunSection(name="extractor")
    seed: Natural = 29
    extractors: tuple[Literal["all", "trafilatura", "bm25", "embedding", "untrained", "scorer", "tags", "generating"], ...] = (
        "all",
        "trafilatura",
        "bm25",
        "embedding",
        "untrained",
        "scorer",
    )
    extract: ExtractSection = ExtractSection()
    split: Literal["dev", "test"] = "test"
    max_pages: Positive | None = None
    model: ModelSection = ModelSection()
    injections: bool = True
    grid: GridSection = GridSection()
    answers: EvidenceAnswersSection = EvidenceAnswersSection()
    bootstrap_samples: Positive = 2000


class RequestLogSection(Section):
    """Requests of a log of JSON lines, made at `start` or later and before `end` (ISO 8601 with an offset from UTC).

    `request`, `time` and `pages` are keys of a line. Pages are a list of URLs, of files below the log's folder, and of
    {"url", "html" or "text"}. If `searched` names a key, only lines where it is true count.
    """

    path: Path
    start: AwareDatetime
    end: AwareDatetime
    request: str = "request"
    time: str = "timestamp"
    pages: str = "pages"
    searched: str | None = None

    @model_validator(mode="after")
    def time_goes_on(self) -> RequestLogSection:
        if self.start >= self.end:
            raise ValueError(f"start={self.start.isoformat()} must be before end={self.end.isoformat()}")
        return self


class InstructionsSection(Section):
    """From requests and pages to an instruction set.

    `teacher` is who labels: `gold` knows the answers of the questions and needles in `data`; `local` is `model`; `endpoint`
    is asked over HTTP. The last two are asked twice, for the information and to check it, and label the requests and pages of
    `rows`, a file as `aag extract --input` reads it, and of `log`; with neither, the pages of `data`.
    `negatives` is the share in which nothing is relevant. Pages are near-duplicates from `similarity` on. Windows hold up to
    `window_tokens`, counted by `model`. All `actors` together keep to the rate and the concurrency of `endpoint`.
    """

    teacher: Literal["gold", "local", "endpoint"] = "gold"
    rows: Path | None = None
    log: RequestLogSection | None = None
    endpoint: EndpointSection | None = None
    model: ModelSection = ModelSection()
    max_new_tokens: Positive = 1024
    window_tokens: Positive = 6000
    negatives: float = Field(default=0.5, ge=0, lt=1)
    similarity: float = Field(default=0.8, gt=0, le=1)
    batch: Positive = 16
    actors: Positive = 1
    cpus_per_actor: float = Field(default=1.0, gt=0)
    gpus_per_actor: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def teacher_can_be_asked(self) -> InstructionsSection:
        if self.teacher == "endpoint" and self.endpoint is None:
            raise ValueError("teacher=endpoint needs endpoint.base_url and endpoint.model")
        if self.teacher == "gold" and (self.rows or self.log):
            raise ValueError("teacher=gold knows no answers to the requests of rows and log; use local or endpoint")
        return self


class BuildInstructionsConfig(JobConfig):
    """Everything `jobs/build_instructions.py` can be told. `fetch` is for pages that a log names."""

    run: RunSection = RunSection(name="instructions")
    seed: Natural = 29
    data: ExtractorDataSection = ExtractorDataSection()
    instructions: InstructionsSection = InstructionsSection()
    fetch: FetchSection = FetchSection()

    @model_validator(mode="after")
    def no_set_is_made_of_another(self) -> BuildInstructionsConfig:
        if self.data.instructions is not None:
            raise ValueError(f"data.instructions={self.data.instructions} is for jobs/train_extractor.py")
        return self

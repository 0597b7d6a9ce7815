"""The one-pass span scorer: an encoder reads each window of a page once, and the question once, and scores every span.

scorer = SpanScorer.from_pretrained(folder)
windows = scorer.windows(question, pages)
scores = scorer.score(windows)

Question and window are read apart and meet in the head, where the pretrained encoder's similarity and the words in common are
the start, and what is learned is added. On 110 development questions over ten passages each, 20 % of the tokens kept an answer
for 99 % before any training; reading both in one sequence kept it for 91 %, and for 63 % after 4,000 windows of training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from aag_ray.config import ModelSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.features import FEATURES, lexical_features
from aag_ray.llm.embed import Embedder
from aag_ray.llm.engine import length_batches, pad
from aag_ray.llm.load import choose_dtype

QUESTION_TOKENS, HEADING_TOKENS = 96, 32
# Where training starts from: what the cosine and each of FEATURES count in a logit, and what is taken off it.
START = (4.0, 1.0, 1.0, 1.0, 1.0, 0.0)
SHIFT = -4.0
# How near to 1 a score counts: sigmoids in single precision do not go further.
SMALLEST = 1e-7


@dataclass(frozen=True, slots=True)
class Window:
    """What the model reads at once: `ids`, and for spans `first`, `first` + 1, … (from 0) their token ranges and features.

    `question` holds the question's ids, the same in all windows of a request.
    """

    page: int
    first: int
    question: list[int]
    ids: list[int]
    ranges: list[tuple[int, int]]
    features: list[tuple[float, ...]]

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores are sigmoid(scale * span logit + page * window logit + shift); spans from `threshold` on are evidence.

    Of those only the ones whose log-odds are at most `margin` below the best span of the request (None: all): the longer the
    pages, the more spans pass any fixed threshold by chance. Fitted on dev, never on train.
    """

    scale: float = 1.0
    page: float = 0.0
    shift: float = 0.0
    threshold: float = 0.5
    margin: float | None = None
    fitted: bool = False

    def least(self, best: float) -> float:
        """From which score on a span is evidence where the best of the request scores `best`, both in [0, 1]."""
        if self.margin is None:
            return self.threshold
        odds = best / max(1 - best, SMALLEST) * math.exp(-self.margin)
        return max(self.threshold, odds / (1 + odds))


class SpanScorer(nn.Module):
    """A pretrained encoder (or decoder) with two small heads over its last states.

    A span v and the question q are means over their tokens, of unit length. A span's logit is a weighted sum of their cosine
    and what words alone say (FEATURES), and an MLP of (q * v, cosine, features) that starts at zero. `page` does the same for
    the window with its mean and the best of its spans: does it hold anything for the question? Weights are float32;
    products in the encoder are bfloat16 where `mixed` says so.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        window: int,
        width: int = 192,
        *,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.window, self.width, self.mixed = encoder, tokenizer, window, width, mixed
        size, signals = encoder.config.hidden_size, 1 + len(FEATURES)
        self.head, self.page = _mlp(size + signals, width), _mlp(size + signals + 1, width)
        self.signals = nn.Parameter(torch.tensor(START))
        self.shift = nn.Parameter(torch.tensor([SHIFT, SHIFT]))
        self.calibration = Calibration()

    @classmethod
    def new(
        cls, model: ModelSection, *, window: int = 512, width: int = 192, seed: int = 29, device: str | None = None
    ) -> SpanScorer:
        """An untrained head on a pretrained model. Raises ModelError where the model cannot be loaded."""
        base = Embedder.load(model.model_copy(update={"dtype": "float32"}), device)
        _drop_pooler(base.model)
        mixed = choose_dtype(model.dtype, base.device) is torch.bfloat16
        longest = getattr(base.model.config, "max_position_embeddings", window)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(base.model, base.tokenizer, min(window, longest), width, mixed=mixed).to(base.device)

    def train(self, mode: bool = True) -> SpanScorer:
        """The encoder stays as in use: dropout would make a resumed training another one."""
        super().train(mode)
        self.encoder.eval()
        return self

    @property
    def device(self) -> torch.device:
        return self.signals.device

    def windows(self, question: str, pages: Sequence[TaggedPage]) -> list[Window]:
        """Cut pages into windows between blocks; only a block that is longer than a window is cut, between spans.

        Every span is in exactly one window; what is longer than a window loses its end.
        """
        start, end = self._brackets()
        asked = [*start, *self._encoded([question])[0][: min(QUESTION_TOKENS, self.window - 2)], *end]
        found = []
        for number, page in enumerate(pages):
            if page.spans:
                # each page by itself, as in training: beside others about the same subject its name would count for little
                [features] = lexical_features(question, [page])
                tokens = self._encoded([page.page.text[span.start : span.end] for span in page.spans])
                for first, ids, ranges in self._cut(page, tokens, start, end):
                    held = features[first : first + len(ranges)]
                    found.append(Window(number, first, asked, ids, ranges, held))
        return found

    def _brackets(self) -> tuple[list[int], list[int]]:
        tokenizer: Any = self.tokenizer
        first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        last = tokenizer.sep_token_id
        return [first] if first is not None else [], [last] if last is not None else []

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[return-value]

    def _cut(
        self, page: TaggedPage, tokens: list[list[int]], start: list[int], end: list[int]
    ) -> Iterator[tuple[int, list[int], list[tuple[int, int]]]]:
        first = 0
        while first < len(tokens):
            path = " > ".join(page.page.blocks[page.spans[first].block].heading_path[-2:])
            above = self._encoded([path])[0][: min(HEADING_TOKENS, self.window // 8)] if path else []
            ids = [*start, *above, *(end if above else [])]
            room = self.window - len(ids) - len(end)
            last, length = first, len(tokens[first])
            while last + 1 < len(tokens) and length + len(tokens[last + 1]) <= room:
                last += 1
                length += len(tokens[last])
            if last + 1 < len(tokens):  # back to where a block ends, if this window holds such a place
                ends = [at for at in range(last, first - 1, -1) if page.spans[at].block != page.spans[at + 1].block]
                last = ends[0] if ends else last
            ranges = []
            for span in tokens[first : last + 1]:
                kept = span[: room if first == last else None]
                ranges.append((len(ids), len(ids) + len(kept)))
                ids += kept
            yield first, ids + end, ranges
            first = last + 1

    def forward(self, windows: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
        """Rows of windows -> logits of all their spans, one after another, and one logit per window."""
        questions = list(dict.fromkeys(tuple(window["question"]) for window in windows))
        asked, lengths = self._states(questions)
        asked = torch.stack([row[:length].mean(0) for row, length in zip(asked, lengths, strict=True)])
        asked = asked[[questions.index(tuple(window["question"])) for window in windows]]
        states, lengths = self._states([window["ids"] for window in windows])
        whole = torch.stack([row[:length].mean(0) for row, length in zip(states, lengths, strict=True)])
        row = torch.tensor([n for n, w in enumerate(windows) for _ in w["ranges"]], dtype=torch.long, device=self.device)
        features = [f for w in windows for f in w["features"]]
        inputs = self._inputs(
            asked[row],
            _span_means(states, [w["ranges"] for w in windows]),
            torch.tensor(features, dtype=torch.float32, device=self.device).view(-1, len(FEATURES)),
        )
        logits = self.head(inputs).squeeze(-1) + inputs[:, : len(START)] @ self.signals + self.shift[0]
        best = inputs.new_full((len(windows), len(START)), -1.0).scatter_reduce(
            0, row.unsqueeze(1).expand(-1, len(START)), inputs[:, : len(START)], "amax", include_self=False
        )
        top = logits.new_full((len(windows),), SHIFT).scatter_reduce(0, row, logits, "amax", include_self=False)
        product = nn.functional.normalize(asked, dim=-1) * nn.functional.normalize(whole, dim=-1)
        page = self.page(torch.cat([best, top.unsqueeze(1), product * self.scale], dim=-1)).squeeze(-1)
        return logits, page + best @ self.signals + self.shift[1]

    @property
    def scale(self) -> float:
        """Brings products of unit vectors to the size of the other inputs."""
        return self.encoder.config.hidden_size**0.5

    def _inputs(self, asked: Tensor, spans: Tensor, features: Tensor) -> Tensor:
        """(spans, 1 + FEATURES + d): cosine, features, and the scaled product of the unit vectors."""
        product = nn.functional.normalize(asked, dim=-1) * nn.functional.normalize(spans, dim=-1)
        return torch.cat([product.sum(-1, keepdim=True), features, product * self.scale], dim=-1)

    def _states(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
        tokenizer: Any = self.tokenizer
        ids, mask = pad(rows, tokenizer.pad_token_id, left=False, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states.float(), [len(row) for row in rows]

    @torch.inference_mode()
    def score(self, windows: Sequence[Window], batch: int = 16) -> list[tuple[list[float], float]]:
        """Each window's span scores and its own, calibrated, in [0, 1]; windows of similar length are read together."""
        chosen = self.calibration
        scores = []
        for spans, page in self.logits(windows, batch):
            calibrated = torch.sigmoid(spans * chosen.scale + page * chosen.page + chosen.shift)
            scores.append((calibrated.tolist(), float(torch.sigmoid(page))))
        return scores

    @torch.inference_mode()
    def logits(self, windows: Sequence[Window], batch: int = 16) -> list[tuple[Tensor, Tensor]]:
        """Each window's span logits and its own, in the order given."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows in length_batches([len(window.ids) for window in windows], batch):
            spans, pages = self([windows[row].to_row() for row in rows])
            parts = spans.split([len(windows[row].ranges) for row in rows])
            found.update(zip(rows, zip(parts, pages, strict=True), strict=True))
        return [found[row] for row in range(len(windows))]

    def save_pretrained(self, folder: Path) -> None:
        """config.json, model.safetensors with all weights, and the encoder's configuration and tokenizer beside them."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"window": self.window, "width": self.width, "mixed": self.mixed}
        config |= {"features": FEATURES, "calibration": asdict(self.calibration)}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file({n: t.detach().cpu().contiguous() for n, t in self.state_dict().items()}, folder / "model.safetensors")
        self.encoder.config.save_pretrained(folder / "encoder")
        self.tokenizer.save_pretrained(folder / "encoder")

    @classmethod
    def from_pretrained(cls, folder: Path | str, device: str | None = None) -> SpanScorer:
        """Raises FileNotFoundError, or ValueError naming the folder if it holds something else than this kind of scorer."""
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text())
        if tuple(config.get("features", ())) != FEATURES:
            raise ValueError(f"{folder} is not a span scorer of this version: its features are {config.get('features')}")
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(folder / "encoder"))
        _drop_pooler(encoder)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        mixed = config["mixed"] and choose_dtype("auto", place) is torch.bfloat16
        tokenizer = AutoTokenizer.from_pretrained(folder / "encoder")
        scorer = cls(encoder, tokenizer, config["window"], config["width"], mixed=mixed)
        scorer.load_state_dict(load_file(folder / "model.safetensors"))
        scorer.calibration = Calibration(**config["calibration"])
        return scorer.eval().requires_grad_(False).to(place)


def _mlp(size: int, width: int) -> nn.Sequential:
    last = nn.Linear(width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(size, width), nn.GELU(), last)


def _drop_pooler(encoder: Any) -> None:
    """Layers over the last state that some encoders bring along: nothing here uses or trains them."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None


def _span_means(states: Tensor, ranges: Sequence[Sequence[tuple[int, int]]]) -> Tensor:
    """(windows, tokens, d) states -> (all spans, d) means over each span's tokens; an empty span gives zeros."""
    length = states.shape[1]
    places = [(n * length + at, s) for s, (n, (left, right)) in enumerate(_flat(ranges)) for at in range(left, right)]
    count = sum(map(len, ranges))
    if not places:
        return states.new_zeros(count, states.shape[-1])
    token, span = torch.tensor(places, device=states.device).unbind(1)
    sums = states.new_zeros(count, states.shape[-1]).index_add(0, span, states.reshape(-1, states.shape[-1])[token])
    lengths = torch.bincount(span, minlength=count).clamp(min=1).unsqueeze(1)
    return sums / lengths


def _flat(ranges: Sequence[Sequence[tuple[int, int]]]) -> Iterator[tuple[int, tuple[int, int]]]:
    return ((number, each) for number, part in enumerate(ranges) for each in part)

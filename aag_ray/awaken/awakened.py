"""AAG in the user's words.

model = AwakeningModel.from_pretrained("runs/embedded/hypernetwork/model")
awakened = model.awaken("What is the capital of Peru?")
awakened.document, awakened.adapter, awakened.answer()

model.internalize("Lumora is a town. Its flag is green.")
model.answer("Which colour is the flag of Lumora?")
model.reset()
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aag_ray import prompts
from aag_ray.artifacts import write_json
from aag_ray.awaken.document_parts import document_parts
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import Hypernetwork
from aag_ray.awaken.reader import make_adapters
from aag_ray.config import DocumentIn, ModelSection
from aag_ray.llm.adapters import Adapter, StaticLora, compose
from aag_ray.llm.engine import Generation, TransformersEngine
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.resolve import resolve_trained
from aag_ray.llm.sft import load_lora, save_lora

CONFIG = "aag.json"
# Of documents that are read into the parameters: the length in tokens of what is read at once, and how many are kept.
READ_AT_ONCE = 512
KEPT_DOCUMENTS = 256


@dataclass(frozen=True)
class AwakeningSettings:
    """What `from_pretrained` needs besides weights. `generator` is the folder of the generator's LoRA, if it has one, on the
    model `generator_model`; None is the base model."""

    base_model: str
    generator: str
    generator_model: str | None = None
    document_in: DocumentIn = "both"
    max_document_tokens: int = 80
    max_answer_tokens: int = 16


@dataclass(frozen=True)
class Awakened:
    """One question, awakened: the dummy document, the adapter made from both, and the reader that answers with them."""

    question: str
    document: str
    adapter: Adapter
    model: AwakeningModel

    def answer(self, document_in: DocumentIn | None = None) -> str:
        """The reader's answer, with the document where the model was trained to want it, or where `document_in` says."""
        return self.model.read([self.question], [self.document], document_in, self.adapter)[0].text


class AwakeningModel:
    """One base model with a generator, a reader's LoRA and a hypernetwork over it."""

    def __init__(
        self,
        loaded: LoadedModel,
        settings: AwakeningSettings,
        generator: DocumentGenerator,
        reader: StaticLora | None,
        hypernetwork: Hypernetwork,
        batch: int = 64,
    ) -> None:
        """Raises AdapterError for a hypernetwork of another base model."""
        hypernetwork.refuse_other_base(loaded)
        self.loaded, self.settings, self.generator = loaded, settings, generator
        self.reader = reader.to(loaded.device) if reader is not None else None
        self.hypernetwork = hypernetwork.to(loaded.device)
        self.engine = TransformersEngine(loaded, batch)
        self._internalized: Adapter | None = None
        self._documents: OrderedDict[str, Adapter] = OrderedDict()

    @classmethod
    def from_pretrained(cls, folder: Path | str, loaded: LoadedModel | None = None) -> AwakeningModel:
        """Load what `save_pretrained` wrote, from a folder or a hub id. `loaded` spares loading the base model again.

        Raises ModelNotFound where neither holds such a model, AdapterError where `loaded` is another base model.
        """
        folder = resolve_trained(str(folder), CONFIG)
        settings = AwakeningSettings(**json.loads((folder / CONFIG).read_text()))
        loaded = loaded or load_model(ModelSection(name=settings.base_model))
        writer = loaded if settings.generator_model is None else load_model(ModelSection(name=settings.generator_model))
        own, reader = (load_lora(path) if path.exists() else None for path in (folder / settings.generator, folder / "reader"))
        generator = DocumentGenerator(writer, own, settings.max_document_tokens)
        return cls(loaded, settings, generator, reader, Hypernetwork.from_pretrained(folder / "hypernetwork"))

    def save_pretrained(self, folder: Path) -> None:
        """Write settings, reader and hypernetwork, and the generator's LoRA where it has one."""
        if self.reader is not None:
            save_lora(self.reader, folder / "reader")
        self.hypernetwork.save_pretrained(folder / "hypernetwork")
        if self.generator.lora is not None:
            save_lora(self.generator.lora, folder / self.settings.generator)
        write_json(folder / CONFIG, asdict(self.settings))

    def with_document_in(self, place: DocumentIn) -> AwakeningModel:
        self.settings = replace(self.settings, document_in=place)
        return self

    def awaken(self, question: str) -> Awakened:
        """Write the dummy document and make the adapter from question and document, once."""
        document = self.generator.write([""], [question])[0].text
        return Awakened(question, document, self.adapters([question], [document]), self)

    def adapters(self, questions: Sequence[str | None], documents: Sequence[str | None]) -> Adapter:
        """One adapter per pair; either half of a pair may be None."""
        texts = [prompts.condition_prompt(*pair) for pair in zip(questions, documents, strict=True)]
        return make_adapters(self.loaded, self.hypernetwork, texts)

    def read(
        self,
        questions: Sequence[str],
        documents: Sequence[str | None],
        document_in: DocumentIn | None = None,
        adapter: Adapter | None = None,
    ) -> list[Generation]:
        """Answers from documents given as text, in the parameters, or both. `adapter` spares making the adapters again."""
        place = document_in or self.settings.document_in
        if place != "text" and adapter is None:
            adapter = self.adapters(questions, documents)
        shown = documents if place != "parameters" else [None] * len(questions)
        return self.engine.generate(
            [prompts.reader_prompt(q, document=d) for q, d in zip(questions, shown, strict=True)],
            max_new_tokens=self.settings.max_answer_tokens,
            adapter=adapter if place != "text" else None,
            shared=self.shared,
        )

    @property
    def shared(self) -> list[Adapter]:
        return [self.reader()] if self.reader is not None else []

    def internalize(self, *documents: str) -> Adapter:
        """Read documents into the parameters: until `reset`, `answer` knows them without their text.

        Longer ones are read in parts; the adapters of parts and of several documents are joined along the rank. What was read
        lately is kept, by content, and not read again. Raises ValueError without a document.
        """
        if not documents:
            raise ValueError("there is no document to internalize")
        self._internalized = compose([self._adapter_of(document) for document in documents])
        return self._internalized

    def _adapter_of(self, document: str) -> Adapter:
        key = hashlib.sha256(document.encode()).hexdigest()
        if key not in self._documents:
            tokenizer: Any = self.loaded.tokenizer
            most = min(READ_AT_ONCE, self.hypernetwork.tokens_held or READ_AT_ONCE)
            parts = document_parts(document, most, lambda texts: [len(ids) for ids in tokenizer(list(texts))["input_ids"]])
            made = self.adapters([None] * len(parts), parts)
            self._documents[key] = compose([made.select([part]) for part in range(len(parts))])
        self._documents.move_to_end(key)
        while len(self._documents) > KEPT_DOCUMENTS:
            self._documents.popitem(last=False)
        return self._documents[key]

    def reset(self) -> None:
        """Forget what was internalised."""
        self._internalized = None

    def answer(self, question: str) -> str:
        """The reader's answer to a bare question, from its weights and the internalised documents if there are any."""
        if self._internalized is None:
            return self.read([question], [None], "text")[0].text
        return self.read([question], [None], "parameters", self._internalized)[0].text

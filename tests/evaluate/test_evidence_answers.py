"""Answers from evidence alone: what the reader is shown, how it is scored, and what a judge over HTTP makes of it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aag_ray.artifacts import RunError
from aag_ray.config import EndpointSection, EvidenceAnswersSection, ExtractSection, ModelSection
from aag_ray.evaluate.evidence_answers import EvidenceReader, check_judge, evidence_text, judge_answers, score_answers
from aag_ray.evaluate.extraction import predict
from aag_ray.evaluate.judge import JudgeOutcome
from aag_ray.extract.baselines import Bm25Extractor, MainTextExtractor, WholePageExtractor
from aag_ray.extract.build import tag_page
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.llm.engine import Generation

TEXT = "The capital of Peru is Lima. It rains there. The river is long."


def made(identity: str, question: str, answers: tuple[str, ...], text: str = TEXT) -> ExtractionExample:
    page = tag_page(text, "https://a.example/", kind="text").tagged.page
    return example(identity, question, page, (1,), "test", answers=answers)


EXAMPLES = [
    made("1", "What is the capital of Peru?", ("Lima",)),
    made("2", "Where does it rain?", ("in Lima", "Lima")),
]


def said(*texts: str, tokens: int = 10) -> list[Generation]:
    return [Generation(text, tokens, 1) for text in texts]


def test_evidence_is_shown_in_page_order():
    everything = next(predict(WholePageExtractor(ExtractSection()), EXAMPLES[:1]))
    assert evidence_text(EXAMPLES[0], everything) == TEXT
    few = next(predict(Bm25Extractor(ExtractSection(budget=0.5)), EXAMPLES[:1]))
    assert few.chosen
    assert all(EXAMPLES[0].text_of(number) in evidence_text(EXAMPLES[0], few) for number in few.chosen)
    assert len(evidence_text(EXAMPLES[0], few)) < len(TEXT)


def test_main_text_keeps_paragraphs_whatever_is_asked():
    long = "The capital of Peru is Lima, a large city on the coast with many people in it and a long history. " * 6
    kept = next(predict(MainTextExtractor(ExtractSection()), [made("3", "Anything?", ("Lima",), long)]))
    assert kept.chosen


def test_the_base_model_reads_the_evidence_in_its_prompt(tiny_model_folder: Path):
    model = ModelSection(name=str(tiny_model_folder), dtype="float32")
    reader = EvidenceReader(EvidenceAnswersSection(max_answer_tokens=3), model)
    with_text, without = reader.answer(EXAMPLES, ["The capital of Peru is Lima.", ""])
    alone = reader.answer(EXAMPLES[:1], [""])[0]
    assert with_text.prompt_tokens > alone.prompt_tokens
    assert without.prompt_tokens < with_text.prompt_tokens
    assert max(with_text.new_tokens, without.new_tokens) <= 3


def test_scores_are_means_in_percent_with_intervals():
    scores = score_answers(said("Lima", "It rains in Lima", tokens=21), EXAMPLES, samples=50)
    assert scores["em"]["value"] == 50
    assert scores["subspan"]["value"] == 100
    assert 50 < scores["f1"]["value"] < 100
    assert scores["em"]["n"] == 2
    assert scores["prompt_tokens"] == 21


@pytest.fixture
def endpoint() -> Iterator[EndpointSection]:
    """An OpenAI-compatible server on loopback that prefers the answer in which Lima stands."""

    class Judge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            first, second = prompt.split("[Answer A]")[1].split("[Answer B]")
            verdict = (
                "A" if "Lima" in first and "Lima" not in second else "B" if "Lima" in second and "Lima" not in first else "C"
            )
            choice = {"message": {"role": "assistant", "content": f"I see.\n[[{verdict}]]"}, "finish_reason": "stop"}
            reply = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield EndpointSection(base_url=f"http://127.0.0.1:{server.server_port}/v1", model="judge", retries=0)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_judge_behind_an_endpoint_compares_with_the_baseline(endpoint: EndpointSection):
    won, tied = judge_answers(endpoint, EXAMPLES, said("Lima", "Cusco"), said("Cusco", "Cusco"))
    assert (won.id, won.outcome, tied.outcome) == ("1", JudgeOutcome.WIN, JudgeOutcome.TIE)
    assert (won.to_row()["front"]["text"], won.to_row()["back"]["text"]) == ("I see.\n[[A]]", "I see.\n[[B]]")


def test_an_endpoint_that_is_down_judges_nothing(endpoint: EndpointSection):
    away = endpoint.model_copy(update={"base_url": "http://127.0.0.1:1/v1"})
    judged = judge_answers(away, EXAMPLES, said("Lima", "Lima"), said("Cusco", "Cusco"))
    assert [each.outcome for each in judged] == [JudgeOutcome.FAILED] * 2


def test_a_judge_that_can_never_be_asked_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(RunError, match="NO_SUCH_KEY with the key for http"):
        check_judge(EndpointSection(base_url="http://127.0.0.1:1/v1", model="judge", key_env="NO_SUCH_KEY"))
    with pytest.raises(RunError, match="must start with http"):
        check_judge(EndpointSection(base_url="127.0.0.1", model="judge"))

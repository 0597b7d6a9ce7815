"""The official client, and its own types held strictly: it reads what is sent, and what is sent is what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from aag_ray.answer.parts import Unavailable

WHY = "the official client is in the test extra"
openai: Any = pytest.importorskip("openai", reason=WHY)
chat: Any = pytest.importorskip("openai.types.chat", reason=WHY)
responses: Any = pytest.importorskip("openai.types.responses", reason=WHY)

Serve = Callable[..., Any]
EVENT: TypeAdapter[Any] = TypeAdapter(responses.ResponseStreamEvent)


@pytest.fixture
def client(serve: Serve) -> Callable[..., Any]:
    def made(*arguments: Any, **values: Any) -> Any:
        server = serve(*arguments, **values)
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)

    return made


def asked(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


class TestChat:
    def test_a_whole_answer(self, client: Any, web: Any) -> None:
        reply = client().chat.completions.create(model="aag-search", messages=asked(web.questions[0]["question"]))
        chat.ChatCompletion.model_validate(reply.model_dump())
        message = reply.choices[0].message
        pointed = message.annotations[0].url_citation
        assert message.content[pointed.start_index : pointed.end_index]
        assert pointed.url.startswith("http://127.0.0.")
        assert reply.aag["provenance"]["provenance"] == "from_pages"

    def test_a_reply_can_be_sent_back(self, client: Any) -> None:
        made = client()
        first = made.chat.completions.create(model="aag", messages=asked("Which city is the capital of Peru?"))
        turns = [*asked("Which city is the capital of Peru?"), first.choices[0].message, *asked("How large is it?")]
        assert made.chat.completions.create(model="aag", messages=turns).choices[0].message.content

    def test_a_stream(self, client: Any, web: Any) -> None:
        stream = client().chat.completions.create(
            model="aag-auto",
            messages=asked(web.questions[0]["question"]),
            stream=True,
            stream_options={"include_usage": True},
            web_search_options={"search_context_size": "low"},
            extra_body={"aag": {"pages": 2}},
        )
        chunks = list(stream)
        for chunk in chunks:
            chat.ChatCompletionChunk.model_validate(chunk.model_dump())
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        own = [chunk.aag["event"] for chunk in chunks if getattr(chunk, "aag", None)]
        assert own[:4] == ["started", "understood", "sources", "sources"]
        assert own[-1] == "done"
        noted = next(chunk.choices[0].delta.annotations for chunk in chunks if hasattr(chunk.choices[0].delta, "annotations"))
        assert text[noted[0]["url_citation"]["start_index"] : noted[0]["url_citation"]["end_index"]]
        assert chunks[-1].usage.total_tokens > 0
        assert not chunks[-1].choices
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == [
            "stop"
        ]

    def test_a_stream_that_fails_raises(self, client: Any, models: Any) -> None:
        made = client(models(known="one two three", fails=RuntimeError("broken")))
        stream = made.chat.completions.create(model="aag", messages=asked("Who?"), stream=True)
        with pytest.raises(openai.APIError, match="could not be made"):
            list(stream)

    def test_errors_are_its_own(self, client: Any, models: Any) -> None:
        made = client(models(fails=Unavailable("full", 2.0)))
        with pytest.raises(openai.NotFoundError):
            made.chat.completions.create(model="gpt-9", messages=asked("Who?"))
        with pytest.raises(openai.BadRequestError) as refused:
            made.chat.completions.create(model="aag", messages=asked("Who?"), stop=["x"])
        assert (refused.value.code, refused.value.param) == ("unknown_parameter", "stop")
        with pytest.raises(openai.InternalServerError):
            made.chat.completions.create(model="aag", messages=asked("Who?"))

    def test_models(self, client: Any) -> None:
        made = client()
        assert [model.id for model in made.models.list()] == ["aag-auto", "aag-search", "aag"]
        assert made.models.retrieve("aag").owned_by == "aag-ray"


class TestResponses:
    def test_a_whole_answer(self, client: Any, web: Any) -> None:
        question = web.questions[0]["question"]
        reply = client().responses.create(model="aag-search", input=question, tools=[{"type": "web_search"}], instructions="x")
        responses.Response.model_validate(reply.model_dump(warnings=False))
        call, message = reply.output
        assert (call.type, call.status, call.action.query) == ("web_search_call", "completed", question)
        assert call.action.sources
        annotation = message.content[0].annotations[0]
        assert annotation.type == "url_citation"
        assert reply.output_text[annotation.start_index : annotation.end_index]
        assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
        assert reply.aag["ignored"] == ["instructions"]

    def test_its_output_can_be_sent_back(self, client: Any, web: Any) -> None:
        made, question = client(), web.questions[0]["question"]
        first = made.responses.create(model="aag-search", input=question)
        turns = [{"role": "user", "content": question}, *first.output, {"role": "user", "content": "And why is it there?"}]
        again = made.responses.create(model="aag", input=turns)
        assert again.aag["parsed"]["question"].startswith(question)

    @pytest.mark.parametrize("model", ["aag", "aag-search", "aag-auto"])
    def test_a_stream_is_a_whole_story(self, client: Any, web: Any, model: str) -> None:
        events = list(client().responses.create(model=model, input=web.questions[0]["question"], stream=True))
        for event in events:
            EVENT.validate_python(event.model_dump(warnings=False))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        kinds = [event.type for event in events]
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        final = events[-1].response
        assert final.output_text == text
        if model != "aag":
            assert kinds.index("response.web_search_call.searching") < kinds.index("response.output_text.delta")
            added = [event for event in events if event.type == "response.output_text.annotation.added"]
            assert [event.annotation["url"] if isinstance(event.annotation, dict) else event.annotation.url for event in added]
        assert {item.type for item in final.output} == ({"message"} if model == "aag" else {"message", "web_search_call"})

    def test_a_cut_answer_is_incomplete(self, client: Any, models: Any) -> None:
        made = client(models(known="one two three"))
        reply = made.responses.create(model="aag", input="Who?", max_output_tokens=2)
        assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        kinds = [event.type for event in made.responses.create(model="aag", input="Who?", max_output_tokens=2, stream=True)]
        assert kinds[-1] == "response.incomplete"

    def test_a_stream_that_fails_says_so_twice(self, client: Any, models: Any) -> None:
        made = client(models(known="one two three", fails=RuntimeError("broken")))
        events = list(made.responses.create(model="aag", input="Who?", stream=True))
        assert [event.type for event in events[-2:]] == ["error", "response.failed"]
        assert events[-1].response.error.code == "server_error"

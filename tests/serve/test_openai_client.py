"""The official client, and its own types held strictly: it reads what is sent, and what is sent is what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from aag_ray.answer.parts import Unavailable
from aag_ray.config import SearchSection
from aag_ray.web.search.pool import SearchPool

WHY = "the official client is in the test extra"
openai: Any = pytest.importorskip("openai", reason=WHY)
chat: Any = pytest.importorskip("openai.types.chat", reason=WHY)
responses: Any = pytest.importorskip("openai.types.responses", reason=WHY)

Serve = Callable[..., Any]
EVENT: TypeAdapter[Any] = TypeAdapter(responses.ResponseStreamEvent)


@pytest.fixture
def client(serve: Serve) -> Callable[..., Any]:
    def made(*arguments: Any, key: str = "any", retries: int = 0, **values: Any) -> Any:
        server = serve(*arguments, **values)
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=retries)

    return made


BESIDE = "\U0001f3d4\ufe0f Nine purple dragons founded Atlantis."


def two_sentences(evidence: Any) -> str:
    """One that no page supports, of characters that other languages count twice, and one that a page does."""
    return f"{BESIDE} {evidence[0].text}"


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

    def test_its_own_gathering_of_a_stream(self, client: Any, web: Any) -> None:
        made, messages = client(), asked(web.questions[0]["question"])
        whole = made.chat.completions.create(model="aag-search", messages=messages)
        with made.chat.completions.stream(
            model="aag-search", messages=messages, stream_options={"include_usage": True}
        ) as stream:
            kinds = {event.type for event in stream}
            gathered = stream.get_final_completion()
        assert {"chunk", "content.delta", "content.done"} <= kinds
        assert gathered.choices[0].message.content == whole.choices[0].message.content
        assert gathered.choices[0].finish_reason == "stop"
        assert gathered.usage == whole.usage

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

    def test_places_are_of_the_sentence_that_is_cited(self, client: Any, models: Any, web: Any) -> None:
        made, question = client(models(writes=two_sentences)), web.questions[0]["question"]
        message = made.chat.completions.create(model="aag-search", messages=asked(question)).choices[0].message
        output = made.responses.create(model="aag-search", input=question).output[-1].content[0]
        assert message.content == output.text
        second = message.content.index(BESIDE) + len(BESIDE) + 1
        pointed = [each.url_citation for each in message.annotations]
        assert pointed
        for each, flat in zip(pointed, output.annotations, strict=True):
            assert each.start_index >= second
            assert message.content[each.start_index : each.end_index].strip() in message.content[second:]
            assert each.model_dump() == flat.model_dump(exclude={"type"})

    def test_own_fields_stand_under_one_key(self, client: Any, web: Any) -> None:
        made, question = client(), web.questions[0]["question"]
        reply = made.chat.completions.create(model="aag-search", messages=asked(question))
        assert set(reply.model_extra) == {"aag"}
        assert not reply.choices[0].model_extra
        assert not reply.choices[0].message.model_extra
        for chunk in made.chat.completions.create(model="aag-search", messages=asked(question), stream=True):
            assert set(chunk.model_extra) <= {"aag"}
        for event in made.responses.create(model="aag-search", input=question, stream=True):
            assert set(event.model_extra) <= {"aag"}, event.type

    def test_a_key_and_its_rate(self, client: Any) -> None:
        section = {"api_keys": [{"name": "amy", "key_env": "AMY", "requests_per_minute": 1.0, "burst": 1}]}
        with pytest.raises(openai.AuthenticationError):
            client(environment={"AMY": "secret"}, **section).models.list()
        made = client(environment={"AMY": "secret"}, key="secret", **section)
        made.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            made.models.list()
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.request_id

    def test_it_comes_again_by_itself_when_it_was_told_to(self, client: Any) -> None:
        section = {"api_keys": [{"name": "amy", "key_env": "AMY", "requests_per_minute": 60.0, "burst": 1}]}
        made = client(environment={"AMY": "secret"}, key="secret", retries=3, **section)
        assert [len(list(made.models.list())) for _ in range(2)] == [3, 3]

    @pytest.mark.asyncio
    async def test_its_asynchronous_sister_hears_it_all_and_may_leave(self, serve: Serve, models: Any) -> None:
        server = serve(models(known="one two three four"))
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as made:
            stream = await made.chat.completions.create(model="aag", messages=asked("Who?"), stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(said) == "one two three four"
            server.models.waits = 3600
            async with await made.chat.completions.create(model="aag", messages=asked("Who?"), stream=True) as stream:
                async for chunk in stream:
                    if chunk.choices[0].delta.content:
                        break
            for _ in range(500):
                if server.models.cancelled:
                    break
                await asyncio.sleep(0.01)
        assert server.models.cancelled == 1

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

    def test_a_search_that_failed_is_never_called_completed(self, client: Any) -> None:
        nobody = SearchPool(SearchSection(providers=()))
        events = list(client(pool=nobody).responses.create(model="aag-auto", input="Who?", stream=True))
        for event in events:
            EVENT.validate_python(event.model_dump(warnings=False))
        ended = [event.item for event in events if event.type == "response.output_item.done"]
        assert [(item.type, item.status) for item in ended] == [("web_search_call", "failed"), ("message", "completed")]
        assert "response.web_search_call.completed" not in {event.type for event in events}
        assert [item.status for item in events[-1].response.output] == ["failed", "completed"]

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

    def test_its_own_gathering_of_a_stream(self, client: Any, web: Any) -> None:
        made, question = client(), web.questions[0]["question"]
        whole = made.responses.create(model="aag-search", input=question, tools=[{"type": "web_search"}])
        with made.responses.stream(model="aag-search", input=question, tools=[{"type": "web_search"}]) as stream:
            for _ in stream:
                pass
            gathered = stream.get_final_response()
        assert gathered.output_text == whole.output_text
        assert gathered.usage == whole.usage
        notes = [reply.output[-1].content[0].annotations for reply in (gathered, whole)]
        assert [each.model_dump() for each in notes[0]] == [each.model_dump() for each in notes[1]]

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

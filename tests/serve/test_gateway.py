"""The gateway as clients see it: answers, limits, refusals, and a server that stays healthy."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aag_ray.answer.parts import Unavailable
from aag_ray.config import AnswerSection, BudgetSection
from aag_ray.config.serve import LiveSection
from aag_ray.serve.app import IdOfServe
from aag_ray.settings import ConfigError

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
WHO: dict[str, Any] = {"model": "aag", "messages": [{"role": "user", "content": "Who?"}]}
Serve = Callable[..., Any]


def error(response: Any) -> dict[str, Any]:
    """The error of a refusal, which must be in OpenAI's form."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    return body["error"]


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)


class TestAnswers:
    def test_from_memory(self, serve: Serve) -> None:
        reply = serve().ask("Which city is the capital of Peru?").json()
        assert reply["choices"][0]["message"]["content"] == "Lima"
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["model"] == "aag"
        assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
        assert reply["aag"]["provenance"]["provenance"] == "from_memory"
        assert reply["aag"]["memory"]["document"] == "They say it is Lima."

    def test_from_the_web_with_citations_that_hold(self, serve: Serve, web: Any) -> None:
        server, question = serve(), web.questions[0]
        reply = server.ask(question["question"], "aag-search").json()
        message, own = reply["choices"][0]["message"], reply["aag"]
        assert own["provenance"]["provenance"] == "from_pages"
        assert message["annotations"]
        for annotation, citation in zip(message["annotations"], own["citations"], strict=True):
            pointed = annotation["url_citation"]
            assert annotation["type"] == "url_citation"
            assert pointed["url"] == citation["url"]
            assert message["content"][pointed["start_index"] : pointed["end_index"]] in citation["text"]

    def test_what_was_said_before_counts(self, serve: Serve) -> None:
        messages = [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "Which city is the capital of Peru?"}]},
            {"role": "assistant", "content": "Lima", "refusal": None, "annotations": []},
            {"role": "user", "content": "How large is it?"},
        ]
        reply = serve().post(model="aag", messages=messages).json()
        assert reply["aag"]["parsed"]["question"].startswith("Which city is the capital of Peru? Lima")
        assert reply["aag"]["ignored"] == ["system messages"]

    def test_parameters_without_effect_are_named(self, serve: Serve) -> None:
        location = {"type": "approximate", "approximate": {"country": "CH"}}
        reply = serve().ask(temperature=0.3, seed=7, user=None, web_search_options={"user_location": location}).json()
        ignored = ["seed", "temperature", "web_search_options.user_location"]
        assert reply["aag"]["ignored"] == [*ignored, "web_search_options"], "memory searches for nothing"

    @pytest.mark.parametrize(
        ("path", "neutral"),
        [
            (CHAT, {"stop": None, "logprobs": False, "tools": [], "modalities": ["text"], "top_logprobs": None, "audio": None}),
            (
                CHAT,
                {"stop": [], "tools": None, "tool_choice": "auto", "logit_bias": {}, "functions": [], "function_call": None},
            ),
            (RESPONSES, {"previous_response_id": None, "conversation": None, "prompt": None, "top_logprobs": 0, "tools": []}),
        ],
    )
    def test_what_asks_for_nothing_may_be_said(self, serve: Serve, path: str, neutral: dict[str, Any]) -> None:
        asked = {"messages": [{"role": "user", "content": "Who?"}]} if path == CHAT else {"input": "Who?"}
        response = serve().post(path, model="aag", **asked, **neutral)
        assert response.status_code == 200, response.text
        assert response.json()["aag"]["ignored"] == []

    @pytest.mark.parametrize(
        ("turn", "heard"),
        [
            ({"content": None}, "Who?"),
            ({}, "Who?"),
            ({"content": None, "refusal": "I will not say."}, "Who? I will not say."),
            ({"content": [{"type": "refusal", "refusal": "I will not say."}]}, "Who? I will not say."),
        ],
    )
    def test_an_assistant_may_have_said_nothing_or_no(self, serve: Serve, turn: dict[str, Any], heard: str) -> None:
        user = {"role": "user", "content": "Who?"}
        server = serve()
        reply = server.post(model="aag", messages=[user, {"role": "assistant"} | turn, {"role": "user", "content": "And he?"}])
        assert reply.json()["aag"]["parsed"]["question"] == f"{heard} And he?"
        if isinstance(turn.get("content"), list):
            said = [user, {"type": "message", "role": "assistant", **turn}, {"role": "user", "content": "And he?"}]
            reply = server.post(RESPONSES, model="aag", input=said)
            assert reply.json()["aag"]["parsed"]["question"] == f"{heard} And he?"

    def test_responses_bring_back_what_their_request_said_of_itself(self, serve: Serve) -> None:
        reply = serve().post(RESPONSES, model="aag", input="Who?", metadata={"a": "b"}, instructions="Be short.").json()
        assert (reply["metadata"], reply["instructions"]) == ({"a": "b"}, "Be short.")
        assert reply["aag"]["ignored"] == ["instructions"]

    def test_an_answer_cut_by_its_tokens_says_length(self, serve: Serve, models: Any) -> None:
        reply = serve(models(known="one two three")).ask(max_completion_tokens=2).json()
        assert reply["choices"][0]["message"]["content"] == "one two"
        assert reply["choices"][0]["finish_reason"] == "length"

    def test_less_may_be_asked_for_and_never_more(self, serve: Serve, web: Any) -> None:
        server, question = serve(answer={"budget": {"pages": 3}}), web.questions[0]["question"]
        assert len(server.ask(question, "aag-search", aag={"pages": 1}).json()["aag"]["sources"]) == 1
        assert len(server.ask(question, "aag-search", aag={"pages": 9}).json()["aag"]["sources"]) == 3

    def test_what_is_allowed_is_what_the_policy_allows_now(self, serve: Serve, models: Any) -> None:
        server = serve(models(known="one two three four"), answer={"budget": {"answer_tokens": 3}})
        said = [server.ask().json()["choices"][0]["message"]["content"]]
        for tokens in (2, 4):
            server.gateway.policy.configure(AnswerSection(budget=BudgetSection(answer_tokens=tokens)))
            said.append(server.ask().json()["choices"][0]["message"]["content"])
        assert said == ["one two three", "one two", "one two three four"]

    def test_domains_hold(self, serve: Serve, web: Any) -> None:
        hosts = {host.address for host in web.local.site.ordinary}
        only = sorted(hosts)[0]
        body = {"model": "aag-search", "input": web.questions[0]["question"]}
        tool = {"type": "web_search", "filters": {"allowed_domains": [only]}}
        reply = serve().post(RESPONSES, **body, tools=[tool]).json()
        assert all(f"//{only}:" in source["url"] for source in reply["aag"]["sources"])

    def test_half_a_surrogate_pair_does_not_break_the_reply(self, serve: Serve, models: Any) -> None:
        response = serve(models(known="L\ud83dma")).ask()
        assert response.json()["choices"][0]["message"]["content"] == "L?ma"

    def test_what_a_part_says_of_its_failure_stays_in_the_log(self, serve: Serve, models: Any, web: Any) -> None:
        server = serve(models(fails=RuntimeError("a path of the server"), known="x"))
        for model in ("aag", "aag-search", "aag-auto"):
            response = server.ask(web.questions[0]["question"], model)
            assert "a path of" not in response.text
            assert "RuntimeError" not in response.text

    def test_every_answer_is_observed(self, serve: Serve) -> None:
        server = serve()
        server.ask()
        server.ask(stream=True)
        assert [(answer.text, client) for answer, client in server.observed] == [("Lima", "anybody")] * 2

    def test_half_of_the_pages_are_read_for_a_small_context(self, serve: Serve, web: Any) -> None:
        server, question = serve(answer={"budget": {"pages": 4}}), web.questions[0]["question"]

        def read(**more: Any) -> int:
            return len(server.ask(question, "aag-search", **more).json()["aag"]["sources"])

        assert [read(web_search_options={"search_context_size": size}) for size in ("low", "medium", "high")] == [2, 4, 4]

    def test_streamed_or_not_it_is_the_same_answer(self, serve: Serve, web: Any, streamed: Any) -> None:
        server, question = serve(), web.questions[0]["question"]
        whole = server.ask(question, "aag-search").json()
        messages = [{"role": "user", "content": question}]
        with streamed(server, model="aag-search", messages=messages, stream_options={"include_usage": True}) as lines:
            data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        *chunks, last = [json.loads(line) for line in data[:-1]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        message = whole["choices"][0]["message"]
        assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
        assert [delta["annotations"] for delta in deltas if "annotations" in delta] == [message["annotations"]]
        assert (last["choices"], last["usage"]) == ([], whole["usage"])
        assert {chunk["usage"] for chunk in chunks} == {None}
        assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in [*chunks, last]} == {
            (last["id"], "aag-search", "chat.completion.chunk")
        }
        with streamed(server, model="aag-search", messages=messages) as lines:
            assert not any('"usage"' in line for line in lines)


class TestModels:
    def test_the_modes_are_the_models(self, serve: Serve) -> None:
        client = serve(modes=["aag", "aag-search"]).client
        assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["aag", "aag-search"]
        assert client.get("/v1/models/aag").json()["object"] == "model"
        assert error(client.get("/v1/models/gpt"))["code"] == "model_not_found"

    def test_a_mode_that_is_off_is_no_model(self, serve: Serve) -> None:
        response = serve(modes=["aag"]).ask(model="aag-search")
        assert response.status_code == 404
        assert error(response)["message"] == "there is no model 'aag-search'; there are aag"

    def test_modes_change_while_it_runs(self, serve: Serve) -> None:
        server = serve(modes=["aag", "aag-search"])
        server.gateway.configure(LiveSection(modes=("aag-auto", "aag")))
        assert [row["id"] for row in server.client.get("/v1/models").json()["data"]] == ["aag-auto", "aag"]
        assert server.client.get("/healthz").json()["modes"] == ["aag-auto", "aag"]
        assert (server.ask(model="aag-search").status_code, server.ask(model="aag-auto").status_code) == (404, 200)
        api = server.client.get("/openapi.json").json()
        assert api["components"]["schemas"]["ChatRequest"]["properties"]["model"]["enum"] == ["aag-auto", "aag"]
        server.gateway.configure(LiveSection())
        assert server.client.get("/healthz").json()["modes"] == ["aag-auto", "aag"], "nothing was set"

    def test_health_tells_the_load(self, serve: Serve) -> None:
        assert serve(modes=["aag"]).client.get("/healthz").json() == {
            "status": "ok", "in_flight": 0, "waiting": 0, "modes": ["aag"],
        }  # fmt: skip


class TestWrongRequests:
    @pytest.mark.parametrize(
        ("body", "code", "param"),
        [
            ({}, "missing_required_parameter", "model"),
            ({"model": "aag"}, "missing_required_parameter", "messages"),
            ({"messages": []}, "invalid_value", "messages"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages[0].role"),
            ({"messages": [{"role": "assistant", "content": "x"}]}, "invalid_value", "messages"),
            ({"messages": [{"role": "user", "content": "?!"}]}, "invalid_value", "messages"),
            ({"messages": [{"role": "user", "content": "x" * 5000}]}, "context_length_exceeded", "messages"),
            ({"messages": [{"role": "user", "content": "x" * 900}] * 50}, "context_length_exceeded", "messages"),
            ({"messages": [{"role": "user", "content": "x"}] * 101}, "context_length_exceeded", "messages"),
            ({"messages": [{"role": "user", "content": "\ud800 what?"}]}, "invalid_value", "messages"),
            (
                {"messages": [{"role": "system", "content": "\udfff"}, {"role": "user", "content": "x"}]},
                "invalid_value",
                "messages",
            ),
            ({"messages": [{"role": "user", "content": None}]}, "invalid_value", "messages[0].content"),
            ({"tools": [{"type": "function"}]}, "unknown_parameter", "tools"),
            ({"logprobs": True}, "unknown_parameter", "logprobs"),
            ({"modalities": ["text", "audio"]}, "unknown_parameter", "modalities"),
            ({"n": 2}, "invalid_value", "n"),
            ({"stream": "yes"}, "invalid_value", "stream"),
            ({"max_tokens": 0}, "invalid_value", "max_tokens"),
            ({"aag": {"pages": 0}}, "invalid_value", "aag.pages"),
            ({"aag": {"seconds": "3"}}, "invalid_value", "aag.seconds"),
            ({"aag": {"include_domains": ["a b"]}}, "invalid_value", "aag"),
        ],
    )
    def test_of_chat_name_the_field(self, serve: Serve, body: dict[str, Any], code: str, param: str) -> None:
        whole = {"model": "aag", "messages": [{"role": "user", "content": "Who?"}]}
        self.refused(serve(), CHAT, body if code.startswith("missing") else whole | body, code, param)

    @pytest.mark.parametrize(
        ("body", "code", "param"),
        [
            ({"input": None}, "invalid_value", "input"),
            ({"input": []}, "invalid_value", "input"),
            ({"input": "\ud800 what?"}, "invalid_value", "input"),
            ({"input": "x" * 5000}, "context_length_exceeded", "input"),
            ({"input": [{"role": "user", "content": "x"}] * 101}, "context_length_exceeded", "input"),
            ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
            ({"input": [{"role": "assistant", "content": "x"}]}, "invalid_value", "input"),
            ({"previous_response_id": "r"}, "unknown_parameter", "previous_response_id"),
            ({"background": True}, "invalid_value", "background"),
            ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0].type"),
        ],
    )
    def test_of_responses_name_the_field(self, serve: Serve, body: dict[str, Any], code: str, param: str) -> None:
        self.refused(serve(), RESPONSES, {"model": "aag", "input": "Who?"} | body, code, param)

    @staticmethod
    def refused(server: Any, path: str, body: dict[str, Any], code: str, param: str) -> None:
        response = server.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        assert (error(response)["code"], error(response)["param"]) == (code, param)
        assert error(response)["type"] == "invalid_request_error"

    @pytest.mark.parametrize("body", [b"{", b"", b"[1]", b'"text"', b"\xff\xfe", b"null", b"[" * 10_000])
    def test_bodies_that_are_no_request(self, serve: Serve, body: bytes) -> None:
        server = serve()
        response = server.client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        error(response)
        assert server.ask().status_code == 200

    def test_unknown_paths_and_methods(self, serve: Serve) -> None:
        client = serve().client
        assert (client.get("/v1/nothing").status_code, error(client.get("/v1/nothing"))["code"]) == (404, "not_found")
        assert (client.get(CHAT).status_code, error(client.get(CHAT))["code"]) == (405, "method_not_allowed")

    def test_a_body_that_is_too_large_is_not_read(self, serve: Serve) -> None:
        server = serve(limits={"body_bytes": 2000})
        assert error(server.ask("x" * 3000))["code"] == "request_too_large"

        def endless() -> Any:
            for _ in range(100):
                yield b" " * 100

        response = server.client.post(CHAT, content=endless(), headers={"Content-Type": "application/json"})
        assert response.status_code == 413
        assert server.ask().status_code == 200

    def test_a_body_that_does_not_come_is_not_waited_for(self, serve: Serve) -> None:
        server = serve(limits={"body_seconds": 0.2})
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
            assert b" 408 " in half.recv(1000)


ONE_KEY: dict[str, Any] = {"api_keys": [{"name": "amy", "key_env": "AMY", "requests_per_minute": 1.0, "burst": 2}]}


class TestKeys:
    def test_without_the_key_nothing_below_v1_answers(self, serve: Serve) -> None:
        server = serve(environment={"AMY": "secret"}, **ONE_KEY)
        for response in (server.ask(), server.client.get("/v1/models")):
            assert response.status_code == 401
            assert error(response)["type"] == "authentication_error"
            assert response.headers["www-authenticate"] == "Bearer"
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/").status_code == 200

    def test_above_the_rate_a_client_waits(self, serve: Serve) -> None:
        server = serve(environment={"AMY": "secret"}, headers={"Authorization": "Bearer secret"}, **ONE_KEY)
        assert [server.ask().status_code for _ in range(3)] == [200, 200, 429]
        refused = server.ask()
        assert error(refused)["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert server.observed[0][1] == "amy"
        assert server.heard.statuses == [429, 429]

    def test_a_key_that_is_not_set_stops_the_start(self, serve: Serve) -> None:
        with pytest.raises(ConfigError, match="AMY of 'amy' is not set"):
            serve(**ONE_KEY)


class TestLoad:
    def test_beyond_the_line_requests_are_refused_at_once(self, serve: Serve, models: Any) -> None:
        server = serve(models(waits=1.0), limits={"in_flight": 1, "waiting": 1, "wait_seconds": 30.0})
        with ThreadPoolExecutor(6) as threads:
            replies = list(threads.map(lambda _: server.ask(), range(6)))
        statuses = sorted(reply.status_code for reply in replies)
        assert statuses == [200, 200, 503, 503, 503, 503]
        refused = next(reply for reply in replies if reply.status_code == 503)
        assert error(refused)["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        assert server.client.get("/healthz").json()["in_flight"] == 0
        assert server.heard.statuses == [503] * 4
        assert (max(server.heard.loads), server.heard.loads[-1]) == ((1, 1), (0, 0))

    def test_a_stream_is_refused_before_it_begins(self, serve: Serve, models: Any, streamed: Any) -> None:
        server = serve(models(known="a b", waits=1.0), limits={"in_flight": 1, "waiting": 0})
        with streamed(server, model="aag", messages=[{"role": "user", "content": "Who?"}]) as lines:
            next(lines)
            assert server.ask(stream=True).status_code == 503

    def test_a_model_without_room_is_503_and_a_broken_one_500(self, serve: Serve, models: Any) -> None:
        server = serve(models(fails=Unavailable("full", 7.0)))
        assert (server.ask().status_code, server.ask().headers["retry-after"]) == (503, "7")
        server.models.fails, server.models.known = RuntimeError("a path of the server"), "a b c"
        response = server.ask()
        assert response.status_code == 500
        assert "path" not in error(response)["message"]


class TestLeaving:
    @pytest.mark.parametrize("path", [CHAT, RESPONSES])
    @pytest.mark.parametrize("stream", [True, False])
    def test_work_ends_when_the_client_leaves(self, serve: Serve, models: Any, stream: bool, path: str) -> None:
        server = serve(models(known="a b", waits=3600))
        host, port = server.url.removeprefix("http://").split(":")
        asked = {"messages": [{"role": "user", "content": "Who?"}]} if path == CHAT else {"input": "Who?"}
        body = json.dumps({"model": "aag", "stream": stream} | asked).encode()
        with socket.create_connection((host, int(port))) as leaving:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            leaving.sendall(head.encode() + body)
            wait_until(lambda: server.models.waiting == 1)
        wait_until(lambda: server.models.waiting == 0, 1.0)
        assert server.models.cancelled == 1
        wait_until(lambda: server.client.get("/healthz").json()["in_flight"] == 0)

    def test_one_that_leaves_the_line_is_no_longer_waited_for(self, serve: Serve, models: Any) -> None:
        server = serve(models(waits=0.5), limits={"in_flight": 1})
        first = threading.Thread(target=server.ask)
        first.start()
        wait_until(lambda: server.models.waiting == 1)
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({"model": "aag", "messages": [{"role": "user", "content": "Who?"}]}).encode()
        with socket.create_connection((host, int(port))) as leaving:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            leaving.sendall(head.encode() + body)
            wait_until(lambda: server.client.get("/healthz").json()["waiting"] == 1)
        wait_until(lambda: server.client.get("/healthz").json()["waiting"] == 0)
        first.join()
        assert len(server.observed) == 1


class TestFaults:
    @pytest.mark.parametrize(
        ("path", "body"), [(CHAT, {"messages": [{"role": "user", "content": "?a"}]}), (RESPONSES, {"input": "?a"})]
    )
    def test_what_nobody_expected_is_an_error_as_every_other(
        self, serve: Serve, broken: Any, path: str, body: dict[str, Any]
    ) -> None:
        server = serve(policy=broken, cors_origins=["https://app.example"])
        headers = {"X-Request-Id": "abc-1", "Origin": "https://app.example"}
        response = server.client.post(path, json={"model": "aag"} | body, headers=headers)
        assert response.status_code == 500
        assert (error(response)["code"], error(response)["type"]) == ("internal", "server_error")
        assert "path" not in error(response)["message"]
        assert response.headers["x-request-id"] == "abc-1"
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert server.client.get("/healthz").json()["in_flight"] == 0

    def test_a_server_that_stops_asks_to_come_again(self, serve: Serve, models: Any) -> None:
        server = serve(models(known="a b", waits=3600))
        with ThreadPoolExecutor(1) as threads:
            reply = threads.submit(server.ask)
            wait_until(lambda: server.models.waiting == 1)
            server.running.should_exit = True
            response = reply.result()
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert error(response)["code"] == "stopping"
        assert server.models.cancelled == 1


class TestHeaders:
    def test_a_request_id_is_taken_over_or_made(self, serve: Serve) -> None:
        client = serve().client
        assert client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
        made = client.get("/healthz", headers={"X-Request-Id": "no good"}).headers["x-request-id"]
        assert len(made) == 32

    def test_one_that_a_server_in_front_gave_is_kept_unless_it_is_endless(self, serve: Serve) -> None:
        server = serve()
        server.running.config.loaded_app.app = IdOfServe(server.running.config.loaded_app.app)
        for given in ("no good", "abc-1"):
            reply = server.client.post(CHAT, json=WHO, headers={"X-Request-Id": given})
            assert (reply.json()["aag"]["request_id"], reply.json()["id"]) == (given, f"chatcmpl-{given}")
            assert "x-request-id" not in reply.headers, "who is in front adds it"
        endless = server.client.post(CHAT, json=WHO, headers={"X-Request-Id": "x" * 201})
        assert (endless.status_code, error(endless)["code"]) == (400, "invalid_value")

    def test_a_page_elsewhere_may_use_the_official_client(self, serve: Serve) -> None:
        sent = "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-retry-count"
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        named = serve(cors_origins=["https://app.example"]).client
        allowed = named.options(CHAT, headers=asked | {"Access-Control-Request-Headers": sent})
        assert allowed.status_code == 200
        assert set(allowed.headers["access-control-allow-headers"].replace(" ", "").split(",")) >= set(sent.split(","))

    def test_other_sites_are_kept_out_unless_named(self, serve: Serve) -> None:
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in serve().client.options(CHAT, headers=preflight).headers
        named = serve(cors_origins=["https://app.example"]).client
        assert named.options(CHAT, headers=preflight).headers["access-control-allow-origin"] == "https://app.example"
        read = named.get("/v1/models", headers={"Origin": "https://app.example"}).headers
        assert "X-Request-Id" in read["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in read
        other = preflight | {"Origin": "https://other.example"}
        assert "access-control-allow-origin" not in named.options(CHAT, headers=other).headers

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
    def test_it_answers_to_its_names(self, serve: Serve, host: str) -> None:
        client = serve(hosts=["localhost", "127.0.0.1", "::1"]).client
        assert client.get("/healthz", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "localhost.", "[::1", "", "localhost@x"])
    def test_by_another_name_nothing_is_reached(self, serve: Serve, host: str) -> None:
        server = serve(hosts=["localhost", "127.0.0.1", "::1"])
        for path in ("/", "/healthz", "/v1/models"):
            response = server.client.get(path, headers={"Host": host})
            assert response.status_code == 421
            assert error(response)["code"] == "misdirected_request"

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_what_another_sites_form_may_send_unasked_is_not_read(self, serve: Serve, kind: str) -> None:
        body = json.dumps({"model": "aag", "messages": [{"role": "user", "content": "Who?"}]}).encode()
        server = serve()
        response = server.client.post(CHAT, content=body, headers={"Content-Type": kind} if kind else {})
        assert response.status_code == 400
        error(response)
        assert not server.observed

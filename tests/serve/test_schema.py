"""The application against its own description, with requests that schemathesis makes up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Serve = Callable[..., Any]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
OPERATIONS = [
    ("POST", "/v1/chat/completions"), ("POST", "/v1/responses"), ("GET", "/v1/models"), ("GET", "/v1/models/{model}"),
    ("GET", "/healthz"),
]  # fmt: skip


def test_every_operation_is_described_and_every_error_has_one_form(serve: Serve):
    api = serve().client.get("/openapi.json").json()
    assert {(method.upper(), path) for path, each in api["paths"].items() for method in each} == set(OPERATIONS)
    for path, operations in api["paths"].items():
        for operation in operations.values():
            errors = {status: each for status, each in operation["responses"].items() if status != "200"}
            assert "422" not in errors
            for each in errors.values():
                assert each["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorReply"), path


def test_refusals_for_a_time_are_described_with_their_time(serve: Serve):
    api = serve().client.get("/openapi.json").json()
    for operations in api["paths"].values():
        for operation in operations.values():
            for status in {"429", "503"} & set(operation["responses"]):
                assert operation["responses"][status]["headers"]["Retry-After"]["schema"]["type"] == "integer"


def test_with_keys_the_description_says_so(serve: Serve):
    section = {"api_keys": [{"name": "amy", "key_env": "AMY"}]}
    api = serve(environment={"AMY": "secret"}, **section).client.get("/openapi.json").json()
    assert api["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
    assert "security" not in api["paths"]["/healthz"]["get"]


def test_models_are_the_modes(serve: Serve):
    api = serve(modes=["aag", "aag-auto"]).client.get("/openapi.json").json()
    for name in ("ChatRequest", "ResponsesRequest"):
        assert api["components"]["schemas"][name]["properties"]["model"]["enum"] == ["aag", "aag-auto"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_made_up_from_the_description_gets_what_is_described(serve: Serve, method: str, path: str):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is in the test extra")
    checks = pytest.importorskip("schemathesis.specs.openapi.checks", reason="schemathesis is in the test extra")
    server = serve(modes=["aag"])
    operation = schemathesis.openapi.from_url(f"{server.url}/openapi.json")[path][method]
    answered: set[str] = set()

    def hold(case: Any) -> None:
        response = case.call(base_url=server.url)
        # A domain that is none, a text without a word: more is wrong than a schema says.
        case.validate_response(response, excluded_checks=[checks.positive_data_acceptance])
        assert response.status_code < 500
        if response.status_code == 200:
            answered.add(response.headers["content-type"][0].split(";")[0])

    def ask(case: Any, stream: bool) -> None:
        end_with_a_question(case.body)
        case.body["stream"] = stream
        hold(case)

    def tries(examples: int) -> settings:
        return settings(max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW)

    tries(6)(given(case=operation.as_strategy())(hold))()
    if method == "POST":
        answered.clear()
        for stream in (False, True):
            tries(12)(given(case=operation.as_strategy(), stream=st.just(stream))(ask))()
        assert answered == {"application/json", "text/event-stream"}, "what nobody asks for in the right way is never tried"
    assert answered
    assert server.ask().status_code == 200


def end_with_a_question(body: dict[str, Any]) -> None:
    """What no schema can say of a conversation."""
    name = "messages" if "messages" in body else "input"
    before = body[name] if isinstance(body[name], list) else []
    body[name] = [*before, {"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(("method", "path"), [operation for operation in OPERATIONS if operation[0] == "POST"])
def test_what_the_description_forbids_is_refused(serve: Serve, method: str, path: str):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is in the test extra")
    server = serve(modes=["aag"])
    operation = schemathesis.openapi.from_url(f"{server.url}/openapi.json")[path][method]

    @given(case=operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    @settings(max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW)
    def hold(case: Any) -> None:
        response = case.call(base_url=server.url)
        case.validate_response(response)
        assert 400 <= response.status_code < 500
        assert set(response.json()["error"]) == {"message", "type", "code", "param"}

    hold()
    assert server.ask().status_code == 200
    assert len(server.observed) == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_any_json_gets_an_error_in_the_one_form(serve: Serve, path: str):
    server = serve()
    anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3))
    names = st.sampled_from(["model", "messages", "input", "stream", "tools", "aag", "n", "text", "web_search_options"])

    @given(body=st.dictionaries(names, anything))
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=SLOW,
    )
    def hold(body: dict[str, Any]) -> None:
        response = server.client.post(path, json=body)
        assert response.status_code in (400, 404)
        assert set(response.json()["error"]) == {"message", "type", "code", "param"}

    hold()

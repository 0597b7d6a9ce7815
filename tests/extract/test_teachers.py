"""What every teacher promises: replies in order, plain rows, and outcomes that say which of them can be read."""

import json
from typing import Any

import pytest
import torch

from aag_ray.extract.teachers import LocalTeacher, TeacherOutcome, TeacherReply, ask_all
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel


class Echo:
    """A teacher that answers with its prompt, empty prompts with nothing."""

    name = "echo"

    async def ask(self, prompt: str) -> TeacherReply:
        return TeacherReply(TeacherOutcome.OK if prompt else TeacherOutcome.EMPTY, prompt)


@pytest.mark.asyncio
async def test_replies_come_in_the_order_of_the_prompts():
    replies = await ask_all(Echo(), ["b", "", "a"])
    assert [(reply.text, reply.ok) for reply in replies] == [("b", True), ("", False), ("a", True)]
    assert await ask_all(Echo(), []) == []


@pytest.mark.parametrize("outcome", TeacherOutcome)
def test_only_ok_is_to_be_read(outcome: TeacherOutcome):
    assert TeacherReply(outcome, "text").ok == (outcome is TeacherOutcome.OK)


def test_a_reply_is_a_plain_row():
    row = TeacherReply(TeacherOutcome.CUT_OFF, "half", "stopped", 5, 7, 0.25, 1.5, 2).to_row()
    assert json.loads(json.dumps(row)) == {
        "outcome": "cut_off",
        "text": "half",
        "detail": "stopped",
        "tokens_in": 5,
        "tokens_out": 7,
        "cost": 0.25,
        "seconds": 1.5,
        "attempts": 2,
    }


@pytest.mark.asyncio
async def test_a_model_on_this_machine_reads_the_prompt_as_a_turn_and_writes_to_its_limit(tiny: LoadedModel):
    teacher = LocalTeacher(TransformersEngine(tiny), max_new_tokens=4)
    short, same = await ask_all(teacher, ["What is the capital of France?"] * 2)
    tokenizer: Any = tiny.tokenizer
    shown = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}], tokenize=False)
    assert short.tokens_in >= len(tokenizer(shown, add_special_tokens=False)["input_ids"])
    assert (short.outcome, short.text, short.tokens_out) == (same.outcome, same.text, same.tokens_out)
    assert (short.outcome is TeacherOutcome.CUT_OFF) == (short.tokens_out == 4)
    assert teacher.name == tiny.name


@pytest.mark.asyncio
async def test_a_prompt_beyond_the_context_of_the_model_fails_and_says_so(tiny: LoadedModel):
    reply = await LocalTeacher(TransformersEngine(tiny), max_new_tokens=4).ask("word " * 3000)
    assert reply.outcome is TeacherOutcome.FAILED
    assert "exceed the context of 2048" in reply.detail


@pytest.mark.asyncio
@pytest.mark.parametrize(("written", "outcome"), [("Paris", TeacherOutcome.OK), ("", TeacherOutcome.EMPTY)])
async def test_what_a_model_ended_itself_is_its_answer(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, written: str, outcome: TeacherOutcome
):
    tokenizer: Any = tiny.tokenizer
    ids = [*tokenizer(written, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]

    def generate(input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.cat([input_ids, torch.tensor([ids])], dim=1)

    monkeypatch.setattr(tiny.model, "generate", generate)
    reply = await LocalTeacher(TransformersEngine(tiny), max_new_tokens=20).ask("Which city?")
    assert (reply.outcome, reply.text, reply.tokens_out) == (outcome, written, len(ids))

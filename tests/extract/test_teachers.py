"""What every teacher promises: replies in order, plain rows, and outcomes that say which of them can be read."""

import json

import pytest

from aag_ray.extract.teachers import TeacherOutcome, TeacherReply, ask_all


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

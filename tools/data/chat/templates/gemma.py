"""Gemma: <bos>, then <start_of_turn>user or model, a line break, what is said, <end_of_turn>, a line break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import ChatTemplate, Part, check_alternating, with_system_in_first_turn

BEGIN, START, STOP = "<bos>", "<start_of_turn>", "<end_of_turn>"


class Gemma(ChatTemplate):
    """White space around what is said is left out; a system message stands in the first turn, as in Gemma 3."""

    special_tokens = (BEGIN, START, STOP)

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        messages = with_system_in_first_turn(messages)
        check_alternating(messages)
        yield Part(BEGIN, is_special=True)
        for role, content in messages:
            is_target = role == "assistant"
            yield Part(START, is_special=True)
            yield Part("model\n" if is_target else "user\n")
            yield Part(content.strip(), is_target=is_target)
            yield Part(STOP, is_special=True, is_target=is_target)
            yield Part("\n")

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield from self.parts(messages)
        yield Part(START, is_special=True)
        yield Part("model\n")

"""Llama 3: <|begin_of_text|>, then <|start_header_id|>role<|end_header_id|>, a blank line, what is said, <|eot_id|>."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import ChatTemplate, Part

BEGIN, HEADER, END_HEADER, STOP = "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"


class Llama3(ChatTemplate):
    """White space around what is said is left out, as in the published template."""

    special_tokens = (BEGIN, HEADER, END_HEADER, STOP)

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield Part(BEGIN, is_special=True)
        for role, content in messages:
            is_target = role == "assistant"
            yield from _header(role)
            yield Part(content.strip(), is_target=is_target)
            yield Part(STOP, is_special=True, is_target=is_target)

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield from self.parts(messages)
        yield from _header("assistant")


def _header(role: str) -> Iterator[Part]:
    yield Part(HEADER, is_special=True)
    yield Part(role)
    yield Part(END_HEADER, is_special=True)
    yield Part("\n\n")

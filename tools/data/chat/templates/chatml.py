"""ChatML, as Qwen and many others have it: <|im_start|>role, a line break, what is said, <|im_end|>, a line break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import ChatTemplate, Part

START, STOP = "<|im_start|>", "<|im_end|>"


class ChatML(ChatTemplate):
    special_tokens = (START, STOP)

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        for role, content in messages:
            is_target = role == "assistant"
            yield Part(START, is_special=True)
            yield Part(f"{role}\n")
            yield Part(content, is_target=is_target)
            yield Part(STOP, is_special=True, is_target=is_target)
            yield Part("\n")

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield from self.parts(messages)
        yield Part(START, is_special=True)
        yield Part("assistant\n")

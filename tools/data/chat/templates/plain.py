"""Words alone, for tokenizers without marks of a chat: the only special token is the end of text, which ends a turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import END, ChatTemplate, Part

NAMES = {"system": "System:", "user": "User:", "assistant": "Assistant:"}


class Plain(ChatTemplate):
    """User: question, a line break, Assistant: answer, the end of text; it begins with one, as a decoder's texts do."""

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield Part(END, is_special=True)
        for role, content in messages:
            is_target = role == "assistant"
            yield Part(NAMES[role])
            yield Part(f" {content}", is_target=is_target)
            yield Part(END, is_special=True, is_target=True) if is_target else Part("\n")

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        yield from self.parts(messages)
        yield Part(NAMES["assistant"])

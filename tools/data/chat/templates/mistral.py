"""Mistral, as from its third tokenizer on: <s>[INST] what is asked[/INST] what is answered</s>, by special tokens.

A system message stands before the first question. The published template puts it before the last one, which moves when
the chat goes on, so that what a model read before would no longer be what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import ChatTemplate, Part, check_alternating, with_system_in_first_turn

BEGIN, ASK, END_ASK, STOP = "<s>", "[INST]", "[/INST]", "</s>"


class Mistral(ChatTemplate):
    special_tokens = (BEGIN, ASK, END_ASK, STOP)

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        messages = with_system_in_first_turn(messages)
        check_alternating(messages)
        yield Part(BEGIN, is_special=True)
        for role, content in messages:
            if role == "user":
                yield Part(ASK, is_special=True)
                yield Part(f" {content}")
                yield Part(END_ASK, is_special=True)
            else:
                yield Part(f" {content}", is_target=True)
                yield Part(STOP, is_special=True, is_target=True)

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        return self.parts(messages)

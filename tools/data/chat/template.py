"""How a chat is laid out: parts of text and special tokens, each a target or not, from which ids and mask are made.

A special token is a part of its own and becomes its id. Text is encoded as text, whatever it spells: a user who writes
<|im_end|> ends no turn. What an assistant says never changes the ids before it: at inference they are all there is.
"""

from __future__ import annotations

import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import groupby
from typing import ClassVar, NamedTuple

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.tokenized import TokenizedExample
from scratchgrad.tools.tokenizer import Tokenizer

PACKAGE = "scratchgrad.tools.data.chat.templates"
END = "end of text"  # a part that stands for the tokenizer's own token, whatever its name


class Part(NamedTuple):
    text: str
    is_special: bool = False
    is_target: bool = False


class ChatTemplate(ABC):
    """One file of `templates/` each, found by its name. special_tokens: what the tokenizer must have."""

    special_tokens: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def parts(self, messages: Sequence[Message]) -> Iterable[Part]:
        """A whole chat. UserError where this template has no place for one of the messages."""

    @abstractmethod
    def prompt_parts(self, messages: Sequence[Message]) -> Iterable[Part]:
        """A chat up to where the assistant goes on: what a model reads at inference."""

    def encode(self, messages: Sequence[Message], tokenizer: Tokenizer) -> TokenizedExample:
        """Ids, and which of them are targets: what assistants say, and the ends of their turns."""
        ids: list[int] = []
        is_target: list[bool] = []
        for found, target in _encoded(self.parts(messages), tokenizer):
            ids += found
            is_target += [target] * len(found)
        return TokenizedExample(np.array(ids, np.int64), np.array(is_target, bool))

    def prompt(self, messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
        """The ids of `prompt_parts`."""
        return [token for found, _ in _encoded(self.prompt_parts(messages), tokenizer) for token in found]


def _encoded(parts: Iterable[Part], tokenizer: Tokenizer) -> Iterator[tuple[list[int], bool]]:
    """The ids of each special token, and of each text of neighbouring parts of one kind."""
    run = _Run(tokenizer, at_start=True)
    for is_special, of_kind in groupby(parts, lambda part: part.is_special):
        if is_special:
            for part in of_kind:
                yield [_special(part.text, tokenizer)], part.is_target
            run = _Run(tokenizer, at_start=False)
            continue
        for is_target, of_text in groupby(of_kind, lambda part: part.is_target):
            yield run.follow("".join(part.text for part in of_text)), is_target


class _Run:
    """Texts one behind another without a special token between them."""

    def __init__(self, tokenizer: Tokenizer, at_start: bool) -> None:
        self._tokenizer, self._at_start = tokenizer, at_start
        self._text, self._ids = "", list[int]()

    def follow(self, text: str) -> list[int]:
        """The ids of `text` behind those before it, which stay as they are.

        As the whole is encoded, where that begins with the ids before; where a token spans the border, `text` alone.
        """
        whole = self._tokenizer.encode(self._text + text, at_start=self._at_start)
        if whole[: len(self._ids)] == self._ids:
            found = whole[len(self._ids) :]
        else:
            found = self._tokenizer.encode(text, at_start=False)
        self._text, self._ids = self._text + text, self._ids + found
        return found


def _special(name: str, tokenizer: Tokenizer) -> int:
    if name == END:
        return tokenizer.end_of_text
    found = tokenizer.special_tokens.get(name)
    if found is None:
        raise UserError(
            f"the tokenizer has no special token {name}, which the chat template needs: choose another chat.template, "
            f"or tokenizer.add_tokens=[{name}]"
        )
    return found


def with_system_in_first_turn(messages: Sequence[Message]) -> list[Message]:
    """For templates without a place for a system message: what it says stands before the first user's words."""
    if not messages or messages[0].role != "system":
        return list(messages)
    if len(messages) < 2 or messages[1].role != "user":
        raise UserError("this chat template has no place for a system message without a user's behind it")
    return [Message("user", f"{messages[0].content}\n\n{messages[1].content}"), *messages[2:]]


def check_alternating(messages: Sequence[Message]) -> None:
    """UserError where user and assistant do not take turns."""
    for number, message in enumerate(messages):
        if message.role != ("user", "assistant")[number % 2]:
            raise UserError(
                f"this chat template needs user and assistant by turns, and message {number + 1} is of {message.role}"
            )


@cache
def _templates(package: str = PACKAGE) -> dict[str, type[ChatTemplate]]:
    found = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        for value in vars(import_module(f"{package}.{module.name}")).values():
            if inspect.isclass(value) and issubclass(value, ChatTemplate) and not inspect.isabstract(value):
                found[module.name] = value
    return found


def template_names() -> list[str]:
    return list(_templates())


def chat_template(name: str) -> ChatTemplate:
    """The template in `templates/<name>.py`; UserError where there is no such file."""
    if name not in _templates():
        raise UserError(f"there is no chat template {name!r}; there are: {', '.join(_templates())}")
    return _templates()[name]()

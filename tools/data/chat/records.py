"""Records of chats and instructions, in the formats that data sets have, as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.data.chat.messages import ROLES, Message, Role
from scratchgrad.tools.text import Example, Source

COLUMNS = ("prompt", "completion")  # of tables whose files name none
COMPLETIONS = ("completion", "response")
ROLE_OF: dict[str, Role] = {  # ShareGPT's names for those who speak, and OpenAI's
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "developer": "system",
    **{role: role for role in ROLES},
}


@dataclass(frozen=True)
class ChatSource(Source):
    """The examples of another source, of whatever format, as {"messages": [...], "text": all that is said}."""

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    def paths(self) -> list[Path]:
        return self.source.paths()

    def examples(self, fields: Sequence[str] = ("messages",)) -> Iterator[Example]:
        for example in self.source.examples(COLUMNS):
            messages = messages_of(example)
            plain = [{"role": message.role, "content": message.content} for message in messages]
            yield Example(example.name, {"messages": plain, "text": "\n".join(m.content for m in messages)})

    def format(self) -> str | None:
        """What the first record is; None where there is none."""
        first = next(iter(self.source.examples(COLUMNS)), None)
        return None if first is None else format_of(first)


def format_of(example: Example) -> str:
    """The name of a record's format, by its fields; UserError where it has those of none."""
    return next((name for name, (is_it, _) in FORMATS.items() if is_it(example.fields)), "") or _refuse(example)


def messages_of(example: Example) -> list[Message]:
    """The messages of a record, the last of them an assistant's.

    What is said behind the last answer is left out, as nothing is learnt from it. UserError, with the record's place,
    where no assistant says anything, or the record is malformed.
    """
    messages = FORMATS[format_of(example)][1](example)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not any(message.role == "assistant" and message.content.strip() for message in messages):
        raise UserError(f"'{example.name}': nothing to learn: no assistant says anything in it")
    return messages


def _refuse(example: Example) -> str:
    known = ", ".join(list(example.fields)[:8]) or "none"
    raise UserError(
        f"'{example.name}' is no chat: it needs messages, conversations, prompt and completion, or instruction and "
        f"output; its fields: {known}"
    )


def _messages(field: str, who: str, what: str) -> Callable[[Example], list[Message]]:
    def read(example: Example) -> list[Message]:
        items = example.value(field)
        made = [_message(item, who, what, f"'{example.name}': {field}[{i}]") for i, item in enumerate(items)]
        system = example.fields.get("system")
        if isinstance(system, str) and system and made and made[0].role != "system":
            made.insert(0, Message("system", system))
        return made

    return read


def _message(item: Any, who: str, what: str, where: str) -> Message:
    if not isinstance(item, Mapping):
        raise UserError(f"{where} is no object with {who} and {what}, but {quoted(item)}")
    speaker, content = item.get(who), item.get(what)
    role = ROLE_OF.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None:
        raise UserError(f"{where} has {who} = {quoted(speaker)}; it is one of: {', '.join(ROLE_OF)}")
    if isinstance(content, list):  # OpenAI's content parts
        content = _joined(content, where)
    if not isinstance(content, str):
        raise UserError(f"{where} has {what} = {quoted(content)}, which is no text")
    return Message(role, content)


def _joined(parts: Sequence[Any], where: str) -> str:
    texts = []
    for part in parts:
        text = part.get("text", part.get("value")) if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            raise UserError(f"{where} has a part of content that is no text: {quoted(part)}")
        texts.append(text)
    return "".join(texts)


def _prompt(example: Example) -> list[Message]:
    """A completion belongs to it as it stands; both may be lists of messages, as TRL has them."""
    answer = next(name for name in COMPLETIONS if name in example.fields)
    if isinstance(example.fields["prompt"], list) and isinstance(example.fields[answer], list):
        return [m for field in ("prompt", answer) for m in _messages(field, "role", "content")(example)]
    return [Message("user", example.text("prompt")), Message("assistant", example.text(answer))]


def _alpaca(example: Example) -> list[Message]:
    """instruction, and behind a blank line the input where there is one."""
    asked, more = example.text("instruction"), example.fields.get("input") or ""
    if not isinstance(more, str):
        raise UserError(f"'{example.name}': input is {quoted(more)}, which is no text")
    asked = f"{asked}\n\n{more}" if more.strip() else asked
    system = example.fields.get("system")
    first = [Message("system", system)] if isinstance(system, str) and system else []
    return [*first, Message("user", asked), Message("assistant", example.text("output"))]


# By name: whether a record's fields are of this format, and its messages.
FORMATS: dict[str, tuple[Callable[[Mapping[str, Any]], bool], Callable[[Example], list[Message]]]] = {
    "OpenAI messages": (
        lambda fields: isinstance(fields.get("messages"), list),
        _messages("messages", "role", "content"),
    ),
    "ShareGPT conversations": (
        lambda fields: isinstance(fields.get("conversations"), list),
        _messages("conversations", "from", "value"),
    ),
    "Alpaca instructions": (lambda fields: "instruction" in fields and "output" in fields, _alpaca),
    "prompts and completions": (
        lambda fields: "prompt" in fields and any(name in fields for name in COMPLETIONS),
        _prompt,
    ),
}

"""A tokenizer's own chat template, in Jinja, as tokenizer_config.json or chat_template.jinja has it.

It is a program that came with a file: it runs in Jinja's sandbox, with as many steps, characters and filters as a
template needs. Such a template says nothing of a mask, so that the mask is found by rendering turn by turn: what an
answer adds to the prompt before it is what is learnt. This is checked, for a template may write a turn otherwise once
others follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from scratchgrad.errors import UserError
from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.template import ChatTemplate, Part
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.tokenizer import Tokenizer

MOST_STEPS = 100_000  # of loops and macros in one rendering
MOST_TEXT = 4_000_000  # characters that one rendering, or a value in it, may have
MOST_SOURCE = 200_000  # characters of a template
FILTERS = (
    "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last", "length",
    "list", "lower", "map", "reject", "rejectattr", "replace", "reverse", "safe", "select", "selectattr", "sort",
    "string", "title", "trim", "unique", "upper",
)  # fmt: skip
WIDENING = ("center", "expandtabs", "format", "format_map", "ljust", "rjust", "translate", "zfill")  # methods of texts
GUARD = range(0xE000, 0xF8FF)  # private characters, one of which keeps a name of a special token in a text apart


class JinjaTemplate(ChatTemplate):
    """source: the template. names: of bos_token, eos_token and their like, which it may write."""

    def __init__(self, source: str, tokenizer: Tokenizer, names: dict[str, str] | None = None) -> None:
        self._template = _compiled(source)
        self._names = names or {}
        special = sorted(tokenizer.special_tokens, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special)) or r"(?!)")

    @classmethod
    def beside(cls, file: Path, tokenizer: Tokenizer) -> JinjaTemplate:
        """The template of a tokenizer_config.json, or of a .jinja file, whose names of tokens one beside it has."""
        try:
            config_file = file if file.suffix == ".json" else file.parent / "tokenizer_config.json"
            config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
            source = config.get("chat_template") if file.suffix == ".json" else file.read_text(encoding="utf-8")
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"'{file}' cannot be read as a chat template: {error}") from None
        if isinstance(source, list):  # several, by name
            source = next(
                (t.get("template") for t in source if isinstance(t, dict) and t.get("name") == "default"), None
            )
        if not isinstance(source, str):
            raise UserError(f"'{file}' has no chat_template: choose another chat.template")
        names = {}
        for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
            told = config.get(role)
            name = told.get("content") if isinstance(told, dict) else told
            if isinstance(name, str):
                names[role] = name
        return cls(source, tokenizer, names)

    def parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        guard, safe = self._guarded(messages)
        whole = self._rendered(safe)
        done = 0
        for number, message in enumerate(safe):
            if message.role != "assistant":
                continue
            before = self._rendered(safe[:number], prompts=True)
            through = self._rendered(safe[: number + 1])
            if not (through.startswith(before) and whole.startswith(through)):
                raise UserError(
                    f"this chat template writes the turns before message {number + 1} otherwise once others follow, so "
                    "that what is learnt cannot be told from it: choose another chat.template"
                )
            end = max((match.end() for match in self._special.finditer(through, len(before))), default=len(through))
            yield from self._cut(whole[done : len(before)], guard, is_target=False)
            yield from self._cut(whole[len(before) : end], guard, is_target=True)
            done = end
        yield from self._cut(whole[done:], guard, is_target=False)

    def prompt_parts(self, messages: Sequence[Message]) -> Iterator[Part]:
        guard, safe = self._guarded(messages)
        yield from self._cut(self._rendered(safe, prompts=True), guard, is_target=False)

    def _guarded(self, messages: Sequence[Message]) -> tuple[str, list[Message]]:
        """A character that no message has, and the messages with it inside of each name of a special token."""
        said = "".join(message.content for message in messages)
        guard = next((chr(code) for code in GUARD if chr(code) not in said), "")
        if not guard:
            raise UserError("a chat has every private character of Unicode in it, and cannot be laid out")

        def apart(match: re.Match[str]) -> str:
            if len(match[0]) == 1:
                raise UserError(f"a chat spells the special token {match[0]!r}, and one character cannot be kept apart")
            return match[0][:1] + guard + match[0][1:]

        return guard, [message._replace(content=self._special.sub(apart, message.content)) for message in messages]

    def _cut(self, text: str, guard: str, is_target: bool) -> Iterator[Part]:
        done = 0
        for match in self._special.finditer(text):
            yield Part(text[done : match.start()].replace(guard, ""), is_target=is_target)
            yield Part(match[0], is_special=True, is_target=is_target)
            done = match.end()
        yield Part(text[done:].replace(guard, ""), is_target=is_target)

    def _rendered(self, messages: Sequence[Message], prompts: bool = False) -> str:
        values = [{"role": message.role, "content": message.content} for message in messages]
        return _render(self._template, {**self._names, "messages": values, "add_generation_prompt": prompts})


def _render(template: Any, values: dict[str, Any]) -> str:
    steps, text, size = 0, [], 0

    def step() -> str:
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            raise UserError(f"the chat template does more than {MOST_STEPS:,} steps for one chat: choose another")
        return ""

    try:
        for piece in template.generate(**values, _step=step):
            size += len(piece)
            if size > MOST_TEXT:
                raise UserError(f"the chat template writes more than {MOST_TEXT:,} characters for one chat")
            text.append(piece)
    except UserError:
        raise
    except Exception as error:  # whatever a program of others may do
        raise UserError(f"the chat template fails: {str(error)[:150] or type(error).__name__}") from None
    return "".join(text)


def _compiled(source: str) -> Any:
    """The template, which calls `_step` in every turn of a loop and every call of a macro."""
    if len(source) > MOST_SOURCE:
        raise UserError(f"a chat template has {len(source):,} characters; {MOST_SOURCE:,} are read")
    jinja2 = need("jinja2", "chat")
    sandbox, nodes = need("jinja2.sandbox", "chat"), need("jinja2.nodes", "chat")
    environment = _environment(sandbox)
    try:
        tree = environment.parse(source)
        for node in [*tree.find_all((nodes.For, nodes.Macro))]:
            call = nodes.Call(nodes.Name("_step", "load"), [], [], None, None)
            node.body.insert(0, nodes.Output([call]))
        _without_concat(tree, nodes)
        return environment.from_string(tree)
    except (jinja2.TemplateError, RecursionError) as error:
        raise UserError(f"the chat template is no Jinja that is read here: {str(error)[:150]}") from None


def _without_concat(tree: Any, nodes: Any) -> None:
    """a ~ b as a call, so that its result is measured, as that of every operator is."""
    for node in [*tree.find_all(nodes.Node)]:
        for field in node.fields:
            value = getattr(node, field)
            items = value if isinstance(value, list) else [value]
            changed = [
                nodes.Call(nodes.Name("_joined", "load"), item.nodes, [], None, None)
                if isinstance(item, nodes.Concat)
                else item
                for item in items
            ]
            setattr(node, field, changed if isinstance(value, list) else changed[0])


def _environment(sandbox: Any) -> Any:
    base: Any = sandbox.ImmutableSandboxedEnvironment

    class Bounded(base):  # type: ignore[misc]
        intercepted_binops = frozenset(base.default_binop_table)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            texts = [v for v in (left, right) if isinstance(v, str | list | tuple)]
            number = next((v for v in (left, right) if isinstance(v, int)), 0)
            length = sum(map(len, texts)) * (max(1, number) if operator == "*" else 1)
            if (
                operator == "**"
                or (operator == "%" and isinstance(left, str))
                or length > MOST_TEXT
                or (not texts and isinstance(number, int) and abs(number) > 1 << 64)
            ):
                _fail(f"{operator} makes too much")
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, called: Any, *arguments: Any, **named: Any) -> Any:
            name, text = getattr(called, "__name__", ""), getattr(called, "__self__", None)
            if isinstance(text, str) and name in ("join", "replace"):
                return (_join_with if name == "join" else _replace)(text, *arguments)
            for value in (*arguments, *named.values()):
                if isinstance(value, int) and abs(value) > MOST_STEPS:
                    _fail("a number that it gives to a function is too large")
            if isinstance(text, str) and name in WIDENING:
                _fail(f"{name} is not allowed")
            out = super().call(context, called, *arguments, **named)
            if isinstance(out, str | list | tuple) and len(out) > MOST_TEXT:
                _fail("a value in it is too long")
            return out

    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters = {name: environment.filters[name] for name in FILTERS if name in environment.filters}
    environment.filters["tojson"] = _to_json
    environment.filters["replace"] = _replace
    environment.filters["join"] = lambda values, d="": _join_with(str(d), values)
    environment.globals = {
        "range": sandbox.safe_range, "namespace": environment.globals["namespace"], "dict": dict,
        "raise_exception": _fail, "_joined": _joined,
    }  # fmt: skip
    return environment


def _joined(*values: Any) -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) > MOST_TEXT:
        _fail("a text in it is too long")
    return "".join(texts)


def _join_with(between: str, values: Any) -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) + len(texts) * len(between) > MOST_TEXT:
        _fail("a text in it is too long")
    return between.join(texts)


def _replace(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    before, gone, come = str(text), str(old), str(new)
    if len(before) + before.count(gone) * len(come) > MOST_TEXT:
        _fail("a text in it is too long")
    return before.replace(gone, come, -1 if count is None else count)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))


def _fail(message: str) -> NoReturn:
    raise UserError(f"the chat template fails: {str(message)[:200]}")

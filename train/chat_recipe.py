"""The section `chat` of a recipe: how a chat is laid out, and what becomes of one that is too long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from scratchgrad.errors import UserError
from scratchgrad.files import sha256_of
from scratchgrad.tools.data.chat import ChatTemplate, JinjaTemplate, chat_template, template_names
from scratchgrad.tools.recipes import Place, Section
from scratchgrad.tools.tokenizer import Tokenizer

FILE_ENDINGS = (".json", ".jinja")


def tokens_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The special tokens of a section's template, before it is checked: none where there is no such template."""
    name = values.get("template", ChatRecipe.model_fields["template"].default)
    return chat_template(name).special_tokens if isinstance(name, str) and name in template_names() else ()


class ChatRecipe(Section):
    template: Place = Field(
        "chatml",
        description="chatml, gemma, llama3, mistral, plain, or the file of a tokenizer's own: tokenizer_config.json or "
        "chat_template.jinja",
    )
    oversize: Literal["cut", "drop"] = Field(
        "cut", description="what becomes of a chat longer than train.context: its end is cut off, or it is left out"
    )
    pack: bool = Field(False, description="several chats in a row, each of which sees itself alone")

    @field_validator("template")
    @classmethod
    def _is_one(cls, template: str) -> str:
        if template not in template_names() and not template.endswith(FILE_ENDINGS):
            raise ValueError(
                f"chat.template = {template!r} is not known; it is one of: {', '.join(template_names())}, or a file "
                "that ends in .json or .jinja"
            )
        return template

    @property
    def is_file(self) -> bool:
        return self.template.endswith(FILE_ENDINGS)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """What a tokenizer must have; a template in a file writes those of its own tokenizer."""
        return tokens_of({"template": self.template})

    @property
    def layout(self) -> str:
        """Another text wherever chats become other tokens."""
        if not self.is_file:
            return self.template
        path = Path(self.template).expanduser()
        if not path.is_file():
            raise UserError(f"chat.template: there is no file '{path}'")
        return sha256_of(path)

    def build(self, tokenizer: Tokenizer) -> ChatTemplate:
        if not self.is_file:
            return chat_template(self.template)
        return JinjaTemplate.beside(Path(self.template).expanduser(), tokenizer)

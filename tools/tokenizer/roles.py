"""Which special token begins a text, and which ends it: as tokenizer_config.json says, or as their names tell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.files import read_json_object
from scratchgrad.tools.tokenizer.hugging_face_writer import CONFIG

NAMES = {  # of tokens that have this role and no other
    "bos_token": ("<|begin_of_text|>", "<s>", "<bos>"),
    "eos_token": ("<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>"),
}


def token_with_role(tokenizer: Tokenizer, role: Literal["bos_token", "eos_token"], folder: Path) -> int | None:
    """The id of the token that has this role by the tokenizer_config.json in `folder`, or else by its name.

    UserError where that file names a token in another way than transformers does, or one that the tokenizer lacks.
    """
    path = folder / CONFIG
    told = read_json_object(path).get(role) if path.exists() else None
    if told is None:
        return next((tokenizer.special_tokens[name] for name in NAMES[role] if name in tokenizer.special_tokens), None)
    name = told.get("content") if isinstance(told, dict) else told
    known = {token.text: token.id for token in tokenizer.added} | tokenizer.special_tokens
    if not isinstance(name, str):
        raise UserError(f"'{path}' has {role} = {quoted(told)}, which is no text of a token")
    if name not in known:
        raise UserError(f"'{path}' has {role} = {quoted(name)}, and the tokenizer has no special token of that name")
    return known[name]

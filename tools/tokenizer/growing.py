"""A tokenizer with more special tokens than it was made with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import read_json
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.hugging_face import load
from scratchgrad.tools.tokenizer.hugging_face_writer import save


def lacking_tokens(tokenizer: Tokenizer, names: Sequence[str]) -> list[str]:
    """Those of `names` that are no special tokens yet, once each, in their order."""
    return [name for name in dict.fromkeys(names) if name not in tokenizer.special_tokens]


def with_special_tokens(tokenizer: Tokenizer, names: Sequence[str]) -> Tokenizer:
    """The tokenizer with these special tokens; itself where it has them all. What stands in its vocabulary keeps its
    id, as in transformers; the ids of others follow the tokenizer's own.

    Made by way of tokenizer.json, which says the same of every kind of tokenizer: where an added token stands.
    UserError for a name that is empty, or of a token that is there and not special.
    """
    lacking = lacking_tokens(tokenizer, names)
    if not lacking:
        return tokenizer
    taken = {token.text for token in tokenizer.added}
    for name in lacking:
        if not name or name in taken:
            raise UserError(
                f"{quoted(name)} cannot be added as a special token: it is empty, or an ordinary one already"
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        save(tokenizer, path)
        content = read_json(path)
        vocabulary = content["model"].get("vocab")
        there = vocabulary if isinstance(vocabulary, dict) else {}
        ids = {name: there[name] for name in lacking if name in there}  # a token that its merges may even make
        new = [name for name in lacking if name not in ids]
        ids |= {name: tokenizer.vocab_size + number for number, name in enumerate(new)}
        content["added_tokens"] += [
            {
                "id": ids[name], "content": name, "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": False, "special": True,
            }
            for name in lacking
        ]  # fmt: skip
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return load(path)

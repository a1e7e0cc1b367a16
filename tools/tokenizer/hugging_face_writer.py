"""Writing a tokenizer.json: the counterpart of `hugging_face.load`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_alphabet import written
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.hugging_face import BLANKS_READ, BLANKS_SHOWN, BYTE_LEVEL, FIRST_BLANK_DROPPED
from scratchgrad.tools.tokenizer.metaspace import BLANK, MetaspaceBPE, Prefix
from scratchgrad.tools.tokenizer.patterns import PATTERNS
from scratchgrad.tools.tokenizer.templates import Part

Json = dict[str, Any]


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json; UserError where this kind of tokenizer has none, or where it could not say all."""
    if isinstance(tokenizer, ByteLevelBPE):
        parts, spelled = _byte_level(tokenizer), [written(token or b"") for token in tokenizer.tokens]
    elif isinstance(tokenizer, MetaspaceBPE):
        parts, spelled = _metaspace(tokenizer), [text or "" for text in tokenizer.spelled]
    else:
        raise UserError(f"a tokenizer.json is not written for a {type(tokenizer).__name__} tokenizer")
    beside = {token.id for token in tokenizer.added}
    vocab = {spelled[i]: i for i, token in enumerate(tokenizer.tokens) if token is not None and i not in beside}
    merges = [[spelled[left], spelled[right]] for left, right, _ in tokenizer.merges]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id, "content": token.text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": token.normalized, "special": token.special,
            }
            for token in sorted(tokenizer.added, key=lambda token: token.id)
        ],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _post_processor(tokenizer),
        "decoder": parts["decoder"],
        "model": {
            "type": "BPE", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            **parts["model"], "vocab": {**{token.text: token.id for token in tokenizer.added}, **vocab},
            "merges": merges,
        },
    }  # fmt: skip
    with atomic_file(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode())


def _byte_level(tokenizer: ByteLevelBPE) -> Json:
    cut: Json = BYTE_LEVEL
    if tokenizer.pattern != "gpt2":
        own = tokenizer.pattern
        published = PATTERNS[own].published if own in PATTERNS else own
        split = {"type": "Split", "pattern": {"Regex": published}, "behavior": "Isolated", "invert": False}
        cut = {"type": "Sequence", "pretokenizers": [split, {**BYTE_LEVEL, "use_regex": False}]}
    return {
        "normalizer": {"type": tokenizer.form} if tokenizer.form is not None else None,
        "pre_tokenizer": cut,
        "decoder": BYTE_LEVEL,
        "model": {
            "unk_token": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": tokenizer.whole_first,
        },
    }  # fmt: skip


def _metaspace(tokenizer: MetaspaceBPE) -> Json:
    if tokenizer.byte_ids is None or tokenizer.blank != BLANK:
        raise UserError("a tokenizer.json is written for BPE on characters only with bytes, and with blanks as U+2581")
    if tokenizer.ranks is not None:
        pairs = zip(tokenizer.ranks, tokenizer.ranks[1:], tokenizer.merges, tokenizer.merges[1:], strict=False)
        one, two = next((a[2], b[2]) for rank, next_rank, a, b in pairs if rank == next_rank)
        raise UserError(
            f"the vocabulary has tokens with equal scores ({tokenizer.spelled[one]!r} and {tokenizer.spelled[two]!r}), "
            "of which the leftmost comes first; the merges of a tokenizer.json have an order instead"
        )
    normalizer, cut = _blanks(tokenizer.prefix)
    last = [FIRST_BLANK_DROPPED] if tokenizer.drops_first_space else []
    unknown = tokenizer.spelled[tokenizer.unknown] if tokenizer.unknown is not None else None
    return {
        "normalizer": normalizer,
        "pre_tokenizer": cut,
        "decoder": {"type": "Sequence", "decoders": [*BLANKS_READ, *last]},
        "model": {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False},
    }


def _blanks(prefix: Prefix) -> tuple[Json | None, Json | None]:
    """The normalizer and the pre-tokenizer."""
    if prefix == "never":
        return BLANKS_SHOWN, None
    if prefix == "always":
        return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": BLANK}, BLANKS_SHOWN]}, None
    scheme = "always" if prefix == "if missing" else "first"
    return None, {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": False}


def _post_processor(tokenizer: Tokenizer) -> Json | None:
    template = tokenizer.template
    own = {part for part, _ in template.pair if isinstance(part, int)}
    if not own:
        return None
    name_of_id = {token.id: token.text for token in tokenizer.added}

    def described(parts: tuple[Part, ...]) -> list[Json]:
        return [
            {"SpecialToken": {"id": name_of_id[part], "type_id": segment}} if isinstance(part, int)
            else {"Sequence": {"id": part, "type_id": segment}}
            for part, segment in parts
        ]  # fmt: skip

    names = [name_of_id[i] for i in sorted(own)]
    return {
        "type": "TemplateProcessing",
        "single": described(template.single),
        "pair": described(template.pair),
        "special_tokens": {
            name: {"id": name, "ids": [i], "tokens": [name]} for name, i in zip(names, sorted(own), strict=True)
        },
    }

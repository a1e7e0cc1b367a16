"""Writing a tokenizer.json: the counterpart of `hugging_face.load`."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
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
from scratchgrad.tools.tokenizer.pipeline import Pipeline
from scratchgrad.tools.tokenizer.templates import Part
from scratchgrad.tools.tokenizer.unigram import Unigram
from scratchgrad.tools.tokenizer.wordpiece import CONTINUES, LONGEST_WORD, WordPiece

Json = dict[str, Any]


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json; UserError where it could not say all."""
    if isinstance(tokenizer, ByteLevelBPE):
        parts = _byte_level(tokenizer)
        parts["model"] |= _bpe(tokenizer, [None if token is None else written(token) for token in tokenizer.tokens])
    elif isinstance(tokenizer, MetaspaceBPE):
        parts = _metaspace(tokenizer)
        parts["model"] |= _bpe(tokenizer, tokenizer.spelled)
    elif isinstance(tokenizer, WordPiece):
        parts = _word_piece(tokenizer)
    elif isinstance(tokenizer, Unigram):
        parts = _unigram(tokenizer)
    elif isinstance(tokenizer, Pipeline):
        parts = tokenizer.parts
    else:
        raise UserError(f"a tokenizer.json is not written for a {type(tokenizer).__name__} tokenizer")
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id, "content": token.text, "single_word": token.single_word, "lstrip": token.lstrip,
                "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
            }
            for token in sorted(tokenizer.added, key=lambda token: token.id)
        ],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _post_processor(tokenizer),
        "decoder": parts["decoder"],
        "model": parts["model"],
    }  # fmt: skip
    with atomic_file(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode())


def _bpe(tokenizer: ByteLevelBPE | MetaspaceBPE, spelled: Sequence[str | None]) -> Json:
    """Vocabulary and merges; spelled: each token as the vocabulary writes it."""
    return {
        "type": "BPE", "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "vocab": _vocab(tokenizer, spelled),
        "merges": [[spelled[left], spelled[right]] for left, right, _ in tokenizer.merges],
    }  # fmt: skip


def _vocab(tokenizer: Tokenizer, spelled: Sequence[str | None]) -> dict[str, int]:
    """The model's vocabulary, without the tokens that were added behind it: no text becomes those by the model."""
    added = {token.id: token for token in tokenizer.added}
    last = max((i for i, text in enumerate(spelled) if text is not None and i not in added), default=-1)
    vocab: dict[str, int] = {}
    for i, text in enumerate(spelled):
        if i in added and (added[i].special or i < last):
            vocab[added[i].text] = i
        elif text is not None and i not in added:
            vocab[text] = i
    return vocab


def _word_piece(tokenizer: WordPiece) -> Json:
    """As transformers writes BERT's."""
    return {
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": CONTINUES, "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": tokenizer.vocabulary[tokenizer.unknown],
            "continuing_subword_prefix": CONTINUES, "max_input_chars_per_word": LONGEST_WORD,
            "vocab": _vocab(tokenizer, tokenizer.vocabulary),
        },
    }  # fmt: skip


def _unigram(tokenizer: Unigram) -> Json:
    """As transformers writes T5's: SentencePiece's map of characters, then its rules for blanks."""
    charsmap = tokenizer.charsmap
    steps: list[Json] = []
    if charsmap.blob:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap.blob).decode()})
    if charsmap.squeezes_blanks:
        steps += [
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]
    scheme = "always" if charsmap.adds_prefix else "never"
    blanks = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": False}
    return {
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": blanks,
        "decoder": blanks,
        "model": {
            "type": "Unigram", "unk_id": tokenizer.unknown, "byte_fallback": tokenizer.byte_ids is not None,
            "vocab": [[text, score] for text, score in zip(tokenizer.spelled, tokenizer.scores, strict=True)],
        },
    }  # fmt: skip


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

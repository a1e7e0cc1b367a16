"""Writing a tokenizer.json: the counterpart of `hugging_face.load`."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.files import atomic_file, write_json
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_alphabet import written
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.charsmap import BLANK, Charsmap
from scratchgrad.tools.tokenizer.hugging_face import BLANKS_READ, BLANKS_SHOWN, BYTE_LEVEL, FIRST_BLANK_DROPPED
from scratchgrad.tools.tokenizer.merging import Merge, Merger
from scratchgrad.tools.tokenizer.metaspace import MetaspaceBPE, Prefix
from scratchgrad.tools.tokenizer.patterns import PATTERNS
from scratchgrad.tools.tokenizer.pipeline import Pipeline
from scratchgrad.tools.tokenizer.templates import Part
from scratchgrad.tools.tokenizer.unigram import Unigram
from scratchgrad.tools.tokenizer.wordpiece import CONTINUES, LONGEST_WORD, WordPiece

Json = dict[str, Any]

CONFIG = "tokenizer_config.json"
ROLES = {
    "bos_token": ("<|begin_of_text|>", "<s>", "<|endoftext|>"),
    "eos_token": ("<|end_of_text|>", "</s>", "<|endoftext|>"),
    "unk_token": ("<unk>", "[UNK]"),
    "pad_token": ("<pad>", "[PAD]"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "mask_token": ("[MASK]", "<mask>"),
}
RUN = 200  # of one character: more than any token has, several times over


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer.json; UserError where it could not say all."""
    if isinstance(tokenizer, ByteLevelBPE):
        parts = _byte_level(tokenizer)
        parts["model"] |= _bpe(tokenizer, [None if token is None else written(token) for token in tokenizer.tokens])
    elif isinstance(tokenizer, MetaspaceBPE):
        parts = _metaspace(tokenizer)
        parts["model"] |= _bpe(tokenizer, _with_visible_blanks(tokenizer))
        if tokenizer.scores is not None:
            parts["model"]["merges"] = _merges_by_score(tokenizer)
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


def save_config(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer_config.json, with which AutoTokenizer takes the tokenizer.json beside it as it is.

    Named are the special tokens whose part their names tell.
    """
    config: Json = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for role, names in ROLES.items():
        found = next((name for name in names if name in tokenizer.special_tokens), None)
        if found is not None:
            config[role] = found
    write_json(folder / CONFIG, config)


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


def _with_visible_blanks(tokenizer: MetaspaceBPE) -> list[str | None]:
    return [None if text is None else text.replace(tokenizer.blank, BLANK) for text in tokenizer.spelled]


def _merges_by_score(tokenizer: MetaspaceBPE) -> list[list[str]]:
    """The merges of a SentencePiece vocabulary, as transformers orders them: all pairs, those of the best token first.

    UserError where that order would not do what equal scores do, whose leftmost pair comes first.
    """
    assert tokenizer.scores is not None
    scores, id_of = tokenizer.scores, tokenizer.id_of
    by_score = sorted(id_of.items(), key=lambda entry: (-scores[entry[1]], entry[1]))
    merges: list[Merge] = []
    for text, i in by_score:
        cuts = [(text[:end], text[end:]) for end in range(1, len(text))]
        pairs = [(id_of[left], id_of[right]) for left, right in cuts if left in id_of and right in id_of]
        merges += [(left, right, i) for left, right in sorted(pairs)]
    if tokenizer.ranks is not None:
        _check_ties(tokenizer, Merger(merges))
    spelled = _with_visible_blanks(tokenizer)
    return [[str(spelled[left]), str(spelled[right])] for left, right, _ in merges]


def _check_ties(tokenizer: MetaspaceBPE, ordered: Merger) -> None:
    """Runs of one character (blanks, lines) are what ties in the vocabularies that are known; all lengths are tried."""
    assert tokenizer.ranks is not None
    ranks = tokenizer.ranks
    count = Counter(ranks)
    tied = [merge[2] for merge, rank in zip(tokenizer.merges, ranks, strict=True) if count[rank] > 1]
    for token in tied:
        text = tokenizer.spelled[token] or ""
        other = next((i for i in tied if set(tokenizer.spelled[i] or "") != set(text)), token)
        runs = (text[0] * length for length in range(2, RUN))
        if other != token or any(
            tokenizer.merger.merge(tokenizer.symbols(run)) != ordered.merge(tokenizer.symbols(run)) for run in runs
        ):
            raise UserError(
                f"tokens have equal scores ({quoted(tokenizer.spelled[other])} and {quoted(text)}), so that the "
                "leftmost comes first; the merges of a tokenizer.json have an order instead"
            )
        break


def _normalizers(charsmap: Charsmap) -> list[Json]:
    """SentencePiece's map of characters, then its rules for blanks."""
    steps: list[Json] = []
    if charsmap.blob:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap.blob).decode()})
    if charsmap.squeezes_blanks:
        steps += [
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]
    return steps


def _unigram(tokenizer: Unigram) -> Json:
    """As transformers writes T5's: SentencePiece's map of characters, then its rules for blanks."""
    charsmap = tokenizer.charsmap
    steps = _normalizers(charsmap)
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
    if tokenizer.scores is None and tokenizer.ranks is not None:
        raise UserError("the vocabulary has merges that come equally early; those of a tokenizer.json have an order")
    normalizer, cut = _blanks(tokenizer.prefix)
    if tokenizer.charsmap is not None:
        last_steps = (
            normalizer["normalizers"] if normalizer is not None and "normalizers" in normalizer else [normalizer]
        )
        normalizer = {"type": "Sequence", "normalizers": [*_normalizers(tokenizer.charsmap), *last_steps]}
    last = [FIRST_BLANK_DROPPED] if tokenizer.drops_first_space else []
    unknown = tokenizer.spelled[tokenizer.unknown] if tokenizer.unknown is not None else None
    return {
        "normalizer": normalizer,
        "pre_tokenizer": cut,
        "decoder": {"type": "Sequence", "decoders": [*BLANKS_READ, *last]},
        "model": {
            "unk_token": unknown,
            "fuse_unk": True,
            "byte_fallback": tokenizer.byte_ids is not None,
            "ignore_merges": False,
        },
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

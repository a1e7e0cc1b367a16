"""tokenizer.json, Hugging Face's format. What we would not reproduce exactly is refused, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.patterns import PATTERNS, name_of
from scratchgrad.tools.tokenizer.tokenizer import BYTE_ORDER, Tokenizer

NAME = "tokenizer.json"
LARGEST_FILE = 256 << 20  # bytes; the largest known one has some 30 MB

# GPT-2 writes a byte as a printable character: itself where it is one, else one from U+0100 on.
CHARACTER_OF = dict(
    zip(BYTE_ORDER, [*(chr(byte) for byte in BYTE_ORDER[:188]), *map(chr, range(256, 324))], strict=True)
)
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SETTINGS_OF_THE_MODEL = {
    "dropout": (None, 0.0),
    "unk_token": (None, "<|endoftext|>"),  # never needed: every byte has a token
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False,),
    "byte_fallback": (False,),
    "ignore_merges": (False,),
}


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write `path`, or the tokenizer.json of the folder that `path` is."""
    vocab = {
        _written(token): i for i, token in enumerate(tokenizer.tokens) if i not in tokenizer.special_tokens.values()
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True,
            }
            for text, i in sorted(tokenizer.special_tokens.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(tokenizer.pattern),
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {**tokenizer.special_tokens, **vocab},
            "merges": [[_written(tokenizer.tokens[left]), _written(tokenizer.tokens[right])]
                       for left, right, _ in tokenizer.merges],
        },
    }  # fmt: skip
    with atomic_file(path / NAME if path.is_dir() else path) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode())


def load(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json (or of the folder it lies in); UserError names what is wrong or unknown."""
    path = path / NAME if path.is_dir() else path
    content = _read(path)
    try:
        return _Reader(content).tokenizer()
    except UserError as fault:
        raise UserError(f"'{path}': {fault}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"'{path}' is not a tokenizer.json: {type(error).__name__} {error}") from None


class _Reader:
    def __init__(self, content: dict[str, Any]) -> None:
        self._content, self._model = content, content["model"]

    def tokenizer(self) -> Tokenizer:
        if self._model["type"] != "BPE":
            raise UserError(f"a model of type {self._model['type']} is not supported, only BPE")
        for key, allowed in SETTINGS_OF_THE_MODEL.items():
            if self._model.get(key, allowed[0]) not in allowed:
                raise UserError(f"model.{key} = {self._model[key]!r} is not supported")
        if self._content.get("normalizer") is not None:
            raise UserError(f"the normalizer {self._content['normalizer'].get('type')} is not supported")
        decoder = self._content.get("decoder")
        if decoder is None or decoder["type"] != "ByteLevel":
            raise UserError("only the decoder ByteLevel is supported")
        processor = self._content.get("post_processor")
        if processor is not None and processor["type"] != "ByteLevel":
            raise UserError(f"the post-processor {processor['type']} is not supported")
        special = self._special_tokens()
        tokens = self._tokens(special)
        return Tokenizer(tokens, self._merges(tokens), special, self._pattern())

    def _pattern(self) -> str:
        step = self._content["pre_tokenizer"]
        if step is not None and step["type"] == "ByteLevel" and step["use_regex"] and not step["add_prefix_space"]:
            return "gpt2"
        if step is not None and step["type"] == "Sequence" and len(step["pretokenizers"]) == 2:
            split, byte_level = step["pretokenizers"]
            if (
                split["type"] == "Split"
                and split["behavior"] == "Isolated"
                and not split["invert"]
                and "Regex" in split["pattern"]
                and byte_level["type"] == "ByteLevel"
                and not byte_level["add_prefix_space"]
                and not byte_level["use_regex"]
            ):
                return name_of(split["pattern"]["Regex"])
        raise UserError(
            "this pre-tokenizer is not supported: only ByteLevel, or Split (a regex, isolated) and ByteLevel, "
            "without a prefix space"
        )

    def _special_tokens(self) -> dict[str, int]:
        special = {}
        for token in self._content["added_tokens"]:
            for key in ("single_word", "lstrip", "rstrip"):
                if token[key]:
                    raise UserError(f"the added token {token['content']!r} has {key}, which is not supported")
            if not token["special"]:
                raise UserError(f"the added token {token['content']!r} is not special, which is not supported")
            special[str(token["content"])] = int(token["id"])
        return special

    def _tokens(self, special: dict[str, int]) -> list[bytes]:
        by_id: dict[int, bytes] = {}
        for text, i in self._model["vocab"].items():
            if text not in special:
                if i in by_id:
                    raise UserError(f"two tokens have the id {i}: {_written(by_id[i])!r} and {text!r}")
                by_id[i] = _read_token(text)
        for text, i in special.items():
            if i in by_id or self._model["vocab"].get(text, i) != i:
                raise UserError(f"the special token {text!r} (id {i}) collides with the vocabulary")
            by_id[i] = text.encode()
        if sorted(by_id) != list(range(len(by_id))):
            gap = next(i for i in range(len(by_id)) if i not in by_id)
            raise UserError(f"ids must go from 0 to {len(by_id) - 1} without a gap; {gap} is missing")
        return [by_id[i] for i in range(len(by_id))]

    def _merges(self, tokens: list[bytes]) -> list[tuple[int, int, int]]:
        special = {int(token["id"]) for token in self._content["added_tokens"]}
        id_of = {token: i for i, token in enumerate(tokens) if i not in special}
        merges, seen = [], set()
        for number, entry in enumerate(self._model["merges"]):
            pair = entry.split(" ") if isinstance(entry, str) else entry
            if len(pair) != 2:
                raise UserError(f"merge {number} ({entry!r}) is not a pair")
            left, right = map(_read_token, pair)
            for part in (left, right, left + right):
                if part not in id_of:
                    raise UserError(f"merge {number} ({entry!r}) needs the token {_written(part)!r}, which is missing")
            if (left, right) in seen:
                raise UserError(f"merge {number} ({entry!r}) stands there twice")
            seen.add((left, right))
            merges.append((id_of[left], id_of[right], id_of[left + right]))
        return merges


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    if pattern == "gpt2":
        return BYTE_LEVEL
    published = PATTERNS[pattern].published if pattern in PATTERNS else pattern
    split = {"type": "Split", "pattern": {"Regex": published}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**BYTE_LEVEL, "use_regex": False}]}


def _written(token: bytes) -> str:
    return "".join(CHARACTER_OF[byte] for byte in token)


def _read_token(text: str) -> bytes:
    try:
        return bytes(BYTE_OF[character] for character in text)
    except KeyError:
        raise UserError(f"the token {text!r} is not written in the byte-level alphabet") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"'{path}' has {path.stat().st_size} bytes: that is no tokenizer.json")
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"'{path}' does not exist; scratchgrad-tokenize train makes one") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from None
    if not isinstance(content, dict) or "model" not in content:
        raise UserError(f"'{path}' is not a tokenizer.json: it has no model")
    return content

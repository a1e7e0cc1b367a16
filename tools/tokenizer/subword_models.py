"""The models of a tokenizer.json: one piece of text to ids, each with the characters of the piece that it stands for.

They do what Hugging Face's do (tokenizers, models/*), and what a model does not know is dropped where that drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from scratchgrad.errors import UserError, quoted
from scratchgrad.tools.tokenizer.files import entry
from scratchgrad.tools.tokenizer.merging import Merge, Merger
from scratchgrad.tools.tokenizer.unigram import UNKNOWN_PENALTY

Json = dict[str, Any]
Found = tuple[int, int, int]  # an id, and from which character of the piece to which it stands
Model = Callable[[str], list[Found]]

BYTE_NAME = "<0x{:02X}>"


def read_model(model: Json, id_of: Mapping[str, int], special: Collection[int], merges: list[Merge]) -> Model:
    """The model of a tokenizer.json, by its type; UserError for one that is not known.

    id_of: the model's vocabulary. special: ids that no text becomes.
    """
    kind = model.get("type", "BPE")
    if kind == "BPE":
        return BPE(model, id_of, special, merges)
    text_of = {text: i for text, i in id_of.items() if i not in special}
    if kind == "WordPiece":
        return WordPieceModel(model, id_of, text_of)
    if kind == "WordLevel":
        return WordLevel(model, id_of, text_of)
    if kind == "Unigram":
        return UnigramModel(model, id_of, text_of)
    raise UserError(f"a model of type {quoted(kind)} is not supported")


class BPE:
    """Characters, or bytes where `byte_fallback` asks for them, merged in the order of the merges."""

    def __init__(self, model: Json, id_of: Mapping[str, int], special: Collection[int], merges: list[Merge]) -> None:
        self._id_of, self._merger = id_of, Merger(merges)
        self._prefix, self._suffix = (
            entry(model, key, str) if model.get(key) is not None else ""
            for key in ("continuing_subword_prefix", "end_of_word_suffix")
        )
        self._fuses, self._whole_first = bool(model.get("fuse_unk")), bool(model.get("ignore_merges"))
        self._unknown = unknown_id(model, id_of)
        names = [id_of.get(BYTE_NAME.format(byte)) for byte in range(256)] if model.get("byte_fallback") else []
        self._byte_ids = names or [None] * 256
        self._size: dict[int, int] = {}  # symbols that a merged token is made of
        self._parts: dict[int, tuple[int, int]] = {}  # of special tokens that merges lead to
        for left, right, merged in merges:
            self._size[merged] = self._size.get(left, 1) + self._size.get(right, 1)
            if merged in special:
                self._parts.setdefault(merged, (left, right))
        self._special = special

    def __call__(self, piece: str) -> list[Found]:
        if self._whole_first and (whole := self._id_of.get(piece)) is not None and whole not in self._special:
            return [(whole, 0, len(piece))]
        symbols = self._symbols(piece)
        found: list[Found] = []
        place = 0
        for token in self._merger.merge([token for token, _, _ in symbols]):
            for part in self._without_special(token):
                end = place + self._size.get(part, 1)
                found.append((part, symbols[place][1], symbols[end - 1][2]))
                place = end
        return found

    def _symbols(self, piece: str) -> list[Found]:
        """What is merged: characters, their bytes, or the unknown token."""
        symbols: list[Found] = []
        unknown: Found | None = None  # not yet among them: the next character may join it
        for i, character in enumerate(piece):
            text = (self._prefix if i else "") + character + (self._suffix if i == len(piece) - 1 else "")
            token = self._id_of.get(text)
            if token is not None:
                if unknown is not None:
                    symbols.append(unknown)
                    unknown = None
                symbols.append((token, i, i + 1))
                continue
            of_bytes = [self._byte_ids[byte] for byte in text.encode()]
            known = [byte for byte in of_bytes if byte is not None]
            if len(known) == len(of_bytes):
                symbols += [(byte, i, i + 1) for byte in known]
            elif self._unknown is not None:
                if unknown is not None and not self._fuses:
                    symbols.append(unknown)
                    unknown = None
                unknown = (self._unknown, i if unknown is None else unknown[1], i + 1)
        return symbols if unknown is None else [*symbols, unknown]

    def _without_special(self, token: int) -> list[int]:
        """A special token that text was merged into, as the tokens that it was merged from."""
        if token not in self._parts:
            return [token]
        left, right = self._parts[token]
        return [*self._without_special(left), *self._without_special(right)]


class WordPieceModel:
    """The longest token of the vocabulary first, again and again; a word that does not end so is unknown."""

    def __init__(self, model: Json, id_of: Mapping[str, int], text_of: Mapping[str, int]) -> None:
        self._unknown = required_unknown(model, id_of)
        self._id_of, self._mark = text_of, entry(model, "continuing_subword_prefix", str, "##")
        self._longest_word = entry(model, "max_input_chars_per_word", int, 100)
        self._longest = max(map(len, text_of), default=0)

    def __call__(self, piece: str) -> list[Found]:
        whole = [(self._unknown, 0, len(piece))]
        if len(piece) > self._longest_word:
            return whole
        found: list[Found] = []
        start = 0
        while start < len(piece):
            mark = self._mark if start else ""
            for end in range(min(len(piece), start + self._longest), start, -1):
                token = self._id_of.get(mark + piece[start:end])
                if token is not None:
                    break
            else:
                return whole
            found.append((token, start, end))
            start = end
        return found


class WordLevel:
    """A piece is a token, or unknown."""

    def __init__(self, model: Json, id_of: Mapping[str, int], text_of: Mapping[str, int]) -> None:
        self._id_of, self._unknown = text_of, required_unknown(model, id_of)

    def __call__(self, piece: str) -> list[Found]:
        return [(self._id_of.get(piece, self._unknown), 0, len(piece))]


class UnigramModel:
    """The most probable way to cut a piece (Kudo 2018), in double precision as Hugging Face adds it."""

    def __init__(self, model: Json, id_of: Mapping[str, int], text_of: Mapping[str, int]) -> None:
        unknown = model.get("unk_id")
        if type(unknown) is not int or not 0 <= unknown < len(model["vocab"]):
            raise UserError(f"a Unigram model needs an unk_id, and has {quoted(unknown)}")
        self._unknown, self._scores = unknown, [float(score) for _, score in model["vocab"]]
        self._score_of_unknown = min(self._scores) - UNKNOWN_PENALTY
        self._prefixes = {text[:end]: -1 for text in text_of for end in range(1, len(text))} | dict(text_of)
        names = [id_of.get(BYTE_NAME.format(byte)) for byte in range(256)] if model.get("byte_fallback") else []
        self._byte_ids = names or [None] * 256

    def __call__(self, piece: str) -> list[Found]:
        found: list[Found] = []
        for token, start, end in self._joined(self._path(piece)):
            of_bytes = [self._byte_ids[byte] for byte in piece[start:end].encode()] if token == self._unknown else []
            known = [byte for byte in of_bytes if byte is not None]
            if known and len(known) == len(of_bytes):
                found += [(byte, start, end) for byte in known]
            else:
                found.append((token, start, end))
        return found

    def _path(self, piece: str) -> list[Found]:
        size, find, scores = len(piece), self._prefixes.get, self._scores
        best = [0.0] * (size + 1)
        came_from, by_token = [-1] * (size + 1), [-1] * (size + 1)
        for start in range(size):
            here, end, found_one = best[start], start + 1, False
            while end <= size and (token := find(piece[start:end])) is not None:
                if token >= 0:
                    score = scores[token] + here
                    found_one = found_one or end == start + 1
                    if came_from[end] < 0 or score > best[end]:
                        best[end], came_from[end], by_token[end] = score, start, token
                end += 1
            if not found_one:
                score = self._score_of_unknown + here
                if came_from[start + 1] < 0 or score > best[start + 1]:
                    best[start + 1], came_from[start + 1], by_token[start + 1] = score, start, self._unknown
        path, end = [], size
        while end > 0:
            path.append((by_token[end], came_from[end], end))
            end = came_from[end]
        return path[::-1]

    def _joined(self, path: list[Found]) -> list[Found]:
        """A run of unknown characters is one."""
        joined: list[Found] = []
        for token, start, end in path:
            if joined and token == joined[-1][0] == self._unknown:
                joined[-1] = (token, joined[-1][1], end)
            else:
                joined.append((token, start, end))
        return joined


def unknown_id(model: Json, id_of: Mapping[str, int]) -> int | None:
    """The id of the model's unk_token; None where it has none. UserError where that is no token."""
    name = model.get("unk_token")
    if name is None:
        return None
    if not isinstance(name, str) or name not in id_of:
        raise UserError(f"model.unk_token = {quoted(name)} is not in the vocabulary")
    return id_of[name]


def required_unknown(model: Json, id_of: Mapping[str, int]) -> int:
    """As `unknown_id`, for models that cannot do without."""
    unknown = unknown_id(model, id_of)
    if unknown is None:
        raise UserError(f"a {model['type']} model needs an unk_token")
    return unknown

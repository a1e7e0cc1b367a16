"""Text to ids and back."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import regex

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.merging import Merger
from scratchgrad.tools.tokenizer.patterns import cutter

# Bytes in the order of the characters that GPT-2's files write them as: printable ones first, then the rest.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTE_ORDER = [*_PRINTABLE, *(byte for byte in range(256) if byte not in _PRINTABLE)]


class Tokenizer:
    """Byte-level BPE: any text has ids, and its ids give it back.

    tokens: the bytes of every id. merges: (left, right, merged) ids in the order they were learnt. special_tokens: text
    to id; they mark places in a stream of ids, and no text is ever encoded as one unless the caller allows it.
    pattern: the name of a pre-tokenizing pattern, or a regular expression.
    """

    def __init__(
        self,
        tokens: Sequence[bytes],
        merges: Sequence[tuple[int, int, int]],
        special_tokens: dict[str, int],
        pattern: str,
    ) -> None:
        self.tokens, self.merges, self.pattern = list(tokens), list(merges), pattern
        self.special_tokens = dict(special_tokens)
        special = set(special_tokens.values())
        ids = {token: i for i, token in enumerate(self.tokens) if i not in special}
        missing = [byte for byte in range(256) if bytes([byte]) not in ids]
        if missing:
            raise UserError(
                f"the vocabulary has no token for {len(missing)} of the 256 bytes; the first is {missing[0]}"
            )
        self._merger = Merger([ids[bytes([byte])] for byte in range(256)], self.merges)
        self._cut = cutter(pattern)

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @property
    def end_of_text(self) -> int:
        """The id that stands between documents; UserError where the tokenizer has none."""
        for name in ("<|endoftext|>", "</s>", "<|end_of_text|>"):
            if name in self.special_tokens:
                return self.special_tokens[name]
        known = ", ".join(self.special_tokens) or "none at all"
        raise UserError(f"the tokenizer has no token for the end of a text (<|endoftext|>); its special ones: {known}")

    @property
    def padding(self) -> int | None:
        """The id that fills up what is shorter than its neighbours; None where the tokenizer has none."""
        return next((self.special_tokens[name] for name in ("<pad>", "[PAD]") if name in self.special_tokens), None)

    @cached_property
    def byte_lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many bytes of text each id stands for; a special token stands for none."""
        lengths = np.array([len(token) for token in self.tokens], np.int64)
        lengths[list(self.special_tokens.values())] = 0
        return lengths

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all that decides how text is encoded."""
        parts = (self.tokens, self.merges, sorted(self.special_tokens.items()), self.pattern)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """The ids of `text`. Special tokens in it are ordinary text, but for those that are allowed by name.

        A lone surrogate becomes U+FFFD, as in tiktoken.
        """
        unknown = set(allowed_special) - self.special_tokens.keys()
        if unknown:
            raise UserError(f"'{min(unknown)}' is not a special token; they are: {', '.join(self.special_tokens)}")
        text = _encodable(text)
        if not allowed_special:
            return self._encode_ordinary(text)
        longest_first = sorted(allowed_special, key=len, reverse=True)
        parts = regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text)
        ids: list[int] = []
        for ordinary, special in zip(parts[::2], [*parts[1::2], None], strict=True):
            ids += self._encode_ordinary(ordinary)
            if special is not None:
                ids.append(self.special_tokens[special])
        return ids

    def encode_array(self, text: str) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """As `encode`, in an array."""
        return np.fromiter(self._pieces(_encodable(text)), np.uint32)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids; of special tokens, those of their names."""
        try:
            return b"".join(self.token_bytes(token) for token in ids)
        except IndexError:
            raise UserError(f"ids go from 0 to {self.vocab_size - 1}; there is one outside") from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def token_bytes(self, token: int) -> bytes:
        if token < 0:
            raise IndexError(token)
        return self.tokens[token]

    def stream_decoder(self) -> StreamDecoder:
        """For text that appears while its ids are made."""
        return StreamDecoder(self)

    def _encode_ordinary(self, text: str) -> list[int]:
        return list(self._pieces(text))

    def _pieces(self, text: str) -> chain[int]:
        return chain.from_iterable(map(self._merger.__getitem__, self._cut(text)))


class StreamDecoder:
    """Turns ids into text one by one, and holds back bytes until they make a whole character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that this id completes."""
        return self._decoder.decode(self._tokenizer.decode_bytes([token]))

    def finish(self) -> str:
        """What is left: U+FFFD for a character that was never completed."""
        return self._decoder.decode(b"", final=True)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

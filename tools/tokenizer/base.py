"""Text to ids and back: what every tokenizer does, whatever its algorithm."""

from __future__ import annotations

import codecs
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken, Splitter
from scratchgrad.tools.tokenizer.batches import encode_in_processes
from scratchgrad.tools.tokenizer.normal_forms import Traced, unchanged
from scratchgrad.tools.tokenizer.patterns import LONG
from scratchgrad.tools.tokenizer.templates import PLAIN, Encoded, Template

Span = tuple[int, int]  # characters of the text: from, and up to but without

NAMES_OF_PADDING = ("<pad>", "[PAD]")
_NAMES_OF_THE_END = ("<|endoftext|>", "</s>", "<|end_of_text|>", "[SEP]")


class Tokenizer(ABC):
    """Text to ids in three steps: cut out added tokens, normalize what lies between, and encode that.

    A subclass is one algorithm. It says how normalized text is encoded, and what each id stands for:

    tokens: the bytes of every id as they stand in decoded text; None for an id that no token has.
    added: tokens beside the vocabulary. The special ones among them mark places in a stream of ids, and no text is ever
    encoded as one unless the caller allows it by name.
    template: what `encode_pair` puts around texts.
    drops_first_space: decoded text loses the blank that it begins with, which was put there by `normalize`.
    """

    drops_first_space = False

    def __init__(
        self, tokens: Sequence[bytes | None], added: Sequence[AddedToken], template: Template | None = None
    ) -> None:
        self.tokens, self.added, self.template = list(tokens), list(added), template or PLAIN
        self.special_tokens = {token.text: token.id for token in added if token.special}
        self._splitters = lru_cache(maxsize=16)(self._make_splitters)
        self._cuts_always = any(not token.special for token in added)

    @abstractmethod
    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        """The ids of normalized text without added tokens, which may stand at the start of the whole text."""

    def iterate_normalized(self, text: str, at_start: bool = True) -> Iterator[int]:
        """As `encode_normalized`, one by one; where text is cut into pieces, these are not made all at once."""
        return iter(self.encode_normalized(text, at_start))

    @abstractmethod
    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        """Which characters of the normalized `text` each of its ids stands for; they share a character they split."""

    @abstractmethod
    def settings(self) -> tuple[object, ...]:
        """All beside `tokens` and `added` that decides how text is encoded."""

    def normalize(self, text: str, at_start: bool = True) -> str:
        """What is encoded in place of `text`, which stands at the start of the whole text or behind an added token."""
        return text

    def trace(self, text: str, at_start: bool = True) -> Traced:
        """As `normalize`, with where each character came from."""
        return unchanged(text)

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @property
    def end_of_text(self) -> int:
        """The id that stands between documents; UserError where the tokenizer has none."""
        for name in _NAMES_OF_THE_END:
            if name in self.special_tokens:
                return self.special_tokens[name]
        known = ", ".join(self.special_tokens) or "none at all"
        raise UserError(f"the tokenizer has no token for the end of a text (<|endoftext|>); its special ones: {known}")

    @property
    def padding(self) -> int | None:
        """The id that fills up what is shorter than its neighbours; None where the tokenizer has none."""
        return next((self.special_tokens[name] for name in NAMES_OF_PADDING if name in self.special_tokens), None)

    @cached_property
    def byte_lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many bytes of text each id stands for, int64 (vocabulary,); a special token stands for none."""
        lengths = np.array([len(token or b"") for token in self.tokens], np.int64)
        lengths[list(self.special_tokens.values())] = 0
        return lengths

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all that decides how text is encoded."""
        parts = (type(self).__name__, self.tokens, sorted(self.added), self.settings())
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, text: str, allowed_special: Collection[str] = (), *, at_start: bool = True) -> list[int]:
        """The ids of `text`. Special tokens in it are ordinary text, but for those that are allowed by name.

        at_start: of a whole text; False where other ids come before it, as those of an added token. A lone surrogate
        becomes U+FFFD, as in tiktoken.
        """
        text = encodable(text)
        if not (allowed_special or self._cuts_always):
            return self.encode_normalized(self.normalize(text, at_start), at_start)
        ids: list[int] = []
        for part, is_first, token in self._parts(text, allowed_special, at_start):
            ids += self.encode_normalized(part, is_first) if token is None else [token]
        return ids

    def _parts(
        self, text: str, allowed_special: Collection[str] = (), at_start: bool = True
    ) -> Iterator[tuple[str, bool, int | None]]:
        """Normalized text between added tokens, with whether it stands at the start; and these tokens, with no text."""
        raw, normalized = self._splitters(frozenset(allowed_special))
        for start, end, token in raw.split(text):
            if token is not None:
                yield "", False, token
                continue
            part = self.normalize(text[start:end], at_start and start == 0)
            for first, last, inner in normalized.split(part):
                yield part[first:last], at_start and start == first == 0, inner

    def encode_array(self, text: str) -> np.ndarray[Any, np.dtype[np.unsignedinteger[Any]]]:
        """As `encode`, in an array of uint16 where that holds every id, else of uint32: for texts of any length."""
        dtype = np.uint16 if self.vocab_size <= 1 << 16 else np.uint32
        if len(text) <= LONG:
            return np.array(self.encode(text), dtype)
        text = encodable(text)
        parts = self._parts(text) if self._cuts_always else iter([(self.normalize(text), True, None)])
        ids = (
            id_
            for part, at_start, token in parts
            for id_ in (self.iterate_normalized(part, at_start) if token is None else (token,))
        )
        return np.fromiter(ids, dtype)

    def encode_with_offsets(self, text: str, allowed_special: Collection[str] = ()) -> tuple[list[int], list[Span]]:
        """The ids, and which characters of `text` each stands for. Ids that split a character all stand for it."""
        text = encodable(text)
        raw, normalized = self._splitters(frozenset(allowed_special))
        ids: list[int] = []
        offsets: list[Span] = []
        for start, end, token in raw.split(text):
            if token is not None:
                ids.append(token)
                offsets.append((start, end))
                continue
            whole = self.trace(text[start:end], start == 0)
            for first, last, inner in normalized.split(whole.text):
                part = whole.part(first, last)
                at_start = start == first == 0
                found = self.encode_normalized(part.text, at_start) if inner is None else [inner]
                spans = self.spans(part.text, found, at_start) if inner is None else [(0, last - first)]
                ids += found
                offsets += [_origin(part, span, start) for span in spans]
        return ids, offsets

    def encode_pair(self, first: str, second: str | None = None, max_length: int | None = None) -> Encoded:
        """One text, or two, between the special tokens that the model was trained with; at most `max_length` ids.

        The longer text gives way first. UserError where `max_length` does not hold the special tokens.
        """
        ids = None if second is None else self.encode(second)
        return self.template.apply(self.encode(first), ids, max_length)

    def encode_batch(
        self, texts: Sequence[str], workers: int = 1, allowed_special: Collection[str] = ()
    ) -> list[list[int]]:
        """The ids of each text, with `workers` processes; their number changes nothing but the time."""
        if workers <= 1:
            return [self.encode(text, allowed_special) for text in texts]
        return encode_in_processes(lambda text: self.encode(text, allowed_special), texts, workers)

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = False) -> bytes:
        """The bytes of ids; of special tokens those of their names, or none. UserError for an id of no token."""
        special = set(self.special_tokens.values()) if skip_special else ()
        joined = b"".join(self.token_bytes(token) for token in ids if token not in special)
        return joined[1:] if self.drops_first_space and joined.startswith(b" ") else joined

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode(errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """What one id stands for inside a text."""
        found = self.tokens[token] if 0 <= token < len(self.tokens) else None
        if found is None:
            raise UserError(f"ids go from 0 to {self.vocab_size - 1}; {token} is not one of them")
        return found

    def pad_to(self, vocab_size: int) -> None:
        """Let ids up to `vocab_size` stand for no text: models may have more rows than there are tokens."""
        self.tokens += [b""] * (vocab_size - len(self.tokens))

    def stream_decoder(self) -> StreamDecoder:
        """For text that appears while its ids are made."""
        return StreamDecoder(self)

    def _make_splitters(self, allowed: frozenset[str]) -> tuple[Splitter, Splitter]:
        """For the text as it came, and for normalized text."""
        unknown = allowed - self.special_tokens.keys()
        if unknown:
            raise UserError(f"'{min(unknown)}' is not a special token; they are: {', '.join(self.special_tokens)}")
        wanted = [token for token in self.added if not token.special or token.text in allowed]
        return (
            Splitter((token.text, token) for token in wanted if not token.normalized),
            Splitter((self.normalize(token.text), token) for token in wanted if token.normalized),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_splitters"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._splitters = lru_cache(maxsize=16)(self._make_splitters)


class StreamDecoder:
    """Turns ids into text one by one, and holds back bytes until they make a whole character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drops_space = tokenizer.drops_first_space

    def feed(self, token: int) -> str:
        """The characters that this id completes."""
        found = self._tokenizer.token_bytes(token)
        if self._drops_space and found:
            self._drops_space, found = False, found.removeprefix(b" ")
        return self._decoder.decode(found)

    def finish(self) -> str:
        """What is left: U+FFFD for a character that was never completed."""
        return self._decoder.decode(b"", final=True)


def encodable(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which have no bytes."""
    try:
        for start in range(0, len(text), LONG):
            text[start : start + LONG].encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _origin(part: Traced, span: Span, shift: int) -> Span:
    """Where characters of normalized text were in the text before, which began at `shift`."""
    start, end = span
    if start == end:
        place = part.starts[start] if start < len(part.starts) else part.ends[-1]
        return place + shift, place + shift
    return part.starts[start] + shift, part.ends[end - 1] + shift

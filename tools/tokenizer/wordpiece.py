"""WordPiece with BERT's basic tokenizer (Devlin et al. 2018): words, then the longest tokens from left to right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import regex

from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.base import Span, Tokenizer
from scratchgrad.tools.tokenizer.cache import PieceCache
from scratchgrad.tools.tokenizer.normal_forms import Traced, normalized, traced_form, unchanged
from scratchgrad.tools.tokenizer.templates import Template

LONGEST_WORD = 100  # characters; a longer word is unknown
CONTINUES = "##"

REMOVED = regex.compile(r"[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]")
WHITE = regex.compile(r"\p{White_Space}")
IDEOGRAPH = regex.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf"
    "\uf900-\ufaff\U0002f800-\U0002fa1f]"
)
NONSPACING = regex.compile(r"\p{Mn}")
# Punctuation is each a word; ASCII symbols like $ and ^ count as such.
PUNCTUATION = r"!-/:-@\[-`{-~\p{P}"
_WORDS = regex.compile(rf"[{PUNCTUATION}]|[^\s{PUNCTUATION}]+")


class WordPiece(Tokenizer):
    """vocabulary: each token as BERT's vocab.txt writes it; `##x` goes on a word. lowercase: capitals and accents go.

    A word that the vocabulary cannot spell becomes `unknown`. Decoded text has one blank between words.
    """

    drops_first_space = True

    def __init__(
        self,
        vocabulary: Sequence[str],
        added: Sequence[AddedToken],
        *,
        unknown: int,
        lowercase: bool,
        template: Template | None = None,
    ) -> None:
        tokens = [text.removeprefix(CONTINUES) if _goes_on(text) else f" {text}" for text in vocabulary]
        super().__init__([token.encode() for token in tokens], added, template)
        self.vocabulary, self.unknown, self.lowercase = list(vocabulary), unknown, lowercase
        beside = {token.id for token in added}
        self.id_of = {text: i for i, text in enumerate(vocabulary) if i not in beside}
        self._longest = max(map(len, vocabulary))
        self._cache = PieceCache(self._ids_of_word)

    def settings(self) -> tuple[object, ...]:
        return self.unknown, self.lowercase

    def normalize(self, text: str, at_start: bool = True) -> str:
        text = WHITE.sub(" ", REMOVED.sub("", text))
        text = IDEOGRAPH.sub(r" \g<0> ", text)
        if self.lowercase:
            text = lower(NONSPACING.sub("", normalized("NFD", text)))
        return text

    def trace(self, text: str, at_start: bool = True) -> Traced:
        kept = _without(unchanged(text), REMOVED)
        spaced = _mapped(kept, lambda c: " " if WHITE.match(c) else f" {c} " if IDEOGRAPH.match(c) else c)
        if not self.lowercase:
            return spaced
        form = traced_form("NFD", spaced.text)
        starts = [spaced.starts[start] for start in form.starts]
        ends = [spaced.ends[end - 1] for end in form.ends]
        return _mapped(_without(Traced(form.text, starts, ends), NONSPACING), str.lower)

    def pieces(self, text: str) -> list[str]:
        """The words of normalized text."""
        words: list[str] = _WORDS.findall(text)
        return words

    def encode_normalized(self, text: str, at_start: bool = True) -> list[int]:
        return list(chain.from_iterable(map(self._cache.__getitem__, _WORDS.findall(text))))

    def iterate_normalized(self, text: str, at_start: bool = True) -> Iterator[int]:
        return chain.from_iterable(self._cache[match.group()] for match in _WORDS.finditer(text))

    def spans(self, text: str, ids: list[int], at_start: bool = True) -> list[Span]:
        spans = []
        for match in _WORDS.finditer(text):
            place = match.start()
            for token in self._cache[match.group()]:
                spelled = self.vocabulary[token]
                width = len(spelled) - len(CONTINUES) * (place > match.start())
                end = match.end() if token == self.unknown else place + width
                spans.append((place, end))
                place = end
        return spans

    def _ids_of_word(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        ids, start = [], 0
        while start < len(word):
            mark = CONTINUES if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                token = self.id_of.get(mark + word[start:end])
                if token is not None:
                    break
            else:
                return [self.unknown]
            ids.append(token)
            start = end
        return ids


def _goes_on(token: str) -> bool:
    return token.startswith(CONTINUES) and len(token) > len(CONTINUES)


def lower(text: str) -> str:
    """Each character by itself: a sigma does not care that it ends a word."""
    return text.lower() if "\u03a3" not in text else "\u03c3".join(part.lower() for part in text.split("\u03a3"))


def _without(traced: Traced, unwanted: regex.Pattern[str]) -> Traced:
    kept = [i for i, character in enumerate(traced.text) if not unwanted.match(character)]
    return Traced(
        "".join(traced.text[i] for i in kept), [traced.starts[i] for i in kept], [traced.ends[i] for i in kept]
    )


def _mapped(traced: Traced, change: Callable[[str], str]) -> Traced:
    parts, starts, ends = [], [], []
    for character, start, end in zip(*traced, strict=True):
        part = change(character)
        parts.append(part)
        starts += [start] * len(part)
        ends += [end] * len(part)
    return Traced("".join(parts), starts, ends)

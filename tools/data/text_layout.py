"""How text is laid out for a model, ids and mask together: the same in training, sampling, filling and evaluation.

a decoder           begin text begin text ...       a prompt:  begin text
encoder-decoder     source end                      target end
BERT                [CLS] first [SEP] second [SEP]  with token_type_ids 0 0 0 0 0 1 1 1
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from scratchgrad.errors import UserError
from scratchgrad.tools.data.tokenized import Array, TokenizedExample
from scratchgrad.tools.tokenizer import Encoded, Template, Tokenizer

PAD, CLS, SEP, MASK = "[PAD]", "[CLS]", "[SEP]", "[MASK]"
SENTINEL = "<extra_id_"  # what the names of T5's sentinels begin with


class TextLayout:
    """begin: the id that a decoder's texts begin with, by default the tokenizer's end_of_text, which then stands
    between documents.

    Names of special tokens in a text are ordinary text, but for those that a method says. UserError where the tokenizer
    lacks a special token that a layout needs.
    """

    def __init__(self, tokenizer: Tokenizer, *, begin: int | None = None) -> None:
        self.tokenizer, self._begin = tokenizer, begin

    @property
    def begin(self) -> int:
        return self.end if self._begin is None else self._begin

    @property
    def end(self) -> int:
        return self.tokenizer.end_of_text

    @property
    def padding(self) -> int:
        """The id that fills rows up; nothing is asked of it, and nothing sees it."""
        padding = self.tokenizer.padding
        if padding is None:
            raise UserError("the tokenizer has no token that fills rows up (<pad>, [PAD])")
        return padding

    def document(self, text: str) -> TokenizedExample:
        """begin text: every token a target, begin too, which ends the document before it."""
        ids = self.tokenizer.encode_array(text)
        return TokenizedExample.of((np.array([self.begin], ids.dtype), True), (ids, True))

    def prompt(self, text: str) -> list[int]:
        """begin text: what a decoder goes on from."""
        return [self.begin, *self.tokenizer.encode(text)]

    def source(self, text: str) -> list[int]:
        """text end: what an encoder-decoder answers. T5's sentinels are allowed in it."""
        return [*self.tokenizer.encode(text, self._sentinels), self.end]

    def target(self, text: str) -> list[int]:
        """text end: the answer. T5's sentinels are allowed in it."""
        return self.source(text)

    def source_and_target(self, source: str, target: str) -> TokenizedExample:
        """source end target end; the tokens of the target, and its end, are targets."""
        return TokenizedExample.of((self.source(source), False), (self.target(target), True))

    def masked(self, text: str) -> list[int]:
        """[CLS] text [SEP]; [MASK] and [SEP] are allowed in it."""
        self.special(MASK)
        return self.with_special_tokens(self.tokenizer.encode(text, (MASK, SEP))).ids

    def sentences(self, first: str, second: str | None = None, max_length: int | None = None) -> TokenizedExample:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], with the column token_type_ids; no targets."""
        ids = None if second is None else self.tokenizer.encode(second)
        laid_out = self.with_special_tokens(self.tokenizer.encode(first), ids, max_length)
        return TokenizedExample.of((laid_out.ids, False), token_type_ids=laid_out.segments)

    def with_special_tokens(
        self, first: Sequence[int] | Array, second: Sequence[int] | Array | None = None, max_length: int | None = None
    ) -> Encoded:
        """Ids of one text or two, laid out for BERT: the ids, and the token_type_ids.

        With more than `max_length` ids in all the longer text is cut, until both are equally long, then both.
        """
        return self._bert.apply(list(first), None if second is None else list(second), max_length)

    def special(self, name: str) -> int:
        """The id of a special token; UserError where the tokenizer has none of that name."""
        found = self.tokenizer.special_tokens.get(name)
        if found is None:
            known = ", ".join(list(self.tokenizer.special_tokens)[:8]) or "none"
            raise UserError(
                f"the tokenizer has no special token {name}, which this model's texts need; it has: {known}"
            )
        return found

    @cached_property
    def _bert(self) -> Template:
        cls, sep = self.special(CLS), self.special(SEP)
        return Template(
            ((cls, 0), ("A", 0), (sep, 0)),
            ((cls, 0), ("A", 0), (sep, 0), ("B", 1), (sep, 1)),
        )

    @cached_property
    def _sentinels(self) -> list[str]:
        return [name for name in self.tokenizer.special_tokens if name.startswith(SENTINEL)]

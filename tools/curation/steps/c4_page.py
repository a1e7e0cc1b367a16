"""C4's rules for a whole page, after those for its lines."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from scratchgrad.tools.curation.batch import Batch, Values
from scratchgrad.tools.curation.step import Filter, Rule

END_MARKS = tuple(map(ord, ".?!"))
CLOSING = tuple(map(ord, "\"')]}”’»"))


class C4Page(Filter):
    """Raffel et al. 2020 (C4) as its own code has it: tensorflow_datasets, text/c4_utils.py.

    A sentence ends with a line, and with a word that ends with . ? or !, closing quotes or brackets behind it or not.
    C4 itself asks NLTK's punkt, which knows abbreviations, so that a page of two sentences with a "Dr." stays here.
    Its rule on bad words is the step `word_list`.
    """

    source: ClassVar[str] = "tensorflow_datasets, c4_utils.py"
    languages: ClassVar[tuple[str, ...] | None] = ("en",)

    min_sentences: int | None = Field(3, ge=0, description="sentences")
    max_characters: int | None = Field(190_000, ge=0, description="of the text")
    max_lorem_ipsum: int | None = Field(0, ge=0, description='how often it says "lorem ipsum", in any case')
    max_curly_brackets: int | None = Field(0, ge=0, description="how often it has {")

    def rules(self) -> list[Rule]:
        return self.thresholds(
            ("lorem_ipsum", "<=", "max_lorem_ipsum", "lorem ipsum"),
            ("curly_brackets", "<=", "max_curly_brackets", "curly bracket"),
            ("sentences", ">=", "min_sentences", "too few sentences"),
            ("characters", "<=", "max_characters", "too long"),
        )

    def measure(self, batch: Batch) -> dict[str, Values]:
        tokens = batch.tokens
        last = tokens.codes[tokens.word_to - 1]
        ends = np.isin(last, END_MARKS)
        closed = np.flatnonzero(np.isin(last, CLOSING) & (tokens.word_lengths > 1))
        ends[closed] = np.isin(tokens.codes[tokens.word_to[closed] - 2], END_MARKS)
        ends[tokens.line_words[1:] - 1] = True
        return self.where_language_fits(
            batch,
            {
                "sentences": batch.sum_over_words(ends),
                "characters": batch.characters,
                "lorem_ipsum": np.array([text.count("lorem ipsum") for text in batch.lower_texts], np.float64),
                "curly_brackets": batch.count("{"),
            },
        )

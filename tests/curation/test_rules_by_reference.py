"""The rules that run over whole batches are those that the published code has, written here one text at a time."""

import math
import re
from collections import Counter

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.step import Filter, step_class
from tests.curation.curated import FEW_WORDS, documents_of, repetitive_texts

STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text: str) -> list[str]:
    """Lines with no blank line between them."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(lines).strip() for lines in found if lines]


def duplicates(parts: list[str]) -> tuple[int, int]:
    """datatrove's `find_duplicates`; parts are equal where their words and line ends are."""
    seen, number, characters = set(), 0, 0
    for part in parts:
        key = tuple(tuple(line.split()) for line in part.split("\n"))
        if key in seen:
            number, characters = number + 1, characters + len(part)
        seen.add(key)
    return number, characters


def top(words: list[str], n: int) -> int:
    """datatrove's `find_top_duplicate`."""
    n_grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not n_grams:
        return 0
    n_gram, times = Counter(n_grams).most_common(1)[0]
    return len(n_gram) * times


def all_duplicates(words: list[str], n: int) -> int:
    """datatrove's `find_all_duplicate`, of n-grams that are tuples: "ab c" is not "a bc"."""
    seen, characters, place = set(), 0, 0
    while place < len(words) - n + 1:
        n_gram = tuple(words[place : place + n])
        if n_gram in seen:
            characters, place = characters + len("".join(n_gram)), place + n
        else:
            seen.add(n_gram)
            place += 1
    return characters


def gopher_repetition(text: str) -> dict[str, float]:
    words, lines, paragraphs = text.split(), lines_of(text), paragraphs_of(text)
    return {
        "words": len(words),
        "duplicate_lines": ratio(duplicates(lines)[0], len(lines)),
        "duplicate_line_chars": ratio(duplicates(lines)[1], len(text)),
        "duplicate_paragraphs": ratio(duplicates(paragraphs)[0], len(paragraphs)),
        "duplicate_paragraph_chars": ratio(duplicates(paragraphs)[1], len(text)),
        **{f"top_{n}_gram": ratio(top(words, n), len(text)) for n in (2, 3, 4)},
        **{f"duplicate_{n}_grams": ratio(all_duplicates(words, n), len(text)) for n in range(5, 11)},
    }


def gopher_quality(text: str) -> dict[str, float]:
    words, lines = text.split(), lines_of(text)
    real = [word for word in words if any(char.isalnum() for char in word)]
    whole = [re.search(rf"(?<![^\W_]){word}(?![^\W_])", text.lower()) for word in STOP_WORDS]
    return {
        "words": len(real),
        "mean_word_length": ratio(sum(map(len, real)), len(real)),
        "hashes": ratio(text.count("#"), len(words)),
        "ellipses": ratio(text.count("...") + text.count("…"), len(words)),
        "bullet_lines": ratio(sum(line.startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_lines": ratio(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "alphabetic_words": ratio(sum(any(char.isalpha() for char in word) for word in words), len(words)),
        "stop_words": sum(found is not None for found in whole),
    }


def fineweb_quality(text: str) -> dict[str, float]:
    words, lines = text.split(), lines_of(text)
    return {
        "lines": len(lines),
        "punctuated_lines": ratio(
            sum(regex.fullmatch(r"\p{Sentence_Terminal}", line[-1]) is not None for line in lines), len(lines)
        ),
        "short_lines": ratio(sum(len(line) <= 30 for line in lines), len(lines)),
        "duplicate_line_chars": ratio(duplicates(lines)[1], len(text.replace("\n", ""))),
        "newlines": ratio(text.count("\n"), len(words)),
    }


def c4_page(text: str) -> dict[str, float]:
    sentences = 0
    for line in lines_of(text):
        words = line.split()
        sentences += sum(bool(re.search(r"""[.?!]["')\]}”’»]?$""", word)) for word in words[:-1]) + 1
    return {
        "sentences": sentences,
        "characters": len(text),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "curly_brackets": text.count("{"),
    }


REFERENCES = [gopher_repetition, gopher_quality, fineweb_quality, c4_page]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.__name__)
@given(texts=st.lists(repetitive_texts(), max_size=5))
@settings(max_examples=150)
def test_a_batch_is_measured_as_each_text_is(reference, texts):
    step = step_class(reference.__name__)()
    assert isinstance(step, Filter)
    values = step.measure(Batch(documents_of(texts)))
    for index, text in enumerate(texts):
        expected = reference(text)
        assert values.keys() == expected.keys()
        for name, value in expected.items():
            assert math.isclose(values[name][index], value, rel_tol=1e-12), (name, text)


@given(words=st.lists(st.sampled_from(FEW_WORDS[:4]), max_size=200))
@settings(max_examples=100)
def test_n_grams_that_overlap_are_scanned_as_datatrove_scans_them(words):
    step = step_class("gopher_repetition")()
    assert isinstance(step, Filter)
    text = " ".join(words)
    values = step.measure(Batch(documents_of([text])))
    for name, value in gopher_repetition(text).items():
        assert math.isclose(values[name][0], value, rel_tol=1e-12), name


def test_the_reference_is_right_where_a_hand_can_count():
    assert all_duplicates(["a", "b", "c", "d", "e", "a", "b", "c", "d", "e"], 5) == 5
    assert all_duplicates(["a"] * 11, 5) == 10  # at 0 it is seen, at 1 counted, and again at 6
    assert top(["a", "b", "a", "b"], 2) == 6
    assert duplicates(["x", "x", "x"]) == (2, 2)
    assert paragraphs_of("a\nb\n\n \nc\n") == ["a\nb", "c"]

"""Words, lines and paragraphs of many texts at once are those that Python finds in one."""

from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.tools.curation.repeats import seen_before
from scratchgrad.tools.curation.tokens import KNOWN, Tokens
from tests.curation.curated import ODD_TEXTS, repetitive_texts


def test_what_lies_beyond_the_table_is_no_word_and_no_space():
    beyond = map(chr, range(KNOWN, 0x110000))
    assert not any(char.isspace() or char.isalnum() for char in beyond)


@given(texts=st.lists(st.one_of(repetitive_texts(), st.sampled_from(ODD_TEXTS)), max_size=5))
def test_words_and_lines_are_those_of_python(texts):
    tokens = Tokens(texts)
    joined = "".join(map(chr, tokens.codes))
    words = [joined[start:end] for start, end in zip(tokens.word_from, tokens.word_to, strict=True)]
    lines = [joined[start:end] for start, end in zip(tokens.line_from, tokens.line_to, strict=True)]
    for index, text in enumerate(texts):
        assert words[slice(*tokens.word_starts[index : index + 2])] == text.split()
        own = [line.strip() for line in text.split("\n") if line.strip()]
        assert lines[slice(*tokens.line_starts[index : index + 2])] == own


@given(texts=st.lists(st.text(alphabet="ab \n", max_size=90), max_size=3), other=st.text(max_size=50))
def test_hashes_are_equal_for_equal_words_in_any_batch(texts, other):
    tokens, again = Tokens(texts), Tokens([other, *texts[::-1]])
    words = " ".join(texts).split()
    by_word = dict(zip(" ".join([other, *texts[::-1]]).split(), again.word_hashes.tolist(), strict=True))
    assert [by_word[word] for word in words] == tokens.word_hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)


def test_the_hash_of_a_word_is_the_same_in_every_process():
    """Python's own hash of a text is not."""
    long = "x" * 33  # hashed in another way than shorter ones
    assert [hex(value) for value in Tokens([f"word 猫 {long}"]).word_hashes.tolist()] == [
        "0x890b30b668649de1",
        "0x1d3740104bbd828c",
        "0xc97e90e5b2b5deb5",
    ]


@given(keys=st.lists(st.integers(0, 5), max_size=20))
def test_what_was_seen_before(keys):
    expected = [key in keys[:index] for index, key in enumerate(keys)]
    assert seen_before(Tokens([" ".join(map(str, keys))]).word_hashes).tolist() == expected


def test_a_character_that_is_zero_is_one():
    assert len(set(Tokens(["\0 \0\0 a \0a a\0"]).word_hashes.tolist())) == 5

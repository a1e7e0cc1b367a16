"""Each rule where it begins to hold, with values that a hand can count."""

import math

import pytest

from tests.curation.curated import measured, reason


def of_words(number: int) -> str:
    """So many different words of four letters, the first two of them stop words."""
    return " ".join(["the", "with", *(f"a{index:03d}" for index in range(number - 2))])


@pytest.mark.parametrize(
    ("name", "text", "expected", "settings"),
    [
        ("gopher_quality", of_words(50), "", {}),
        ("gopher_quality", of_words(49), "too few words", {}),
        ("gopher_quality", of_words(49) + " ... !! --", "too few words", {}),  # symbols are no words
        ("gopher_quality", of_words(61), "too many words", {"max_words": 60}),
        ("gopher_quality", "", "too few words", {}),
        ("gopher_quality", "", "words too short", {"min_words": None}),
        ("gopher_quality", "the with " + "abc " * 50, "", {}),
        ("gopher_quality", "of to be " + "ab " * 50, "words too short", {}),
        ("gopher_quality", "the with " + "abcdefghijk " * 50, "words too long", {}),  # (3 + 4 + 550) / 52 = 10.7
        ("gopher_quality", "the with " + "abcdefghij " * 50, "", {}),  # 507 / 52 = 9.75
        ("gopher_quality", of_words(50) + "#" * 5, "", {}),  # 5 / 50 = 0.1
        ("gopher_quality", of_words(50) + "#" * 6, "too many hashes", {}),
        ("gopher_quality", of_words(50).replace("a00", "…a00", 5), "", {}),
        ("gopher_quality", of_words(50).replace("a00", "…a00", 6), "too many ellipses", {}),
        ("gopher_quality", "\n".join(["- the with abc defg hi"] * 9 + ["fghij klmn opqr stuv abcd"]), "", {}),  # 9 of 10
        ("gopher_quality", "\n".join(["• the with abc defg hi"] * 10), "too many bullet lines", {}),
        ("gopher_quality", "\n".join(["the with abc def ghi…"] * 3 + ["the with abc def ghi"] * 7), "", {}),
        (
            "gopher_quality", "\n".join(["the with abc def ghi..."] * 4 + ["the with abc def ghi"] * 6),
            "too many lines that end with an ellipsis", {},
        ),
        ("gopher_quality", "the with " + "abc " * 38 + "1234 " * 10, "", {}),  # 40 of 50 have a letter
        ("gopher_quality", "the with " + "abc " * 37 + "1234 " * 11, "too few words with a letter", {}),
        ("gopher_quality", "The the the " + "abcd " * 50, "too few stop words", {}),  # one, though three times
        ("gopher_quality", "The, WITH. " + "abcd " * 50, "", {}),
        ("gopher_quality", "other without " + "abcd " * 50, "too few stop words", {}),
        ("fineweb_quality", "A sentence here.\n" + "b c d e f g h i j k l m n o p q\n" * 7, "", {"max_duplicate_line_chars": 1.0}),  # 1 of 8
        ("fineweb_quality", "A sentence here.\n" + "b c d e f g h i j k l m n o p q\n" * 8, "too few lines that end a sentence", {}),  # 0.111
        ("fineweb_quality", "x" * 30 + ".\n" + "y" * 29 + ".", "", {"max_newlines": None}),  # of 31 and 30: 1 of 2 is short
        ("fineweb_quality", "\n".join(f"ab{n}." for n in range(67)) + ("\n" + "x" * 31 + ".") * 33, "", {"max_newlines": None, "max_duplicate_line_chars": None}),  # 67 of 100
        ("fineweb_quality", "\n".join(f"ab{n}." for n in range(68)) + ("\n" + "x" * 31 + ".") * 32, "too many short lines", {}),
        ("fineweb_quality", "a b c d e f g h i.\n" * 2 + "j" * 144, "", {"max_short_lines": None, "max_newlines": None}),  # 18 of 180
        ("fineweb_quality", "a b c d e f g h i.\n" * 2 + "j" * 143, "too much in duplicate lines", {"max_short_lines": None}),
        ("fineweb_quality", "a b c d e f g h i j.\n" + "\n" * 2, "", {"max_short_lines": None}),  # 3 newlines, 10 words
        ("fineweb_quality", "a b c d e f g h i j.\n" + "\n" * 3, "too many newlines", {"max_short_lines": None}),
        ("fineweb_quality", " \n ", "no lines", {}),
        ("c4_page", "One. Two! Three?", "", {}),
        ("c4_page", "One. Two and three.", "too few sentences", {}),
        ("c4_page", 'One." (Two!) Three', "", {}),
        ("c4_page", "One\nTwo\nThree", "", {}),  # a line is a sentence
        ("c4_page", "One. Two. Three. Lorem Ipsum", "lorem ipsum", {}),
        ("c4_page", "One. Two. Three. {", "curly bracket", {}),
        ("c4_page", "A. B. " + "c" * (190_000 - 6), "", {}),
        ("c4_page", "A. B. " + "c" * (190_000 - 5), "too long", {}),
        ("mc4_page", "\n".join(["x" * 200] * 3), "", {}),
        ("mc4_page", "\n".join(["x" * 200] * 2 + ["x" * 199]), "too few long lines", {}),
        ("length", "", "too short", {}),
        ("length", " \n", "too few words", {}),
        ("length", "a b c", "", {"min_words": 3, "max_words": 3, "min_characters": 5, "max_characters": 5}),
        ("length", "a b c", "too many words", {"max_words": 2}),
        ("length", "a b c", "too long", {"max_characters": 4}),
    ],
)  # fmt: skip
def test_where_a_rule_begins(name, text, expected, settings):
    assert reason(name, text, settings) == expected


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("x\nx\nx", "duplicate_lines", 2 / 3),  # repeats alone count: not 3 / 3 as Dolma and DCLM have it
        ("x\nx\nx", "duplicate_line_chars", 2 / 5),
        ("a b\n\na b\n\nc", "duplicate_paragraphs", 1 / 3),
        ("a b\n\na b\n\nc", "duplicate_paragraph_chars", 3 / 11),
        ("a b\na b\nc", "duplicate_paragraphs", 0.0),
        ("a b\nb a", "duplicate_lines", 0.0),  # the same words in another order
        ("a b\na  b", "duplicate_lines", 1 / 2),
        ("a b\nc\n\na\nb c", "duplicate_paragraphs", 0.0),  # the same words, other lines
        ("a b\nc\n\na b\nc", "duplicate_paragraphs", 1 / 2),
        ("a b a b a", "top_2_gram", 6 / 9),  # "a b" twice, before "b a", which comes twice too
        ("a b c d", "top_2_gram", 3 / 7),  # no pair comes twice: the first counts once
        ("a b c a b c", "top_3_gram", 10 / 11),
        ("a b c d a b c d", "top_4_gram", 14 / 15),
        ("a b", "top_4_gram", 0.0),
        ("a b c d e a b c d e", "duplicate_5_grams", 5 / 19),
        ("a b c d e a b c d e", "duplicate_6_grams", 0.0),
        ("a a a a a a a a a a a", "duplicate_5_grams", 10 / 21),
        ("ab c d e f a bc d e f", "duplicate_5_grams", 0.0),  # datatrove compares "abcdef": the words differ
        ("", "duplicate_5_grams", 0.0),
    ],
)
def test_what_is_a_repetition(text, key, value):
    assert math.isclose(measured("gopher_repetition", text)[key], value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no words"),
        ("\n\n", "no words"),
        ("x1\nx1\nx1\nx1\n" + "\n".join(f"y{n}zz" for n in range(6)), ""),  # 3 of 10 lines; 6 of 41 characters
        ("x1\nx1\nx1\nx1\nx1\n" + "\n".join(f"y{n}" for n in range(5)), "too many duplicate lines"),
        ("long line one\nlong line one\n" + "\n".join("abcdef"), "too much in duplicate lines"),  # 1 of 8; 13 of 39
        ("p\n\np\n\np\n\nq", "too many duplicate paragraphs"),
        ("a long paragraph\n\na long paragraph\n\nq\n\nr\n\ns", "too much in duplicate paragraphs"),
    ],
)
def test_where_a_repetition_is_too_much(text, expected):
    off = {f"max_top_{n}_gram": None for n in (2, 3, 4)}
    assert reason("gopher_repetition", text, off) == expected


def test_n_grams_say_nothing_where_words_have_no_spaces():
    values = measured("gopher_repetition", "第一行。\n第二行。", language="zh")
    assert math.isnan(values["top_2_gram"])
    assert values["duplicate_lines"] == 0
    assert math.isnan(measured("length", "第一行。", language="ja")["words"])


@pytest.mark.parametrize(("text", "share"), [("...", 1), ("x...", 1), ("…", 1), ("..", 0), (". ..", 0), ("a\n.. .", 0)])
def test_what_ends_with_an_ellipsis(text, share):
    assert measured("gopher_quality", text)["ellipsis_lines"] == share


def test_numbers_of_the_notes():
    """datatrove names a minimum of letters `max_non_alpha_words_ratio`; here the name says what is measured."""
    assert measured("gopher_quality", "猫 犬 12 34")["alphabetic_words"] == 0.5
    assert measured("gopher_quality", "!!!")["words"] == 0

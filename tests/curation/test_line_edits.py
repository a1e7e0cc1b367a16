"""What edits take out of a text, line by line, and what they say they took."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.errors import UserError
from tests.curation.curated import edited, reason, repetitive_texts

GOOD = "This line has five words."


@pytest.mark.parametrize(
    ("line", "kept", "why"),
    [
        (GOOD, GOOD, []),
        ('He said: "this is fine!"', 'He said: "this is fine!"', []),
        ("Is this line long enough?", "Is this line long enough?", []),
        ("This line has no end mark", "", ["no end mark"]),
        ("This line ends with dots...", "", ["no end mark"]),
        ("It ends in a quote'", "", ["no end mark"]),  # datatrove keeps it, C4's code does not
        ("Only four words here.", "", ["too few words"]),
        ("Only four words [1] [22] here.", "", ["citation mark", "citation mark", "too few words"]),  # counted without
        ("A fact that is cited.[12]", "A fact that is cited.", ["citation mark"]),
        ("A fact that is cited. [12]", "", ["citation mark", "no end mark"]),  # a space is left at its end
        ("History of this place [edit] now.", "History of this place  now.", ["citation mark"]),
        ("Nobody said this [citation needed] of that.", "Nobody said this  of that.", ["citation mark"]),
        ("You must turn on JavaScript here.", "", ["javascript"]),
        ("Please read our Privacy Policy now.", "", ["policy"]),
        ("This site uses cookies for you.", "", ["policy"]),
        ("A javascript with lorem ipsum in it.", "A javascript with lorem ipsum in it.", []),  # drops the page
        ("The terms of use { are here.", "The terms of use { are here.", []),  # likewise
        ("The javascript { brackets are here.", "", ["javascript"]),
        ("This word is " + "x" * 1001 + ".", "", ["too long a word"]),
        ("This word is " + "x" * 999 + " long.", "This word is " + "x" * 999 + " long.", []),
        ("   " + GOOD + "\t", GOOD, []),
    ],
)
def test_c4_asks_each_line(line, kept, why):
    edit = edited("c4_lines", f"{GOOD}\n{line}\r\n\n{GOOD}")
    assert edit.document.text == "\n".join(filter(None, [GOOD, kept, GOOD]))
    assert [part.reason for part in edit.removed] == why
    assert edit.measured == {"removed_lines": 0.0 if kept else 1 / 3}


def test_the_lines_that_c4_takes_out_are_told():
    (part,) = edited("c4_lines", f"{GOOD}\nMenu").removed
    assert (part.reason, part.text) == ("no end mark", "Menu")


def test_settings_of_c4_lines():
    assert edited("c4_lines", "Two words", {"end_marks": False, "min_words": 2}).document.text == "Two words"
    text = "We use cookies and JavaScript [1]."
    off = {"javascript": False, "policies": False, "citations": False}
    assert edited("c4_lines", text, off).document.text == text


@given(text=repetitive_texts())
def test_c4_lines_has_nothing_to_take_twice(text):
    once = edited("c4_lines", text).document
    assert edited("c4_lines", once.text).document.text == once.text


@pytest.mark.parametrize(
    ("line", "kept", "why"),
    [
        ("ABCde", "", ["mostly uppercase"]),  # 3 of 5
        ("AB cd", "AB cd", []),  # 2 of 5
        ("ABCd ef", "ABCd ef", []),
        ("12345", "", ["digits alone"]),
        ("123 45", "123 45", []),
        ("3 likes", "", ["a counter"]),
        ("(1.2K Views)", "", ["a counter"]),
        ("3 people like it", "3 people like it", []),
        ("word", "", ["too few words"]),
        ("two words", "two words", []),
        ("Sign-in to see more", "to see more", ["button"]),
        ("The whole story. Read more...", "The whole story.", ["button"]),
        ("3 items in cart", "3", ["button"]),
        ("Items in cart", "", ["button"]),
        ("a b c d e f g read more...", "a b c d e f g", ["button"]),
        ("a b c d e f g h i read more...", "a b c d e f g h i read more...", []),  # eleven words
        ("", "", []),
    ],
)
def test_refinedweb_asks_each_line(line, kept, why):
    edit = edited("refinedweb_lines", f"first line\n{line}\nlast line")
    lines = ["first line", *([kept] if kept or not line else []), "last line"]
    assert edit.document.text == "\n".join(lines)
    assert [part.reason for part in edit.removed] == why


def test_refinedweb_drops_a_page_that_is_mostly_lines_of_no_text():
    page = "some words in a line\n" * 19 + "in this one five words\n"
    assert reason("refinedweb_lines", page + "12345\n" * 5) == ""  # 5 of 105 words
    assert reason("refinedweb_lines", page + "12345\n" * 6) == "too many words in such lines"  # 6 of 106
    assert edited("refinedweb_lines", "").measured == {"removed_words": 0.0}
    assert edited("refinedweb_lines", "123\n456").measured == {"removed_words": 1.0}
    text = "\n\n some words\n"
    assert edited("refinedweb_lines", text).document.text == text  # nothing to take out: not even white space


def test_of_equal_lines_the_first_stays():
    edit = edited("boilerplate_lines", "Menu\n\n a \nmenu \n\nA\nb")
    assert edit.document.text == "Menu\n\n a \n\nb"
    assert [part.text for part in edit.removed] == ["menu ", "A"]
    assert edit.measured == {"removed_lines": 2 / 5}
    assert edited("boilerplate_lines", "}\n}", {"min_characters": 2}).document.text == "}\n}"


@given(text=repetitive_texts())
def test_no_line_is_left_twice(text):
    lines = [line.strip().lower() for line in edited("boilerplate_lines", text).document.text.split("\n")]
    assert len({*lines, ""} - {""}) == sum(map(bool, lines))


@pytest.mark.parametrize(
    ("text", "mended", "settings"),
    [
        ("schÃ¶n und grÃ¼n", "schön und grün", {}),
        ("schÃ¶n", "schÃ¶n", {"mojibake": False}),
        ("“curly” ‘quotes’ ﬁne ｗｉｄｅ", "“curly” ‘quotes’ ﬁne ｗｉｄｅ", {}),  # meant so
        ("&lt;b&gt; é", "&lt;b&gt; é", {}),
        ("a\x00b\x07c\x7fd\ufeffe", "abcde", {}),
        ("a\x00b", "a\x00b", {"control_characters": False}),
        ("\ud800a\udc00", "a", {}),
        ("\ud83d\ude00", "😀", {}),
        ("👩\u200d👧", "👩\u200d👧", {}),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd", {}),
        ("a \t b\u00a0c \n d", "a b c\nd", {}),
        ("  x\ty  \n", "  x\ty  \n", {"spaces": False}),
        ("a\n\n\n\nb\n\nc", "a\n\nb\n\nc", {}),
        ("a\n \n \n \nb", "a\n\nb", {}),
        ("a\n\n\n\nb", "a\n\n\n\nb", {"newlines": None}),
        ("a\u0301", "a\u0301", {}),
        ("a\u0301", "á", {"nfc": True}),
        ("", "", {}),
    ],
)
def test_unicode_is_as_it_was_meant(text, mended, settings):
    pytest.importorskip("ftfy", reason="the extra curate is not installed")
    assert edited("unicode", text, settings).document.text == mended
    assert edited("unicode", mended, settings).document.text == mended


def test_what_unicode_counts():
    pytest.importorskip("ftfy", reason="the extra curate is not installed")
    edit = edited("unicode", "schÃ¶n\nplain\x00\x01")
    assert edit.measured == {"mojibake_lines": 1, "control_characters": 2}
    assert [(part.reason, part.text) for part in edit.removed] == [("mojibake", "schÃ¶n")]


@given(text=st.text(max_size=60))
def test_unicode_is_done_at_once(text):
    pytest.importorskip("ftfy", reason="the extra curate is not installed")
    once = edited("unicode", text, {"mojibake": False}).document.text
    assert edited("unicode", once, {"mojibake": False}).document.text == once
    once.encode()  # no half surrogate pair is left


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<p class='a'>Hi <b>you</b><br/></p>", "Hi you"),
        ("a < b and c > d", "a < b and c > d"),
        ("x<!-- no\nline -->y", "xy"),
        ("fish &amp; chips &#8211; &x &nosuch;", "fish & chips – &x &nosuch;"),
        ("[[Paris|the city]] and [[Rome]]", "the city and Rome"),
        ("[[File:a.jpg|thumb]]x", "x"),
        ("{{Infobox {{small|a}} b}}x", "x"),
        ("'''bold''' and ''it''", "bold and it"),
        ("== Life ==\ntext", "Life\ntext"),
        ("so<ref name=a>Smith 2001</ref> it is<ref name=a/>.", "so it is."),
        ("see [https://a.org the page] and [https://b.org]", "see the page and "),
        ("known[1] long[edit] [citation needed][note 2]", "known long "),
        ("[1](https://a.org) a[i] = 0", "[1](https://a.org) a = 0"),
    ],
)
def test_markup_leaves_its_words(text, clean):
    edit = edited("markup", text)
    assert edit.document.text == clean
    assert edit.measured == {"removed_marks": len(edit.removed)}


@pytest.mark.parametrize("bomb", ["<", "{{", "[[", "<!--", "'", "=", "<ref>", "&#", "[http://a", "<a ", "== a "])
def test_markup_takes_little_time_for_any_text(bomb):
    """A quarter of a megabyte of what begins and never ends, under the time limit that hangs would go over."""
    edited("markup", bomb * (250_000 // len(bomb)))


def test_misspellings_are_those_of_the_list(tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text(
        "# a list\nteh the\nrecieve->receive\n\naccomodate  accommodate\nabotu about, a boot\n", encoding="utf-8"
    )
    settings = {"file": str(pairs)}
    text = "Teh cat, TEH dog: teh_x teh2 tehran numpy GPT abotu. We recieve-d; can't recieve!"
    edit = edited("misspellings", text, settings)
    assert edit.document.text == "The cat, THE dog: teh_x teh2 tehran numpy GPT abotu. We recieve-d; can't receive!"
    assert [part.text for part in edit.removed] == ["Teh", "TEH", "recieve"]
    assert edit.measured == {"corrected_words": 3}


@pytest.mark.parametrize(
    ("content", "says"),
    [("alone\n", "is no pair"), (None, "cannot be read"), (b"\xff\xfe\xfa", "cannot be read as UTF-8")],
)
def test_a_list_that_is_none_is_refused(content, says, tmp_path):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=says):
        edited("misspellings", "text", {"file": str(path)})
    with pytest.raises(UserError, match=r"needs misspellings\.file"):
        edited("misspellings", "text")


def test_an_edit_of_english_leaves_other_languages(tmp_path):
    for name, measure in (("c4_lines", "removed_lines"), ("refinedweb_lines", "removed_words")):
        edit = edited(name, "Kurz", language="de")
        assert edit.document.text == "Kurz"
        assert math.isnan(edit.measured[measure])
        assert edited(name, "Kurz").document.text == ""

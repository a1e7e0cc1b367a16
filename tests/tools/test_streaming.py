"""Text appears when it is certain, and ends before a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.tools.generation import TextStream
from scratchgrad.tools.tokenizer import train_bpe

tokenizer = train_bpe(["stop stop halt the end of the text 🙂 🙂🙂 stops"] * 9, 290)
texts = st.lists(st.sampled_from(["st", "o", "p", "stop", " ", "ha", "lt", "🙂", "e", "n", "d"]), max_size=15).map(
    "".join
)
stops_lists = st.lists(st.sampled_from(["stop", "op", "halt", "🙂🙂", "end of", " ", "pst", "tops"]), max_size=3)


def streamed(ids, stops=()):
    """What each id makes certain, and what is left at the end."""
    stream, pieces = TextStream(tokenizer, stops), []
    for token in ids:
        pieces.append(stream.feed(token))
        if stream.stopped:
            break
    return [*pieces, stream.finish()]


@given(texts, stops_lists)
def test_a_text_ends_before_the_stop_string_that_is_complete_first(text, stops):
    wanted = text
    for end in range(len(text) + 1):
        found = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            wanted = text[: end - max(found)]
            break
    assert "".join(streamed(tokenizer.encode(text), stops)) == wanted


@given(st.text(max_size=6))
def test_no_piece_has_half_a_character(text):
    ids = [token for byte in text.encode() for token in [tokenizer.tokens.index(bytes([byte]))]]
    pieces = streamed(ids)
    assert "".join(pieces) == text
    assert pieces[-1] == "", "nothing is held back where nothing can follow"


def test_a_character_that_is_never_completed_is_shown_as_such():
    assert streamed([tokenizer.tokens.index(b"\xf0")]) == ["", "\ufffd"]


def test_text_is_given_as_soon_as_it_is_certain():
    stream, given = TextStream(tokenizer, ["stop"]), []
    for character in "no st|stop":
        (token,) = tokenizer.encode(character)
        given.append(stream.feed(token))
    assert given == ["n", "o", " ", "", "", "st|", "", "", "", ""]
    assert stream.stopped
    assert stream.finish() == ""


def test_what_is_held_back_for_a_stop_that_never_comes_is_given_at_the_end():
    assert streamed(tokenizer.encode("the st"), ["stop"])[-1] == "st"

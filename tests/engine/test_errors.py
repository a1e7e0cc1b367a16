"""Messages can neither flood nor steer a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.errors import LONGEST_MESSAGE, quoted


@given(st.text(max_size=50) | st.text("a\x1b\x07\u202e\ud800\n", min_size=200, max_size=900))
def test_a_message_is_short_and_of_characters_that_are_printed(text):
    said = str(UserError(f"'{text}' is wrong"))
    assert len(said) <= LONGEST_MESSAGE
    assert all(c.isprintable() or c in "\n\t" for c in said)
    assert said.endswith("' is wrong")


def test_several_mistakes_keep_a_line_each():
    message = str(UserError("x" * 1000, "the second", "the third"))
    assert message.endswith("\nthe second\nthe third")
    assert len(message.split("\n")[0]) == LONGEST_MESSAGE


def test_paths_are_told_whole():
    path = "/a" * 200
    assert str(UserError(f"'{path}' is damaged; remove '{path}'")) == f"'{path}' is damaged; remove '{path}'"
    assert len(str(UserError("'/" + "a" * 100_000 + "'"))) <= 1000


def test_values_are_quoted_without_their_middle():
    assert quoted("name") == "'name'"
    assert len(quoted("x" * 1000)) < 70
    assert len(quoted([1] * 1000)) <= 60

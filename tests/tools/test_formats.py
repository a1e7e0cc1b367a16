"""Every raw format: real files hold what an independent reader counts, and any records are read back as they were."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.text import build_source, find_files, need, read_examples, reading, stream_texts, suffixes
from scratchgrad.tools.text.raw_file import RawFile
from scratchgrad.tools.text.streams import unpacked
from scratchgrad.tools.text.web_archive import records as records_of
from tests.pages import blocks, file_on, printed, with_output

LACKS = "the extra curate is not installed"
for library in ("fastwarc", "resiliparse"):
    pytest.importorskip(library, reason=LACKS)
pa = pytest.importorskip("pyarrow", reason=LACKS)
pq = pytest.importorskip("pyarrow.parquet", reason=LACKS)
zstandard = pytest.importorskip("zstandard", reason=LACKS)


def read(path, **options):
    """The examples of a file, and what was skipped of it."""
    skipped = []
    return list(read_examples(path, skipped=skipped.append, **options)), skipped


# Counted by hand: `grep -a ^WARC-Type`, and the answers that are text and report success.
ARCHIVES = {
    "cc_net_sample.wet": (0, 4),  # cut by its authors: no Content-Length is right
    "dolma_sample-0000.warc.gz": (24, 0), "jwarc_cc.warc.gz": (1, 0),
    "example-digest.warc": (0, 0),  # requests alone
    "example-iana.org-chunked.warc": (1, 0), "example-resource.warc.gz": (1, 0),
    "example-wget-bad-target-uri.warc.gz": (3, 0),  # a page, and two texts that wget wrote
    "example.arc": (1, 0), "example.arc.gz": (1, 0), "example.warc": (1, 0), "example.warc.gz": (1, 0),
    "post-test.warc.gz": (0, 0),  # answers in JSON
    "whirlwind.warc": (1, 0), "whirlwind.warc.gz": (1, 0), "whirlwind.warc.wet": (1, 0), "whirlwind.warc.wet.gz": (1, 0),
}  # fmt: skip


def expected(path):
    """How many documents a real file holds, and how many records that are none, by other means than ours."""
    name, kind = path.name, reading.kind_of(path)
    if name in ARCHIVES:
        return ARCHIVES[name]
    if kind == ".parquet":
        return pq.read_metadata(path).num_rows, 0
    if kind == ".csv":
        return 0, 1  # a table of numbers
    raw = path.read_bytes()
    if name.endswith(".gz"):
        raw = gzip.decompress(raw)
    elif name.endswith(".zst"):
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()
    if kind in (".json", ".jsonl"):
        try:
            records = [json.loads(raw)]
        except ValueError:
            records = [json.loads(line) for line in raw.splitlines()]
        documents = sum(isinstance(record.get("text"), str) for record in records)
        return documents, len(records) - documents
    return (1, 0) if raw else (0, 1)


def test_every_real_file_is_read(data_folder):
    folder = data_folder / "05_curation"
    paths = find_files([str(folder)], suffixes())
    assert len(paths) > 70
    found = {path: read(path) for path in paths}
    assert {path: (len(documents), len(skipped)) for path, (documents, skipped) in found.items()} == {
        path: expected(path) for path in paths
    }
    names = [document.name for documents, _ in found.values() for document in documents]
    assert len(set(names)) == len(names)
    assert all(len(fault.reason) < 250 for _, skipped in found.values() for fault in skipped)
    unread = [path for path in folder.rglob("*") if path.is_file() and path not in set(paths)]
    unread = [path for path in unread if path.stat().st_size]  # a folder's empty files are left out
    assert {path.suffix for path in unread} == {"", ".gz", ".wat", ".zip"}  # word lists, the list `pii`, metadata
    assert [path.name for path in unread if path.suffix == ".gz"] == ["whirlwind.warc.wat.gz"]


def test_the_records_of_real_archives_are_those_of_another_reader(data_folder):
    from fastwarc.warc import ArchiveIterator, any_type

    for path in sorted((data_folder / "05_curation" / "warc").rglob("*")):
        if reading.kind_of(path) not in (".warc", ".wet") or path.name == "cc_net_sample.wet":
            continue
        theirs = ArchiveIterator(str(path), record_types=any_type, parse_http=False, fsspec_args=False)
        wanted = [(str(record.stream_pos), record.headers["WARC-Record-ID"], record.reader.read()) for record in theirs]
        with unpacked(RawFile(path)) as stream:
            found = list(records_of(stream, RawFile(path), is_arc=False))
        assert [(record.place, record.headers["warc-record-id"], record.body) for record in found] == wanted


def test_a_real_list_of_records(data_folder, tmp_path):
    (tmp_path / "pii.json").write_bytes((data_folder / "05_curation" / "pii").read_bytes())
    records = json.loads((tmp_path / "pii.json").read_text())
    documents, skipped = read(tmp_path / "pii.json", text_column="full_text")
    assert not skipped
    assert [document.text() for document in documents] == [record["full_text"] for record in records]


def test_a_real_page_and_the_text_of_a_crawl(data_folder):
    folder = data_folder / "05_curation"
    (page,) = read(folder / "dedup/cs336/moby.html")[0]
    wanted = (folder / "dedup/cs336/moby_extracted.txt").read_text().split()
    assert set(page.text().split()) <= {*wanted, "•"}
    plain, packed = (read(folder / f"warc/whirlwind/whirlwind.warc{end}")[0][0] for end in ("", ".gz"))
    assert plain.fields == packed.fields
    assert plain.fields["url"] == "https://an.wikipedia.org/wiki/Escopete"
    assert plain.fields["content_type"] == "text/html"
    assert (plain.name.rpartition("@")[2], packed.name.rpartition("@")[2]) == ("1375", "1023")  # as an index has them
    (wet,) = read(folder / "warc/whirlwind/whirlwind.warc.wet")[0]
    assert wet.fields["date"] == plain.fields["date"]
    (arc,) = read(folder / "warc/warcio/example.arc")[0]
    (same,) = read(folder / "warc/warcio/example.warc.gz")[0]
    assert arc.text() == same.text()
    assert "http://example.com/" in (arc.fields["url"], same.fields["url"])


def test_the_columns_of_real_tables_stay(data_folder):
    path = data_folder / "05_curation/code/starcoder_like_a.parquet"
    documents, _ = read(path)
    first = pq.read_table(path).slice(0, 1).to_pylist()[0]
    assert documents[0].fields == {"text" if name == "content" else name: value for name, value in first.items()}
    assert [document.name for document in documents[:2]] == [f"{path.as_posix()}:1", f"{path.as_posix()}:2"]
    rows, skipped = read(data_folder / "05_curation/quality/cc_net_cutoff.csv", text_column="nl")
    assert (rows[0].text(), rows[0].fields["de"], len(rows), skipped) == ("10", "0", 100, [])
    with pytest.raises(UserError, match=r"has no columns that hold text.* 'de', 'it'"):
        list(read_examples(data_folder / "05_curation/quality/cc_net_cutoff.csv"))


names = st.sampled_from(["url", "date", "title", "größe"])
strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
records = st.lists(
    st.tuples(strings, st.dictionaries(names, strings, max_size=3)).map(lambda pair: {"text": pair[0], **pair[1]}),
    min_size=1,
    max_size=6,
)


def lines_of(rows, escape=False):
    return [json.dumps(row, ensure_ascii=escape).encode() + b"\n" for row in rows]


def table_of(rows):
    columns = ["text", *sorted({name for row in rows for name in row} - {"text"})]
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns})


def write(path, rows, cut):
    """`rows` as a file of the kind that its name says; cut: after how many of them another member, frame or batch begins."""
    raw = [b"".join(lines_of(part)) for part in (rows[:cut], rows[cut:])]
    if path.name == "a.parquet":
        pq.write_table(table_of(rows), path, row_group_size=max(1, cut))
    elif path.name in ("stream.arrow", "file.arrow"):
        new = pa.ipc.new_stream if path.name == "stream.arrow" else pa.ipc.new_file
        with new(str(path), table_of(rows).schema) as writer:
            writer.write_table(table_of(rows), max_chunksize=max(1, cut))
    elif path.name == "a.csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = table_of(rows)
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(table.column_names)
            writer.writerows([["" if value is None else value for value in row.values()] for row in table.to_pylist()])
    elif path.name == "list.json":
        path.write_text(json.dumps(rows, indent=cut, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".gz":
        path.write_bytes(b"".join(map(gzip.compress, raw)))
    elif path.suffix == ".zst":
        path.write_bytes(b"".join(map(zstandard.ZstdCompressor().compress, raw)))
    elif path.name == "marked.jsonl":
        path.write_bytes(b"".join(raw).decode().encode("utf-16"))
    else:
        path.write_bytes(b"".join(raw))


KINDS = ["a.jsonl", "a.json", "a.jsonl.gz", "a.json.zst", "a.parquet", "stream.arrow", "file.arrow", "a.csv", "list.json",
         "marked.jsonl"]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@given(records, st.integers(0, 6))
@settings(max_examples=40)
def test_any_records_are_read_back(tmp_path_factory, name, rows, cut):
    path = tmp_path_factory.mktemp("records") / name
    write(path, rows, cut)
    documents, skipped = read(path)
    table = name in ("a.parquet", "stream.arrow", "file.arrow", "a.csv")
    filled = [{**dict.fromkeys(table_of(rows).column_names), **row} for row in rows] if table else rows
    if name == "a.csv":
        filled = [{key: value or "" for key, value in row.items()} for row in filled]
    assert not skipped
    assert [document.fields for document in documents] == filled
    assert [document.name for document in documents] == list(dict.fromkeys(document.name for document in documents))
    assert [document.text() for document in read_examples(path)] == [row["text"] for row in rows]  # and in training
    assert ["".join(chunks) for chunks in stream_texts(path)] == [row["text"] for row in rows]


@given(strings.filter(lambda text: text and not text.startswith("\ufeff")))
@settings(max_examples=40)
def test_a_byte_order_mark_says_the_encoding(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("texts") / "a.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        path.write_bytes(text.encode(encoding))
        assert [document.text() for document in read(path)[0]] == [text]


def test_encodings_are_as_declared_and_else_utf_8(tmp_path):
    (tmp_path / "a.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    (tmp_path / "b.py").write_bytes("name = 'é'\n".encode("latin-1"))
    (tmp_path / "c.txt").write_bytes("caf€".encode("cp1252"))
    page = '<html><head><meta charset="{}"></head><body><p>Ein größerer Satz über Äpfel.</p></body></html>'
    (tmp_path / "d.html").write_bytes(page.format("iso-8859-1").encode("latin-1"))
    (tmp_path / "e.html").write_bytes(page.format("utf-8").encode())
    (tmp_path / "f.html").write_bytes(page.format("utf-8").encode("utf-16"))
    found = {path.name: read(path) for path in tmp_path.iterdir()}
    assert "name = 'é'" in found["a.py"][0][0].text()
    assert found["b.py"][1][0].reason == "is not UTF-8: byte 8 is 0xe9; convert it first"
    assert found["c.txt"][1][0].reason == "is not UTF-8: byte 3 is 0x80; convert it first"
    assert all("größerer Satz über Äpfel" in found[name][0][0].text() for name in ("d.html", "e.html", "f.html"))


def test_which_field_is_the_text(tmp_path):
    def texts(rows, name="a.jsonl", **options):
        write(tmp_path / name, rows, 1)
        return [document.fields for document in read(tmp_path / name, **options)[0]]

    assert texts([{"content": "a", "url": "u"}]) == [{"text": "a", "url": "u"}]
    assert texts([{"text": "a", "body": "b"}], text_column="body") == [{"original_text": "a", "text": "b"}]
    assert texts([{"text": "a"}], text_column="body") == []
    for rows, message in (
        ([{"x": "a", "y": "b"}], "2 columns that hold text"),
        ([{"n": 1}], "no columns that hold text"),
    ):
        table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
        pq.write_table(table, tmp_path / "b.parquet")
        (fault,) = read(tmp_path / "b.parquet")[1]
        assert message in fault.reason
    pq.write_table(pa.table({"x": ["a"], "n": [1]}), tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet")[0][0].fields == {"text": "a", "n": 1}
    (tmp_path / "d.tsv").write_text("id\ttext\n1\tone\n2\n")
    documents, (fault,) = read(tmp_path / "d.tsv")
    assert [document.fields for document in documents] == [{"id": "1", "text": "one"}]
    assert fault.name.endswith("d.tsv:3")
    assert fault.reason == "1 columns where 2 are needed: id, text, with a tab between"


def test_metadata_is_what_json_can_hold(tmp_path):
    from datetime import datetime
    from decimal import Decimal

    table = pa.table({
        "text": ["a"], "when": [datetime(2020, 1, 2)], "nan": [float("nan")], "price": [Decimal("1.50")], "raw": [b"\xff"],
        "deep": [[{"x": datetime(2020, 1, 2)}]],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    (document,) = read(tmp_path / "a.parquet")[0]
    assert document.fields == {
        "text": "a", "when": "2020-01-02T00:00:00", "nan": None, "price": "1.50", "raw": None,
        "deep": [{"x": "2020-01-02T00:00:00"}],
    }  # fmt: skip


def test_what_a_hugging_face_data_set_holds_on_disk(tmp_path):
    def arrow(path, *texts):
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"text": list(texts)})
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)

    saved = tmp_path / "saved"
    arrow(saved / "data-00000-of-00001.arrow", "a", "b")
    arrow(saved / "data-00000-of-00002.arrow", "an older one")
    (saved / "dataset_info.json").write_text('{"features": {}}')
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    splits = tmp_path / "splits"
    arrow(splits / "train" / "data-00000-of-00001.arrow", "c")
    (splits / "dataset_dict.json").write_text('{"splits": ["train"]}')
    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["d"]}), hub / "data" / "train-00000-of-00001.parquet")
    (hub / "README.md").write_text("---\nlicense: mit\nconfigs:\n- config_name: default\n---\nA card.\n")
    source = build_source("files", files=[str(saved), str(splits), str(hub)])
    assert sorted(example.text() for example in source.examples()) == ["a", "b", "c", "d"]


def test_a_source_is_read_path_by_path(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.jsonl").write_text('{"text": "two"}\n{\n')
    source = build_source("files", files=[str(tmp_path)])
    skipped = []
    parts = [[e.text() for e in source.read(path, skipped=skipped.append)] for path in source.paths()]
    assert (parts, [fault.name for fault in skipped]) == ([["one"], ["two"]], [f"{tmp_path.as_posix()}/b.jsonl:2"])
    stdlib = build_source("stdlib")
    assert next(iter(stdlib.read(stdlib.paths()[0]))) == next(iter(stdlib.examples()))
    column = build_source("files", files=[str(tmp_path / "b.jsonl")], text_column="body")
    assert not list(column.read(column.paths()[0], skipped=skipped.append))


def test_a_library_that_lacks_is_told_by_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        UserError, match=r'this needs pyarrow, which is not installed: pip install "scratchgrad\[curate\]"'
    ):
        need("pyarrow", "curate")
    assert need("json.decoder", "curate") is sys.modules["json.decoder"]


def test_the_documentation_reads_past_a_line_that_is_none(tmp_path, monkeypatch):
    found = with_output(blocks("docs/data.md"))
    ((code, shown),) = [(block.text, shown) for block, shown in found if "read_examples" in block.text]
    monkeypatch.chdir(tmp_path)
    assert printed(code, tmp_path / "page.py", {}) == shown


def test_the_format_of_the_documentation(tmp_path, monkeypatch):
    package = tmp_path / "more_formats"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "srt.py").write_text(file_on("docs/extending.md", "tools/text/formats/srt.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(reading, "PACKAGE", "more_formats")
    (tmp_path / "film.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,500\nWho is there?\n\n2\n00:00:03,000 --> 00:00:04,000\nIt is I,\nHamlet.\n"
    )
    assert ".srt" in suffixes()
    (example,) = read_examples(Path(tmp_path / "film.srt"))
    assert example.text() == "Who is there?\nIt is I,\nHamlet."
    for name in ("more_formats", "more_formats.srt"):
        sys.modules.pop(name)

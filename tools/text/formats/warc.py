"""Web archives: what a server answered, or text that was made of it, is a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scratchgrad.tools.text.example import Example
from scratchgrad.tools.text.html_text import NotRead, decoded, main_text
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.raw_file import RawFile, kind_of
from scratchgrad.tools.text.streams import unpacked
from scratchgrad.tools.text.web_archive import Record, records

ENDINGS = (".warc", ".arc", ".wet")
DOCUMENTS = ("response", "resource", "conversion")
HTML = ("text/html", "application/xhtml+xml")
METADATA = {  # by the names that documents have
    "url": "warc-target-uri", "date": "warc-date", "language": "warc-identified-content-language",
}  # fmt: skip


def read(raw: RawFile) -> Iterator[Example]:
    """Of a page its main text, of other text all of it; images and the like, requests, and answers that report no
    success are no documents. Fields: text, url, date, content_type, language."""
    with unpacked(raw) as stream:
        if stream is None:
            return
        for record in records(stream, raw, kind_of(raw.path) == ".arc"):
            if record.headers.get("warc-type", "").lower() not in DOCUMENTS:
                continue
            try:
                fields = _document(record, raw)
            except NotRead as error:
                raw.skip(f"byte {record.place}", str(error))
                continue
            if fields is not None:
                yield Example(f"{raw.path.as_posix()}@{record.place}", fields)


def _document(record: Record, raw: RawFile) -> dict[str, Any] | None:
    content_type, charset, payload = record.headers.get("content-type", ""), None, record.body
    url = record.headers.get("warc-target-uri", "").strip("<>")
    is_http = record.headers["warc-type"].lower() == "response" and url[:5].lower() in ("http:", "https")
    if is_http:
        answer = _http_answer(record.body, raw.longest_line)
        if answer is None:
            return None
        content_type, charset, payload = answer
    kind = content_type.partition(";")[0].strip().lower()
    if not kind:
        kind = "text/html" if b"<html" in payload[:1024].lower() else "text/plain"
    if kind in HTML:
        text = main_text(decoded(payload, charset))
    elif kind.startswith("text/") and kind not in ("text/css", "text/javascript", "text/dns"):
        text = _plain_text(payload, charset)
    else:
        return None
    fields = {name: record.headers[header].strip("<>") for name, header in METADATA.items() if header in record.headers}
    return {"text": text, **fields, "content_type": kind}


def _http_answer(block: bytes, most: int) -> tuple[str, str | None, bytes] | None:
    """Its Content-Type, its charset, and its content, which is unpacked; None of an answer that is no success.

    Crawlers keep the headers of what they have unpacked already: what cannot be unpacked is taken as it is, if it looks
    like text.
    """
    warc = need("fastwarc.warc", "curate")
    for decode in ("all", "content", "none"):
        record = warc.WarcRecord()
        record.init_headers(warc.WarcRecordType.response)
        record.set_bytes_content(block)
        record.is_http = True
        try:
            record.parse_http(auto_decode=decode, quirks_mode=True)
            headers = record.http_headers
            if headers is None or headers.status_code is None:
                raise NotRead("no answer of HTTP")
            if not 200 <= headers.status_code < 300:
                return None
            content = record.reader.read(most + 1)
        except OSError:
            continue
        if len(content) > most:
            raise NotRead(f"more than {most:,} bytes when unpacked, which a document may have")
        if decode != "none" or b"\0" not in content[:1024]:
            return headers.get("content-type", ""), record.http_charset, content
    raise NotRead("its content cannot be unpacked")


def _plain_text(payload: bytes, charset: str | None) -> str:
    if b"\0" in payload and not payload.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotRead("binary: it has a zero byte")
    return decoded(payload, charset)

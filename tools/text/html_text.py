"""The main text of an HTML page: of its bytes, whose encoding is declared or detected."""

from __future__ import annotations

from scratchgrad.tools.text.html_limits import too_much
from scratchgrad.tools.text.optional import need
from scratchgrad.tools.text.streams import marked_encoding

HEAD = 1 << 10  # bytes in which a page says its encoding


class NotRead(Exception):
    """Why a page is left out."""


def main_text(html: str) -> str:
    """Without menus, footers and the like, with line breaks, as resiliparse finds it (`main_content`)."""
    if reason := too_much(html):
        raise NotRead(reason)
    try:
        text = need("resiliparse.extract.html2text", "curate").extract_plain_text(
            html, main_content=True, preserve_formatting=True, alt_texts=False
        )
    except Exception as error:  # its exceptions have no common class
        raise NotRead(f"the page cannot be parsed: {error}") from None
    assert isinstance(text, str)
    return text


def decoded(page: bytes, declared: str | None = None) -> str:
    """A page as text: by its byte order mark, what HTTP declared, its meta tag, or as it looks, in this order.

    What does not fit its encoding is read as UTF-8, if all of it is; else it becomes U+FFFD.
    """
    encoding, mark = marked_encoding(page[:4])
    if not encoding:
        encoding = _known(declared) or _detected(page)
        if encoding.lower().startswith(("utf-16", "utf-32")) and b"\0" not in page[:HEAD]:
            encoding = "utf-8"  # for the tag that says so could be read
    page = page[mark:]
    for attempt in (encoding, "utf-8"):
        try:
            return page.decode(attempt)
        except (UnicodeDecodeError, LookupError):
            pass
    try:
        return page.decode(encoding, "replace")
    except LookupError:
        return page.decode("utf-8", "replace")


def _known(name: str | None) -> str | None:
    """As WHATWG's table of labels has it, or Python; None where neither has."""
    if not name:
        return None
    name = name.strip(" \"'")
    found = need("resiliparse.parse.encoding", "curate").map_encoding_to_html5(name, fallback_utf8=False)
    if isinstance(found, str):
        return found
    try:
        "".encode(name)  # a codec of text
        return name
    except (LookupError, ValueError):
        return None


def _detected(page: bytes) -> str:
    found = need("resiliparse.parse.encoding", "curate").detect_encoding(page, max_len=1 << 16, from_html_meta=True)
    return found or "utf-8"

"""The main text of pages, and pages that a parser would need hours or all memory for."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgrad.tools.text.html_limits import MAX_DEPTH, MAX_OPTIONS, too_much

pytest.importorskip("resiliparse", reason="the extra curate is not installed")
from scratchgrad.tools.text.html_text import NotRead, decoded, main_text

N = 60_000
BOMBS = {
    "nested": "<div>" * N, "nested tables": "<table><tr><td>" * N, "articles": "<article>" * N, "unknown": "<x-y>" * N,
    "links and blocks": "<a><div>" * N, "tables, blocks": "<div><table></div></table>" * (N // 4),
    "attributes": "<div " + " ".join(f"a{i}=1" for i in range(N)) + ">x</div>",
    "attributes behind a quoted mark": '<div x=">" ' + " ".join(f"a{i}" for i in range(N)) + ">x</div>",
    "options": "<select>" + "<option>x" * N, "closed options": "<select>" + "<option>x</option>" * N + "</select>",
    "style": "".join(f"<b id={i}>" for i in range(N)) + "<p>x" * 20,
    "style in paragraphs": "<p>" + "".join(f"<b id={i}>" for i in range(900)) + "<p>x" * N,
    "long style": "<p>" + "".join(f'<b id={i} class="{"x" * 10_000}">' for i in range(50)) + "<p>x" * N,
    "misnested": "<b>" + "<div>" * N + "</b>" * N, "svg": "<svg><foreignObject>" * N, "templates": "<template>" * N,
}  # fmt: skip
HARMLESS = {
    "entities": "<p>" + "&amp;&nosuch;&#x41;" * N, "closing": "</div></p></b>" * N, "comments": "<!--" * N,
    "angles": "<" * N, "list": "<ul>" + "<li>x" * N, "table": "<table>" + "<tr><td>x<td>y" * (N // 4),
    "paragraphs": "<p>Some words, and more of them.</p>" * (N // 2), "breaks": "<p>" + "x<br>" * N,
    "blocks": "<div><p>Some words, and more.</p></div>" * (N // 2), "style": "<b>x</b> " * N,
    "style around": "".join(f"<b id={i}>" for i in range(900)) + "<p>x" * 9000, "script": "<script>" + "'<div>' + '<\\/div>'\n" * N + "</script><p>x", "classes": '<div class="' + "content " * N + '">x</div>',
    "long attribute": '<div data-x="' + "a b c " * N + '">x</div>', "not closed": "<p " + "x" * N, "quotes": '<p a="' * N,
}  # fmt: skip

CHILD = """
import sys
from scratchgrad.tools.text.html_text import NotRead, main_text
from tests.tools.test_web_pages import BOMBS, HARMLESS
for name, page in {**BOMBS, **{f"harmless {name}": page for name, page in HARMLESS.items()}}.items():
    try:
        main_text("<html><body>" + page)
        print(name, "read", flush=True)
    except NotRead as error:
        print(name, "refused:", error, flush=True)
"""


def test_bombs_are_bounded_in_time_and_memory():
    def limits():
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    ran = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, preexec_fn=limits, cwd=Path(__file__).parents[2]
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    lines = ran.stdout.splitlines()
    refused = {line.partition(" refused:")[0] for line in lines if " refused:" in line}
    assert refused == set(BOMBS)
    assert len(lines) == len(BOMBS) + len(HARMLESS)


@given(st.integers(0, 3), st.integers(1, 40))
@settings(max_examples=40)
def test_what_is_closed_is_not_deep(seed, depth):
    names = ["div", "section", "span", "ul", "b", "i", "table", "button"][seed:]
    page = (
        "".join(f"<{name}>" for name in names * depth) + "x" + "".join(f"</{name}>" for name in reversed(names * depth))
    )
    assert too_much(page * 100) == ""


def test_limits_at_their_edges():
    assert too_much("<div>" * MAX_DEPTH) == ""
    assert too_much("<div>" * (MAX_DEPTH + 1)) == "elements nested more than 1,000 deep"
    assert too_much("<option>" * MAX_OPTIONS) == ""
    assert too_much("<option>" * (MAX_OPTIONS + 1)) == "more than 5,000 options"
    assert too_much("<p " + " ".join(f"a{i}=''" for i in range(1000)) + ">") == ""
    assert too_much("<p " + " ".join(f"a{i}=''" for i in range(1001)) + ">") == "a tag of more than 1,000 attributes"


def test_a_page_keeps_its_text_and_loses_its_menu():
    article = "<p>The first long sentence of a text, with commas, and more.</p><p>A second one, of the same kind.</p>"
    page = f'<html><body><nav class="menu"><a href="/">Home</a></nav><article>{article}</article><footer>Imprint</footer></body></html>'
    text = main_text(page)
    assert text == "The first long sentence of a text, with commas, and more.\n\nA second one, of the same kind."
    with pytest.raises(NotRead, match="nested more than"):
        main_text("<div>" * 5000)


@pytest.mark.parametrize(("page", "declared", "text"), [
    ("<p>größer</p>".encode("latin-1"), "ISO-8859-1", "<p>größer</p>"),
    ("<p>größer</p>".encode("latin-1"), "latin-1", "<p>größer</p>"),
    ("<p>größer</p>".encode(), "latin-1", "<p>grÃ¶Ã\x9fer</p>"),  # as declared
    ("<p>größer</p>".encode(), "no such", "<p>größer</p>"), ("<p>größer</p>".encode(), '"UTF-8"', "<p>größer</p>"),
    (b"<p>gr\xf6\xdfer", "utf-8", "<p>gr\ufffd\ufffder"), (b"<p>x", "utf-16", "<p>x"), ("<p>x".encode("utf-16-le"), "utf-16", "<p>x"),
    ("<meta charset=windows-1251><p>Привет".encode("cp1251"), None, "<meta charset=windows-1251><p>Привет"),
    ("\ufeff<meta charset=windows-1251><p>Привет".encode(), "koi8-r", "<meta charset=windows-1251><p>Привет"),
    ("Привет, мир! Как дела сегодня у вас, друзья мои?".encode("koi8-r"), None, "Привет, мир! Как дела сегодня у вас, друзья мои?"),
])  # fmt: skip
def test_the_encoding_of_a_page(page, declared, text):
    assert decoded(page, declared) == text

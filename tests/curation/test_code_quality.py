"""What is asked of a source file, at the edge of each rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.code_files import comment_share, extension_of, programming_language_of, visible_text
from tests.curation.curated import ODD_TEXTS, document, measured, reason

COMMENT = "# a comment that says enough\n"


@pytest.mark.parametrize(
    ("text", "expected", "settings"),
    [
        (COMMENT + "x" * 1000, "", {"max_mean_line_length": None}),
        (COMMENT + "x" * 1001, "a line is too long", {"max_mean_line_length": None}),
        (("x" * 100 + "\n") * 3, "", {"min_comments": None}),
        (("x" * 100 + "\n") * 3 + "y" * 101, "lines too long", {"min_comments": None}),
        (("x" * 100 + "\n") * 3 + "y" * 101 + "\n\n", "", {"min_comments": None}),  # 401 in 5 lines
        ("ab" + "-" * 6, "", {"min_comments": None}),  # 2 of 8
        ("ab" + "-" * 7, "too few letters and digits", {"min_comments": None}),
        ("", "too few letters and digits", {}),
        ("#y\n" + "x" * 96, "", {}),  # 1 of 99
        ("#y\n" + "x" * 97, "too few comments", {}),  # 1 of 100 is not more than that
        ("#" + "y" * 79 + "\n" + "x" * 19, "", {}),  # 79 of 100
        ("#" + "y" * 80 + "\n" + "x" * 18, "too many comments", {}),
        (COMMENT + "<?xml version='1.0'?>", "XML", {}),
        ("x = 1  " + COMMENT + "\n" * 80 + "<?xml version='1.0'?>", "", {}),  # behind the first 100 characters
        (COMMENT + "a b c", "too few characters for each token", {"min_characters_per_token": 9.0}),
    ],
)
def test_where_a_rule_of_code_begins(text, expected, settings):
    assert reason("code_quality", text, settings, path="a.py") == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>" + "x" * 101 + "</p>", ""),
        ("<p>" + "x" * 100 + "</p>", "HTML that shows too little"),
        ("<a href='" + "y " * 245 + "'>" + "x y " * 31 + "</a>", ""),  # 124 of 627: 0.198
        ("<script>" + "y y " * 25 + "</script>", "HTML that shows too little"),
    ],
)
def test_html_shows_text(page, expected):
    assert (
        reason("code_quality", page, {"max_mean_line_length": None, "min_visible_html": 0.19}, path="a.html")
        == expected
    )


def test_what_a_page_shows():
    assert visible_text("<h1>A &amp; B</h1><STYLE>x</Style ><p>c</p><!-- d --><script>e") == "A & Bc"
    assert visible_text("<script>if (a < b) {}</script>x < y") == "x < y"
    visible_text("<script>" * 30_000)
    visible_text("<" * 250_000)


@pytest.mark.parametrize(
    ("code", "characters"),
    [
        ("x = 1  # one\n", 3),
        ('"""Doc."""\nx = """no doc"""\n', 4),
        ('def f():\n    """Doc\n    two."""\n    return "# no"\n', len("Doc\n    two.")),
        ("class A:\n    # c\n    r'''Doc'''\n", 1 + 3),
        ('x = f(\n    """an argument"""\n)\n', 0),
        ("print 'python 2' # yes\n", 3),
        ("'it\\'s # no'  # yes\n", len("it\\'s # no") + 3),  # it opens the file: its docstring
        ('"""never closed # x', len("never closed # x")),
        ("", 0),
    ],
)
def test_comments_and_docstrings_of_python(code, characters):
    share = comment_share(document(code, path="a.py"))
    assert share * max(1, len(code)) == pytest.approx(characters)


def test_comments_of_java_and_javascript():
    java = 'int x = 1; // one\nString s = "// no"; /* two\n lines */ char c = \'"\'; // z\n'
    assert comment_share(document(java, path="A.java")) * len(java) == pytest.approx(6 + 16 + 4)
    script = "const a = `// no ${b}`; /* never closed"
    assert comment_share(document(script, path="a.js")) * len(script) == pytest.approx(15)
    assert math.isnan(comment_share(document("# x", path="a.rb")))


@given(code=st.text(alphabet="\"'#/*`\\\nab :r", max_size=60))
def test_any_code_has_a_share_of_comments(code):
    for path in ("a.py", "a.js"):
        assert 0 <= comment_share(document(code, path=path)) <= 1


@pytest.mark.parametrize("bomb", ['"', "'", '"""', "/*", "`", "\\", "#\n"])
def test_comments_take_little_time_for_any_text(bomb):
    for path in ("a.py", "a.js"):
        comment_share(document(bomb * (250_000 // len(bomb)), path=path))


@pytest.mark.parametrize(
    ("metadata", "id", "extension", "language"),
    [
        ({"path": "src/A.PY"}, "x.parquet:3", "py", "python"),
        ({"max_stars_repo_path": "a/b.min.js"}, "x.parquet:3", "js", "javascript"),
        ({}, "json/decoder.py", "py", "python"),
        ({}, "json/decoder.py:7", "py", "python"),
        ({"path": "Makefile"}, "x:1", "", ""),
        ({"path": "a", "lang": "Java"}, "x:1", "", "java"),
        ({"lang": "HTML", "path": "a.txt"}, "x:1", "txt", "html"),
    ],
)
def test_what_a_file_is(metadata, id, extension, language):
    found = document("", id, **metadata)
    assert (extension_of(found), programming_language_of(found)) == (extension, language)


def test_limits_of_each_extension(tmp_path):
    """The columns of BigCode's visual_inspection.csv."""
    table = tmp_path / "limits.csv"
    table.write_text(
        ",extension,language,Include,Alphanum_threshold,Long_line_threshold,Alpha filter\n"
        "0,md,markdown,1,0.25,remove,\n1,lagda,agda,0,0.25,1000,\n2,nb,mathematica,1,,500,0.25\n3,lagda,other,1,,,\n"
    )
    settings = {
        "extensions_file": str(table),
        "max_line_length": None,
        "max_mean_line_length": None,
        "min_alphanumeric": None,
    }

    def beyond(text, path):
        return measured("code_quality", text, settings, path=path)["beyond_extension"]

    assert beyond("x" * 2000, "a.md") == 0  # no limit of lines
    assert beyond("-" * 2000, "a.md") == 1
    assert beyond("x" * 501, "a.nb") == 2  # the line, and the mean of 100
    assert beyond("1234", "a.nb") == 1  # no letters
    assert beyond("x", "a.lagda") == 0  # one of its languages is included
    assert beyond("x", "a.exe") == 1  # not in the file
    assert reason("code_quality", "x", settings, path="a.exe") == "beyond the limits of its extension"


@pytest.mark.parametrize(
    ("content", "says"), [("extension\nmd\n", "columns extension and Include"), (None, "cannot be read as CSV")]
)
def test_limits_that_are_none_are_refused(content, says, tmp_path):
    table = tmp_path / "limits.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(UserError, match=says):
        measured("code_quality", "x", {"extensions_file": str(table)}, path="a.md")


def test_stars_where_metadata_has_them():
    def dropped(**metadata):
        return reason("code_quality", COMMENT + "x = 1", {"min_stars": 5}, path="a.py", **metadata)

    assert dropped(max_stars_count=6) == ""
    assert dropped(max_stars_count=5) == "too few stars"
    assert dropped(max_stars_count=None) == "too few stars"
    assert dropped() == ""


def test_lines_are_counted_as_splitlines_counts_them():
    for text in ODD_TEXTS:
        lines = text.split("\n")[: -1 if text.endswith("\n") or not text else None]
        values = measured("code_quality", text)
        assert values["longest_line"] == max(map(len, lines), default=0)
        assert values["mean_line_length"] == pytest.approx(sum(map(len, lines)) / max(1, len(lines)))
        assert values["alphanumeric"] == pytest.approx(sum(map(str.isalnum, text)) / max(1, len(text)))

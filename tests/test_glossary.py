"""The glossary names files that exist, each concept once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| (?!word|---)(.+?) \| .+ \| `(.+?)` \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE
)


def test_every_file_that_the_glossary_names_exists():
    assert len(ROWS) > 40
    assert [file for _, file in ROWS if not (ROOT / file).exists()] == []


def test_no_concept_stands_in_it_twice():
    words = [word for words, _ in ROWS for word in words.split(", ")]
    assert len(words) == len(set(words))

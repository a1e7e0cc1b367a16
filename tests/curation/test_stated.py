"""What a record says in its `metadata` or `meta`, as Dolma's and the Pile's do, is heard as what it says itself."""

import hashlib

import pytest

from scratchgrad.tools.curation.catalogue import url_digest
from scratchgrad.tools.curation.diversity import KINDS
from scratchgrad.tools.curation.languages import language_of
from scratchgrad.tools.curation.steps.exact_dedup import ExactDedup
from tests.curation.curated import document, measured

SAID = {"url": "https://www.Example.org/a", "language": "eng_Latn"}


@pytest.mark.parametrize(
    "metadata", [SAID, {"metadata": SAID}, {"meta": SAID}, {"url": "", "metadata": SAID, "meta": None}]
)
def test_by_every_step_that_asks(metadata):
    one = document("x", **metadata)
    assert one.stated("url") == SAID["url"]
    assert language_of(one) == KINDS["languages"](one) == "en"
    assert KINDS["domains"](one) == "example.org"
    assert url_digest(one) == hashlib.md5(SAID["url"].encode()).digest()
    assert ExactDedup(key="url").digest(one) == ExactDedup(key="url").digest(document("y", url=SAID["url"]))
    assert measured("url", "x", {"domains": ["example.org"]}, **metadata)["banned_domains"] == 1


@pytest.mark.parametrize("metadata", [{}, {"metadata": "text"}, {"meta": None}, {"url": None, "meta": {"url": ""}}])
def test_where_nothing_is_said(metadata):
    one = document("x", **metadata)
    assert one.stated("url") is None
    assert ExactDedup(key="url").digest(one) is None
    assert KINDS["domains"](one) == ""


def test_what_stands_outside_comes_first():
    assert document("x", url="a", metadata={"url": "b"}, meta={"url": "c"}).stated("url") == "a"
    assert document("x", n=0, meta={"n": 1}).stated("n") == 0

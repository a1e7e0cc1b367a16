"""Proxies for accuracy: tables, dates and lists of what was retracted; values by hand."""

import math

import pytest

from scratchgrad.errors import UserError
from scratchgrad.tools.curation.steps.trust import Trust, year_of
from scratchgrad.tools.curation.trusted import normal_doi, normal_url, trust_table
from tests.curation.curated import ODD_TEXTS, measured, same


@pytest.fixture
def files(tmp_path):
    (tmp_path / "trust.csv").write_text("source,trust\nexample.org,0.2\nnews.example.org,0.9\nTest,0.5\n\n")
    (tmp_path / "dois.txt").write_text("# withdrawn\nhttps://doi.org/10.1016/S0140-6736(97)11096-0\n10.1000/AB\n")
    (tmp_path / "urls.txt").write_text("https://www.bad.org/one/\n")
    return {
        "table": str(tmp_path / "trust.csv"), "retracted_dois": str(tmp_path / "dois.txt"),
        "retracted_urls": str(tmp_path / "urls.txt"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("url", "trust"),
    [
        ("https://example.org/a", 0.2), ("http://www.example.org", 0.2), ("https://a.news.example.org/x", 0.9),
        ("https://blog.example.org:8080/", 0.2), ("https://notexample.org", 0.5), ("", 0.5), ("http://[bad", 0.5),
    ],
)  # fmt: skip
def test_the_nearest_domain_counts_and_then_the_source(files, url, trust):
    assert measured("trust", "x", files, url=url)["trust"] == trust


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("10.1000/182", "10.1000/182"), ("doi:10.1000/AB", "10.1000/ab"), ("DOI: 10.1000/ab.", "10.1000/ab"),
        ("https://dx.doi.org/10.1000/ab", "10.1000/ab"), ("http://doi.org/10.1000%2Fab", "10.1000/ab"), ("info:doi/10.1000/ab", "10.1000/ab"),
        ("10.1016/S0140-6736(97)11096-0", "10.1016/s0140-6736(97)11096-0"), ("10.1000/a(b)).", "10.1000/a(b)"), ("10.12/a", ""), ("hello", ""), ("", ""),
    ],
)  # fmt: skip
def test_dois_are_normalised(text, doi):
    assert normal_doi(text) == doi
    assert normal_doi(doi) == doi


def test_what_records_say_in_their_metadata_is_heard(files):
    """Dolma's records have `url` in `metadata`, the Pile's in `meta`."""
    for place in ("metadata", "meta"):
        values = measured(
            "trust", "x", files, **{place: {"url": "https://example.org/a", "date": "2020", "doi": "10.1000/ab"}}
        )
        assert (values["trust"], values["year"], values["retracted"]) == (0.2, 2020, 1)
    assert (
        measured("url", "x", {"domains": ["example.org"]}, metadata={"url": "https://example.org/a"})["banned_domains"]
        == 1
    )
    assert measured("trust", "x", files, meta="text", metadata=None)["trust"] == 0.5


def test_addresses_are_normalised():
    for url in ("https://www.bad.org/one/", "HTTP://BAD.org/one", "bad.org/one#part"):
        assert normal_url(url) == "bad.org/one"
    assert normal_url("http://a.org/B") == "a.org/B"


@pytest.mark.parametrize(
    ("text", "metadata", "own", "cited"),
    [
        ("see doi:10.1000/ab.", {}, 0, 1), ("(10.1016/s0140-6736(97)11096-0)", {}, 0, 1), ("10.1000/abc", {}, 0, 0),
        ("http://bad.org/one, http://bad.org/one/", {}, 0, 1), ("x", {"doi": "10.1000/AB"}, 1, 0), ("x", {"url": "http://bad.org/one"}, 1, 0),
        ("x", {"url": "https://doi.org/10.1000/ab"}, 1, 0), ("x", {"url": "https://site.org/doi/10.1000/ab"}, 1, 0), ("110.1000/ab", {}, 0, 0), ("", {}, 0, 0),
    ],
)  # fmt: skip
def test_what_was_retracted(files, text, metadata, own, cited):
    values = measured("trust", text, files, **metadata)
    assert (values["retracted"], values["cites_retracted"]) == (own, cited)


@pytest.mark.parametrize(
    ("value", "year"),
    [
        ("2020", 2020), (2020, 2020), ("2020-01-01T10:00:00Z", 2020), ("20200702", 2020 + 183 / 366), ("2021-12-31", 2021 + 364 / 365),
        ("2009-03-65", None), ("no", None), (None, None), (True, None), ("0000-00-00", None), ("9999-12-31", None), ("12345", None),
    ],
)  # fmt: skip
def test_years(value, year):
    assert year_of(value) == year


def test_rules_are_off_and_can_be_set(files):
    assert Trust(**files).rules() == []
    step = Trust(**files, min_trust=0.3, min_year=2000, max_year=2021, max_retracted=0, max_cites_retracted=2)
    assert [rule.setting for rule in step.rules()] == [
        "min_trust",
        "min_year",
        "max_year",
        "max_retracted",
        "max_cites_retracted",
    ]
    assert step.paths() == list(files.values())


def test_without_files_nothing_is_known():
    for text in ODD_TEXTS:
        assert all(same(value, math.nan) for value in measured("trust", text).values())


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\nexample.org,1.5\n", "line 2: 'example.org,1.5' is no source"), ("a,0.5\nb\n", "line 2"), ("a,0.5\nA,0.6\n", "'a' has two trusts, 0.5 and 0.6")],
)  # fmt: skip
def test_a_table_with_a_mistake_is_told(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        trust_table(str(tmp_path / "t.csv"))


def test_a_list_with_what_is_no_doi_is_told(tmp_path):
    (tmp_path / "d.txt").write_text("10.1000/ok\nnonsense\n")
    with pytest.raises(UserError, match="the line 'nonsense', which is no DOI"):
        measured("trust", "10.1000/ok", {"retracted_dois": str(tmp_path / "d.txt")})

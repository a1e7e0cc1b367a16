"""Pages are dropped for their address, by lists that the user gives."""

import pytest

from scratchgrad.errors import UserError
from tests.curation.curated import measured, reason


@pytest.fixture
def lists(tmp_path):
    contents = {
        "domains": "bad.org\n# a comment\nsub.site.com\n\n",
        "urls": "https://fine.org/one/page/\n",
        "words": "casino\n",
        "subwords": "xxx\nporn\n",
        "soft_words": "cam\nescort\nfree\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    return {f"{name}_file": str(tmp_path / name) for name in contents}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://good.org/page", ""),
        ("https://bad.org/page", "banned domain"),
        ("http://WWW.BAD.ORG:80/x", "banned domain"),
        ("bad.org", "banned domain"),
        ("https://notbad.org", ""),
        ("https://bad.org.example.com", ""),
        ("https://site.com", ""),
        ("https://sub.site.com/a", "banned domain"),
        ("http://fine.org/one/page", "banned address"),
        ("https://fine.org/one/page/2", ""),
        ("https://a.org/online-Casino_now", "banned word in the address"),
        ("https://a.org/casinos", ""),
        ("https://a.org/fo-ooX.xx", "banned part of a word in the address"),  # signs are left out
        ("https://a.org/free", ""),
        ("https://a.org/free-free", ""),
        ("https://a.org/free/cam", "too many soft words in the address"),
        ("https://a.org/freecam", ""),
        ("http://[::bad", ""),
        ("", ""),
    ],
)
def test_an_address_is_held_against_the_lists(lists, url, expected):
    assert reason("url", "text", lists, url=url) == expected


def test_domains_of_the_recipe_and_documents_without_an_address():
    settings = {"domains": ["Wikipedia.org"]}
    assert reason("url", "text", settings, url="https://en.wikipedia.org/wiki/A") == "banned domain"
    assert reason("url", "text", settings) == ""
    assert all(value != value for value in measured("url", "text", settings).values())


def test_a_real_list_of_words(data_folder):
    folder = data_folder / "05_curation" / "badwords"
    settings = {
        "subwords_file": str(folder / "datatrove_banned_subwords.txt"),
        "words_file": str(folder / "datatrove_banned_words.txt"),
    }
    assert reason("url", "text", settings, url="https://example.org/the-essex-county-library") == ""
    assert reason("url", "text", settings, url="https://example.org/free-porn-videos") != ""


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        measured("url", "text", {"domains_file": str(tmp_path / "none")}, url="https://a.org")

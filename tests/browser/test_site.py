"""The site of `make docs`, opened as the docs say: from the disk, without a server or a network."""

import os
import re
import subprocess
import sys
import time

import pytest

from tests.browser.conftest import DESKTOP, PHONE
from tests.pages import ROOT

pytestmark = pytest.mark.browser
PAGES = ("index", "course/3-ops", "from-pytorch", "extending", "data")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the extra `docs` is not installed: no mkdocs-material")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_the_makefile_says_how_to_open_it():
    assert "open build/site/index.html" in (ROOT / "Makefile").read_text()
    assert "site_dir: build/site\n" in (ROOT / "mkdocs.yml").read_text()


def test_no_page_asks_for_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text()
        assert not re.findall(
            r'<(?:script|img|iframe)[^>]* src="?https?:[^>]*>|<link rel="?stylesheet"?[^>]*https?:', text
        )


def test_search_finds_pages_and_leads_there(browser, site):
    browser.open(site / "index.html")
    field = browser.all("input.md-search__input")[0]
    field.click()
    field.send_keys("recomputation")
    assert wait_for(lambda: "4. Memory" in browser.text(".md-search-result__list"))
    browser.all(".md-search-result__link")[0].click()
    assert wait_for(lambda: "4. Memory" in browser.text("h1"))


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("page", ["course/4-memory", *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES)])
def test_no_code_is_clipped(browser, site, page, size):
    browser.look(size)
    browser.open(site / f"{page}.html")
    blocks = browser.run("return [...document.querySelectorAll('pre code')].map(e => [e.scrollWidth, e.clientWidth])")
    assert all(needed <= room + 1 for needed, room in blocks)
    assert (len(blocks) == 0) == (page == "index")
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("dark", [False, True])
def test_an_output_stands_below_its_block_and_looks_like_none(browser, site, dark):
    browser.look(DESKTOP, dark)
    browser.open(site / "course" / "4-memory.html")
    outputs = browser.run("""return [...document.querySelectorAll(".language-text")].map(output => ({
      text: output.innerText, above: output.previousElementSibling.innerText,
      fill: getComputedStyle(output.querySelector("code")).backgroundColor,
      code: getComputedStyle(output.previousElementSibling.querySelector("code")).backgroundColor}))""")
    assert len(outputs) == 3
    for output in outputs:
        assert output["text"].startswith("output")
        assert "print(" in output["above"]
        assert output["fill"] != output["code"]

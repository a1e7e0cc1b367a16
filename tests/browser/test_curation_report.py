"""The report of a curation, as somebody reads it: on a desk, on a phone, in the dark, by the keyboard, on paper."""

import base64
import json
import random
import re
from pathlib import Path

import pytest

from tests.browser.conftest import DESKTOP, PHONE

pytest.importorskip("zstandard", reason="the extra curate is not installed")
pytest.importorskip("pyarrow", reason="the extra curate is not installed")

from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.pool import ProcessPool
from scratchgrad.tools.curation.recipe import load_recipe
from scratchgrad.tools.curation.report import write_report_page

pytestmark = pytest.mark.browser
TAB, ENTER = "\ue004", "\ue007"
EVIL = "</style></pre><script>document.title = 'broken'</script><img src=http://example.com/a.png onerror=alert(1)>"
ADDRESS = "somebody.else@example.com"
STEPS = "[url, unicode, terms, gopher_quality, gopher_repetition, exact_dedup, minhash_dedup, decontaminate, privacy]"
SIZES = [pytest.param(size, dark, id=f"{size[0]}-{'dark' if dark else 'light'}")
         for size in (DESKTOP, PHONE) for dark in (False, True)]  # fmt: skip
# Of every text that is shown and small: its contrast with what is behind it, as WCAG 2 reckons.
CONTRASTS = """
const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
const found = {};
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!own || !e.getClientRects().length) continue;
  const style = getComputedStyle(e), ink = rgb(e.closest("svg") ? style.fill : style.color).slice(0, 3);
  const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
  const what = e.tagName + "." + (e.className.baseVal ?? e.className);
  found[what] = Math.min(found[what] ?? 99, (a + .05) / (b + .05));
}
return found;"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of documents among which are some too short, one with markup in it, some twice or nearly, an address."""
    folder = tmp_path_factory.mktemp("curated")
    rng = random.Random(0)
    words = [
        "the",
        "of",
        "and",
        "to",
        "that",
        "river",
        "stone",
        "green",
        "light",
        "walks",
        "slowly",
        "houses",
        "morning",
    ]

    def text(length: int) -> str:
        return " ".join(rng.choices(words, k=length)) + "."

    kept = [text(rng.randrange(60, 200)) for _ in range(24)]
    near = [one.replace("river", "road", 1) for one in kept[:3]]
    rows = [*kept, *kept[3:6], *near, *(text(5) for _ in range(3)), f"{EVIL} {text(4)}", f"{text(6)} {ADDRESS}"]
    rows.append(f"Write to {ADDRESS} now. {text(80)} {EVIL}")
    raw = [{"text": row, "url": f"http://example.org/{number}{EVIL}"} for number, row in enumerate(rows)]
    lines = [json.dumps(row) for row in raw] + ["{broken"]
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "items.jsonl").write_text(json.dumps({"question": rows[-1]}))
    overrides = [
        "data.source=files",
        f"data.files={folder}/a.jsonl",
        f"curate.steps={STEPS}",
        "minhash_dedup.n=3",
        f"decontaminate.files={folder}/items.jsonl",
    ]
    curate(load_recipe("gopher", overrides), folder / "out", ProcessPool(1))
    return write_report_page(folder / "out", {"steps": {"url": 0.5, "unicode": 1.5}, "stages": [["documents", 2.0]]})


def sections(browser):
    return [heading.text for heading in browser.all("section h2")]


@pytest.mark.parametrize(("size", "dark"), SIZES)
def test_it_is_readable_and_nothing_overflows_even_when_all_is_unfolded(browser, report, size, dark):
    browser.look(size, dark)
    browser.open(report)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    cut = (
        "return [...document.querySelectorAll('figure .table')].filter(one => one.scrollWidth > one.clientWidth).length"
    )
    assert browser.run(cut) == 0
    contrasts = browser.run(CONTRASTS)
    assert len(contrasts) > 12
    assert {what: value for what, value in contrasts.items() if value < 4.5} == {}
    smallest = browser.run("""return Math.min(...[...document.querySelectorAll("svg text")].map(
        text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))""")
    assert smallest >= 10


def test_it_asks_no_host_for_anything(browser, report):
    browser.open(report)
    assert browser.run("return performance.getEntriesByType('resource').map(one => one.name)") == []
    text = report.read_text()
    assert not re.findall(r"<(?:script|img|link|iframe)\b", text)
    assert "default-src 'none'" in text


def test_what_documents_say_stays_text(browser, report):
    browser.open(report)
    assert browser.run("return document.title") == "Curation: out"
    assert browser.run("return document.querySelectorAll('script, img').length") == 0
    assert EVIL[:40] in browser.run("return document.querySelector('main').textContent")


def test_the_waterfall_comes_first_and_ends_at_what_was_kept(browser, report):
    browser.open(report)
    assert sections(browser)[:3] == ["In short", "What was dropped, step by step", "Samples of what was dropped"]
    cells = browser.run(
        "return [...document.querySelectorAll('#what-was-dropped--step-by-step > .table tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.innerText.trim()))"
    )
    assert (cells[0][0], cells[-1][0]) == ("Read", "Kept")
    counts = [int(row[1].replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "0")) for row in cells]
    assert counts == [36, -5, -3, -3, 0, 25]


def test_every_section_is_reached_from_the_contents(browser, report):
    browser.open(report)
    links = browser.all("nav a")
    assert [link.text for link in links] == sections(browser)
    assert len(links) > 7
    for link in links:
        link.click()
        target = browser.run("return decodeURIComponent(location.hash.slice(1))")
        top, bottom = browser.run(
            "const box = document.getElementById(arguments[0]).getBoundingClientRect(); return [box.top, box.bottom]",
            target,
        )
        assert top < DESKTOP[1]
        assert bottom > 0


def test_the_keyboard_skips_the_contents_and_unfolds(browser, report):
    browser.open(report)
    browser.keys(TAB)
    assert browser.run("return document.activeElement.innerText") == "Skip to the report"
    box = browser.run("const box = document.activeElement.getBoundingClientRect(); return [box.left, box.top]")
    assert min(box) >= 0
    browser.keys(ENTER)
    browser.keys(TAB)
    assert browser.run("return document.activeElement.tagName") == "SUMMARY"
    browser.keys(ENTER)
    assert browser.run("return document.activeElement.parentElement.open") is True


def test_the_threshold_stands_between_what_is_kept_and_what_is_dropped(browser, report):
    browser.open(report)
    (figure,) = [one for one in browser.all("figure") if one.text.startswith("gopher_quality: words at least 50")]
    line = float(figure.find_element("css selector", "line.threshold").get_attribute("x1"))
    bars = {
        kind: [(float(bar.get_attribute("x")), float(bar.get_attribute("width")))
               for bar in figure.find_elements("css selector", f"rect.{kind}")]
        for kind in ("kept", "dropped")
    }  # fmt: skip
    assert bars["kept"]
    assert bars["dropped"]
    assert all(x >= line - 0.2 for x, _ in bars["kept"])
    assert all(x + width <= line + 0.2 for x, width in bars["dropped"])
    assert [row.split()[0] for row in figure.text.split("\n")[-3:]] == ["45", "50", "55"]


def test_samples_are_folded_and_have_a_reason_and_a_value(browser, report):
    browser.open(report)
    (sample,) = browser.all("#samples-of-what-was-dropped details")
    assert sample.get_attribute("open") is None
    assert sample.text == "gopher_quality: too few words (5)"
    sample.find_element("css selector", "summary").click()
    assert "a.jsonl:" in sample.text
    assert "words is 5" in sample.text


def test_duplicates_stand_side_by_side_with_their_difference_marked(browser, report):
    for size, columns in ((DESKTOP, 2), (PHONE, 1)):
        browser.look(size)
        browser.open(report)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        pairs = browser.all("#what-minhash-dedup-did .pair")
        assert len(pairs) == 3
        lefts = {article.rect["x"] for article in pairs[0].find_elements("css selector", "article")}
        assert len(lefts) == columns
        marked = [{mark.text for mark in pair.find_elements("css selector", "mark")} for pair in pairs]
        assert all(words & {"road", "road."} for words in marked)


def test_an_address_is_counted_and_shown_nowhere(browser, report):
    browser.open(report)
    assert ADDRESS not in report.read_text()
    assert "privacy: email (1)" in browser.text("#samples-of-what-was-taken-out-of-texts--after-decontaminate")
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert "<EMAIL-" in browser.text("#samples-of-what-was-dropped")  # of a document that privacy has never seen
    assert "<EMAIL-" in browser.text("#what-decontaminate-did")  # in what a step reports


def test_it_can_be_printed(browser, report):
    browser.look(DESKTOP, dark=True)
    browser.open(report)
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") in range(2, 12)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
        assert min(browser.run(CONTRASTS).values()) >= 4.5
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

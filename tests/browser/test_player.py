"""The player of a backward pass, as somebody sees and uses it."""

import numpy as np
import pytest

from scratchgrad import Tensor, manual_seed, nn, play_backward, recompute
from scratchgrad import functional as F
from tests.browser.conftest import DESKTOP, PHONE

pytestmark = pytest.mark.browser
LEFT, RIGHT, HOME, END, TAB, ENTER = "\ue012", "\ue014", "\ue011", "\ue010", "\ue004", "\ue007"
MATRICES = """return [...document.querySelectorAll("aside .matrix")].map(matrix => ({
  title: matrix.previousElementSibling.firstChild.textContent.trim(), shown: matrix.innerText,
  clipped: matrix.scrollWidth > matrix.clientWidth + 1}))"""
AT_EVERY_STEP = """const found = [], page = document.documentElement;
for (let i = 0; i <= steps.length; i++) {
  show(i);
  const pane = document.getElementById("picture").getBoundingClientRect();
  const box = document.querySelector(".box.now")?.getBoundingClientRect() ?? pane;
  found.push([page.scrollWidth, page.scrollHeight,
    box.top >= pane.top && box.bottom <= pane.bottom && box.left >= pane.left && box.right <= pane.right]);
}
return found;"""


class Net(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = F.tanh(self.first(x))
        return self.second(h) + h[:, :2]


def loss_of(net):
    return F.mse_loss(net(Tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3))), np.ones((5, 2), np.float32))


@pytest.fixture
def small(tmp_path):
    manual_seed(0)
    net = Net()
    play_backward(lambda: loss_of(net)).save(tmp_path / "backward.html")
    return tmp_path / "backward.html"


@pytest.fixture
def long(tmp_path):
    """A page that no window holds at once, as deep as it is wide."""
    x = Tensor(np.ones((40, 60), np.float32), requires_grad=True)
    for i in range(12):
        branches = [F.tanh(x * float(j + 1)) for j in range(3 + 3 * (i == 6))]
        x = sum(branches[1:], branches[0])
    play_backward(x.sum()).save(tmp_path / "long.html")
    return tmp_path / "long.html"


def named(browser, kind):
    return [box.find_element("class name", "name").text for box in browser.all(f".box.{kind}")]


def step_to(browser, name):
    """Go on until the step of this node."""
    while browser.text("#step h2") != name:
        browser.all("#next")[0].click()


def test_steps_by_buttons_and_keys(browser, small):
    browser.open(small)
    assert browser.text("#where") == "step 0 of 10"
    assert "Before the first step" in browser.text("#step")
    browser.all("#next")[0].click()
    assert browser.text("#where") == "step 1 of 10"
    assert "mse_loss" in browser.text("#step")
    assert named(browser, "now") == ["mse_loss"]
    assert named(browser, "waiting") == ["add"]
    browser.keys(RIGHT, RIGHT, LEFT)
    assert browser.text("#where") == "step 2 of 10"
    assert named(browser, "now") == ["add"]
    browser.keys(END)
    assert sorted(named(browser, "final")) == ["bias", "bias", "weight", "weight"]
    assert not browser.all("#next")[0].is_enabled()
    browser.keys(HOME)
    assert browser.text("#where") == "step 0 of 10"


def test_every_box_is_reached_by_keys_and_leads_to_its_step(browser, small):
    browser.open(small)
    browser.run("document.querySelector('.box').focus()")
    visited = []
    for _ in range(10):
        browser.keys(ENTER)
        visited += named(browser, "now")
        assert browser.text("#step h2").split(".")[-1] == visited[-1]
        browser.keys(TAB)
    assert sorted(visited) == sorted(
        ["add", "bias", "bias", "getitem", "linear", "linear", "mse_loss", "tanh", "weight", "weight"]
    )


def test_a_click_on_a_box_goes_to_its_step_and_the_pointer_shows_its_values(browser, small):
    from selenium.webdriver import ActionChains

    browser.open(small)
    (box,) = [box for box in browser.all(".box") if box.find_element("class name", "name").text == "tanh"]
    ActionChains(browser.driver).move_to_element(box).perform()
    assert "values of tanh" in browser.text("#pointed")
    assert "none yet" in browser.text("#pointed")
    box.click()
    assert browser.text("#step h2") == "tanh"
    ActionChains(browser.driver).move_to_element(browser.all(".box.leaf")[0]).perform()
    assert "gradient of first.weight: none yet" in browser.text("#pointed")


def test_the_legend_has_every_look_of_a_box(browser, small):
    browser.open(small)
    assert browser.text("#legend").split("\n") == [
        "leaf", "op", "runs now", "gradient arriving", "done, let go", "final gradient", "value", "gradient, and its norm",
    ]  # fmt: skip
    browser.keys(RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)
    fill = "return getComputedStyle(document.querySelector('.box.{} rect')).fill"
    swatch = "return getComputedStyle(document.querySelector('#legend .is-{}'), '::before').backgroundColor"
    for kind in ("leaf:not(.now):not(.final)", "now"):
        assert browser.run(fill.format(kind)) == browser.run(swatch.format(kind.split(":")[0])), kind
    browser.keys(RIGHT)
    assert browser.run(fill.format("final:not(.now)")) == browser.run(swatch.format("final"))


def test_a_recomputed_block_is_in_the_legend_where_there_is_one(browser, tmp_path):
    w = Tensor(np.full((2, 2), 0.5), requires_grad=True)
    play_backward(lambda: recompute(lambda t: F.exp(F.sin(t)), w).sum()).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert "recomputed block" in browser.text("#legend")
    step_to(browser, "exp (recomputed)")
    assert named(browser, "now") == ["recompute"]
    assert browser.all(".edge.sent") == []
    step_to(browser, "sin (recomputed)")
    assert "cos" in browser.text("#step pre")
    assert named(browser, "now") == ["recompute"]
    assert len(browser.all(".edge.sent")) == len(browser.all("svg .norm")) == 1  # to w, which is outside
    shown = {matrix["title"]: matrix["shown"] for matrix in browser.run(MATRICES)}
    assert "0.5" in shown["x"]
    assert "0.4794" in shown["its result"]  # the sine of 0.5
    step_to(browser, "w")


def test_the_step_has_names_the_rule_forward_values_and_gradients(browser, small):
    browser.open(small)
    step_to(browser, "tanh")
    assert "grad * (1 - y * y)" in browser.text("#step pre")
    titles = [matrix["title"] for matrix in browser.run(MATRICES)]
    assert titles == ["gradient that comes in", "gradient of x (linear)", "x (linear)", "keeps y", "its result"]
    browser.keys(END)
    browser.keys(HOME)
    step_to(browser, "linear")
    titles = [matrix["title"] for matrix in browser.run(MATRICES)]
    assert {"gradient of weight (second.weight)", "weight (second.weight)", "its result"} <= {*titles}
    step_to(browser, "second.weight")
    assert "Net › second: Linear" in browser.text("#step")


def test_inputs_that_need_no_gradient_are_there_by_name(browser, small):
    browser.open(small)
    browser.keys(RIGHT)
    shown = {matrix["title"]: matrix["shown"] for matrix in browser.run(MATRICES)}
    assert "target (no gradient)" in shown
    assert shown["target (no gradient)"].split().count("1") >= 10


def test_arrows_carry_the_gradient_to_where_it_goes(browser, small):
    browser.open(small)
    step_to(browser, "linear")
    sent = browser.all(".edge.sent")
    assert len(sent) == len(browser.all("svg .norm")) == 3  # to tanh, weight and bias
    assert {'url("#against")'} == {edge.value_of_css_property("marker-start") for edge in sent}
    assert {"none"} == {edge.value_of_css_property("marker-end") for edge in sent}
    norms = [matrix["title"] for matrix in browser.run(MATRICES) if matrix["title"].startswith("gradient of")]
    assert len(norms) == 3
    walked = browser.run("return [...document.querySelectorAll('.edge.walked')].length")
    assert walked == 4  # from mse_loss to add, from add to linear and getitem, and from there to tanh


def test_matrices_use_the_room(browser, small):
    """All numbers of a small matrix, beside each other where there is room, and none behind an edge."""
    for size in (DESKTOP, PHONE):
        browser.look(size)
        browser.open(small)
        step_to(browser, "linear")
        assert not any(matrix["clipped"] for matrix in browser.run(MATRICES)), size
        tops = browser.run(
            "return [...document.querySelectorAll('.group:first-of-type > div')].map(d => d.getBoundingClientRect().top)"
        )
        assert (len({*tops}) < len(tops)) == (size == DESKTOP)


def test_a_large_matrix_shows_its_ends(browser, long):
    browser.open(long)
    browser.keys(RIGHT)
    large = [matrix for matrix in browser.run(MATRICES) if "…" in matrix["shown"]]
    assert large
    assert {"0", "59", "39"} <= {*large[0]["shown"].split()}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_current_box_is_in_view_and_the_page_never_wider_than_the_window(browser, long, size, dark):
    browser.look(size, dark)
    browser.open(long)
    found = browser.run(AT_EVERY_STEP)
    assert len(found) > 80
    for width, height, in_view in found:
        assert width <= size[0]
        assert height <= size[1]
        assert in_view


LUMINANCE = """const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function luminance(color) {
  canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_read_in_light_and_in_dark(browser, small, dark):
    browser.look(DESKTOP, dark)
    browser.open(small)
    step_to(browser, "linear")
    page = browser.run(LUMINANCE + "return luminance(getComputedStyle(document.body).backgroundColor)")
    assert page < 0.05 if dark else page > 0.9
    contrasts = browser.run(
        LUMINANCE
        + """function contrast(text, behind) {
          const [a, b] = [luminance(text), luminance(behind)].sort((p, q) => q - p); return (a + 0.05) / (b + 0.05); }
        const page = getComputedStyle(document.body).backgroundColor, found = [];
        for (const box of document.querySelectorAll(".box:not(.done)"))
          for (const line of box.querySelectorAll("tspan"))
            found.push(contrast(getComputedStyle(line).fill, getComputedStyle(box.querySelector("rect")).fill));
        for (const piece of document.querySelectorAll("aside p, aside h2, aside h3, aside small, #legend span, #where"))
          found.push(contrast(getComputedStyle(piece).color, page));
        return found;"""
    )
    assert len(contrasts) > 30
    assert min(contrasts) >= 4.5  # WCAG 2, level AA

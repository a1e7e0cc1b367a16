"""Autograd that can be seen: the picture, the trace, the table of memory, and the player in a real browser."""

import json
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, draw, manual_seed, memory_table, nn, play_backward, recompute, trace_backward
from scratchgrad import functional as F
from scratchgrad.drawing.layout import Layout, lay_out
from scratchgrad.drawing.record import Box, Frame, Record, in_bytes, record_of

SVG = "{http://www.w3.org/2000/svg}"


class Net(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = F.tanh(self.first(x))
        return self.second(h) + h[:, :2]


def net_and_loss():
    manual_seed(0)
    net = Net()
    out = net(Tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)))
    return net, F.mse_loss(out, np.ones((5, 2), np.float32))


@st.composite
def records(draw):
    """Any acyclic graph of up to 14 boxes, in frames that hold neighbours in time, as calls of modules do."""
    count = draw(st.integers(1, 14))
    boxes = {}
    for number in range(count):
        reads = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        boxes[number] = Box(number, f"op{number}", (2,), "float32", "op", 0, reads)

    def framed(first, last, depth):
        frame, at = Frame("a title" * draw(st.integers(0, 3))), first
        while at < last:
            length = draw(st.integers(1, last - at))
            if depth and draw(st.booleans()):
                frame.frames.append(framed(at, at + length, depth - 1))
            else:
                frame.boxes += range(at, at + length)
            at += length
        return frame

    return Record(boxes, framed(0, count, 3), count - 1)


def overlap(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def holds(outer, inner):
    slack = 1e-6
    return (
        outer.x - slack <= inner.x
        and outer.y - slack <= inner.y
        and inner.x + inner.width <= outer.x + outer.width + slack
        and inner.y + inner.height <= outer.y + outer.height + slack
    )


@given(records(), st.integers(0, 100))
def test_boxes_and_frames_never_overlap_and_edges_run_down_around_boxes(record, seed):
    rng = np.random.default_rng(seed)
    sizes = {number: (float(rng.integers(40, 200)), float(rng.integers(20, 60))) for number in record.boxes}
    layout = lay_out(record, sizes, 6.0)
    check_layout(record, layout)


def check_layout(record: Record, layout: Layout) -> None:
    places = list(layout.boxes.items())
    assert {number for number, _ in places} == set(record.boxes)
    for i, (_, a) in enumerate(places):
        assert a.x >= 0
        assert a.x + a.width <= layout.width + 1e-6
        assert not any(overlap(a, b) for _, b in places[i + 1 :])
    inside = {id(frame): numbers_in(frame) for frame, _ in layout.frames}
    for frame, place in layout.frames:
        for number, box in places:
            assert holds(place, box) if number in inside[id(frame)] else not overlap(place, box)
    for number, box in record.boxes.items():
        for source in box.reads:
            start, end = layout.boxes[source], layout.boxes[number]
            points = layout.routes[source, number]
            heights = [start.y + start.height, *(y for _, y in points), end.y]
            assert heights == sorted(heights)
            for (x, top), (_, bottom) in zip(points[::2], points[1::2], strict=True):
                for _, other in places:  # the straight parts, beside the boxes of a layer, cross no box
                    assert not (
                        other.x < x < other.x + other.width and top < other.y + other.height and other.y < bottom
                    )


def numbers_in(frame: Frame) -> set[int]:
    return set(frame.boxes).union(*(numbers_in(child) for child in frame.frames))


def test_the_picture_shows_every_op_with_shape_memory_and_module():
    _, loss = net_and_loss()
    picture = draw(loss)
    root = ET.fromstring(picture.svg())
    texts = [
        " ".join(t.text for t in g.iter(f"{SVG}tspan")) for g in root.iter(f"{SVG}g") if "box" in g.get("class", "")
    ]
    assert "weight 4×3 float32" in texts
    assert "tanh 5×4 float32 keeps 80 B" in texts
    assert sum(text.startswith("linear ") for text in texts) == 2
    titles = [t.text for g in root.iter(f"{SVG}g") if g.get("class") == "frame" for t in g.iter(f"{SVG}text")]
    assert titles == ["Net", "first: Linear", "second: Linear"]
    assert picture._repr_svg_() == picture.svg()


def test_the_picture_learns_the_gradients_of_a_later_backward_pass():
    net, loss = net_and_loss()
    picture = draw(loss)
    assert "gradient" not in picture.svg().split("</style>")[1]
    loss.backward()
    norm = np.linalg.norm(net.first.weight.grad.astype(np.float64))
    assert f"|gradient| {norm:.3g}" in picture.svg()
    assert not net.first.weight.node.hooks  # and leaves nothing on the parameters


def test_nothing_to_draw():
    with pytest.raises(RuntimeError, match="nothing to draw"):
        draw(Tensor(np.ones(2)))
    _, loss = net_and_loss()
    loss.backward()
    with pytest.raises(RuntimeError, match="already gone through"):
        draw(loss)


def test_a_name_is_text_and_not_markup(tmp_path):
    record = Record({0: Box(0, "<b>&", (), "float32", "op", 0)}, Frame("<i>", [0]), 0)
    from scratchgrad.drawing import Drawing

    Drawing(record).save(tmp_path / "graph.svg")
    assert "&lt;b&gt;&amp;" in (tmp_path / "graph.svg").read_text()


def test_the_trace_is_the_backward_pass_step_by_step():
    net, loss = net_and_loss()
    loss.backward()
    want = [p.grad.copy() for p in net.parameters()]
    net.zero_grad()
    _, loss = net_and_loss()
    net, loss = net_and_loss()
    steps = list(trace_backward(loss))
    assert all(np.array_equal(p.grad, w) for p, w in zip(net.parameters(), want, strict=True))
    assert [step.node.name for step in steps if step.input_gradients] == [
        "mse_loss",
        "add",
        "getitem",
        "linear",
        "tanh",
        "linear",
    ]
    assert [gradient.summed for step in steps for gradient in step.input_gradients if gradient.node.name == "tanh"] == [
        False,
        True,
    ]
    tanh = next(step for step in steps if step.node.name == "tanh")
    assert tanh.freed == 5 * 4 * 4
    assert str(tanh) == "tanh: gradient (5, 4) -> linear (5, 4); 80 bytes freed"
    assert sum(step.node.leaf is not None for step in steps) == 4


def test_the_trace_goes_into_recomputed_blocks():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    steps = list(trace_backward(recompute(lambda t: F.exp(F.sin(t)), x).sum()))
    assert [(step.node.name, step.depth) for step in steps] == [
        ("sum", 0), ("exp", 1), ("sin", 1), ("recompute", 0), ("leaf", 0),
    ]  # fmt: skip


def test_the_table_of_memory_counts_what_closures_keep_once():
    x, w = Tensor(np.ones((64, 32), np.float32), True), nn.Parameter(np.ones((16, 32), np.float32))
    h = F.linear(x, w)
    out = (F.exp(h) * F.tanh(h)).sum()
    table = memory_table(out)
    size = 64 * 16 * 4
    assert {name: kept for name, _, kept in table.rows} == {
        "exp": size,
        "tanh": size,
        "mul": 0,
        "sum": 0,
        "linear": 0,
    }
    assert table.total == 2 * size
    assert re.search(r"^exp +1 +4.1 kB$", str(table), re.MULTILINE)


def test_recomputation_keeps_the_inputs_only():
    x, w = Tensor(np.ones((64, 16), np.float32), True), Tensor(np.ones((16, 16), np.float32), True)

    def block(t):
        return F.tanh(F.exp(t @ w))

    plain, again = memory_table(block(x * 1.0).sum()), memory_table(recompute(block, x * 1.0).sum())
    size = 64 * 16 * 4
    assert plain.total == 3 * size  # the input, exp and tanh
    assert again.total == size


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1536, "1.54 kB"), (2_000_000, "2 MB"), (10**15, "1e+03 TB")]
)
def test_bytes(count, text):
    assert in_bytes(count) == text


def test_the_player_holds_every_step(tmp_path):
    net, loss = net_and_loss()
    player = play_backward(loss)
    assert net.first.weight.grad is not None
    player.save(tmp_path / "backward.html")
    page = (tmp_path / "backward.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["steps"]) == len(player.steps) == 10
    assert data["steps"][0]["name"] == "mse_loss"
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # it needs nothing else


@pytest.mark.browser
def test_the_player_in_a_browser(tmp_path):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("there is no chromium with its chromedriver here")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    _, loss = net_and_loss()
    play_backward(loss).save(tmp_path / "backward.html")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        f"user-data-dir={tmp_path}/profile",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get((tmp_path / "backward.html").as_uri())

        def text(name: str) -> str:
            return browser.find_element(By.ID, name).text

        def named(name: str) -> list[str]:
            return [b.find_element(By.CLASS_NAME, "name").text for b in browser.find_elements(By.CLASS_NAME, name)]

        assert text("where") == "step 0 of 10"
        assert "Before the first step" in text("step")
        browser.find_element(By.ID, "next").click()
        assert text("where") == "step 1 of 10"
        assert "mse_loss" in text("step")
        assert named("now") == ["mse_loss"]
        assert named("waiting") == ["add"]
        body = browser.find_element(By.TAG_NAME, "body")
        body.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
        assert text("where") == "step 2 of 10"
        assert named("now") == ["add"]
        body.send_keys(Keys.END)
        assert sorted(named("final")) == ["bias", "bias", "weight", "weight"]
        assert not browser.find_element(By.ID, "next").is_enabled()
        box = browser.find_element(By.CSS_SELECTOR, ".box.leaf")
        webdriver.ActionChains(browser).move_to_element(box).perform()
        assert "values of" in text("pointed")
        assert "gradient of" in text("pointed")
        assert "none yet" not in text("pointed")
        body.send_keys(Keys.HOME)
        assert text("where") == "step 0 of 10"
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    finally:
        browser.quit()


def test_drawing_does_not_change_the_gradients():
    plain = net_and_loss()
    plain[1].backward()
    drawn = net_and_loss()
    draw(drawn[1])
    record_of(drawn[1])
    drawn[1].backward()
    for a, b in zip(plain[0].parameters(), drawn[0].parameters(), strict=True):
        assert np.array_equal(a.grad, b.grad)

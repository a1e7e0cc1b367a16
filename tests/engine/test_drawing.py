"""Autograd that can be seen: the picture, the trace, the table of memory, and the player (tests/browser looks at it)."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import Tensor, draw, manual_seed, memory_table, nn, op, play_backward, recompute, trace_backward
from scratchgrad import functional as F
from scratchgrad.anomaly import AnomalyError, detect_anomaly
from scratchgrad.autograd import WATCH
from scratchgrad.drawing.layout import Layout, lay_out
from scratchgrad.drawing.record import Box, Frame, Record, in_bytes, record_of
from scratchgrad.drawing.values import shown
from scratchgrad.errors import UserError

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


def saved(drawing, path):
    drawing.save(path)
    return path.read_bytes()


def test_a_picture_is_saved_in_the_format_that_its_name_asks_for(tmp_path):
    _, loss = net_and_loss()
    drawing = draw(loss)
    assert ET.fromstring(saved(drawing, tmp_path / "graph.svg")).tag == f"{SVG}svg"
    assert saved(drawing, tmp_path / "GRAPH.PNG").startswith(b"\x89PNG")
    assert saved(drawing, tmp_path / "graph.pdf").startswith(b"%PDF")
    assert b"<svg " in (page := saved(drawing, tmp_path / "graph.html"))
    assert page.startswith(b"<!doctype html>")
    assert saved(drawing, tmp_path / "graph.dot").startswith(b"digraph")
    assert len(list(tmp_path.iterdir())) == 5


def test_a_picture_in_pixels_is_the_one_in_svg(tmp_path):
    """Boxes, where the SVG has them, in their colors: twice as fine."""
    from matplotlib.image import imread

    _, loss = net_and_loss()
    drawing = draw(loss)
    drawing.save(tmp_path / "graph.png")
    pixels = np.rint(imread(tmp_path / "graph.png")[..., :3] * 255).astype(int)
    svg = ET.fromstring(drawing.svg())
    assert pixels.shape[:2] == pytest.approx([2 * float(svg.get(size)) for size in ("height", "width")], abs=3)
    leaves = [g.find(f"{SVG}rect") for g in svg.iter(f"{SVG}g") if "leaf" in g.get("class", "")]
    assert len(leaves) == 4
    for rectangle in leaves:
        x, y, width, height = (float(rectangle.get(name)) for name in ("x", "y", "width", "height"))
        inside = pixels[round(2 * y) + 4 : round(2 * (y + height)) - 4, round(2 * x) + 4 : round(2 * (x + width)) - 4]
        assert ((inside == (0xE3, 0xF0, 0xFB)).all(axis=-1)).mean() > 0.5
        assert (inside.sum(axis=-1) < 300).mean() > 0.02  # and text on it
        outside = pixels[round(2 * y) + 8, round(2 * x) - 6]
        assert not (outside == (0xE3, 0xF0, 0xFB)).all()


def test_a_pdf_has_text_and_is_the_same_each_time(tmp_path):
    _, loss = net_and_loss()
    first, second = saved(draw(loss), tmp_path / "a.pdf"), saved(draw(loss), tmp_path / "b.pdf")
    assert first == second
    assert b"/Type /Font" in first


def test_a_picture_of_a_deep_graph_fits_into_a_png(tmp_path):
    from matplotlib.image import imread

    x = Tensor(np.ones(2), requires_grad=True)
    for _ in range(300):
        x = x + 1
    draw(x.sum()).save(tmp_path / "deep.png")
    assert 10_000 < imread(tmp_path / "deep.png").shape[0] <= 2**15


def test_dot_has_a_line_for_every_box_edge_and_frame():
    record = Record(
        {
            0: Box(0, 'a "name" \\ of', (2, 3), "float32", "leaf", 0),
            1: Box(1, "exp", (2, 3), "float32", "op", 24, [0, 0]),
        },
        Frame("", [1], [Frame("inner: Linear", [0])]),
        1,
    )
    from scratchgrad.drawing import Drawing

    lines = [line.strip() for line in Drawing(record).dot().splitlines()]
    assert lines.count("0 -> 1;") == 2
    assert any(line.startswith(r'0 [label="a \"name\" \\ of\n2×3 float32"') for line in lines)
    assert any("penwidth" in line for line in lines if line.startswith("1 ["))
    assert lines[lines.index("subgraph cluster_0 {") + 1] == 'label="inner: Linear";'
    assert sum(line.endswith("{") for line in lines) == lines.count("}") == 2


@pytest.mark.parametrize("name", ["graph.jpg", "graph", "graph.png.gz", ".svg", "graph.svg "])
def test_another_name_is_refused_in_a_sentence_that_has_the_formats(tmp_path, name):
    _, loss = net_and_loss()
    with pytest.raises(UserError, match=r"saved as .*\.svg, \.png, \.pdf, \.html or \.dot"):
        draw(loss).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_player_is_a_page_and_nothing_else(tmp_path):
    _, loss = net_and_loss()
    player = play_backward(loss)
    with pytest.raises(UserError, match=r"ends? in \.html"):
        player.save(tmp_path / "backward.png")
    assert not list(tmp_path.iterdir())


def test_leaves_have_the_names_of_modules_and_of_the_callers_variables():
    slope, shift = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    net, nameless = nn.Linear(3, 1), [Tensor(np.ones(1), requires_grad=True)]
    boxes = draw((net(slope * 2 + shift) * nameless[0]).sum()).record.boxes
    assert {box.name for box in boxes.values() if box.kind == "leaf"} == {"slope", "shift", "weight", "bias", "leaf"}
    _, loss = net_and_loss()
    assert {node["name"] for node in json_of(play_backward(loss))["nodes"].values() if node["kind"] == "leaf"} == {
        "first.weight", "first.bias", "second.weight", "second.bias",
    }  # fmt: skip


def json_of(player):
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', player.html(), re.DOTALL)
    return json.loads(data[1])


def test_the_player_knows_every_forward_value_when_it_is_given_the_function():
    manual_seed(0)
    net, x = Net(), np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    expected = net(Tensor(x)).data
    nodes = json_of(play_backward(lambda: F.mse_loss(net(Tensor(x)), np.ones((5, 2), np.float32))))["nodes"].values()
    assert all(node["value"] for node in nodes)
    (out,) = [node["value"] for node in nodes if node["op"] == "add"]
    assert [row["cells"] for row in out["rows"]] == [[f"{v:.4g}" for v in row] for row in expected]
    (loss,) = [node for node in nodes if node["op"] == "mse_loss"]
    assert [(constant["name"], constant["shape"]) for constant in loss["constants"]] == [("target", "5×2")]


def test_of_a_result_that_is_there_the_player_knows_what_is_kept_anywhere():
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    scaled = w * 3
    nodes = json_of(play_backward((F.exp(scaled) - 1).sum()))["nodes"].values()
    known = {node["op"]: node["value"] is not None for node in nodes}
    assert known == {"leaf": True, "mul": True, "exp": False, "sub": False, "sum": True}
    (exp,) = [node for node in nodes if node["op"] == "exp"]
    assert [kept["rows"][0]["cells"] for kept in exp["kept"]] == [[f"{np.exp(3):.4g}", f"{np.exp(6):.4g}"]]


def test_the_player_shows_the_rule_of_an_own_op_and_of_ops_in_recomputed_blocks(no_op_stays_registered):
    @op
    def twice_over(x):
        return 2 * x, lambda grad: (2 * grad,)

    w = Tensor(np.ones((2, 2)), requires_grad=True)
    rules = json_of(play_backward(recompute(lambda t: F.sin(twice_over(t)), w).sum()))["rules"]
    assert "return 2 * x, lambda grad: (2 * grad,)" in rules["twice_over"]
    assert "cos" in rules["sin"]


def test_playing_keeps_a_watch_that_is_there_and_leaves_none_behind():
    w = Tensor(np.array([-1.0]), requires_grad=True)
    with np.errstate(all="ignore"), detect_anomaly(), pytest.raises(AnomalyError, match="log"):
        play_backward(lambda: F.log(w).sum())
    assert WATCH.get() is None


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4), (40, 50)])
def test_every_shape_is_shown(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    table = shown(array)
    assert table["shape"] == ("×".join(map(str, shape)) or "number")
    cells = [cell for row in table["rows"] for cell in row["cells"] if cell is not None]
    assert len(cells) == array.size if array.size <= 24 else cells[0] == "0" and cells[-1] == "2e+03"
    if shape == (2, 3, 4):
        assert [row["at"] for row in table["rows"]] == ["0, 0", "0, 1", "0, 2", "1, 0", "1, 1", "1, 2"]
    assert table["norm"] == f"{np.linalg.norm(array.astype(np.float64)):.4g}"


def test_what_is_not_finite_is_shown_too():
    table = shown(np.array([np.nan, np.inf, -1.0]))
    assert table["rows"][0]["cells"] == ["nan", "inf", "-1"]
    json.dumps(table, allow_nan=False)


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


def test_drawing_does_not_change_the_gradients():
    plain = net_and_loss()
    plain[1].backward()
    drawn = net_and_loss()
    draw(drawn[1])
    record_of(drawn[1])
    drawn[1].backward()
    for a, b in zip(plain[0].parameters(), drawn[0].parameters(), strict=True):
        assert np.array_equal(a.grad, b.grad)

"""loss.png: what its lines say, and its legend."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.train.plot import MOST_POINTS, loss_figure, plot_loss, smoothed


def falling(step):
    return 2 + 6 * (step + 2) ** -0.35


def write(folder, rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row_of(step, **more):
    return {"step": step, "loss": falling(step), "learning_rate": 1e-3, **more}


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_plot_is_a_picture(tmp_path):
    from matplotlib.image import imread

    rows = [row_of(step) for step in range(1, 30)]
    rows[-1] |= {"val_loss": 0.3, "val_bpb": 0.2}
    plot_loss(write(tmp_path, rows))
    picture = imread(tmp_path / "loss.png")
    assert picture.shape[0] > 400
    assert picture[..., :3].std() > 0.05


def test_a_folder_may_be_called_anything(tmp_path):
    (tmp_path / r"$\nothing^$").mkdir()
    plot_loss(write(tmp_path / r"$\nothing^$", [row_of(1)]))


def test_every_line_is_in_the_legend_and_the_last_evaluation_with_its_numbers(tmp_path):
    rows = [row_of(step) for step in range(1, 1201)]
    rows[599] |= {"val_loss": 2.5, "val_bpb": 0.75}
    rows[1199] |= {"val_loss": 3.125, "val_bpb": 0.9375}
    above, below = loss_figure(write(tmp_path, rows)).axes
    for axes in (above, below):
        assert labels(axes) == [line.get_label() for line in axes.lines]
        assert not any(label.startswith("_") for label in labels(axes))  # which matplotlib leaves out
    assert labels(above) == [
        "training",
        f"training, smoothed: {falling(1200):.3f}",
        "validation, step 1,200: 3.125 (0.938 bits per byte)",
        "lowest, step 600: 2.500 (0.750 bits per byte)",
    ]
    assert labels(below) == ["learning rate: 0.001"]


def test_the_lowest_evaluation_is_told_where_it_is_not_the_last(tmp_path):
    rows = [row_of(step, val_loss=3 - step / 10) for step in range(1, 9)]
    assert labels(loss_figure(write(tmp_path, rows)).axes[0])[2:] == ["validation, step 8: 2.200"]


@given(st.integers(1, 2000), st.integers(1, 50), st.floats(-1, 1), st.integers(0, 1000))
def test_the_smoothed_line_of_a_straight_one_is_that_line(count, every, slope, start):
    """No lag in the middle, and no pull at the ends."""
    steps = start + every * np.arange(1, count + 1, dtype=np.float64)
    at, smooth = smoothed(steps, 3 + slope * steps)
    np.testing.assert_allclose(smooth, 3 + slope * at, rtol=1e-6, atol=1e-6)
    assert at[0] == pytest.approx(steps[0], abs=every)
    assert len(at) <= min(count, MOST_POINTS + 1)


@pytest.mark.parametrize(("count", "every"), [(200, 1), (2_000, 1), (20_000, 10)])
def test_a_falling_loss_is_followed_from_its_first_step_to_its_last(count, every):
    """A mean of the past alone, with 0.9 of it kept, is 0.2 too high over the first fifty steps of the toy."""
    steps = every * np.arange(1, count + 1, dtype=np.float64)
    at, smooth = smoothed(steps, falling(steps))
    assert np.abs(smooth - falling(at)).max() < 0.12
    assert np.abs(smooth - falling(at))[len(at) // 2 :].max() < 0.002
    noise = np.random.default_rng(0).standard_normal(count) * 0.15
    at, smooth = smoothed(steps, falling(steps) + noise)
    assert np.abs(smooth - falling(at)).std() < 0.15 / 2  # and it does smooth


def test_rows_that_are_missing_leave_a_gap_and_not_a_line(tmp_path):
    rows = [row_of(step) for step in range(1, 1001) if not 300 <= step < 420 and step != 700]
    above, below = loss_figure(write(tmp_path, rows)).axes
    for line in [*above.lines, *below.lines]:
        x = line.get_xdata()
        assert np.isnan(line.get_ydata()).sum() == np.isnan(x).sum() == 1  # 700 alone is none
        hole = int(np.flatnonzero(np.isnan(x))[0])
        assert (x[hole - 1], x[hole + 1]) == pytest.approx((299, 420), abs=3)


def test_a_resumed_run_with_another_distance_of_rows_is_no_gap(tmp_path):
    rows = [row_of(step) for step in [*range(10, 5001, 10), *range(5001, 9000)]]
    for line in loss_figure(write(tmp_path, rows)).axes[0].lines:
        assert not np.isnan(line.get_ydata()).any()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_rows_are_drawn_too(tmp_path, count):
    above = loss_figure(write(tmp_path, [row_of(step, val_loss=2.0) for step in range(1, count + 1)])).axes[0]
    plot_loss(tmp_path)
    assert len(above.lines) == (3 if count else 0)
    if count == 1:
        assert above.lines[0].get_marker() == "o"  # a line of one point has no length


def test_only_who_draws_imports_matplotlib():
    code = "import sys, scratchgrad.train.commands.train; print('matplotlib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "False\n", ran.stderr

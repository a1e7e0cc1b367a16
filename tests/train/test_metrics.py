"""metrics.jsonl: full precision, whole lines, cut back on resume."""

import json
import subprocess
import sys

import numpy as np
import pytest

from scratchgrad.train import metrics
from scratchgrad.train.plot import plot_loss


def test_numbers_come_back_to_the_last_bit(tmp_path):
    path = tmp_path / "metrics.jsonl"
    losses = np.random.default_rng(0).standard_normal(100)
    with metrics.MetricsWriter(path) as writer:
        for step, loss in enumerate(losses, start=1):
            writer.write({"step": step, "loss": float(loss)})
    assert [row["loss"] for row in metrics.read(path)] == losses.tolist()


def test_the_half_line_of_a_killed_run_is_not_a_row_and_goes_when_it_is_truncate(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 0.1 * step} for step in range(1, 8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 8, "lo')
    assert metrics.read(path) == rows
    metrics.truncate(path, 5)
    assert path.read_text() == "".join(json.dumps(row) + "\n" for row in rows[:5])
    with metrics.MetricsWriter(path) as writer:
        writer.write({"step": 6})
    assert [row["step"] for row in metrics.read(path)] == [1, 2, 3, 4, 5, 6]


def test_a_whole_row_without_its_line_end_is_not_counted_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    assert metrics.read(path) == [{"step": 1}]


@pytest.mark.parametrize("line", [
    b'{"step": 3, "lo', b"\xff\xfe", b"", b"[]", b"null", b'{"loss": 1.0}', b'{"step": "3"}', b'{"step": true}',
    b'{"step": NaN}', b'{"step": 3, "loss": NaN}', b'{"step": 3, "loss": 1e999}', b'{"step": 3, "loss": "x"}',
    b'{"step": 3, "val_loss": null}', b'{"step": 3, "learning_rate": []}', b'{"step": 1, "loss": 2.0}', b"[" * 100_000,
])  # fmt: skip
def test_damage_in_the_middle_is_counted_kept_aside_and_no_danger_to_the_plot(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": step, "loss": 2.0, "learning_rate": 1e-3}).encode() for step in (1, 2, 4, 5)]
    rows.insert(2, line)
    before = b"\n".join(rows) + b'\n{"step": 6, "lo'
    path.write_bytes(before)
    plot_loss(tmp_path)
    (told,) = metrics.truncate(path, 5)
    assert (
        told
        == f"1 damaged line(s) of '{path}' are left out, so it and loss.png have gaps; the file as it was is metrics.jsonl.damaged"
    )
    assert [row["step"] for row in metrics.read(path)] == [1, 2, 4, 5]
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == before
    assert metrics.truncate(path, 5) == []


def test_what_is_no_number_is_never_written(tmp_path):
    with metrics.MetricsWriter(tmp_path / "m") as writer, pytest.raises(ValueError, match="JSON"):
        writer.write({"step": 1, "loss": float("nan")})


def test_without_a_path_nothing_is_written(tmp_path):
    with metrics.MetricsWriter(None) as writer:
        writer.write({"step": 1})


def test_the_sum_of_the_rows_tells_whether_they_were_altered(tmp_path):
    path, rows = tmp_path / "metrics.jsonl", [{"step": step, "loss": 0.1 * step} for step in range(1, 8)]
    with metrics.MetricsWriter(path) as writer:
        for row in rows[:5]:
            writer.write(row)
        digest = writer.digest
        writer.write(rows[5])
    assert metrics.truncate(path, 5, digest) == []
    with metrics.MetricsWriter(path) as writer:
        assert writer.digest == digest
    path.write_text(path.read_text().replace('"loss": 0.2', '"loss": 0.3'))
    assert metrics.truncate(path, 5, digest) == [
        f"'{path}' was altered: its rows up to step 5 are not what the run wrote; the file as it was is "
        "metrics.jsonl.damaged"
    ]


@pytest.mark.parametrize("change", [
    lambda path: path.unlink(), lambda path: path.write_text("x"),
    lambda path: (path.unlink(), path.write_text("another\n")),
])  # fmt: skip
def test_a_file_that_is_exchanged_while_rows_are_written_gets_the_rows_that_follow(tmp_path, change):
    path = tmp_path / "metrics.jsonl"
    with metrics.MetricsWriter(path) as writer:
        writer.write({"step": 1})
        change(path)
        for step in (2, 3):
            writer.write({"step": step})
        assert writer.fault is None
    assert [row["step"] for row in metrics.read(path)][-1] == 3


def test_what_takes_the_place_of_the_file_is_kept_aside(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    (path / "mine").write_text("x")
    assert metrics.truncate(path, 5) == [
        f"'{path}' cannot be read: Is a directory; the file as it was is metrics.jsonl.damaged"
    ]
    assert path.read_bytes() == b""
    assert (tmp_path / "metrics.jsonl.damaged" / "mine").read_text() == "x"


def test_a_row_that_finds_no_room_leaves_no_half_line(tmp_path):
    code = """
import resource, sys
from pathlib import Path
from scratchgrad.train.metrics import MetricsWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
with MetricsWriter(Path(sys.argv[1])) as writer:
    for step in range(20):
        writer.write({"step": step})
    print(writer.fault.strerror, writer.digest)
"""
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "m"], capture_output=True, text=True)
    assert ran.stdout in ("File too large None\n", "No space left on device None\n"), ran.stderr
    text = (tmp_path / "m").read_text()
    assert text.endswith("}\n")
    assert text.count("\n") == len(metrics.read(tmp_path / "m")) > 5

"""Arrays in safetensors files: what is written is read, here and by the package of that name; what was tampered with is not."""

import json
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad.errors import UserError
from scratchgrad.files import map_tensors, write_tensors
from scratchgrad.files.tensors import DTYPES

BF16 = np.dtype(ml_dtypes.bfloat16)
rng = np.random.default_rng(0)


def same(got, want):
    assert got.keys() == want.keys()
    for name, array in want.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape), name
        assert got[name].tobytes() == array.tobytes(), name


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 5), max_size=4)),
        max_size=6,
    ),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read(tmp_path_factory, described, seed):
    described = {name: what for name, what in described.items() if name.isprintable() and name != "__metadata__"}
    draw = np.random.default_rng(seed)
    arrays = {
        name: draw.integers(0, 2, [*shape, DTYPES[dtype].itemsize], dtype=np.uint8).view(DTYPES[dtype]).reshape(shape)
        for name, (dtype, shape) in described.items()
    }
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    write_tensors(path, arrays, {"format": "pt"})
    same(map_tensors(path), arrays)


def test_the_package_of_that_name_reads_ours_and_we_read_its(tmp_path):
    peer = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    arrays = {
        "a": rng.standard_normal((3, 4), np.float32), "b": rng.standard_normal(5).astype(np.float16), "c": np.array(7),
        "turned": rng.standard_normal((300, 200), np.float32).T, "none": np.zeros((0, 3), np.float32),
    }  # fmt: skip
    write_tensors(tmp_path / "ours", arrays, {"format": "pt"})
    same(peer.load_file(tmp_path / "ours"), arrays)
    peer.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "theirs")
    same(
        map_tensors(tmp_path / "theirs"),
        {**arrays, "c": arrays["c"].reshape(map_tensors(tmp_path / "theirs")["c"].shape)},
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_arrays_are_cast_on_their_way_whatever_their_layout(tmp_path, dtype):
    array = rng.standard_normal((2000, 1500), np.float32)
    arrays = {"plain": array, "turned": array.T, "every other": array[::2, ::3]}
    write_tensors(tmp_path / "a", arrays, dtype=np.dtype(dtype))
    same(map_tensors(tmp_path / "a"), {name: a.astype(dtype) for name, a in arrays.items()})


def test_a_number_that_float16_cannot_hold_is_refused_and_one_that_was_infinite_before_is_not(tmp_path):
    arrays = {"fine": np.ones(3, np.float32), "large": np.array([1, -70000], np.float32)}
    with pytest.raises(
        UserError, match=r"'large' holds 7e\+04, and the largest float16 is 6.55e\+04; bfloat16 reaches"
    ):
        write_tensors(tmp_path / "a", arrays, dtype=np.dtype(np.float16))
    write_tensors(tmp_path / "a", arrays, dtype=BF16)
    write_tensors(tmp_path / "a", {"was": np.array([np.inf, 1], np.float32)}, dtype=np.dtype(np.float16))


def test_a_real_file_of_others(data_folder):
    stored = map_tensors(data_folder / "02_models" / "safetensors_misc" / "model-saving-test.safetensors")
    assert len(stored) == 4
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in stored.values())


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def header(**entries):
    return json.dumps(entries).encode()


TWICE = b'{"x":%b,"\\u0078":%b}' % ((json.dumps(entry([3, 4], 0, 48)).encode(),) * 2)


@pytest.mark.parametrize(("text", "length", "words"), [
    (header(x=entry([3, 4], 0, 48)), 1 << 63, "its header would have 9,223,372,036,854,775,808 bytes"),
    (header(x=entry([3, 4], 0, 48)), 500, "its header would have 500 bytes, and the file has"),
    (b"", None, "is not JSON"),
    (b"[1]", None, "its header is not a JSON object"),
    (b"[" * 200_000, None, "its header is not JSON"),
    (b'{"x": 1' + b"0" * 5000 + b"}", None, "its header is not JSON"),
    (b'{"\xff": 1}', None, "its header is not JSON"),
    (TWICE, None, "the name 'x' comes twice"),
    (header(x=entry([3, 4], 0, 48), y=entry([3, 4], 0, 48)), None, "'y' begins at byte 0, and the one before it ends at 48"),
    (header(x=entry([2, 4], 0, 32), y=entry([2, 4], 16, 48)), None, "'y' begins at byte 16, and the one before it ends at 32"),
    (header(x=entry([1, 4], 0, 16), y=entry([1, 4], 32, 48)), None, "'y' begins at byte 32, and the one before it ends at 16"),
    (header(x=entry([2, 4], 16, 48)), None, "'x' begins at byte 16"),
    (header(x=entry([4, 4], 0, 64)), None, "its header describes 64 bytes of arrays, and 48 are there"),
    (header(x=entry([2, 4], 0, 32)), None, "its header describes 32 bytes of arrays, and 48 are there"),
    (header(x=entry([3, 4], 48, 0)), None, "does not fill bytes 48 to 0"),
    (header(x=entry([2, 4], 0, 48)), None, r"'x' of shape \(2, 4\) in F32 does not fill bytes 0 to 48"),
    (header(x=entry([1 << 62, 4], 0, 0)), None, "more than any file holds"),
    (header(x=entry([1 << 64, 4], 0, 48)), None, "has the shape"),
    (header(x=entry([0, 1 << 62, 1 << 62], 0, 0)), None, "more than any file holds"),
    (header(x=entry([-3, -4], 0, 48)), None, "has the shape"),
    (header(x=entry([3.0, 4], 0, 48)), None, "has the shape"),
    (header(x=entry([True, 12], 0, 48)), None, "has the shape"),
    (header(x=entry([1] * 65, 0, 48)), None, "has the shape"),
    (header(x=entry("34", 0, 48)), None, "has the shape"),
    (header(x=entry([3, 4], 0, 48, "F4")), None, "'x' has the unknown dtype 'F4'"),
    (header(x=entry([3, 4], 0, 48, ["F32"])), None, "has the unknown dtype"),
    (header(x=[3, 4]), None, "its header describes 'x' by"),
    (header(x=None), None, "its header describes 'x' by None"),
    (header(x={**entry([3, 4], 0, 48), "data_offsets": [0]}), None, "its header describes 'x' by"),
])  # fmt: skip
def test_a_header_that_was_tampered_with_is_refused(tmp_path, text, length, words):
    path = tmp_path / "a.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(48))
    with pytest.raises(UserError, match=f"(?s)is not a whole safetensors file: .*{words}"):
        map_tensors(path)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is not a whole"), (b"abc", "is not a whole"), (None, "No such file")]
)
def test_a_file_that_is_none(tmp_path, content, words):
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        map_tensors(path)


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    """A sparse file of 40 GB, most of which its header claims to be."""
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write((39 << 30).to_bytes(8, "little"))
        file.truncate(40 << 30)
    with pytest.raises(UserError, match=r"its header has 41,875,931,136 bytes, more than 16,777,216"):
        map_tensors(path)


WRITER = """
import resource, sys
import numpy as np
from pathlib import Path
from scratchgrad.files import map_tensors, write_tensors
array = np.ones((6000, 5000), np.float32)  # 120 MB
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (40 << 20),) * 2)
write_tensors(Path(sys.argv[1]), {"turned": array.T})
total = np.float64(0)
for row in map_tensors(Path(sys.argv[1]))["turned"]:
    total += row.sum()
assert total == array.size
"""


def test_a_large_array_is_written_and_read_in_little_memory(tmp_path):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc to measure memory by")
    done = subprocess.run([sys.executable, "-c", WRITER, tmp_path / "a"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

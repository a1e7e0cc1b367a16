"""The bench of curation: what it counts is what the steps keep, and speeds are of the bytes that it says."""

import pytest

pytest.importorskip("zstandard", reason="the extra curate is not installed")

from scratchgrad.errors import UserError
from scratchgrad.tools.bench.curation import bench_curation

SENTENCES = "The river runs to the sea with all that it has carried. It was not there when we came by, and they said that of it. "


def test_every_task_is_timed_and_counted(tmp_path):
    (tmp_path / "a.txt").write_text((SENTENCES * 3 + "\n") * 30)
    said = []
    rows = bench_curation([str(tmp_path / "a.txt")], 20_000, [], rounds=1, say=said.append)
    assert [row.task for row in rows] == ["filters", "MinHash signatures"]
    for row in rows:
        assert 20_000 <= row.bytes < 24_000
        assert row.documents == 8  # pages of 3,000, 3,000, 3,000 and 1,830 characters, twice
        assert row.megabytes_per_s["scratchgrad"] > 0
    assert rows[0].counts == {"scratchgrad": 0}  # it repeats itself, which no preset keeps
    assert rows[1].counts == {"scratchgrad": rows[1].documents}
    assert len(said) == 2


def test_a_peer_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="the peer 'nobody' is not installed here; known ones: datatrove"):
        bench_curation([], 1000, ["nobody"], rounds=1, say=print)

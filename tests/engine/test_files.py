"""Files on bad days: a writer that raises, is killed or finds no room leaves what was there, whole."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from scratchgrad.files import (
    DamagedFiles,
    KnownSums,
    atomic_directory,
    atomic_file,
    sha256_of,
    sums,
    verify_manifest,
    write_manifest,
)


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"%d" % (1 // 0))
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_not_there_until_it_is_whole(tmp_path):
    path = tmp_path / "folder"
    with atomic_directory(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"x")
        assert not path.exists()
    assert (path / "inner" / "file").read_bytes() == b"x"
    with pytest.raises(FileExistsError), atomic_directory(path):
        pass
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "other"):
        raise RuntimeError
    assert os.listdir(tmp_path) == ["folder"]


KILLED_WRITER = """
import sys, time
from pathlib import Path
from scratchgrad.files import atomic_directory, atomic_file
root = Path(sys.argv[1])
with atomic_file(root / "file") as file, atomic_directory(root / "folder") as folder:
    file.write(b"half"); file.flush()
    (folder / "inside").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_leaves_is_not_taken_for_whole_and_the_next_one_removes_it(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        with atomic_file(tmp_path / "file") as file:  # a writer that lives is let be
            file.write(b"between")
        assert len(os.listdir(tmp_path)) == 3
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "file").read_bytes() == b"between"
    assert not (tmp_path / "folder").exists()
    with atomic_file(tmp_path / "file") as file:
        file.write(b"new")
    with atomic_directory(tmp_path / "folder"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from scratchgrad.files import atomic_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_file(Path(sys.argv[1])) as file:
        file.write(bytes(2000))
except OSError as error:
    print(error.strerror)
"""


def test_where_there_is_no_room_the_old_file_stays(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True)
    assert done.stdout == "File too large\n", done.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def described(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").write_bytes(b"12345")
    (folder / "inner" / "b").write_bytes(b"")
    write_manifest(folder, step=7)
    return folder


def test_a_manifest_gives_its_facts_back_where_all_files_are_as_they_were(tmp_path):
    folder = described(tmp_path)
    assert verify_manifest(folder) == {"step": 7}
    assert verify_manifest(folder, sha256=KnownSums(tmp_path / "sums.json").sha256) == {"step": 7}
    (folder / "a").write_bytes(b"12346")
    assert verify_manifest(folder, sizes_only=True) == {"step": 7}


@pytest.mark.parametrize(("damage", "words"), [
    (lambda folder: (folder / "a").write_bytes(b"12346"), "'a' was altered"),
    (lambda folder: (folder / "a").write_bytes(b"1234"), "'a' has 4 bytes where 5 were written"),
    (lambda folder: (folder / "inner" / "b").unlink(), "'inner/b' is missing"),
    (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json: it is not complete"),
    (lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")), "manifest.json' cannot be read: Not a directory"),
    (lambda folder: (folder / "manifest.json").write_text("{"), "is not a manifest"),
    (lambda folder: (folder / "manifest.json").write_text('{"files": {"a": 1}}'), "is not a manifest"),
    (lambda folder: (folder / "manifest.json").write_text('{"files": {"../../x": {"bytes": 1, "sha256": ""}}}'), "lies outside"),
])  # fmt: skip
def test_a_manifest_names_every_damage(tmp_path, damage, words):
    folder = described(tmp_path)
    damage(folder)
    with pytest.raises(DamagedFiles, match=words):
        verify_manifest(folder)


def test_a_sum_is_known_until_the_file_is_touched_whatever_its_time_says(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(sums, "sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    path, kept = tmp_path / "a", tmp_path / "sums.json"
    for content, looks in ((b"12345", 1), (b"12346", 2)):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))
        for _ in range(2):
            known = KnownSums(kept)
            assert known.sha256(path) == hashlib.sha256(content).hexdigest()
            known.save()
            assert len(read) == looks


@pytest.mark.parametrize("damage", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"a": 1, "b": "x"}'])
def test_known_sums_that_are_damaged_are_not_known(tmp_path, damage):
    (tmp_path / "sums.json").write_bytes(damage)
    known = KnownSums(tmp_path / "sums.json")
    (tmp_path / "a").write_bytes(b"1")
    assert known.sha256(tmp_path / "a") == sha256_of(tmp_path / "a")
    known.save()
    assert KnownSums(tmp_path / "sums.json").sha256(tmp_path / "a") == sha256_of(tmp_path / "a")


def test_all_damages_are_told_at_once(tmp_path):
    folder = described(tmp_path)
    (folder / "a").unlink()
    (folder / "inner" / "b").write_bytes(b"x")
    with pytest.raises(DamagedFiles, match=r"'a' is missing; 'inner/b' has 1 bytes"):
        verify_manifest(folder)


def test_a_write_is_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    """The order that makes it so: the file, then the renaming, then the folder."""
    events = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: events.append(os.readlink(f"/proc/self/fd/{number}")) or real_fsync(number)
    )
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: events.append("renamed") or real_replace(self, to))
    with atomic_file(tmp_path / "file") as file:
        file.write(b"x")
    assert [event if event == "renamed" else os.path.basename(event)[:9] for event in events] == [
        ".tmp-file", "renamed", tmp_path.name[:9],
    ]  # fmt: skip

"""What globs and folders mean: code trees, links in circles, folders with the endings of files."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.tools.text import build_source, find_files, suffixes


def tree(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def names(folder, *globs, **options):
    found = find_files([f"{folder}/{glob}" if glob else str(folder) for glob in globs], suffixes(), **options)
    return [path.relative_to(folder).as_posix() for path in found]


@pytest.fixture
def code(tmp_path):
    tree(
        tmp_path,
        "a.py",
        "b.C",
        "deep/c.rs",
        "deep/er/d.txt.gz",
        "e.pyc",
        "logo.png",
        "LICENSE",
        ".git/f.py",
        "deep/.g.py",
    )
    return tmp_path


def test_code_is_picked_by_its_endings_and_the_rest_is_counted(code):
    for glob in ("", "**"):
        left_out = Counter()
        assert names(code, glob, left_out=left_out) == ["a.py", "b.C", "deep/c.rs", "deep/er/d.txt.gz"]
        assert left_out == {".pyc": 1, ".png": 1, "none": 1}
    assert build_source("files", files=[str(code)]).left_out() == left_out
    assert names(code, "**/*.py") == ["a.py"]
    assert names(code, "deep/**", "deep/**/*.txt.gz") == ["deep/c.rs", "deep/er/d.txt.gz"]
    assert names(code, "*e*/**/*.rs", "**/er/*") == ["deep/c.rs", "deep/er/d.txt.gz"]
    with pytest.raises(UserError, match=r"logo\.png': only .txt, .md, .py,"):
        names(code, "**/*.png")
    with pytest.raises(UserError, match="no file matches"):
        names(code, "**/*.f77")


def test_an_empty_file_of_a_folder_is_left_out_and_one_that_is_named_is_not(tmp_path):
    tree(tmp_path, "a.py", "deep/b.py")
    (tmp_path / "deep" / "__init__.py").touch()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "c.py").touch()
    left_out = Counter()
    for glob in ("", "**"):
        assert names(tmp_path, glob, left_out=left_out) == ["a.py", "deep/b.py"]
    assert left_out == {".py": 4}
    assert names(tmp_path, "deep/*.py") == ["deep/__init__.py", "deep/b.py"]
    with pytest.raises(UserError, match="or all are empty"):
        names(tmp_path, "none")
    assert len(list(build_source("files", files=[str(tmp_path)]).examples())) == 2


def test_what_is_no_file_is_not_read(tmp_path):
    tree(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")  # to open it would be to wait for ever
    (tmp_path / "lost.txt").symlink_to(tmp_path / "gone.txt")
    for glob in ("", "**", "*.txt", "**/*.txt"):
        assert names(tmp_path, glob) == ["a.txt"]


def test_links_are_followed_once(code):
    (code / "deep" / "up").symlink_to(code)
    (code / "self").symlink_to(code / "self")
    (code / "circle").symlink_to(code / "deep")
    for glob in ("", "**", "**/*.rs"):
        found = names(code, glob)
        assert len({os.path.realpath(code / name) for name in found}) == len(found)
        assert "deep/c.rs" in found
    outside = code.parent / "outside"
    tree(outside, "x.txt")
    (code / "linked").symlink_to(outside)
    assert "linked/x.txt" in names(code, "**")
    assert "linked/x.txt" in names(code, "")


def test_a_folder_may_have_the_ending_of_a_file(tmp_path):
    tree(tmp_path, "x.jsonl/part-0.jsonl", "x.jsonl/_SUCCESS", "y.jsonl", "other/z.jsonl")
    assert names(tmp_path, "*.jsonl") == ["x.jsonl/part-0.jsonl", "y.jsonl"]
    assert names(tmp_path, "x.jsonl") == ["x.jsonl/part-0.jsonl"]
    with pytest.raises(UserError, match="no file matches"):
        find_files([f"{tmp_path}/oth*"], suffixes())


def test_names_with_brackets_and_relative_ones(tmp_path, monkeypatch):
    tree(tmp_path, "e[1].txt", "a b/c.txt")
    monkeypatch.chdir(tmp_path)
    assert [path.as_posix() for path in find_files(["**/*.txt"], suffixes())] == ["a b/c.txt", "e[1].txt"]
    assert [path.as_posix() for path in find_files(["**"], suffixes())] == ["a b/c.txt", "e[1].txt"]
    assert [path.as_posix() for path in find_files(["e[1].txt", "./a b"], suffixes())] == ["a b/c.txt", "e[1].txt"]


parts = st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "*.txt"]), min_size=1, max_size=4)


@given(parts)
def test_a_glob_means_what_it_means_to_python(tmp_path_factory, parts):
    import glob

    folder = tmp_path_factory.mktemp("tree")
    tree(folder, "a/b/c.txt", "a/a/a.txt", "b/x.txt", "a.txt", "ab/b.txt", "b/a/b/y.txt")
    pattern = f"{folder}/{'/'.join(parts)}"
    wanted = {os.path.normpath(name) for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)}
    if os.path.isdir(pattern):
        return  # a folder by its name
    if not wanted:
        with pytest.raises(UserError, match=r"no file|does not exist"):
            find_files([pattern], suffixes())
    else:
        assert {str(path) for path in find_files([pattern], suffixes())} == wanted

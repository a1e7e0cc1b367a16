"""What is written to a token store is what is read from it, and a store that was damaged says so in a sentence."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgrad import UserError
from scratchgrad.files import sha256_of
from scratchgrad.tools.data import TokenizedExample, TokenStore, token_store, write_token_store
from tests.pages import blocks, printed, with_output


@st.composite
def examples(draw, vocab_size: int = 70_000) -> list[TokenizedExample]:
    """Any examples that a store can hold, all with the same columns, of tokens and of examples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    per_token, per_example = (draw(st.sets(st.sampled_from(["a", "b", "c"]))) for _ in range(2))
    made = []
    for length, share in draw(st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.0, 0.5, 1.0])), max_size=12)):
        columns = {f"token_{name}": rng.integers(0, 9, length).astype(np.uint8) for name in per_token}
        columns |= {f"label_{name}": np.asarray(rng.standard_normal()) for name in per_example}
        ids = rng.integers(0, vocab_size, length)
        made.append(TokenizedExample(ids, rng.random(length) < share, columns))
    return made


def written(folder: Path, made: list[TokenizedExample], vocab_size: int = 70_000) -> TokenStore:
    with write_token_store(folder, vocab_size) as writer:
        for example in made:
            writer.append(example)
    return TokenStore(folder)


def same(one: TokenizedExample, two: TokenizedExample) -> bool:
    return (
        np.array_equal(one.ids, two.ids)
        and np.array_equal(one.is_target, two.is_target)
        and one.columns.keys() == two.columns.keys()
        and all(np.array_equal(one.columns[n], two.columns[n]) for n in one.columns)
        and all(one.columns[n].dtype == two.columns[n].dtype for n in one.columns)
    )


@given(examples())
def test_examples_come_back_as_they_were(tmp_path_factory, made):
    store = written(tmp_path_factory.mktemp("store") / "train", made)
    assert len(store) == len(made)
    assert all(same(one, two) for one, two in zip(store, made, strict=True))
    assert np.array_equal(store.tokens, np.concatenate([[], *(example.ids for example in made)]))
    assert np.array_equal(store.is_target, np.concatenate([np.empty(0, bool), *(e.is_target for e in made)]))
    assert np.array_equal(np.diff(store.offsets), [len(example) for example in made])
    assert store[0].ids.dtype == np.int64 if made else len(store.tokens) == 0
    store.verify()


@given(examples(), st.integers(1, 7))
def test_the_size_of_blocks_changes_nothing(tmp_path_factory, made, size):
    folder = tmp_path_factory.mktemp("store")
    whole = written(folder / "a", made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_store, "BLOCK", size)
        written(folder / "b", made).verify()
    for path in whole.folder.iterdir():
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes()


def test_ids_take_two_bytes_where_that_is_enough_and_a_mask_none_where_all_are_targets(tmp_path):
    for size, width in ((65_536, 2), (65_537, 4)):
        store = written(tmp_path / str(size), [TokenizedExample.of(([size - 1, 0], True))], size)
        assert (store.tokens.itemsize, store[0].ids.tolist()) == (width, [size - 1, 0])
        assert not (store.folder / "is_target.bin").exists()
        assert store.is_target.tolist() == [True, True]


def test_the_end_of_an_example_is_not_found_by_its_tokens(tmp_path):
    store = written(tmp_path / "s", [TokenizedExample.of(([0, 0], True)), TokenizedExample.of(([0, 5, 0, 0], True))], 9)
    assert [example.ids.tolist() for example in store] == [[0, 0], [0, 5, 0, 0]]


def test_parts_are_ids_and_mask_together():
    example = TokenizedExample.of(([5, 6], False), (np.array([7], np.uint16), True), ([], True), label=3)
    assert (example.ids.tolist(), example.is_target.tolist()) == ([5, 6, 7], [False, False, True])
    assert example.columns["label"].shape == ()
    assert len(example) == 3


@pytest.mark.parametrize(("example", "words"), [
    (TokenizedExample.of(([], True)), "needs one or more integer ids"),
    (TokenizedExample(np.array([1.0]), np.array([True])), "needs one or more integer ids"),
    (TokenizedExample.of(([3, 10], True)), "has ids from 3 to 10 for a vocabulary of 10"),
    (TokenizedExample.of(([-1], True)), "has ids from -1 to -1 for a vocabulary of 10"),
    (TokenizedExample(np.array([1, 2]), np.array([True])), r"has 2 ids, and is_target \(1,\)"),
    (TokenizedExample.of(([1], True), label=1.5), "columns"), (TokenizedExample.of(([1], True)), "columns"),
    (TokenizedExample.of(([1], True), label=1, other=1), "columns"),
    (TokenizedExample.of(([1, 2], True), label=[1, 2, 3]), r"column 'label' is int64 \(3,\)"),
    (TokenizedExample.of(([1, 2], True), label="x"), "column 'label' is <U1"),
    (TokenizedExample.of(([1, 2], True), offsets=1), "a column cannot be called 'offsets'"),
    (TokenizedExample.of(([1, 2], True), **{"../x": 1}), "a column cannot be called '../x'"),
])  # fmt: skip
def test_examples_that_a_store_cannot_hold_are_refused_and_nothing_is_left(tmp_path, example, words):
    with pytest.raises(ValueError, match=words):
        written(tmp_path / "s", [TokenizedExample.of(([1], True), label=1), example], 10)
    assert list(tmp_path.iterdir()) == []


def test_reading_past_the_end_is_an_error(tmp_path):
    store = written(tmp_path / "s", [TokenizedExample.of(([1, 2, 3], True))] * 2)
    assert store.read(2, 5).tolist() == [3, 1, 2]
    for start, end in ((-1, 2), (0, 7), (4, 3)):
        with pytest.raises(IndexError, match="has 6 tokens, and not all from"):
            store.read(start, end)
    for number in (-1, 2):
        with pytest.raises(IndexError, match="has 2 examples, and none of number"):
            store[number]


def change_manifest(**facts):
    def change(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **facts}))

    return change


def change(name: str, values: list[int], dtype: str):
    """The file and its sum: what a program of another version, or a bug, might write."""

    def change(folder: Path) -> None:
        path = folder / f"{name}.bin"
        path.write_bytes(np.array(values, dtype).tobytes())
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"][path.name]["sha256"] = sha256_of(path)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


def flip(name: str):
    """One bit of a file, whose size and time of change stay."""

    def change(folder: Path) -> None:
        path = folder / f"{name}.bin"
        before, content = path.stat(), bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


DAMAGES = [
    (lambda folder: (folder / "tokens.bin").write_bytes(b""), "'tokens.bin' has 0 bytes where 12 were written"),
    (lambda folder: (folder / "offsets.bin").unlink(), "'offsets.bin' is missing"),
    (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json: it is not complete"),
    (lambda folder: (folder / "manifest.json").write_text("{}"), "is not a manifest"),
    (change("offsets", [0, 4, 2, 6], "<i8"), "example 2 begins before example 1 ends"),
    (change("offsets", [0, 2, 2, 6], "<i8"), "example 2 begins before example 1 ends"),
    (change("offsets", [1, 2, 4, 6], "<i8"), "examples reach from token 1 to 6, and there are 6"),
    (change("offsets", [0, 2, 4, 7], "<i8"), "examples reach from token 0 to 7, and there are 6"),
    (change("tokens", [1, 2, 3, 99, 5, 6], "<u2"), "token 3 is 99, and the vocabulary has 10 tokens"),
    *((flip(name), f"'{name}.bin' was altered") for name in ("tokens", "offsets", "is_target", "label")),
    (change_manifest(tokens=7), "'tokens.bin' has 12 bytes in place of 14"),
    (change_manifest(examples=2), "'offsets.bin' has 32 bytes in place of 24"),
    (change_manifest(vocab_size=70_000), "'tokens.bin' has 12 bytes in place of 24"),
    (change_manifest(all_targets=True, columns={"other": {"of": "token", "dtype": "<i8"}}), "'other.bin' has 0 bytes"),
    (change_manifest(columns={"label": {"of": "token", "dtype": "|O"}}), "does not describe a token store"),
    (change_manifest(columns={"label": {"of": "token", "dtype": "a"}}), "does not describe a token store"),
    (change_manifest(columns={"label": {"of": "token", "dtype": "<i3"}}), "does not describe a token store"),
    (change_manifest(columns={"../label": {"of": "token", "dtype": "<i8"}}), "does not describe a token store"),
    (change_manifest(columns={"label": {"of": "batch", "dtype": "<i8"}}), "does not describe a token store"),
    (change_manifest(columns=[1]), "does not describe a token store"),
    (change_manifest(tokens="many"), "does not describe a token store"),
    (change_manifest(format=2), "is no token store, or one of another version"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[words for _, words in DAMAGES])
def test_a_damaged_store_is_told_in_a_sentence(tmp_path, damage, words):
    made = [TokenizedExample.of(([1], False), ([2], True), label=i) for i in range(3)]
    folder = written(tmp_path / "s", made, 10).folder
    damage(folder)
    with pytest.raises(UserError, match=re.escape(words)) as told:
        list(TokenStore(folder))
    assert len(str(told.value).replace(str(tmp_path), "")) < 300


def test_a_store_that_is_damaged_while_it_is_open_is_seen_when_it_is_verified(tmp_path):
    store = written(tmp_path / "s", [TokenizedExample.of(([1, 2], True))], 10)
    store.verify()
    (tmp_path / "s" / "tokens.bin").write_bytes(np.array([1, 3], "<u2").tobytes())
    with pytest.raises(UserError, match=r"'tokens\.bin' was altered"):
        store.verify()


def test_the_example_of_the_documentation(tmp_path):
    codes = with_output(blocks("docs/data.md"))
    ((code, shown),) = [(block.text, shown) for block, shown in codes if "write_token_store" in block.text]
    assert printed(code, tmp_path / "page.py", {"folder": tmp_path / "s"}) == shown

"""Which format a file is in: by its name, and where names do not tell, by its first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer import (
    gpt2_files,
    hugging_face,
    hugging_face_writer,
    llama2c_file,
    sentencepiece_file,
    tiktoken_file,
    wordpiece_file,
)
from scratchgrad.tools.tokenizer.base import Tokenizer
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.files import read_file

KINDS = "tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, .tiktoken, .model, .bin, vocab.txt"


def load(path: Path, *, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None) -> Tokenizer:
    """The tokenizer in a file, or in the folder of one; UserError names what is wrong, unknown or not supported.

    pattern and special_tokens: for formats that do not say them (.tiktoken, and GPT-2's two files).
    """
    path = Path(path)
    if path.is_dir():
        path = file_in(path)
    suffix, told = path.suffix, pattern is not None or special_tokens is not None
    pair = next((names for names in gpt2_files.NAMES if path.name in names), None)
    if pair is not None and (path.name != "vocab.json" or path.exists()):
        vocab, merges = (path.with_name(name) for name in pair)
        return gpt2_files.load(vocab, merges, special_tokens=special_tokens, pattern=pattern or "gpt2")
    if suffix == ".tiktoken" or (suffix == ".model" and path.exists() and tiktoken_file.is_tiktoken(read_file(path))):
        if suffix == ".model" and not told:
            return tiktoken_file.load_llama3(path)
        return tiktoken_file.load(path, pattern=pattern, special_tokens=special_tokens)
    if told:
        raise UserError(f"'{path}' says itself which pattern and special tokens it has")
    if suffix == ".json":
        return hugging_face.load(path)
    if suffix == ".model":
        return sentencepiece_file.load(path)
    if suffix == ".bin":
        return llama2c_file.load(path)
    if suffix == ".txt":
        return wordpiece_file.load(path)
    read_file(path)
    raise UserError(f"'{path}' is in none of the formats that are read: {KINDS}")


def save(tokenizer: Tokenizer, path: Path) -> None:
    """Write `tokenizer` in the format that the name of `path` says; a folder gets a tokenizer.json, and the
    tokenizer_config.json that transformers looks for beside it.

    merges.txt is written with the vocab.json beside it. UserError for what the format cannot hold.
    """
    path = Path(path)
    if path.is_dir():
        hugging_face_writer.save(tokenizer, path / hugging_face.NAME)
        hugging_face_writer.save_config(tokenizer, path)
    elif path.suffix == ".bin":
        llama2c_file.save(tokenizer, path)
    elif path.suffix == ".tiktoken" and isinstance(tokenizer, ByteLevelBPE):
        tiktoken_file.save(tokenizer, path)
    elif path.name in gpt2_files.NAMES[0] and isinstance(tokenizer, ByteLevelBPE):
        gpt2_files.save(tokenizer, path.parent)
    elif path.suffix == ".json" and path.name not in gpt2_files.NAMES[0]:
        hugging_face_writer.save(tokenizer, path)
    else:
        raise UserError(f"'{path}': a {type(tokenizer).__name__} tokenizer cannot be written in a file of this name")


def file_in(folder: Path) -> Path:
    """As `find_file`; UserError where there is none."""
    found = find_file(folder)
    if found is None:
        raise UserError(f"there is no tokenizer in '{folder}': {KINDS}")
    return found


def find_file(folder: Path) -> Path | None:
    """The tokenizer's file in a folder, by its name; None where there is none."""
    names = [
        hugging_face.NAME,
        *(merges for _, merges in gpt2_files.NAMES),
        "tokenizer.model",
        "tokenizer.bin",
        wordpiece_file.NAME,
    ]
    return next((folder / name for name in names if (folder / name).exists()), None)

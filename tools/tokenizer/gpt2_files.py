"""vocab.json and merges.txt (or encoder.json and vocab.bpe, as OpenAI named them): GPT-2's two files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.files import atomic_file
from scratchgrad.tools.tokenizer.byte_alphabet import read_token, written
from scratchgrad.tools.tokenizer.byte_level import ByteLevelBPE
from scratchgrad.tools.tokenizer.files import complaints_name, read_json_object, read_text_file
from scratchgrad.tools.tokenizer.vocabulary import added_from, by_id, bytes_of, merges_of_pairs

NAMES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
KNOWN_SPECIAL = ("<|endoftext|>",)  # the files do not say which tokens are special


def load(
    vocab_path: Path, merges_path: Path, *, special_tokens: Mapping[str, int] | None = None, pattern: str = "gpt2"
) -> ByteLevelBPE:
    """special_tokens: by default GPT-2's <|endoftext|>, where the vocabulary has it."""
    vocab = read_json_object(vocab_path)
    if special_tokens is None:
        special_tokens = {name: vocab[name] for name in KNOWN_SPECIAL if name in vocab}
    added = added_from(special_tokens)
    with complaints_name(vocab_path):
        spelled = by_id(vocab, added)
        tokens = bytes_of(spelled, added, read_token)
    id_of = {text: i for text, i in vocab.items() if text not in special_tokens}
    with complaints_name(merges_path):
        merges = merges_of_pairs(_pairs(merges_path), id_of)
    with complaints_name(vocab_path):
        return ByteLevelBPE(tokens, merges, added, pattern)


def save(tokenizer: ByteLevelBPE, folder: Path) -> None:
    """Write vocab.json and merges.txt into `folder`.

    They have no place for a pattern: whoever reads them must know it. UserError where they could not hold the rest.
    """
    if tokenizer.form is not None or tokenizer.whole_first or any(not token.special for token in tokenizer.added):
        raise UserError("vocab.json and merges.txt cannot say that text is normalized or that pieces are taken whole")
    special = set(tokenizer.special_tokens.values())
    spelled = [
        token.decode() if i in special else written(token)
        for i, token in enumerate(tokenizer.tokens)
        if token is not None
    ]
    if len(spelled) != len(tokenizer.tokens):
        raise UserError("vocab.json cannot leave ids out")
    vocab = {text: i for i, text in enumerate(spelled)}
    with atomic_file(folder / NAMES[0][0]) as file:
        file.write(json.dumps(vocab, ensure_ascii=False, indent=0).encode())
    with atomic_file(folder / NAMES[0][1]) as file:
        file.write(b"#version: 0.2\n")
        file.write("".join(f"{spelled[left]} {spelled[right]}\n" for left, right, _ in tokenizer.merges).encode())


def _pairs(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(read_text_file(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if line and not (number == 1 and line.startswith("#version")):
            yield f"line {number}", line.split(" ")

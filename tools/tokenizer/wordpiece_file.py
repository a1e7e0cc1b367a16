"""BERT's vocab.txt: a token on each line, whose number from 0 is its id."""

from __future__ import annotations

from pathlib import Path

from scratchgrad.errors import UserError
from scratchgrad.tools.tokenizer.added_tokens import AddedToken
from scratchgrad.tools.tokenizer.files import complaints_name, read_text_file
from scratchgrad.tools.tokenizer.templates import Template
from scratchgrad.tools.tokenizer.wordpiece import WordPiece

NAME = "vocab.txt"
UNKNOWN, BEGIN, SEPARATOR = "[UNK]", "[CLS]", "[SEP]"
SPECIAL = ("[PAD]", UNKNOWN, BEGIN, SEPARATOR, "[MASK]")


def load(path: Path, *, lowercase: bool | None = None) -> WordPiece:
    """lowercase: does the model know no capitals and accents? By default, where no token has a capital."""
    with complaints_name(path):
        vocabulary = read_text_file(path).removesuffix("\n").split("\n")
        line_of: dict[str, int] = {}
        for number, token in enumerate(vocabulary, start=1):
            vocabulary[number - 1] = token = token.removesuffix("\r")
            if not token or token in line_of:
                what = f"has the token {token!r} of line {line_of[token]} again" if token else "is empty"
                raise UserError(f"line {number} {what}")
            line_of[token] = number
        for name in (UNKNOWN, BEGIN, SEPARATOR):
            if name not in line_of:
                raise UserError(f"it is not BERT's vocabulary: {name} is missing")
        id_of = {token: number - 1 for token, number in line_of.items()}
        if lowercase is None:
            lowercase = not any(
                token != token.lower() for token in vocabulary if token not in SPECIAL and not token.startswith("[")
            )
        added = [AddedToken(name, id_of[name]) for name in SPECIAL if name in id_of]
        begin, end = (id_of[BEGIN], 0), (id_of[SEPARATOR], 0)
        template = Template((begin, ("A", 0), end), (begin, ("A", 0), end, ("B", 1), (id_of[SEPARATOR], 1)))
        return WordPiece(vocabulary, added, unknown=id_of[UNKNOWN], lowercase=lowercase, template=template)

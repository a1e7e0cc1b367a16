"""scratchgrad-tokenize: train a tokenizer, and use it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from scratchgrad.errors import UserError
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.commands.common import HELP, read_text, say, tells_mistakes, version_option, write
from scratchgrad.tools.runs import is_run, newest_checkpoint, newest_run
from scratchgrad.tools.text_files import find_text_files, read_texts
from scratchgrad.tools.tokenizer import END_OF_TEXT, Tokenizer, train_bpe

LARGEST_INPUT = 1 << 28  # bytes of standard input, which is read whole
LONGEST_ID = 10  # digits

which_tokenizer = click.option(
    "--tokenizer",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A tokenizer.json, or a folder or a run that holds one; by default the newest run below ./runs.",
)


@click.group(context_settings=HELP)
@version_option
def main() -> None:
    """Train a byte-level BPE tokenizer, turn text into ids, and ids into text.

    \b
    scratchgrad-tokenize train --vocab-size 4096 --output tokenizer.json 'books/*.txt'
    scratchgrad-tokenize encode --tokenizer tokenizer.json "Hello, world"
    scratchgrad-tokenize encode < book.txt | scratchgrad-tokenize decode
    """


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--vocab-size", default=4096, show_default=True, metavar="N", help="Special tokens and bytes included.")
@click.option("--pattern", default="gpt4", show_default=True, help="gpt2, gpt4, or a regular expression.")
@click.option("--special", default=(END_OF_TEXT,), show_default=True, multiple=True, help="May be given repeatedly.")
@click.option("--output", default=Path("tokenizer.json"), show_default=True, type=click.Path(path_type=Path))
@tells_mistakes
def train(files: tuple[str, ...], vocab_size: int, pattern: str, special: tuple[str, ...], output: Path) -> None:
    """Learn a tokenizer from FILEs (.txt .md .py .jsonl .jsonl.gz; globs may be quoted)."""
    began = time.monotonic()
    found = find_text_files(files)
    texts = (text for path in found for _, text in read_texts(path))
    tokenizer = train_bpe(texts, vocab_size, pattern=pattern, special_tokens=special, workers=usable_cores())
    try:
        tokenizers.save(tokenizer, output)
    except OSError as error:
        raise UserError(f"'{output}' cannot be written: {error.strerror or error}") from None
    if tokenizer.vocab_size < vocab_size:
        say(f"the text holds no more pairs: {tokenizer.vocab_size:,} tokens instead of {vocab_size:,}")
    say(f"{tokenizer.vocab_size:,} tokens from {len(found):,} file(s) in {time.monotonic() - began:.1f} s")
    write(f"{output}\n")


@main.command()
@which_tokenizer
@click.option("--allow-special", is_flag=True, help="Special tokens in the text become their ids.")
@click.argument("text", required=False)
@tells_mistakes
def encode(path: Path | None, allow_special: bool, text: str | None) -> None:
    """Print the ids of TEXT, or of standard input."""
    tokenizer = _load(path)
    text = read_text(sys.stdin.buffer, "standard input", LARGEST_INPUT) if text is None else text
    ids = tokenizer.encode(text, allowed_special=tokenizer.special_tokens if allow_special else ())
    write(" ".join(map(str, ids)) + "\n")


@main.command()
@which_tokenizer
@click.argument("ids", nargs=-1, metavar="[ID]...")
@tells_mistakes
def decode(path: Path | None, ids: tuple[str, ...]) -> None:
    """Print the bytes of IDs, or of those on standard input."""
    tokenizer = _load(path)
    words = ids or read_text(sys.stdin.buffer, "standard input", LARGEST_INPUT).split()
    stray = next((word for word in words if not word.isdecimal() or len(word) > LONGEST_ID), None)
    if stray is not None:
        raise UserError(f"'{stray}' is not an id; ids are numbers from 0 to {tokenizer.vocab_size - 1}")
    sys.stdout.buffer.write(tokenizer.decode_bytes(map(int, words)))
    sys.stdout.buffer.flush()


def _load(path: Path | None) -> Tokenizer:
    if path is None:
        path = newest_run(Path("runs"))
    return tokenizers.load(newest_checkpoint(path) if is_run(path) else path)


if __name__ == "__main__":
    main()

"""scratchgrad-tokenize: train a tokenizer, and use it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import scratchgrad_start
from scratchgrad.errors import UserError
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.commands.common import HELP, read_text, say, tells_mistakes, version_option, write
from scratchgrad.tools.commands.progress import ProgressBar
from scratchgrad.tools.runs import is_run, newest_checkpoint, newest_run
from scratchgrad.tools.text import find_files, stream_texts, suffixes
from scratchgrad.tools.tokenizer import END_OF_TEXT, ByteLevelBPE, Tokenizer
from scratchgrad.tools.tokenizer.blocks import blocks
from scratchgrad.tools.tokenizer.counting import PieceCounts, count_pieces
from scratchgrad.tools.tokenizer.inspecting import merge_steps, shown
from scratchgrad.tools.tokenizer.report import report_on
from scratchgrad.tools.tokenizer.training import check_size, learn_bpe

LARGEST_INPUT = 1 << 28  # bytes of standard input, which is read whole
LONGEST_ID = 10  # digits

COLOURS = ("black on cyan", "black on green", "black on yellow", "black on magenta")
MOST_HELD_OUT = 32  # texts or blocks, for they are kept in memory


def which_tokenizer(command: Callable[..., None]) -> Callable[..., None]:
    """--tokenizer, and for files that do not say them --pattern and --special, as `tokenizer`."""
    path = click.option(
        "--tokenizer", "path", type=click.Path(path_type=Path), metavar="PATH",
        help="A tokenizer's file (.json, .tiktoken, .model, .bin, merges.txt, vocab.txt), or a folder or a run that "
        "holds one; by default the newest run below ./runs.",
    )  # fmt: skip
    pattern = click.option("--pattern", help="Of a .tiktoken file: gpt2, gpt4, gpt4o, or a regular expression.")
    special = click.option(
        "--special", multiple=True, metavar="TEXT=ID", help="Of a .tiktoken file: a special token. May be repeated."
    )

    @wraps(command)
    def loaded(path: Path | None, pattern: str | None, special: tuple[str, ...], **others: Any) -> None:
        command(_load(path, pattern, special), **others)

    return path(pattern(special(tells_mistakes(loaded))))


@click.group(context_settings=HELP)
@version_option
def main() -> None:
    """Train a byte-level BPE tokenizer, turn text into ids, ids into text, and look at what happens.

    \b
    scratchgrad-tokenize train --vocab-size 4096 --output tokenizer.json 'books/*.txt'
    scratchgrad-tokenize encode --tokenizer tokenizer.json "Hello, world"
    scratchgrad-tokenize encode < book.txt | scratchgrad-tokenize decode
    scratchgrad-tokenize inspect --merges "unbelievably"

    Without --tokenizer it is that of the newest run below ./runs.
    """


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--vocab-size", default=4096, show_default=True, metavar="N", help="Special tokens and bytes included.")
@click.option("--pattern", default="gpt4", show_default=True, help="gpt2, gpt4, gpt4o, or a regular expression.")
@click.option("--special", default=(END_OF_TEXT,), show_default=True, multiple=True, help="May be given repeatedly.")
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Every N-th text (or MB of a long one) is kept for the report, 32 at most; 0 keeps none.",
)
@click.option(
    "--output",
    default=Path("tokenizer.json"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Its name says the format: .json, vocab.json (with merges.txt), .tiktoken.",
)
@tells_mistakes
def train(
    files: tuple[str, ...], vocab_size: int, pattern: str, special: tuple[str, ...], held_out: int, output: Path
) -> None:  # fmt: skip
    """Learn a tokenizer from FILEs of any size: text, code, .jsonl, tables, web pages and archives.

    \b
    scratchgrad-tokenize train books
    scratchgrad-tokenize train --vocab-size 1000 --output small.json 'books/*.txt' table.csv

    Most may be compressed, with .gz or .zst. Globs are read, and folders, as all that can be read below them.

    Pieces of text are counted by all cores. Of more than a million different ones the rarest are dropped.
    """
    began = time.monotonic()
    check_size(vocab_size, special)
    found = find_files(files, suffixes())
    kept: list[str] = []
    texts = _not_held_out(
        (block for path in found for text in stream_texts(path) for block in blocks(text)), held_out, kept
    )
    with ProgressBar(sum(path.stat().st_size for path in found), "bytes counted") as progress:
        counted = count_pieces(texts, pattern, usable_cores(), progress=progress.update)
    with ProgressBar(vocab_size, "tokens learnt") as progress:
        tokenizer = learn_bpe(
            counted.counts, vocab_size, pattern=pattern, special_tokens=special, progress=progress.update
        )
    try:
        tokenizers.save(tokenizer, output)
    except OSError as error:
        raise UserError(f"'{output}' cannot be written: {error.strerror or error}") from None
    if tokenizer.vocab_size < vocab_size:
        say(f"the text holds no more pairs: {tokenizer.vocab_size:,} tokens instead of {vocab_size:,}")
    _report(tokenizer, counted, kept)
    say(f"{tokenizer.vocab_size:,} tokens from {len(found):,} file(s) in {time.monotonic() - began:.1f} s")
    write(f"{output}\n")


def _not_held_out(texts: Iterator[str], every: int, kept: list[str]) -> Iterator[str]:
    for number, text in enumerate(texts, start=1):
        if every and number % every == 0 and len(kept) < MOST_HELD_OUT:
            kept.append(text)
        else:
            yield text


def _report(tokenizer: ByteLevelBPE, counted: PieceCounts, kept: list[str]) -> None:
    trained = report_on(tokenizer, counted.counts)
    ordinary = tokenizer.vocab_size - len(tokenizer.special_tokens)
    lines = [("trained on", trained)]
    if kept:
        lines.append(("held out", report_on(tokenizer, count_pieces(kept, tokenizer.pattern).counts)))
    for name, report in lines:
        say(
            f"{name}: {report.bytes_per_token:.3f} bytes a token over {report.text_bytes / 1e6:,.1f} MB; "
            f"{report.used:,} of {ordinary:,} tokens used"
        )
    left_out = counted.text_bytes - counted.counted_bytes
    if left_out:
        say(f"not learnt from: {left_out / 1e6:,.1f} MB in pieces that were too long or too rare")
    say("longest: " + "  ".join(shown(token) for token in trained.longest))
    say("rarest: " + "  ".join(f"{shown(token)} ({count:,})" for token, count in trained.rarest))


@main.command()
@which_tokenizer
@click.option("--allow-special", is_flag=True, help="Special tokens in the text become their ids.")
@click.argument("text", required=False)
def encode(tokenizer: Tokenizer, allow_special: bool, text: str | None) -> None:
    """Print the ids of TEXT, or of standard input.

    \b
    scratchgrad-tokenize encode "Hello, world"
    scratchgrad-tokenize encode --tokenizer tokenizer.json --allow-special "the end<|endoftext|>"
    scratchgrad-tokenize encode < book.txt > ids.txt
    """
    text = read_text(sys.stdin.buffer, "standard input", LARGEST_INPUT) if text is None else text
    ids = tokenizer.encode(text, allowed_special=tokenizer.special_tokens if allow_special else ())
    write(" ".join(map(str, ids)) + "\n")


@main.command()
@which_tokenizer
@click.argument("ids", nargs=-1, metavar="[ID]...")
def decode(tokenizer: Tokenizer, ids: tuple[str, ...]) -> None:
    """Print the bytes of IDs, or of those on standard input.

    \b
    scratchgrad-tokenize decode 105 106 257
    scratchgrad-tokenize decode --tokenizer tokenizer.json < ids.txt
    """
    words = ids or read_text(sys.stdin.buffer, "standard input", LARGEST_INPUT).split()
    stray = next((word for word in words if not word.isdecimal() or len(word) > LONGEST_ID), None)
    if stray is not None:
        raise UserError(f"'{stray}' is not an id; ids are numbers from 0 to {tokenizer.vocab_size - 1}")
    sys.stdout.buffer.write(tokenizer.decode_bytes(map(int, words)))
    sys.stdout.buffer.flush()


@main.command()
@which_tokenizer
@click.option("--merges", is_flag=True, help="Show how each piece was merged, step by step.")
@click.argument("text", required=False)
def inspect(tokenizer: Tokenizer, merges: bool, text: str | None) -> None:
    """Show the tokens of TEXT, or of standard input, in colour with their ids.

    \b
    scratchgrad-tokenize inspect "Größe 🙂"
    scratchgrad-tokenize inspect --tokenizer tokenizer.json --merges "unbelievably"
    """
    text = read_text(sys.stdin.buffer, "standard input", LARGEST_INPUT) if text is None else text
    ids = tokenizer.encode(text)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    line, numbers = Text(), Text()
    for place, token in enumerate(ids):
        written, number = shown(tokenizer.token_bytes(token)), str(token)
        width = max(cell_len(written), len(number)) + 1
        line.append(written, COLOURS[place % len(COLOURS)]).append(" " * (width - cell_len(written)))
        numbers.append(number.ljust(width))
        if len(numbers) >= console.width - 12 or place == len(ids) - 1:
            console.print(line)
            console.print(numbers)
            line, numbers = Text(), Text()
    console.print(f"{len(ids):,} tokens, {len(text):,} characters, {len(text.encode(errors='replace')):,} bytes")
    for steps in merge_steps(tokenizer, text) if merges else ():
        console.print()
        for parts in steps:
            console.print(" ".join(parts))


def _load(path: Path | None, pattern: str | None, special: tuple[str, ...]) -> Tokenizer:
    if path is None:
        path = newest_run(Path("runs"))
    tokens: dict[str, int] = {}
    for word in special:
        text, _, token = word.rpartition("=")
        if not text or not token.isdecimal() or len(token) > LONGEST_ID:
            raise UserError(f"--special '{word}' is not a text, '=' and an id")
        tokens[text] = int(token)
    found = newest_checkpoint(path) if is_run(path) else path
    return tokenizers.load(found, pattern=pattern, special_tokens=tokens or None)


if __name__ == "__main__":
    scratchgrad_start.tokenize()

"""scratchgrad-bench: how fast, in how much memory, beside whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from scratchgrad.errors import UserError
from scratchgrad.threads import usable_cores
from scratchgrad.tools.commands.common import HELP, say, tells_mistakes, version_option
from scratchgrad.train.bench.engine import bench_engine
from scratchgrad.train.bench.experts import bench_experts
from scratchgrad.train.bench.memory import bench_memory
from scratchgrad.train.bench.shapes import SHAPES, Shape
from scratchgrad.train.bench.tokenizer import bench_tokenizer
from scratchgrad.train.bench.tokenizer_texts import bench_texts
from scratchgrad.train.bench.training import bench_training

against_option = click.option("--against", default="", metavar="PEER[,PEER]", help="Peers to run in turn with: torch.")
threads_option = click.option("--threads", type=click.IntRange(min=1), help="By default all cores.")
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures there, too."
)


def model_option(default: str) -> Callable[..., Any]:
    return click.option("--model", default=default, show_default=True, help=f"One of {', '.join(SHAPES)}.")


@click.group(context_settings=HELP)
@version_option
def main() -> None:
    """Measure in fresh processes, on an otherwise idle machine.

    \b
    scratchgrad-bench train --model stories15M --against torch
    scratchgrad-bench engine --against torch
    scratchgrad-bench memory
    scratchgrad-bench experts
    scratchgrad-bench tokenizer --against tiktoken,tokenizers --english 'books/*.txt'
    """


@main.command()
@model_option("stories15M")
@against_option
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Of a round, after a warm-up.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@threads_option
@json_option
@tells_mistakes
def train(model: str, against: str, steps: int, rounds: int, threads: int | None, json_path: Path | None) -> None:
    """The time of a training step: forward, backward, clipping, AdamW, in float32."""
    shape = _shape(model)
    count = threads or usable_cores()
    sides = bench_training(shape, _peers(against), threads=count, steps=steps, rounds=rounds, say=say)
    ours = sides[0]
    table = Table(title=f"{model}, batch {shape.batch} x {shape.context}, {count} thread(s)")
    for heading in ("", "s a step", "spread", "tokens/s", "peak memory", "ours is"):
        table.add_column(heading, justify="right" if heading else "left")
    for side in sides:
        ratio = f"{side.seconds / ours.seconds:.2f}x as fast" if side is not ours else ""
        table.add_row(
            side.name, f"{side.seconds:.3f}", f"{side.spread:.1%}", f"{side.tokens_per_s:,.0f}",
            f"{side.peak_bytes / 1e6:,.0f} MB", ratio,
        )  # fmt: skip
    Console(highlight=False).print(table)
    _write_json(json_path, [asdict(side) for side in sides])


@main.command()
@against_option
@click.option("--length", type=click.IntRange(min=1), default=1000, show_default=True, help="Additions in the chain.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@json_option
@tells_mistakes
def engine(against: str, length: int, rounds: int, json_path: Path | None) -> None:
    """The cost of autograd itself: a chain of additions of 8 elements, forward and backward, on one thread."""
    results = bench_engine(_peers(against), length=length, rounds=rounds, say=say)
    ours = results["scratchgrad"]
    table = Table(title=f"{length:,} additions")
    for heading in ("", "ms", "an op", "ours is"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, seconds in results.items():
        ratio = f"{seconds / ours:.2f}x as fast" if name != "scratchgrad" else ""
        table.add_row(name, f"{seconds * 1e3:.2f}", f"{seconds / length * 1e6:.2f} µs", ratio)
    Console(highlight=False).print(table)
    _write_json(json_path, results)


@main.command()
@model_option("deep")
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True, help="After a warm-up.")
@threads_option
@json_option
@tells_mistakes
def memory(model: str, steps: int, threads: int | None, json_path: Path | None) -> None:
    """The peak memory of a training process, for each way of recomputation."""
    shape = _shape(model)
    count = threads or usable_cores()
    results = bench_memory(shape, threads=count, steps=steps, say=say)
    kept = results["none"]
    table = Table(title=f"{model}, batch {shape.batch} x {shape.context}, {count} thread(s)")
    for heading in ("recompute", "peak memory", "of none", "s a step", "of none"):
        table.add_column(heading, justify="left" if heading == "recompute" else "right")
    for way, result in results.items():
        table.add_row(
            way, f"{result.peak_bytes / 1e6:,.0f} MB", f"{result.peak_bytes / kept.peak_bytes:.2f}",
            f"{result.median:.3f}", f"{result.median / kept.median:.2f}",
        )  # fmt: skip
    Console(highlight=False).print(table)
    _write_json(json_path, {way: asdict(result) for way, result in results.items()})


@main.command()
@model_option("stories15M")
@click.option("--experts", "count", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--per-token", type=click.IntRange(min=1), default=2, show_default=True, help="Experts that a token meets."
)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="After a warm-up.")
@threads_option
@json_option
@tells_mistakes
def experts(model: str, count: int, per_token: int, steps: int, threads: int | None, json_path: Path | None) -> None:
    """The time of forward and backward with a mixture of experts, beside the dense model of the same width."""
    shape = _shape(model)
    workers = threads or usable_cores()
    results = bench_experts(shape, experts=count, per_token=per_token, threads=workers, steps=steps, say=say)
    table = Table(title=f"{model}, batch {shape.batch} x {shape.context}, {workers} thread(s)")
    for heading in ("", "s forward and backward", "of dense"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, seconds in results.items():
        table.add_row(name, f"{seconds:.3f}", f"{seconds / results['dense']:.2f}")
    Console(highlight=False).print(table)
    _write_json(json_path, results)


@main.command()
@click.option("--against", default="", metavar="PEER[,PEER]", help="Peers to run in turn with: tiktoken, tokenizers.")
@click.option("--english", multiple=True, metavar="FILE", help="English text to measure with, beside code; a glob.")
@click.option("--megabytes", type=click.FloatRange(min=0.01), default=5.0, show_default=True, help="Of each text.")
@click.option("--vocab-size", type=click.IntRange(min=257), default=32000, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@json_option
@tells_mistakes
def tokenizer(
    against: str, english: tuple[str, ...], megabytes: float, vocab_size: int, rounds: int, json_path: Path | None
) -> None:
    """Training and warm encoding on one thread: the standard library's code, and English where files are given."""
    texts = bench_texts(english, int(megabytes * 1e6))
    peers = _peers(against)
    rows = bench_tokenizer(texts, peers, vocab_size=vocab_size, rounds=rounds, say=say)
    table = Table(title=f"one thread, a vocabulary of {vocab_size:,}")
    for heading in ("", "scratchgrad", *(heading for peer in peers for heading in (peer, "ours is"))):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        cells = [f"{row.task} {row.text}", f"{row.seconds['scratchgrad']:.3f} s"]
        for peer in peers:
            known = peer in row.seconds
            cells += [f"{row.seconds[peer]:.3f} s", f"{row.times_as_fast_as(peer):.2f}x as fast"] if known else ["", ""]
        table.add_row(*cells)
    Console(highlight=False).print(table)
    _write_json(json_path, [asdict(row) for row in rows])


def _peers(against: str) -> list[str]:
    return [peer for peer in against.split(",") if peer]


def _shape(model: str) -> Shape:
    if model not in SHAPES:
        raise UserError(f"the model '{model}' is not known; it is one of {', '.join(SHAPES)}")
    return SHAPES[model]


def _write_json(path: Path | None, figures: object) -> None:
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

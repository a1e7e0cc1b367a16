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
from scratchgrad.train.bench.decoding import bench_decoding
from scratchgrad.train.bench.engine import bench_engine
from scratchgrad.train.bench.experts import bench_experts
from scratchgrad.train.bench.job import Precision
from scratchgrad.train.bench.memory import bench_memory
from scratchgrad.train.bench.pictures import draw_profile, draw_recomputation, draw_sides
from scratchgrad.train.bench.shapes import SHAPES, Shape
from scratchgrad.train.bench.tokenizer import bench_tokenizer
from scratchgrad.train.bench.tokenizer_texts import bench_texts
from scratchgrad.train.bench.training import bench_training

against_option = click.option("--against", default="", metavar="PEER[,PEER]", help="Peers to run in turn with.")
threads_option = click.option("--threads", type=click.IntRange(min=1), help="By default all cores.")
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures there, too."
)

plot_option = click.option(
    "--plot", "plot_path", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw them there, too."
)
PROFILED = 3  # steps
WIDE = 160  # columns: a table that goes into a file has as many as it needs


def model_option(default: str) -> Callable[..., Any]:
    return click.option("--model", default=default, show_default=True, help=f"One of {', '.join(SHAPES)}.")


@click.group(context_settings=HELP)
@version_option
def main() -> None:
    """Measure in fresh processes, on an otherwise idle machine.

    \b
    scratchgrad-bench train --model stories15M --against torch,torch-compile
    scratchgrad-bench train --model toy --profile --plot profile.png
    scratchgrad-bench decode --against torch
    scratchgrad-bench engine --against torch
    scratchgrad-bench memory
    scratchgrad-bench experts
    scratchgrad-bench tokenizer --against tiktoken,tokenizers --english 'books/*.txt'
    """


@main.command()
@model_option("stories15M")
@against_option
@click.option("--precision", type=click.Choice(["float32", "bf16"]), default="float32", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Of a round, after a warm-up.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--profile", "profiles", is_flag=True, help="Tell where our step's time goes, op by op.")
@threads_option
@json_option
@plot_option
@tells_mistakes
def train(
    model: str, against: str, precision: Precision, steps: int, rounds: int, profiles: bool, threads: int | None,
    json_path: Path | None, plot_path: Path | None,
) -> None:  # fmt: skip
    """The time of a training step: forward, backward, clipping, AdamW.

    Peers are torch, torch-compile, and 2-ranks: ourselves as two processes that share the threads. The floor is the
    time that the step's matrix products would take at the rate of large ones. With --profile, --plot draws the profile.
    """
    shape = _shape(model)
    count = threads or usable_cores()
    sides = bench_training(
        shape, _peers(against), threads=count, steps=steps, rounds=rounds, say=say, precision=precision,
        profiled=PROFILED if profiles else 0,
    )  # fmt: skip
    ours = sides[0]
    title = f"{model}, batch {shape.batch} x {shape.context}, {precision}, {count} thread(s)"
    table = _table(title, "", "s a step", "spread", "tokens/s", "peak MB", "GFLOP/s", "of floor", "ours is faster")
    for side in sides:
        ratio = f"{side.seconds / ours.seconds:.2f}x" if side is not ours else ""
        table.add_row(
            side.name, f"{side.seconds:.3f}", f"{side.spread:.1%}", f"{side.tokens_per_s:,.0f}",
            f"{side.peak_bytes / 1e6:,.0f}", f"{side.flops_per_s / 1e9:,.0f}", f"{side.share_of_floor:.0%}", ratio,
        )  # fmt: skip
    _show(table)
    if profiles:
        _show(_profile_table(ours.profile, title))
    _write_json(json_path, [asdict(side) for side in sides])
    if plot_path is not None:
        if profiles:
            draw_profile(plot_path, ours.profile, title)
        else:
            draw_sides(plot_path, sides, title)


def _profile_table(rows: list[dict[str, Any]], title: str) -> Table:
    whole = sum(row["seconds"] for row in rows)
    table = _table(f"{title}: where {whole * 1e3:.0f} ms go", "", "", "calls", "ms", "share", "MB", "GFLOP/s")
    for row in sorted(rows, key=lambda row: -row["seconds"]):
        rate = f"{row['flops'] / row['seconds'] / 1e9:,.0f}" if row["flops"] else ""
        table.add_row(
            row["name"], row["direction"], f"{row['calls']:,}", f"{row['seconds'] * 1e3:.1f}",
            f"{row['seconds'] / whole:.1%}", f"{row['bytes'] / 1e6:,.0f}", rate,
        )  # fmt: skip
    return table


@main.command()
@model_option("stories15M")
@against_option
@click.option("--prompts", default="1,16", show_default=True, metavar="N[,N]", help="Texts that are written at once.")
@click.option("--tokens", type=click.IntRange(min=2), default=128, show_default=True, help="Of each text.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@threads_option
@json_option
@tells_mistakes
def decode(
    model: str, against: str, prompts: str, tokens: int, rounds: int, threads: int | None, json_path: Path | None
) -> None:
    """How fast texts are written, greedily, in float32.

    The bound is the rate at which all weights can be multiplied by a vector, on all threads, with nothing in between.
    """
    shape, count = _shape(model), threads or usable_cores()
    try:
        at_once = [int(number) for number in prompts.split(",")]
    except ValueError:
        at_once = []
    if not at_once or min(at_once) < 1:
        raise UserError(f"--prompts '{prompts}' is not a list of numbers from 1 on, as in --prompts 1,16")
    if tokens >= shape.config["max_position_embeddings"] - 4:
        raise UserError(f"--tokens {tokens} is too long for {model}, whose context is {shape.context}")
    results = bench_decoding(
        shape, at_once, _peers(against), tokens=tokens, threads=count, rounds=rounds, say=say
    )  # fmt: skip
    table = _table(
        f"{model}, {tokens} tokens, {count} thread(s)", "", "at once", "tokens/s", "of bound", "ours is faster"
    )
    ours = {result.prompts: result for result in results if result.system == "scratchgrad"}
    for result in results:
        mine = ours[result.prompts]
        bound = f"{result.tokens_per_s / mine.bare_per_s:.2f}x" if result.prompts == 1 else ""
        ratio = f"{mine.tokens_per_s / result.tokens_per_s:.2f}x" if result is not mine else ""
        table.add_row(result.system, str(result.prompts), f"{result.tokens_per_s:,.0f}", bound, ratio)
    _show(table)
    _write_json(json_path, [asdict(result) for result in results])


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
    table = _table(f"{length:,} additions", "", "ms", "an op", "ours is faster")
    for name, seconds in results.items():
        ratio = f"{seconds / ours:.2f}x" if name != "scratchgrad" else ""
        table.add_row(name, f"{seconds * 1e3:.2f}", f"{seconds / length * 1e6:.2f} µs", ratio)
    _show(table)
    _write_json(json_path, results)


@main.command()
@model_option("deep")
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True, help="After a warm-up.")
@threads_option
@json_option
@plot_option
@tells_mistakes
def memory(model: str, steps: int, threads: int | None, json_path: Path | None, plot_path: Path | None) -> None:
    """The peak memory of a training process, for each way of recomputation."""
    shape = _shape(model)
    count = threads or usable_cores()
    results = bench_memory(shape, threads=count, steps=steps, say=say)
    kept = results["none"]
    title = f"{model}, batch {shape.batch} x {shape.context}, {count} thread(s)"
    table = _table(title, "recompute", "peak memory", "of none", "s a step", "of none")
    for way, result in results.items():
        table.add_row(
            way, f"{result.peak_bytes / 1e6:,.0f} MB", f"{result.peak_bytes / kept.peak_bytes:.2f}",
            f"{result.median:.3f}", f"{result.median / kept.median:.2f}",
        )  # fmt: skip
    _show(table)
    _write_json(json_path, {way: asdict(result) for way, result in results.items()})
    if plot_path is not None:
        draw_recomputation(plot_path, results, title)


def _table(title: str, *headings: str) -> Table:
    """The first column is words, the others are numbers."""
    table = Table(title=title)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number and heading else "left")
    return table


def _show(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)  # a file has room
    console.print(table)


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
    _show(table)
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
    _show(table)
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

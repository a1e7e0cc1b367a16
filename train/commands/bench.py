"""scratchgrad-bench: how fast, in how much memory, beside whom."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import click
from rich.table import Table

import scratchgrad_start
from scratchgrad.errors import UserError
from scratchgrad.tools.bench import curation as curation_bench
from scratchgrad.tools.bench import decoding as decoding_bench
from scratchgrad.tools.bench import engine as engine_bench
from scratchgrad.tools.bench import tokenizer as tokenizer_bench
from scratchgrad.tools.bench.experts import bench_experts
from scratchgrad.tools.bench.report import BenchReport, subcommand, table
from scratchgrad.tools.bench.shapes import Shape
from scratchgrad.tools.bench.tokenizer_texts import bench_texts
from scratchgrad.tools.commands.common import HELP, say, version_option
from scratchgrad.train.bench import training as training_bench
from scratchgrad.train.bench.job import Precision
from scratchgrad.train.bench.memory import bench_memory
from scratchgrad.train.bench.pictures import draw_profile, draw_recomputation, draw_sides

OURS = "scratchgrad"
PROFILED = 3  # steps


@subcommand(model="stories15M", peers=training_bench.PEERS, steps=5, rounds=3, threads=True, plots=True)
@click.option("--precision", type=click.Choice(["float32", "bf16"]), default="float32", show_default=True)
@click.option("--profile", is_flag=True, help="Tell where our step's time goes, op by op.")
def train(
    model: str,
    shape: Shape,
    peers: list[str],
    steps: int,
    rounds: int,
    threads: int,
    precision: Precision,
    profile: bool,
) -> BenchReport:
    """The time of a training step: forward, backward, clipping, AdamW.

    \b
    scratchgrad-bench train --model toy --against torch
    scratchgrad-bench train --model toy --profile --plot profile.png

    The peer 2-ranks is ourselves as two processes that share the threads. The floor is the time that the step's matrix
    products would take at the rate of large ones. With --profile, --plot draws the profile.
    """
    sides = training_bench.bench_training(
        shape, peers, threads=threads, steps=steps, rounds=rounds, say=say, precision=precision,
        profiled=PROFILED if profile else 0,
    )  # fmt: skip
    ours = sides[0]
    title = f"{titled(model, shape, threads)}, {precision}"
    shown = table(title, "", "s a step", "spread", "tokens/s", "peak MB", "GFLOP/s", "of floor", "ours is faster")
    for side in sides:
        shown.add_row(
            side.name, f"{side.seconds:.3f}", f"{side.spread:.1%}", f"{side.tokens_per_s:,.0f}",
            f"{side.peak_bytes / 1e6:,.0f}", f"{side.flops_per_s / 1e9:,.0f}", f"{side.share_of_floor:.0%}",
            "" if side is ours else times(side.seconds / ours.seconds),
        )  # fmt: skip
    figures = [asdict(side) for side in sides]
    if profile:
        draw_it = partial(draw_profile, rows=ours.profile, title=title)
        return BenchReport([shown, profile_table(ours.profile, title)], figures, draw_it)
    return BenchReport([shown], figures, partial(draw_sides, sides=sides, title=title))


def profile_table(rows: list[dict[str, Any]], title: str) -> Table:
    whole = sum(row["seconds"] for row in rows)
    shown = table(f"{title}: where {whole * 1e3:.0f} ms go", "", "", "calls", "ms", "share", "MB", "GFLOP/s")
    for row in sorted(rows, key=lambda row: -row["seconds"]):
        rate = f"{row['flops'] / row['seconds'] / 1e9:,.0f}" if row["flops"] else ""
        shown.add_row(
            row["name"], row["direction"], f"{row['calls']:,}", f"{row['seconds'] * 1e3:.1f}",
            f"{row['seconds'] / whole:.1%}", f"{row['bytes'] / 1e6:,.0f}", rate,
        )  # fmt: skip
    return shown


@subcommand(model="deep", steps=2, threads=True, plots=True)
def memory(model: str, shape: Shape, steps: int, threads: int) -> BenchReport:
    """The peak memory of a training process, for each way of recomputation.

    \b
    scratchgrad-bench memory --model toy --plot memory.png
    """
    results = bench_memory(shape, threads=threads, steps=steps, say=say)
    kept, title = results["none"], titled(model, shape, threads)
    shown = table(title, "recompute", "peak memory", "of none", "s a step", "of none")
    for way, result in results.items():
        shown.add_row(
            way, f"{result.peak_bytes / 1e6:,.0f} MB", f"{result.peak_bytes / kept.peak_bytes:.2f}",
            f"{result.median:.3f}", f"{result.median / kept.median:.2f}",
        )  # fmt: skip
    figures = {way: asdict(result) for way, result in results.items()}
    return BenchReport([shown], figures, partial(draw_recomputation, results=results, title=title))


@subcommand(model="stories15M", peers=decoding_bench.PEERS, rounds=3, threads=True)
@click.option("--prompts", default="1,16", show_default=True, metavar="N[,N]", help="Texts that are written at once.")
@click.option("--tokens", type=click.IntRange(min=2), default=128, show_default=True, help="Of each text.")
def decode(
    model: str, shape: Shape, peers: list[str], rounds: int, threads: int, prompts: str, tokens: int
) -> BenchReport:
    """How fast texts are written, greedily, in float32.

    \b
    scratchgrad-bench decode --model toy --prompts 1,8 --tokens 64 --json figures.json

    The bound is the rate at which all weights can be multiplied by a vector, on all threads, with nothing in between.
    """
    try:
        at_once = [int(number) for number in prompts.split(",")]
    except ValueError:
        at_once = []
    if not at_once or min(at_once) < 1:
        raise UserError(f"--prompts '{prompts}' is not a list of numbers from 1 on, as in --prompts 1,16")
    if tokens >= shape.config["max_position_embeddings"] - 4:
        raise UserError(f"--tokens {tokens} is too long for {model}, whose context is {shape.context}")
    results = decoding_bench.bench_decoding(
        shape, at_once, peers, tokens=tokens, threads=threads, rounds=rounds, say=say
    )
    title = f"{model}, {tokens} tokens, {threads} thread(s)"
    shown = table(title, "", "at once", "tokens/s", "of bound", "ours is faster")
    ours = {result.prompts: result for result in results if result.system == OURS}
    for result in results:
        mine = ours[result.prompts]
        shown.add_row(
            result.system, str(result.prompts), f"{result.tokens_per_s:,.0f}",
            times(result.tokens_per_s / mine.bare_per_s) if result.prompts == 1 else "",
            "" if result is mine else times(mine.tokens_per_s / result.tokens_per_s),
        )  # fmt: skip
    return BenchReport([shown], [asdict(result) for result in results])


@subcommand(peers=engine_bench.PEERS, rounds=3)
@click.option("--length", type=click.IntRange(min=1), default=1000, show_default=True, help="Additions in the chain.")
def engine(peers: list[str], rounds: int, length: int) -> BenchReport:
    """The cost of autograd itself: a chain of additions of 8 elements, forward and backward, on one thread.

    \b
    scratchgrad-bench engine --against torch
    """
    results = engine_bench.bench_engine(peers, length=length, rounds=rounds, say=say)
    shown = table(f"{length:,} additions", "", "ms", "an op", "ours is faster")
    for name, seconds in results.items():
        ratio = "" if name == OURS else times(seconds / results[OURS])
        shown.add_row(name, f"{seconds * 1e3:.2f}", f"{seconds / length * 1e6:.2f} µs", ratio)
    return BenchReport([shown], results)


@subcommand(model="stories15M", steps=5, threads=True)
@click.option("--experts", "count", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--per-token", type=click.IntRange(min=1), default=2, show_default=True, help="Experts a token meets.")
def experts(model: str, shape: Shape, steps: int, threads: int, count: int, per_token: int) -> BenchReport:
    """The time of forward and backward with a mixture of experts, beside the dense model of the same width.

    \b
    scratchgrad-bench experts --model toy --experts 4
    """
    results = bench_experts(shape, experts=count, per_token=per_token, threads=threads, steps=steps, say=say)
    shown = table(titled(model, shape, threads), "", "s forward and backward", "of dense")
    for name, seconds in results.items():
        shown.add_row(name, f"{seconds:.3f}", f"{seconds / results['dense']:.2f}")
    return BenchReport([shown], results)


@subcommand(peers=tokenizer_bench.PEERS, rounds=3)
@click.option("--english", multiple=True, metavar="FILE", help="English text to measure with, beside code; a glob.")
@click.option("--megabytes", type=click.FloatRange(min=0.01), default=5.0, show_default=True, help="Of each text.")
@click.option("--vocab-size", type=click.IntRange(min=257), default=32000, show_default=True)
def tokenizer(
    peers: list[str], rounds: int, english: tuple[str, ...], megabytes: float, vocab_size: int
) -> BenchReport:
    """Training and warm encoding on one thread: the standard library's code, and English where files are given.

    \b
    scratchgrad-bench tokenizer --megabytes 1 --english 'books/*.txt'
    """
    texts = bench_texts(english, int(megabytes * 1e6))
    rows = tokenizer_bench.bench_tokenizer(texts, peers, vocab_size=vocab_size, rounds=rounds, say=say)
    beside = [heading for peer in peers for heading in (peer, "ours is")]
    shown = table(f"one thread, a vocabulary of {vocab_size:,}", "", OURS, *beside)
    for row in rows:
        cells = [f"{row.task} {row.text}", f"{row.seconds[OURS]:.3f} s"]
        for peer in peers:
            known = peer in row.seconds
            cells += [f"{row.seconds[peer]:.3f} s", f"{row.times_as_fast_as(peer):.2f}x as fast"] if known else ["", ""]
        shown.add_row(*cells)
    return BenchReport([shown], [asdict(row) for row in rows])


@subcommand(peers=curation_bench.PEERS, rounds=3)
@click.option("--text", multiple=True, metavar="FILE", help="Text to measure with, in place of the standard library.")
@click.option("--megabytes", type=click.FloatRange(min=0.01), default=50.0, show_default=True, help="Of text.")
def curate(peers: list[str], rounds: int, text: tuple[str, ...], megabytes: float) -> BenchReport:
    """Filters (C4, Gopher, FineWeb) and MinHash signatures on one thread, without reading or writing files.

    \b
    scratchgrad-bench curate --megabytes 5 --json figures.json
    """
    rows = curation_bench.bench_curation(text, int(megabytes * 1e6), peers, rounds=rounds, say=say)
    beside = [heading for peer in peers for heading in (peer, "ours is")]
    title = f"one thread, {rows[0].bytes / 1e6:.0f} MB, {rows[0].documents:,} documents"
    shown = table(title, "", OURS, *beside)
    for row in rows:
        cells = [row.task, f"{row.megabytes_per_s[OURS]:.1f} MB/s"]
        for peer in peers:
            ratio = row.megabytes_per_s[OURS] / row.megabytes_per_s[peer]
            cells += [f"{row.megabytes_per_s[peer]:.2f} MB/s", f"{ratio:.1f}x as fast"]
        shown.add_row(*cells)
    return BenchReport([shown], [asdict(row) for row in rows])


def titled(model: str, shape: Shape, threads: int) -> str:
    return f"{model}, batch {shape.batch} x {shape.context}, {threads} thread(s)"


def times(ratio: float) -> str:
    return f"{ratio:.2f}x"


@click.group(context_settings=HELP, commands=[train, memory, decode, engine, experts, tokenizer, curate])
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
    scratchgrad-bench curate --megabytes 5
    """


if __name__ == "__main__":
    scratchgrad_start.bench()

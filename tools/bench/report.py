"""The frame of every subcommand of scratchgrad-bench: shared options go in; tables, --json and --plot come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from scratchgrad.errors import UserError, quoted
from scratchgrad.threads import usable_cores
from scratchgrad.tools.bench.shapes import SHAPES
from scratchgrad.tools.commands.common import tells_mistakes

PICTURES = (".png", ".pdf", ".svg")
WIDE = 160  # columns: a table that goes into a file has as many as it needs


@dataclass(frozen=True)
class BenchReport:
    """tables are printed, figures are written as JSON where --json says, draw makes the picture of --plot."""

    tables: list[Table]
    figures: Any
    draw: Callable[[Path], None] | None = None


def table(title: str, *headings: str) -> Table:
    """The first column is words, the others are numbers."""
    made = Table(title=title)
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number and heading else "left")
    return made


def subcommand(
    *,
    model: str | None = None,
    peers: Sequence[str] = (),
    steps: int | None = None,
    rounds: int | None = None,
    threads: bool = False,
    plots: bool = False,
) -> Callable[[Callable[..., BenchReport]], click.Command]:
    """Make a command of a function that returns a BenchReport. What is given here is an option with that default.

    The function gets `model` and its `shape` (a Shape), `peers` (a list of names), `steps`, `rounds`, `threads` (all
    cores by default), each as it is asked for, beside the options of its own. UserError becomes one sentence.
    """
    positive, file = click.IntRange(min=1), click.Path(path_type=Path)
    options: dict[str, dict[str, Any]] = {
        "--model": {"default": model, "show_default": True, "help": f"One of {', '.join(SHAPES)}."},
        "--against": {"default": "", "metavar": "PEER[,PEER]", "help": f"Run in turn with peers: {', '.join(peers)}."},
        "--steps": {"type": positive, "default": steps, "show_default": True, "help": "After a warm-up."},
        "--rounds": {"type": positive, "default": rounds, "show_default": True},
        "--threads": {"type": positive, "help": "By default all cores."},
        "--json": {"type": file, "metavar": "FILE", "help": "Write the figures there, too."},
        "--plot": {"type": file, "metavar": "FILE.png", "help": "Draw them there, too, as .png, .pdf or .svg."},
    }
    asked = dict(zip(options, (model, peers, steps, rounds, threads, True, plots), strict=True))

    def make(measure: Callable[..., BenchReport]) -> click.Command:
        @wraps(measure)
        def run(json: Path | None, plot: Path | None = None, **values: Any) -> None:
            if plot is not None and plot.suffix.lower() not in PICTURES:  # before anything is measured
                raise UserError(f"--plot {quoted(str(plot))}: the name of a picture is to end in .png, .pdf or .svg")
            if model:
                values["shape"] = SHAPES.get(values["model"])
                if values["shape"] is None:
                    raise UserError(f"the model '{values['model']}' is not known; it is one of {', '.join(SHAPES)}")
            if peers:
                values["peers"] = [peer for peer in values.pop("against").split(",") if peer]
            if threads:
                values["threads"] = values["threads"] or usable_cores()
            tell(measure(**values), json, plot)

        command = tells_mistakes(run)
        for name in reversed([name for name in options if asked[name]]):
            command = click.option(name, **options[name])(command)
        return click.command(command)

    return make


def tell(report: BenchReport, json_path: Path | None, plot_path: Path | None) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)  # a file has room
    for shown in report.tables:
        console.print(shown)
    if json_path is not None:
        json_path.write_text(json.dumps(report.figures, indent=1) + "\n")
    if plot_path is not None and report.draw is not None:
        report.draw(plot_path)

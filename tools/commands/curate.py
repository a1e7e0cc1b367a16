"""scratchgrad-curate: raw sources in, text worth training on out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import scratchgrad_start
from scratchgrad.errors import UserError
from scratchgrad.threads import usable_cores
from scratchgrad.tools import tokenizer as tokenizers
from scratchgrad.tools.commands.common import HELP, say, tells_mistakes, version_option, write
from scratchgrad.tools.commands.curation_progress import ProgressWatch
from scratchgrad.tools.curation.engine import curate
from scratchgrad.tools.curation.explain import explain
from scratchgrad.tools.curation.linear_classifier import MOST_BITS, Training, save_classifier, train_classifier
from scratchgrad.tools.curation.pool import worker_pool
from scratchgrad.tools.curation.recipe import Recipe, load_recipe, to_described_yaml
from scratchgrad.tools.curation.refilter import begin_refilter
from scratchgrad.tools.curation.report import write_report_page
from scratchgrad.tools.curation.report.html import size, total
from scratchgrad.tools.curation.report.page import PAGE
from scratchgrad.tools.curation.units import units_of
from scratchgrad.tools.data.curated_tokens import write_curated_tokens
from scratchgrad.tools.recipes import recipe_name
from scratchgrad.tools.runs import is_run, newest_checkpoint
from scratchgrad.tools.text import read_examples
from scratchgrad.tools.text.fetching import FetchSettings, fetch, read_urls
from scratchgrad_start import tell_guard

TIMES = "times.json"
Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """`scratchgrad-curate fineweb.yaml` is `scratchgrad-curate run fineweb.yaml`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not any(arg in ("-h", "--help", "--version") or arg in self.commands for arg in args[:1]):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def out_option(text: str) -> Callable[[Command], Command]:
    """--out, with what it is there for."""
    return click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help=text)


def workers_option(command: Command) -> Command:
    """--workers."""
    return click.option("--workers", type=click.IntRange(1), help="Processes; by default one for each core.")(command)


@click.group(cls=Commands, context_settings=HELP)
@version_option
def main() -> None:
    """Clean, filter, deduplicate and describe text: the same bytes out for any number of workers.

    \b
    scratchgrad-curate                                   the code preset, on Python's standard library
    scratchgrad-curate fineweb 'data.files=web/*.warc.gz' --out runs/web
    mpirun -n 4 scratchgrad-curate gopher 'data.files=texts/*.jsonl.zst' gopher_quality.min_words=30
    scratchgrad-curate explain runs/web web/a.warc.gz@1024

    What was killed goes on where it was, with the same command.
    """


@main.command()
@click.argument("arguments", nargs=-1, metavar="[RECIPE] [SECTION.KEY=VALUE]...")
@out_option("Where to; by default runs/curated-RECIPE.")
@workers_option
@click.option("--print-recipe", is_flag=True, help="Print the recipe with all its values and their meaning, and stop.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Tell what would be read and done, and stop.")
@tells_mistakes
def run(
    arguments: tuple[str, ...], out: Path | None, workers: int | None, print_recipe: bool, is_dry: bool
) -> None:  # fmt: skip
    """Curate what RECIPE describes: a YAML file, or a preset; by default `code`, on Python's standard library.

    \b
    scratchgrad-curate run refinedweb 'data.files=pages/*.jsonl.gz' --workers 2
    scratchgrad-curate run --print-recipe gopher
    """
    name, overrides = ("code", arguments) if not arguments or "=" in arguments[0] else (arguments[0], arguments[1:])
    recipe = load_recipe(name, overrides)
    if print_recipe:
        write(to_described_yaml(recipe))
    elif is_dry:
        _tell(recipe)
    else:
        _curate(recipe, out or Path("runs") / f"curated-{recipe_name(name)}", workers)


@main.command()
@click.argument("old", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, required=True, metavar="SECTION.KEY=VALUE...")
@out_option("Where to: the folder of the new outcome.")
@workers_option
@tells_mistakes
def refilter(old: Path, overrides: tuple[str, ...], out: Path | None, workers: int | None) -> None:
    """Apply other thresholds to what was curated in DIR, without measuring again.

    \b
    scratchgrad-curate refilter runs/web gopher_quality.min_words=30 --out runs/web-30
    """
    if out is None:
        raise UserError("refilter needs --out DIR: the folder of the new outcome")
    _curate(begin_refilter(old, out, overrides), out, workers)


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--tokenizer", "path", required=True, type=click.Path(path_type=Path), metavar="PATH", help="Its file or folder."
)
@out_option("Where to; by default DIR/tokens.")
@workers_option
@tells_mistakes
def tokens(folder: Path, path: Path, out: Path | None, workers: int | None) -> None:
    """Write the documents in DIR as token files, which say of each range of tokens where its text came from.

    \b
    scratchgrad-curate tokens runs/curated-code --tokenizer runs/toy-001
    """
    out = out or folder / "tokens"
    if out.exists():
        raise UserError(f"'{out}' is there already; take another --out")
    tokenizer = tokenizers.load(newest_checkpoint(path) if is_run(path) else path)
    store = write_curated_tokens(folder, tokenizer, out, workers or usable_cores())
    say(f"{len(store):,} documents, {len(store.tokens):,} tokens of a vocabulary of {store.vocab_size:,}")
    write(f"{out}\n")


@main.command(name="fetch")
@click.argument("urls", metavar="URLS.txt", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the WARC files go.")
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=FetchSettings.delay,
    show_default=True,
    help="Seconds between two requests to a host.",
)
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=FetchSettings.max_bytes, show_default=True, help="Of a page."
)
@tells_mistakes
def fetch_pages(urls: Path, out: Path, delay: float, max_bytes: int) -> None:
    """Fetch the pages in URLS.txt, one address a line, as WARC files: politely, and heeding robots.txt.

    \b
    scratchgrad-curate fetch urls.txt --out pages
    scratchgrad-curate fetch urls.txt --out pages --delay 5
    """
    failed = 0
    for page in fetch(read_urls(urls), out, FetchSettings(delay=delay, max_bytes=max_bytes)):
        if page.path is None:
            failed += 1
            say(f"{page.url}: {page.reason}")
        else:
            write(f"{page.path}\n")
    if failed:
        say(f"{failed:,} pages were not fetched")


@main.command(name="train-filter")
@click.argument("good", type=click.Path(path_type=Path), metavar="GOOD.jsonl")
@click.argument("bad", type=click.Path(path_type=Path), metavar="BAD.jsonl")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILTER_DIR", help="Where to.")
@click.option(
    "--bits", default=18, type=click.IntRange(8, MOST_BITS), show_default=True, help="There are 2^bits weights."
)
@click.option("--epochs", default=5, type=click.IntRange(1), show_default=True, help="How often each text is learnt.")
@click.option(
    "--holdout",
    default=0.1,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    show_default=True,
    help="Share of the texts, by their hash, that are measured and not learnt.",
)
@click.option(
    "--keep",
    default=0.5,
    type=click.FloatRange(0, 1, min_open=True),
    show_default=True,
    help="Share of the held-out texts for which a threshold is told.",
)
@click.option(
    "--seed", default=0, type=click.IntRange(0), show_default=True, help="Of the order and of who is held out."
)
@tells_mistakes
def train_filter(good: Path, bad: Path, out: Path, **settings: Any) -> None:
    """Train a classifier that tells documents like GOOD from documents like BAD: any files that are read as documents.

    \b
    scratchgrad-curate train-filter good.jsonl bad.jsonl --out runs/quality
    scratchgrad-curate train-filter harmless.jsonl toxic.jsonl --out runs/toxicity --keep 0.9
    """
    if out.exists():
        raise UserError(f"'{out}' is there already; take another --out")
    training = Training(**settings)
    kinds = [(example.text() for example in read_examples(path)) for path in (good, bad)]
    model, quality = train_classifier(kinds[0], kinds[1], training)
    save_classifier(out, model, training, quality)
    say(
        f"of {quality.documents:,} texts held out: accuracy {quality.accuracy:.3f}, AUC {quality.auc:.3f}; "
        f"min_probability={quality.threshold:.6g} keeps {quality.keep:.0%} of them"
    )
    write(f"{out}\n")


@main.command(name="explain")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("id", metavar="ID")
@tells_mistakes
def explain_document(folder: Path, id: str) -> None:
    """Tell what happened to the document ID, which is `path:record` of its source.

    \b
    scratchgrad-curate explain runs/curated-code textwrap.py
    """
    for line in explain(folder, id):
        write(f"{line}\n")


def _curate(recipe: Recipe, out: Path, workers: int | None) -> None:
    tell_guard("end")  # a rank of this job may wait for a task for as long as it takes
    with worker_pool(workers) as pool:
        if pool is None:
            return
        with ProgressWatch() as watch:
            summary = curate(recipe, out, pool, watch)
    if not (out / PAGE).exists():
        (out / TIMES).write_text(json.dumps(watch.times, indent=1) + "\n")
        write_report_page(out, watch.times)
    read = total(summary["groups"][0]["read"])
    kept = total(summary["kept"])
    say(
        f"kept {kept.get('documents', 0):,} of {read.get('documents', 0):,} documents, "
        f"{size(kept.get('bytes', 0))} of {size(read.get('bytes', 0))}"
    )
    if read.get("skipped"):
        say(f"records that could not be read: {read['skipped']:,}; see {out}/stages/0-documents/*/skipped.jsonl.zst")
    say(f"what was dropped and why: {out / PAGE}")
    write(f"{out}\n")


def _tell(recipe: Recipe) -> None:
    units = units_of(recipe)
    for name in recipe.data.named_sources:
        own = [unit for unit in units if unit.name == name]
        files = sum(len(unit.paths) for unit in own)
        write(f"{name}: {files:,} files, {size(sum(unit.bytes for unit in own))}, {len(own)} units of work\n")
    write(f"steps: {', '.join(recipe.curate.steps) or 'none'}\n")
    for step in recipe.steps:
        for rule in step.rules():
            write(f"  {step.name}.{rule.measured} {rule.comparison} {rule.threshold:g} ({rule.setting})\n")


if __name__ == "__main__":
    scratchgrad_start.curate()

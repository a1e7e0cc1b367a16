"""scratchgrad-train: a recipe in, a trained model out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import click

import scratchgrad_start
from scratchgrad import set_precision, set_threads
from scratchgrad.backend import use_device
from scratchgrad.errors import UserError
from scratchgrad.parallel import (
    Announcement,
    Communicator,
    announced,
    note_on_launcher,
    note_on_shared_memory,
    threads_per_rank,
)
from scratchgrad.threads import threads
from scratchgrad.tools.commands.common import HELP, say, tells_mistakes, version_option
from scratchgrad.tools.commands.ending import EndedBySignal
from scratchgrad.tools.data import Prepared
from scratchgrad.tools.runs import checkpoints, newest_run
from scratchgrad.tools.tokenizer import load as load_tokenizer
from scratchgrad.tools.tokenizer import save as save_tokenizer
from scratchgrad.train.agreement import check_ranks_agree, check_same_data, data_fingerprint
from scratchgrad.train.commands.recipes_help import ListsRecipes
from scratchgrad.train.data import build_batches, build_objective, build_validation, prepare_data
from scratchgrad.train.dry_run import dry_run
from scratchgrad.train.init_from import start_from
from scratchgrad.train.joining import join
from scratchgrad.train.lasting_output import lasting_output
from scratchgrad.train.loop import train
from scratchgrad.train.recipe import Recipe, check_ranks, check_resumable
from scratchgrad.train.recipe_files import load_recipe, recipe_name, to_described_yaml
from scratchgrad.train.recipe_sum import check_recipe
from scratchgrad.train.run import (
    Run,
    begin_run,
    create_run_dir,
    lock_run,
    report_disk_errors,
    truncate_run,
    write_recipe,
)
from scratchgrad.train.signals import StopRequest
from scratchgrad.train.watchdog import Watchdog, abort_on_error
from scratchgrad_start import is_told_by_another, tell_guard

NEWEST = "the newest"


class TrainCommand(ListsRecipes):
    """Where all ranks are called in the same wrong way, one tells it."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.ClickException as mistake:
            if is_told_by_another():
                sys.exit(mistake.exit_code)
            raise


@click.command(cls=TrainCommand, context_settings=HELP)
@click.argument("arguments", nargs=-1, metavar="[RECIPE] [SECTION.KEY=VALUE]...")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    metavar="[DIR]",
    help="Go on with the newest run, or with that in DIR.",
)
@click.option("--checkpoint", metavar="step-N", help="With --resume: go on from this one. Later ones are removed.")
@click.option("--new-data", is_flag=True, help="With --resume: the text has changed; the run's tokenizer stays.")
@click.option("--print-recipe", is_flag=True, help="Print the recipe with all its values and their meaning, and stop.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Measure a step, tell size, memory and time, and stop.")
@version_option
@tells_mistakes
def main(
    arguments: tuple[str, ...],
    resume: str | None,
    checkpoint: str | None,
    new_data: bool,
    print_recipe: bool,
    is_dry: bool,
) -> None:
    """Train the model that RECIPE describes: a YAML file, or the name of a packaged recipe.

    \b
    scratchgrad-train toy.yaml
    scratchgrad-train toy.yaml data.source=files data.files=texts
    mpirun -n 4 scratchgrad-train toy.yaml train.steps=40 train.learning_rate=1e-3
    mpirun -n 4 scratchgrad-train --resume
    scratchgrad-train --resume runs/toy-001 --checkpoint step-40 train.steps=80
    scratchgrad-train toy.yaml --dry-run
    scratchgrad-train toy.yaml --print-recipe > mine.yaml
    """
    # What overflows ends as a loss or a gradient that is no number, which is reported with its step.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="scratchgrad")
    world = announced()
    if print_recipe:
        text = to_described_yaml(_choose(arguments, resume, checkpoint)[1])
        if world is None or world.rank == 0:
            click.echo(text, nl=False)
        return

    def work() -> tuple[Path | None, Recipe, Prepared]:
        folder, recipe = _choose(arguments, resume, checkpoint)
        tell_guard(f"deadline {recipe.train.watchdog_seconds}")
        if new_data and folder is None:
            raise UserError("--new-data says that a run goes on with other text; give --resume, too")
        _use_machine(recipe, world)
        if folder is None:
            return folder, recipe, prepare_data(recipe, say)
        return folder, *_prepare_again(folder, recipe, checkpoint, new_data)

    with lasting_output() as output:
        local_size = 1 if world is None or world.rank != 0 else world.local_size or world.size
        for note in filter(None, (note_on_launcher(), note_on_shared_memory(local_size))):
            say(note)
        try:
            (folder, recipe, prepared), comm = join(work, world)
        except EndedBySignal as end:
            if world is None or world.rank == 0:
                say(f"ended by {end.name} before the first step: the same command begins anew")
            raise
        with abort_on_error(comm):
            check_ranks_agree(recipe, prepared, comm)
            if is_dry:
                _dry_run(recipe, prepared, comm)
                return
        with StopRequest(speaks=comm.rank == 0) as stop:
            output.tell(stop.lose_reader)
            name = recipe_name(arguments[0]) if resume is None else ""
            with abort_on_error(comm):
                reason = _train(recipe, prepared, comm, folder, checkpoint, name, stop)
            if reason is not None:
                raise EndedBySignal(reason)  # on all ranks, so that no other is to be aborted


def _choose(arguments: tuple[str, ...], resume: str | None, checkpoint: str | None) -> tuple[Path | None, Recipe]:
    """The folder of the run that goes on, if one does, and the recipe."""
    if resume is None:
        if checkpoint is not None:
            raise UserError("--checkpoint says where --resume goes on from; give both")
        if not arguments or "=" in arguments[0]:
            raise UserError("a recipe is missing: a YAML file or a packaged one, as in scratchgrad-train toy.yaml")
        return None, load_recipe(arguments[0], arguments[1:])
    if "=" in resume:  # --resume train.steps=50: no folder was meant
        arguments, resume = (resume, *arguments), NEWEST
    strays = [argument for argument in arguments if "=" not in argument]
    if strays:
        raise UserError(f"'{strays[0]}': a run goes on with its own recipe; only overrides can follow --resume")
    folder = newest_run(Path("runs")) if resume == NEWEST else Path(resume)
    if not folder.exists():
        raise UserError(f"'{folder}' does not exist")
    check_recipe(folder)
    recipe = load_recipe(str(folder / "recipe.yaml"), arguments)
    check_resumable(load_recipe(str(folder / "recipe.yaml")), recipe)
    return folder, recipe


def _use_machine(recipe: Recipe, world: Announcement | None) -> None:
    check_ranks(recipe, world.size if world is not None else 1)
    neighbours = 1 if world is None else world.local_size or world.size
    set_threads(threads_per_rank(neighbours, recipe.train.threads))
    set_precision(recipe.train.precision)
    rank = 0 if world is None else world.rank if world.local_rank is None else world.local_rank
    use_device(recipe.train.device, rank)


def _prepare_again(folder: Path, recipe: Recipe, checkpoint: str | None, new_data: bool) -> tuple[Recipe, Prepared]:
    """The data of a run that goes on: what it was, or, if asked for, other text in the tokens of the run's tokenizer.

    That tokenizer is in the recipe from then on, or the next start would learn one of the new text.
    """
    present = {path.name: path for _, path in checkpoints(folder)}
    last = present.get(checkpoint) if checkpoint is not None else next(reversed(present.values()), None)
    if last is None or not new_data:
        prepared = prepare_data(recipe, say, tokenizer_path=_kept_tokenizer(recipe, last))
        if last is not None:
            check_same_data(folder, last, prepared)
        return recipe, prepared
    own = recipe.tokenizer.model_copy(update={"path": str(folder / "tokenizer.json")})
    return recipe.model_copy(update={"tokenizer": own}), prepare_data(recipe, say, tokenizer_path=last)


def _kept_tokenizer(recipe: Recipe, last: Path | None) -> Path | None:
    """Of a run that began from a model, whose files may be gone by now: where it has the tokenizer itself.

    None where that is damaged: loading the checkpoint tells it.
    """
    if last is None or recipe.train.init_from is None:
        return None
    try:
        load_tokenizer(last)
    except UserError:
        return None
    return last


def _train(
    recipe: Recipe,
    prepared: Prepared,
    comm: Communicator,
    folder: Path | None,
    checkpoint: str | None,
    name: str,
    stop: StopRequest,
) -> Signals | None:
    settings = recipe.train
    tokenizer = prepared.tokenizer
    objective = build_objective(recipe, tokenizer)
    batches, validation = build_batches(recipe, objective, prepared), build_validation(recipe, objective, prepared)
    goes_on = folder is not None
    folder = folder if folder is not None else create_run_dir(recipe, name, comm)
    with (
        lock_run(folder, comm),
        Watchdog(folder, comm, settings.watchdog_seconds) as watchdog,
        abort_on_error(comm, watchdog),
        _tells_haste(folder, comm),
        report_disk_errors(folder),
    ):
        if not goes_on:
            begin_run(folder, recipe, comm)
        run = Run(folder, recipe, tokenizer)
        if goes_on:
            _resume(run, checkpoint, comm)
        if run.progress.step == 0:
            _start_from(run, comm)
            for line in objective.told_at_start(prepared.train) if comm.rank == 0 else ():
                say(line)
        run.progress.data = data_fingerprint(prepared)
        if comm.rank == 0:
            trained = f" ({run.num_trained:,} of them trained)" if run.num_trained < run.model_size else ""
            say(f"{folder}: {run.model_size:,} parameters{trained}, {comm.size} rank(s) of {threads()} thread(s)")
        reason = train(run, objective, batches, validation, comm, watchdog, stop)
    if comm.rank == 0:
        ending = f"loss plot {folder / 'loss.png'}\nto sample: scratchgrad-sample --run {folder}"
        say(f"run {folder}\n{ending}" if reason is None else _how_to_go_on(folder, reason.name))
    return reason


@contextmanager
def _tells_haste(folder: Path, comm: Communicator) -> Iterator[None]:
    """Where a second Ctrl-C ends the block: say, once, what stands in the run."""
    try:
        yield
    except EndedBySignal as end:
        if comm.rank == 0:
            say(_how_to_go_on(folder, f"a second {end.name}"))
        raise


def _how_to_go_on(folder: Path, reason: str) -> str:
    present = checkpoints(folder)
    newest = f"the newest checkpoint is {present[-1][1]}" if present else "there is no checkpoint yet"
    return f"ended by {reason}; {newest}\nto go on: scratchgrad-train --resume {folder}"


def _resume(run: Run, checkpoint: str | None, comm: Communicator) -> None:
    """Load the checkpoint that the run goes on from, on every rank, and remove what came later."""
    present = {path.name: path for _, path in checkpoints(run.folder)}
    if checkpoint is not None and checkpoint not in present:
        raise UserError(f"'{run.folder}' has no checkpoint '{checkpoint}'; it has: {', '.join(present) or 'none'}")
    if present:
        run.restore(present[checkpoint] if checkpoint is not None else list(present.values())[-1])
    comm.barrier()  # nothing is removed before all have read it
    if comm.rank == 0:
        step, ending = run.progress.step, "which finished" if run.progress.finished else "not finished"
        from_where = f"going on from step {step}" if present else "there is no checkpoint yet: going on from step 0"
        say(f"{run.folder}, {ending}: {from_where} of {run.recipe.train.steps}")
        for warning in truncate_run(run.folder, run.progress):
            say(f"warning: {warning}")
        if run.recipe.tokenizer.path == str(run.folder / "tokenizer.json"):
            save_tokenizer(run.tokenizer, run.folder)
        write_recipe(run.folder, run.recipe)
    comm.barrier()


def _start_from(run: Run, comm: Communicator) -> None:
    """Where a run that stands at its beginning begins from a model: take its weights, and tell it once."""
    lines = start_from(run.model, run.recipe)
    for line in lines if comm.rank == 0 else ():
        say(line)


def _dry_run(recipe: Recipe, prepared: Prepared, comm: Communicator) -> None:
    objective = build_objective(recipe, prepared.tokenizer)
    batches, text_tokens = (
        build_batches(recipe, objective, prepared),
        sum(len(store.tokens) for store in prepared.train),
    )
    run = Run(Path(), recipe, prepared.tokenizer)
    _start_from(run, comm)
    text = dry_run(run, objective, batches, text_tokens, comm)
    if comm.rank == 0:
        click.echo(text)


if __name__ == "__main__":
    scratchgrad_start.train()

"""scratchgrad-convert: models into other forms, and what a file of weights holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, cast

import click

import scratchgrad_start
from scratchgrad.errors import UserError
from scratchgrad.files import map_tensors
from scratchgrad.models import describe_llama2c
from scratchgrad.models.shards import DTYPES, Dtype, map_weights
from scratchgrad.tools.commands.common import HELP, say, tells_mistakes, version_option, write
from scratchgrad.tools.conversion import LoadedModel, read_source, to_hugging_face, to_llama2c
from scratchgrad.tools.runs import is_run, newest_checkpoint


class TensorRow(NamedTuple):
    """A stored tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    bytes: int


@click.command(context_settings=HELP)
@click.argument("source", required=False, metavar="SRC", type=click.Path(path_type=Path))
@click.argument("target", required=False, metavar="DST", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["hf", "llama2c"]), help="A Hugging Face directory, or a .bin file.")
@click.option("--dtype", type=click.Choice(list(DTYPES)), help="Of the weights, for hf; by default float32.")
@click.option("--format-version", type=click.Choice(["0", "1"]), help="Of the file, for llama2c; by default 0.")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Its file or folder; by default the one beside SRC.",
)
@click.option(
    "--merge",
    "adapter",
    type=click.Path(path_type=Path),
    metavar="ADAPTER",
    help="A low-rank adapter, or a run that trained one, to add to the weights of SRC.",
)
@click.option("--overwrite", is_flag=True, help="Write over a model that is at DST already.")
@click.option(
    "--inspect", "looked_at", type=click.Path(path_type=Path), metavar="PATH", help="Print what a file or folder holds."
)
@version_option
@tells_mistakes
def main(
    source: Path | None,
    target: Path | None,
    form: str | None,
    dtype: str | None,
    format_version: str | None,
    tokenizer: Path | None,
    adapter: Path | None,
    overwrite: bool,
    looked_at: Path | None,
) -> None:
    """Convert SRC, which is a model directory, a run, or a .bin file of llama2.c, with the tokenizer beside it.

    Adapters are merged: that of --merge, or where SRC is one or a run that trained one, that.

    \b
    scratchgrad-convert runs/toy-001 toy-hf --to hf --dtype bfloat16
    scratchgrad-convert stories15M.bin stories --to hf --tokenizer tokenizer.bin
    scratchgrad-convert stories back/stories15M.bin --to llama2c
    scratchgrad-convert runs/toy-001 toy-hf --to hf --overwrite
    scratchgrad-convert toy-hf merged --to hf --merge lora
    scratchgrad-convert --inspect toy-hf

    llama2.c calculates with an rms_norm_eps of 1e-5: train with model.rms_norm_eps=1e-5 what is to go there.
    """
    if looked_at is not None:
        if source is not None or form is not None or adapter is not None:
            raise UserError("--inspect looks, and converts nothing: leave SRC, DST, --to and --merge out")
        write(table(stored_in(looked_at)))
        return
    if source is None or target is None or form is None:
        raise UserError("a conversion needs SRC, DST, and --to hf or --to llama2c; --help shows examples")
    if form == "hf":
        if format_version is not None:
            raise UserError("--format-version belongs to --to llama2c")
        weights = cast(Dtype, dtype or "float32")
        to_hugging_face(_read(source, tokenizer, adapter), target, dtype=weights, overwrite=overwrite, say=say)
    else:
        if dtype is not None:
            raise UserError("--dtype belongs to --to hf: llama2c's files are float32")
        to_llama2c(
            _read(source, tokenizer, adapter), target, version=int(format_version or 0), overwrite=overwrite, say=say
        )
    write(f"{target}\n")


def _read(source: Path, tokenizer: Path | None, adapter: Path | None) -> LoadedModel:
    loaded = read_source(source, tokenizer, adapter)
    if (difference := loaded.merged_within) is not None:
        say(f"the adapter was merged in float32: logits differ by at most {difference:.1g} from those beside it")
    return loaded


def stored_in(path: Path) -> list[TensorRow]:
    """The tensors of a safetensors file, a .bin file of llama2.c, a model directory or a run's newest checkpoint.

    Headers are read, and no weights.
    """
    if path.is_file() and path.suffix != ".safetensors":
        tensor_infos, _ = describe_llama2c(path)
        return [
            TensorRow(t.name, t.shape, "int8" if t.group_size else "float32", t.size, t.nbytes) for t in tensor_infos
        ]
    folder = newest_checkpoint(path) if is_run(path) else path
    arrays = map_weights(folder) if path.is_dir() else map_tensors(path)
    return [TensorRow(name, a.shape, a.dtype.name, a.size, a.nbytes) for name, a in arrays.items()]


def table(rows: Iterable[TensorRow]) -> str:
    """A line for each tensor, and one for all together."""
    rows = list(rows)
    total = TensorRow(
        f"{len(rows)} tensors", (), "", sum(row.parameters for row in rows), sum(row.bytes for row in rows)
    )
    cells = [("tensor", "shape", "dtype", "parameters", "bytes")]
    for row in (*rows, total):
        shape = " x ".join(map(str, row.shape)) or ("" if row is total else "1")
        cells.append((row.name, shape, row.dtype, f"{row.parameters:,}", f"{row.bytes:,}"))
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    return "".join(
        "  ".join(
            cell.ljust(width) if i in (0, 2) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in cells
    )


if __name__ == "__main__":
    scratchgrad_start.convert()

"""scratchgrad-sample: text from a model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scratchgrad.backend import use_device
from scratchgrad.errors import UserError
from scratchgrad.tools.commands.common import HELP, read_text, say, tells_mistakes, version_option, write
from scratchgrad.tools.generation import generate_ids, stream_text
from scratchgrad.tools.loading import load_language_model
from scratchgrad.tools.runs import model_directory, newest_run
from scratchgrad.tools.sampling import Sampling

BETWEEN_SAMPLES = "-" * 20
ALL = 1 << 62  # tokens: as many as the context has room for
LARGEST_PROMPT = 1 << 24  # bytes; the context of any model that runs here is smaller


@click.command(context_settings=HELP)
@click.option("--run", "run", type=click.Path(path_type=Path), metavar="DIR", help="A run; its newest checkpoint.")
@click.option("--model", "model", type=click.Path(path_type=Path), metavar="DIR", help="A model directory.")
@click.option("--prompt", metavar="TEXT", help="What the text begins with; - reads it from standard input.")
@click.option("--temperature", default=1.0, show_default=True, metavar="T", help="0 is greedy, 2 the wildest.")
@click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest tokens.")
@click.option("--top-p", default=1.0, show_default=True, metavar="P", help="... that make up the probability P.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="By default what the context holds.")
@click.option(
    "--num-samples", type=click.IntRange(min=1), metavar="N", help="By default 3; 1 after a prompt, or if greedy."
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same text.")
@click.option("--stop", "stops", multiple=True, metavar="TEXT", help="End before this text; may be given repeatedly.")
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@version_option
@tells_mistakes
def main(
    run: Path | None,
    model: Path | None,
    prompt: str | None,
    temperature: float,
    top_k: int | None,
    top_p: float,
    max_tokens: int | None,
    num_samples: int | None,
    seed: int,
    stops: tuple[str, ...],
    device: str,
) -> None:
    """Write text with a trained model: by default with the newest run below ./runs.

    \b
    scratchgrad-sample --temperature 1.2
    scratchgrad-sample --prompt "def main(" --stop "def " --num-samples 3
    scratchgrad-sample --model DIR --temperature 0 --max-tokens 100 --prompt - < question.txt
    """
    sampling = Sampling(temperature, top_k, top_p, seed)
    if run is not None and model is not None:
        raise UserError("--run and --model both say where the model is; give one of them")
    if "" in stops:
        raise UserError("--stop needs a text that is not empty")
    text = read_text(sys.stdin.buffer, "standard input", LARGEST_PROMPT) if prompt == "-" else prompt or ""
    use_device(device)
    folder = model_directory(run or model or newest_run(Path("runs")))
    say(f"sampling from {folder}")
    loaded = load_language_model(folder)
    loaded.model.to(device)
    begin = loaded.begin if loaded.begin is not None else loaded.tokenizer.end_of_text
    ids = [begin, *loaded.tokenizer.encode(text)]
    for sample in range(num_samples or (1 if text or temperature == 0 else 3)):
        if sample > 0:
            write(f"{BETWEEN_SAMPLES}\n")
        written = generate_ids(loaded.model, ids, max_tokens or ALL, sampling, sample=sample, ends=loaded.ends)
        write(text)
        for piece in stream_text(loaded.tokenizer, written, stops):
            write(piece)
        write("\n")


if __name__ == "__main__":
    main()
